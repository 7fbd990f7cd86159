-- +goose Up
-- Models that have their own word on the encrypted pipeline; the others follow the setting.
CREATE TABLE model_pipeline (
    model_id  TEXT    PRIMARY KEY,
    encrypted INTEGER NOT NULL CHECK (encrypted IN (0, 1))
) STRICT, WITHOUT ROWID;
