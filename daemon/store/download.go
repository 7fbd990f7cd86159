package store

import (
	"context"
	"fmt"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// AllShards in place of a shard's index stands for all shards of a model whose manifest is not known yet.
const AllShards = -1

// Download is a shard that this node wants.
type Download struct {
	Model    core.ModelID
	Shard    int         // or AllShards
	Manifest core.Digest // of the cut that is wanted
	State    string      // a download state of core
	Why      string      // who wanted it, for example "user"
	Error    string      // why it failed
	Bytes    int64       // that were here when it last stopped
	Size     int64       // 0 until it is known
	Added    time.Time
}

// Downloads returns what is wanted, in the order in which it was added.
func (s *Store) Downloads(ctx context.Context) ([]Download, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT model_id, shard_index, manifest, state, why, error, bytes, size, added
		FROM download ORDER BY added, model_id, shard_index`)
	if err != nil {
		return nil, fmt.Errorf("store: downloads: %w", err)
	}
	defer rows.Close()
	var out []Download
	for rows.Next() {
		var d Download
		var slug string
		var manifest []byte
		var added int64
		if err := rows.Scan(&slug, &d.Shard, &manifest, &d.State, &d.Why, &d.Error, &d.Bytes, &d.Size, &added); err != nil {
			return nil, fmt.Errorf("store: downloads: %w", err)
		}
		if d.Model, err = core.ParseModelID(slug); err != nil {
			return nil, fmt.Errorf("store: downloads: %w", err)
		}
		d.Manifest, d.Added = core.Digest(manifest), time.Unix(0, added)
		out = append(out, d)
	}
	return out, rows.Err()
}

// PutDownloads records downloads, new ones and changed ones, all or nothing.
func (s *Store) PutDownloads(ctx context.Context, list ...Download) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: put downloads: %w", err)
	}
	defer tx.Rollback()
	for _, d := range list {
		_, err := tx.ExecContext(ctx, `INSERT INTO download (model_id, shard_index, manifest, state, why, error, bytes, size, added)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (model_id, shard_index) DO UPDATE SET manifest = excluded.manifest, state = excluded.state,
			why = excluded.why, error = excluded.error, bytes = excluded.bytes, size = excluded.size, added = excluded.added`,
			d.Model.String(), d.Shard, d.Manifest[:], d.State, d.Why, d.Error, d.Bytes, d.Size, d.Added.UnixNano())
		if err != nil {
			return fmt.Errorf("store: put downloads: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: put downloads: %w", err)
	}
	return nil
}

// ForgetDownloads removes all downloads of a model.
func (s *Store) ForgetDownloads(ctx context.Context, id core.ModelID) error {
	return s.exec(ctx, "forget downloads", "DELETE FROM download WHERE model_id = ?", id.String())
}

// ForgetDownload removes the download of one shard.
func (s *Store) ForgetDownload(ctx context.Context, id core.ModelID, index int) error {
	return s.exec(ctx, "forget download", "DELETE FROM download WHERE model_id = ? AND shard_index = ?", id.String(), index)
}
