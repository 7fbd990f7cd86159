-- +goose Up
CREATE TABLE shard_lock (
    model_id    TEXT    NOT NULL,
    shard_index INTEGER NOT NULL CHECK (shard_index >= 0),
    PRIMARY KEY (model_id, shard_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE model_setting (
    model_id TEXT PRIMARY KEY,
    windows  INTEGER NOT NULL CHECK (windows BETWEEN 1 AND 64)
) STRICT, WITHOUT ROWID;

-- What was in memory, to be loaded again at the next start: shards first_shard up to, not including, end_shard.
CREATE TABLE loaded_model (
    model_id    TEXT PRIMARY KEY,
    first_shard INTEGER NOT NULL CHECK (first_shard >= 0),
    end_shard   INTEGER NOT NULL CHECK (end_shard > first_shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_value (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
