-- +goose Up
-- Shards that this node wants from others. shard_index -1 stands for all of a model whose manifest is not here yet.
CREATE TABLE download (
    model_id    TEXT    NOT NULL,
    shard_index INTEGER NOT NULL CHECK (shard_index >= -1),
    manifest    BLOB    NOT NULL CHECK (length(manifest) = 32),
    state       TEXT    NOT NULL,
    why         TEXT    NOT NULL,
    error       TEXT    NOT NULL DEFAULT '',
    bytes       INTEGER NOT NULL DEFAULT 0, -- that were here when it last stopped
    size        INTEGER NOT NULL DEFAULT 0,
    added       INTEGER NOT NULL, -- nanoseconds since 1970
    PRIMARY KEY (model_id, shard_index)
) STRICT, WITHOUT ROWID;
