-- +goose Up
-- Shards that were read and found sound, and the length and time of change that their files had then.
CREATE TABLE shard_check (
    model_id    TEXT    NOT NULL,
    shard_index INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    changed     INTEGER NOT NULL, -- nanoseconds since 1970
    checked     INTEGER NOT NULL, -- seconds since 1970
    PRIMARY KEY (model_id, shard_index)
) STRICT, WITHOUT ROWID;
