-- +goose Up
-- The row of changes of the swarm: who was put out and who may put out, from the first one on.
CREATE TABLE swarm_change (
    number INTEGER PRIMARY KEY,
    record BLOB    NOT NULL
) STRICT;
