-- +goose Up

-- One row: what makes this journal this journal. The seed gives every channel its first tag, so that reading an unwritten
-- channel writes nothing. Tags and the epoch are 64-bit unsigned and stored as the signed integer of the same bits. A
-- service has this many shards here, for good: which shard a channel falls to must never change.
CREATE TABLE meta (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    epoch  BIGINT  NOT NULL CHECK (epoch <> 0),
    seed   BYTEA   NOT NULL CHECK (length(seed) = 32),
    shards INTEGER NOT NULL DEFAULT 16 CHECK (shards > 0)
);
INSERT INTO meta (id, epoch, seed) VALUES (1,
    ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint | 1,
    sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));

-- A channel is written here with its first record. head and tag are those of the last record, oldest and oldest_tag those
-- before the first one kept, since is the time (ms) of that one, bytes the sum of the bodies kept, last the time (ms) of the
-- last record. rev is the highest revision that a Latest record of the channel got. What follows is that of a service's
-- channel: version counts its changes, commanded is the time (ms) of its last command, shard the row in fences, and wake
-- when its timer comes (ns), armed by the last version. Who writes to a channel holds the lock of its row, taken in the
-- order of names. Rows are rewritten with every batch: the room beside them keeps that out of the indexes.
CREATE TABLE channels (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    head       BIGINT NOT NULL,
    tag        BIGINT NOT NULL,
    oldest     BIGINT NOT NULL,
    oldest_tag BIGINT NOT NULL,
    since      BIGINT NOT NULL DEFAULT 0,
    bytes      BIGINT NOT NULL DEFAULT 0,
    last       BIGINT NOT NULL DEFAULT 0,
    rev        BIGINT NOT NULL DEFAULT 0,
    version    BIGINT NOT NULL DEFAULT 0,
    commanded  BIGINT NOT NULL DEFAULT 0,
    shard      BIGINT,
    wake       BIGINT
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX channels_wake ON channels (shard, wake) WHERE wake IS NOT NULL;

-- tag binds offset, body and everything before; seal binds the other columns to the tag. An erased record has an empty body
-- and keeps the hash of what stood there, so that the chain holds.
CREATE TABLE records (
    channel  BIGINT  NOT NULL,
    "offset" BIGINT  NOT NULL,
    tag      BIGINT  NOT NULL,
    seal     BIGINT  NOT NULL,
    time     BIGINT  NOT NULL,
    sender   BYTEA   NOT NULL,
    "binary" BOOLEAN NOT NULL,
    body     BYTEA   NOT NULL,
    hash     BYTEA,
    PRIMARY KEY (channel, "offset")
);

-- Idempotency ids. key is a digest of channel, user and id under the seed, hash that of the body; the id of a command keeps
-- its whole reply. The old ones are found by time.
CREATE TABLE ids (
    key      BYTEA   PRIMARY KEY CHECK (length(key) = 16),
    hash     BYTEA   NOT NULL,
    "binary" BOOLEAN NOT NULL,
    "offset" BIGINT  NOT NULL,
    tag      BIGINT  NOT NULL,
    at       BIGINT  NOT NULL,
    code     INTEGER NOT NULL DEFAULT 0,
    reply    BYTEA
);
CREATE INDEX ids_at ON ids (at);

-- The newest Latest record of each (sender, key).
CREATE TABLE latest (
    channel  BIGINT  NOT NULL,
    sender   BYTEA   NOT NULL,
    key      BYTEA   NOT NULL,
    rev      BIGINT  NOT NULL,
    time     BIGINT  NOT NULL,
    "binary" BOOLEAN NOT NULL,
    body     BYTEA   NOT NULL,
    PRIMARY KEY (channel, sender, key)
);

-- Ends a transaction in which fewer rows than wanted were still as they were remembered: others came first.
-- +goose StatementBegin
CREATE FUNCTION carillon_moved(moved BIGINT, wanted BIGINT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    IF moved <> wanted THEN
        RAISE EXCEPTION '% of % channels were written by others', wanted - moved, wanted USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN TRUE;
END
$$;
-- +goose StatementEnd
