package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// LockedShards returns the indices of a model's locked shards, in order.
func (s *Store) LockedShards(ctx context.Context, id core.ModelID) ([]int, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT shard_index FROM shard_lock WHERE model_id = ? ORDER BY shard_index", id.String())
	if err != nil {
		return nil, fmt.Errorf("store: locked shards: %w", err)
	}
	defer rows.Close()
	var out []int
	for rows.Next() {
		var i int
		if err := rows.Scan(&i); err != nil {
			return nil, fmt.Errorf("store: locked shards: %w", err)
		}
		out = append(out, i)
	}
	return out, rows.Err()
}

// LockShard locks or unlocks a shard.
func (s *Store) LockShard(ctx context.Context, id core.ModelID, index int, locked bool) error {
	query := "INSERT OR IGNORE INTO shard_lock (model_id, shard_index) VALUES (?, ?)"
	if !locked {
		query = "DELETE FROM shard_lock WHERE model_id = ? AND shard_index = ?"
	}
	return s.exec(ctx, "lock shard", query, id.String(), index)
}

// Windows returns how many windows a model is set to, or 0 if it has no setting of its own.
func (s *Store) Windows(ctx context.Context, id core.ModelID) (int, error) {
	var n int
	err := s.db.QueryRowContext(ctx, "SELECT windows FROM model_setting WHERE model_id = ?", id.String()).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("store: windows: %w", err)
	}
	return n, nil
}

// SetWindows sets how many windows a model runs in.
func (s *Store) SetWindows(ctx context.Context, id core.ModelID, windows int) error {
	return s.exec(ctx, "set windows", `INSERT INTO model_setting (model_id, windows) VALUES (?, ?)
		ON CONFLICT (model_id) DO UPDATE SET windows = excluded.windows`, id.String(), windows)
}

// Encrypted returns whether a model is set to run as an encrypted pipeline, and whether it has a setting of its own.
func (s *Store) Encrypted(ctx context.Context, id core.ModelID) (on, set bool, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT encrypted FROM model_pipeline WHERE model_id = ?", id.String()).Scan(&on)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("store: encrypted pipeline: %w", err)
	}
	return on, true, nil
}

// SetEncrypted sets whether a model runs as an encrypted pipeline.
func (s *Store) SetEncrypted(ctx context.Context, id core.ModelID, on bool) error {
	return s.exec(ctx, "set encrypted pipeline", `INSERT INTO model_pipeline (model_id, encrypted) VALUES (?, ?)
		ON CONFLICT (model_id) DO UPDATE SET encrypted = excluded.encrypted`, id.String(), on)
}

// Loaded is a record of what was in memory: the shards of a model from First up to, not including, End.
type Loaded struct {
	ID         core.ModelID
	First, End int
}

// LoadedModels returns what was in memory when it was last recorded.
func (s *Store) LoadedModels(ctx context.Context) ([]Loaded, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT model_id, first_shard, end_shard FROM loaded_model ORDER BY model_id")
	if err != nil {
		return nil, fmt.Errorf("store: loaded models: %w", err)
	}
	defer rows.Close()
	var out []Loaded
	for rows.Next() {
		var slug string
		var l Loaded
		if err := rows.Scan(&slug, &l.First, &l.End); err != nil {
			return nil, fmt.Errorf("store: loaded models: %w", err)
		}
		if l.ID, err = core.ParseModelID(slug); err != nil {
			return nil, fmt.Errorf("store: loaded models: %w", err)
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

// RecordLoaded records that a model is in memory.
func (s *Store) RecordLoaded(ctx context.Context, l Loaded) error {
	return s.exec(ctx, "record load", `INSERT INTO loaded_model (model_id, first_shard, end_shard) VALUES (?, ?, ?)
		ON CONFLICT (model_id) DO UPDATE SET first_shard = excluded.first_shard, end_shard = excluded.end_shard`,
		l.ID.String(), l.First, l.End)
}

// ForgetLoaded records that a model is not in memory.
func (s *Store) ForgetLoaded(ctx context.Context, id core.ModelID) error {
	return s.exec(ctx, "forget load", "DELETE FROM loaded_model WHERE model_id = ?", id.String())
}

// ForgetModel removes everything that is kept about a model, all or nothing.
func (s *Store) ForgetModel(ctx context.Context, id core.ModelID) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: forget model: %w", err)
	}
	defer tx.Rollback()
	for _, table := range []string{"shard_lock", "shard_check", "model_setting", "model_pipeline", "loaded_model", "download"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE model_id = ?", id.String()); err != nil {
			return fmt.Errorf("store: forget model: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: forget model: %w", err)
	}
	return nil
}

// Value returns the value of key, and whether it is set.
func (s *Store) Value(ctx context.Context, key string) (value string, ok bool, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT value FROM key_value WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("store: value: %w", err)
	}
	return value, true, nil
}

// SetValue sets the value of key.
func (s *Store) SetValue(ctx context.Context, key, value string) error {
	return s.exec(ctx, "set value", `INSERT INTO key_value (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
}

// DeleteValue removes a key; one that is not set is no error.
func (s *Store) DeleteValue(ctx context.Context, key string) error {
	return s.exec(ctx, "delete value", "DELETE FROM key_value WHERE key = ?", key)
}

func (s *Store) exec(ctx context.Context, doing, query string, args ...any) error {
	if _, err := s.db.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("store: %s: %w", doing, err)
	}
	return nil
}
