-- +goose Up

-- What services state to those who search: the newest row of each (service, kind, key). terms is a JSON array of strings.
CREATE TABLE rows (
    id      INTEGER PRIMARY KEY,
    service TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    rank    INTEGER NOT NULL,
    terms   TEXT    NOT NULL,
    body    BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX rows_key ON rows (service, kind, key);
CREATE INDEX rows_rank ON rows (service, kind, rank DESC, key);

-- The terms of rows, each with the rank of its row, so that what a term finds is read in order.
CREATE TABLE terms (
    service TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    term    TEXT    NOT NULL,
    rank    INTEGER NOT NULL,
    key     TEXT    NOT NULL,
    PRIMARY KEY (service, kind, term, rank DESC, key)
) STRICT, WITHOUT ROWID;

-- When the shard was last served (ms); 0: never.
ALTER TABLE fences ADD COLUMN served INTEGER NOT NULL DEFAULT 0;
