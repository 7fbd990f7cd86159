-- +goose Up
-- Invites that this node wrote. The secret itself is only in the code that was given away.
CREATE TABLE invite (
    id          TEXT    PRIMARY KEY,
    secret_hash BLOB    NOT NULL,
    created     INTEGER NOT NULL, -- seconds since 1970, here and below
    expires     INTEGER NOT NULL,
    revoked     INTEGER NOT NULL DEFAULT 0,
    used_by     TEXT    NOT NULL DEFAULT '',
    used_at     INTEGER NOT NULL DEFAULT 0,
    nickname    TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- Signed records of who belongs to the swarm.
CREATE TABLE admission (
    peer_id TEXT PRIMARY KEY,
    record  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Peers that this node has met, with its own opinion of them.
CREATE TABLE peer (
    peer_id       TEXT    PRIMARY KEY,
    nickname      TEXT    NOT NULL,
    addresses     TEXT    NOT NULL, -- multiaddrs, one a line
    last_seen     INTEGER NOT NULL,
    trust         REAL    NOT NULL,
    refused_until INTEGER NOT NULL,
    anchor        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
