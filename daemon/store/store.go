// Package store keeps the node's state in one sqlite database: which shards are locked, what each model is set to,
// what was loaded, and small values by key. Queries are methods; nothing outside writes SQL.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"

	"github.com/shoal-p2p/shoal/daemon/core"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an open database. It is safe for concurrent use.
type Store struct{ db *sql.DB }

// Open opens the database at path, or makes it, checks it and brings its schema up to date; before that it copies an
// existing one to path + ".vN.bak", N being the old schema. The error has code CodeCorrupt for a damaged file and
// CodeUnsupported for one that a newer program wrote.
func Open(ctx context.Context, path string) (*Store, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return open(ctx, path, sub)
}

func open(ctx context.Context, path string, steps fs.FS) (_ *Store, err error) {
	if err := touch(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	db, err := sql.Open("sqlite3", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	if err := check(ctx, db); err != nil {
		return nil, damaged(path, err)
	}
	if err := upgrade(ctx, db, path, steps); err != nil {
		return nil, err
	}
	return &Store{db}, nil
}

// touch makes sure that the file exists and that only the owner can read it.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func dsn(path string) string {
	q := url.Values{
		"_journal_mode": {"WAL"}, "_busy_timeout": {"5000"}, "_foreign_keys": {"on"},
		"_synchronous": {"NORMAL"}, "_txlock": {"immediate"},
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// check runs sqlite's integrity check.
func check(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	return nil
}

func damaged(path string, err error) error {
	if e, ok := errors.AsType[sqlite3.Error](err); ok && e.Code != sqlite3.ErrCorrupt && e.Code != sqlite3.ErrNotADB {
		return fmt.Errorf("store: %w", err)
	}
	return core.Errorf(core.CodeCorrupt, "store: %s is damaged: %w", path, err).
		WithHint("Move the file away and start again: models stay, only shard locks and per-model settings are lost.")
}

// upgrade runs the schema steps that the database lacks.
func upgrade(ctx context.Context, db *sql.DB, path string, steps fs.FS) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, steps)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	sources := provider.ListSources()
	latest := sources[len(sources)-1].Version
	version, err := provider.GetDBVersion(ctx)
	if err != nil {
		return damaged(path, err)
	}
	if version > latest {
		return core.Errorf(core.CodeUnsupported, "store: %s has schema %d, this program knows %d", path, version, latest).
			WithHint("Update Shoal.")
	}
	if version > 0 && version < latest {
		if err := backup(ctx, db, fmt.Sprintf("%s.v%d.bak", path, version)); err != nil {
			return fmt.Errorf("store: backup before upgrade: %w", err)
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("store: upgrade schema: %w", err)
	}
	return nil
}

// backup writes a copy of the database to path, in place of an older one.
func backup(ctx context.Context, db *sql.DB, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}

// Ping tells whether the database can be read.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// Close writes everything back and closes the database.
func (s *Store) Close() error { return s.db.Close() }
