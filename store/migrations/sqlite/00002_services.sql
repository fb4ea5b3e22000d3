-- +goose Up

-- A service has this many shards here, for good: which shard a channel falls to must never change.
ALTER TABLE meta ADD COLUMN shards INTEGER NOT NULL DEFAULT 16 CHECK (shards > 0);

-- An erased record has an empty body and keeps the hash of what stood there, so that the chain holds.
ALTER TABLE records ADD COLUMN hash BLOB;

-- rev is the highest revision that a Latest record of the channel got. What follows is that of a service's channel: version
-- counts its changes, commanded is the time (ms) of its last command, shard the row in fences, and wake when its timer
-- comes (ns), armed by the last version.
ALTER TABLE channels ADD COLUMN rev INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channels ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channels ADD COLUMN commanded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channels ADD COLUMN shard INTEGER;
ALTER TABLE channels ADD COLUMN wake INTEGER;
CREATE INDEX channels_wake ON channels (shard, wake) WHERE wake IS NOT NULL;

-- The id of a command keeps its whole reply: position, code and body.
ALTER TABLE ids ADD COLUMN code INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ids ADD COLUMN reply BLOB;

-- The right to change a shard, and how many steps its trail has had.
CREATE TABLE fences (
    id      INTEGER PRIMARY KEY,
    service TEXT    NOT NULL,
    shard   INTEGER NOT NULL,
    n       INTEGER NOT NULL,
    steps   INTEGER NOT NULL,
    UNIQUE (service, shard)
) STRICT;

-- Commands since the older snapshot. A row holds those of one channel that came in one transaction, versions first to last.
-- seal binds the body to its place, here and in snapshots.
CREATE TABLE commands (
    seq     INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    seal    INTEGER NOT NULL,
    body    BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX commands_place ON commands (channel, last);

-- The last two snapshots of a channel, so that the older one and the commands can prove the newer. offset and tag are the
-- head at that version.
CREATE TABLE snapshots (
    seq     INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    version INTEGER NOT NULL,
    offset  INTEGER NOT NULL,
    tag     INTEGER NOT NULL,
    seal    INTEGER NOT NULL,
    body    BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX snapshots_place ON snapshots (channel, version);

-- Commands to other channels that got no final reply yet. A ticket is never given twice.
CREATE TABLE sends (
    ticket  INTEGER PRIMARY KEY AUTOINCREMENT,
    shard   INTEGER NOT NULL,
    source  TEXT    NOT NULL,
    version INTEGER NOT NULL,
    place   INTEGER NOT NULL,
    target  TEXT    NOT NULL,
    binary  INTEGER NOT NULL,
    body    BLOB    NOT NULL
) STRICT;
CREATE INDEX sends_shard ON sends (shard, ticket);

CREATE TABLE access (
    channel INTEGER NOT NULL,
    user    TEXT    NOT NULL,
    rights  INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (channel, user)
) STRICT, WITHOUT ROWID;

-- What changes did, for gateways: a row holds the steps first to last of a shard, those of one Commit.
CREATE TABLE steps (
    seq   INTEGER PRIMARY KEY,
    shard INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last  INTEGER NOT NULL,
    time  INTEGER NOT NULL,
    body  BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX steps_place ON steps (shard, last);

-- The newest Latest record of each (sender, key).
CREATE TABLE latest (
    channel INTEGER NOT NULL,
    sender  TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    rev     INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    binary  INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    PRIMARY KEY (channel, sender, key)
) STRICT, WITHOUT ROWID;
