package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// ShardCheck says that a shard was sound when its file had a length and was last changed at a time.
type ShardCheck struct {
	Size    int64
	Changed time.Time
	Checked time.Time // to the second
}

// ShardCheck returns the latest check of a shard; it is false if there was none.
func (s *Store) ShardCheck(ctx context.Context, id core.ModelID, index int) (c ShardCheck, ok bool, err error) {
	var changed, checked int64
	err = s.db.QueryRowContext(ctx, "SELECT size, changed, checked FROM shard_check WHERE model_id = ? AND shard_index = ?", id.String(), index).
		Scan(&c.Size, &changed, &checked)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("store: shard check: %w", err)
	}
	c.Changed, c.Checked = time.Unix(0, changed), time.Unix(checked, 0)
	return c, true, nil
}

// SetShardCheck records a check.
func (s *Store) SetShardCheck(ctx context.Context, id core.ModelID, index int, c ShardCheck) error {
	return s.exec(ctx, "record shard check", `INSERT INTO shard_check (model_id, shard_index, size, changed, checked) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (model_id, shard_index) DO UPDATE SET size = excluded.size, changed = excluded.changed, checked = excluded.checked`,
		id.String(), index, c.Size, c.Changed.UnixNano(), c.Checked.Unix())
}
