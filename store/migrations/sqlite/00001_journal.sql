-- +goose Up

-- One row: what makes this journal this journal. The seed gives every channel its first tag, so that reading an unwritten
-- channel writes nothing. Tags and the epoch are 64-bit unsigned and stored as the signed integer of the same bits.
CREATE TABLE meta (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL CHECK (epoch <> 0),
    seed  BLOB    NOT NULL CHECK (length(seed) = 32)
) STRICT;
INSERT INTO meta (id, epoch, seed) VALUES (1, (abs(random()) | 1), randomblob(32));

-- A channel is written here with its first record. head and tag are those of the last record, oldest and oldest_tag those
-- before the first one kept, bytes the sum of the bodies kept, last the time (ms) of the last record.
CREATE TABLE channels (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    head       INTEGER NOT NULL,
    tag        INTEGER NOT NULL,
    oldest     INTEGER NOT NULL,
    oldest_tag INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    last       INTEGER NOT NULL
) STRICT;

-- Records lie in the order in which they were committed, whatever their channel: commits write few pages. The index
-- finds them by place. tag binds offset, body and everything before; seal binds the other columns to the tag.
CREATE TABLE records (
    seq     INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    offset  INTEGER NOT NULL,
    tag     INTEGER NOT NULL,
    seal    INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    sender  TEXT    NOT NULL,
    binary  INTEGER NOT NULL,
    body    BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX records_place ON records (channel, offset);

-- Idempotency ids, in the order in which they came, so that the old ones are at the beginning. key is a digest of
-- channel, user and id under the seed, hash that of the body.
CREATE TABLE ids (
    seq    INTEGER PRIMARY KEY,
    key    BLOB    NOT NULL CHECK (length(key) = 16),
    hash   BLOB    NOT NULL,
    binary INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    tag    INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX ids_key ON ids (key);
