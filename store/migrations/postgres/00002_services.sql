-- +goose Up

-- The right to change a shard. Who commits holds the lock of its row, so that steps, its number of steps, become visible in order.
-- served is when the shard was last served (ms; 0: never), away for how long it had not been when it was last claimed.
CREATE TABLE fences (
    id      BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service TEXT    COLLATE "C" NOT NULL,
    shard   INTEGER NOT NULL,
    n       BIGINT  NOT NULL,
    steps   BIGINT  NOT NULL DEFAULT 0,
    served  BIGINT  NOT NULL DEFAULT 0,
    away    BIGINT  NOT NULL DEFAULT 0,
    UNIQUE (service, shard)
) WITH (fillfactor = 50);

-- Commands since the older snapshot. A row holds those of one channel that came in one transaction, versions first to last.
-- seal binds the body to its place, here and in snapshots.
CREATE TABLE commands (
    channel BIGINT NOT NULL,
    first   BIGINT NOT NULL,
    last    BIGINT NOT NULL,
    seal    BIGINT NOT NULL,
    body    BYTEA  NOT NULL,
    PRIMARY KEY (channel, last)
);

-- The last two snapshots of a channel, so that the older one and the commands can prove the newer. offset and tag are the
-- head at that version.
CREATE TABLE snapshots (
    channel  BIGINT NOT NULL,
    version  BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    tag      BIGINT NOT NULL,
    seal     BIGINT NOT NULL,
    body     BYTEA  NOT NULL,
    PRIMARY KEY (channel, version)
);

-- Commands to other channels that got no final reply yet. A ticket is never given twice.
CREATE TABLE sends (
    ticket   BIGINT  GENERATED ALWAYS AS IDENTITY,
    shard    BIGINT  NOT NULL,
    source   TEXT    NOT NULL,
    version  BIGINT  NOT NULL,
    place    BIGINT  NOT NULL,
    target   TEXT    NOT NULL,
    "binary" BOOLEAN NOT NULL,
    body     BYTEA   NOT NULL,
    PRIMARY KEY (shard, ticket)
);

-- Users are bytes: what a token says of them need not be text to Postgres.
CREATE TABLE access (
    channel BIGINT   NOT NULL,
    "user"  BYTEA    NOT NULL,
    rights  SMALLINT NOT NULL,
    version BIGINT   NOT NULL,
    PRIMARY KEY (channel, "user")
);

-- What changes did, for gateways: a row holds the steps first to last of a shard, those of one Commit.
CREATE TABLE steps (
    shard BIGINT NOT NULL,
    first BIGINT NOT NULL,
    last  BIGINT NOT NULL,
    time  BIGINT NOT NULL,
    body  BYTEA  NOT NULL,
    PRIMARY KEY (shard, last)
);
CREATE INDEX steps_time ON steps (time);

-- What services state to those who search: the newest row of each (service, kind, key). Keys are in the order of their bytes.
-- terms are those of the row, each with its length before it.
CREATE TABLE rows (
    service TEXT    COLLATE "C" NOT NULL,
    kind    TEXT    COLLATE "C" NOT NULL,
    key     BYTEA   NOT NULL,
    rank    BIGINT  NOT NULL,
    terms   BYTEA   NOT NULL,
    body    BYTEA   NOT NULL,
    PRIMARY KEY (service, kind, key)
);
CREATE INDEX rows_rank ON rows (service, kind, rank DESC, key);

-- The terms of rows, each with the rank of its row, so that what a term finds is read in order.
CREATE TABLE terms (
    service TEXT   COLLATE "C" NOT NULL,
    kind    TEXT   COLLATE "C" NOT NULL,
    term    BYTEA  NOT NULL,
    rank    BIGINT NOT NULL,
    key     BYTEA  NOT NULL
);
CREATE UNIQUE INDEX terms_place ON terms (service, kind, term, rank DESC, key);
