package store

import (
	"context"
	"fmt"
)

// Changes returns the row of changes of the swarm, the first one first.
func (s *Store) Changes(ctx context.Context) ([][]byte, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT record FROM swarm_change ORDER BY number")
	if err != nil {
		return nil, fmt.Errorf("store: changes: %w", err)
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var record []byte
		if err := rows.Scan(&record); err != nil {
			return nil, fmt.Errorf("store: changes: %w", err)
		}
		out = append(out, record)
	}
	return out, rows.Err()
}

// SaveChanges keeps a row of changes in place of the one before, all or nothing.
func (s *Store) SaveChanges(ctx context.Context, list [][]byte) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: save changes: %w", err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "DELETE FROM swarm_change"); err != nil {
		return fmt.Errorf("store: save changes: %w", err)
	}
	for i, record := range list {
		if _, err := tx.ExecContext(ctx, "INSERT INTO swarm_change (number, record) VALUES (?, ?)", i+1, record); err != nil {
			return fmt.Errorf("store: save changes: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: save changes: %w", err)
	}
	return nil
}

// RevokeInvites makes all unused invites worthless.
func (s *Store) RevokeInvites(ctx context.Context) error {
	return s.exec(ctx, "revoke invites", "UPDATE invite SET revoked = 1 WHERE used_by = ''")
}
