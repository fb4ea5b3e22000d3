-- +goose Up

-- Where the row of an id stands: key is the beginning of ids.key. An id that goes into an index alone dirties a page of its own,
-- so they go in sorted, thousands at a time: rows of ids after meta.placed may not have their place yet. A place may outlive its row.
CREATE TABLE id_places (
    key BLOB    NOT NULL CHECK (length(key) = 8),
    seq INTEGER NOT NULL,
    PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO id_places (key, seq) SELECT substr(key, 1, 8), seq FROM ids ORDER BY key;
DROP INDEX ids_key;
ALTER TABLE meta ADD COLUMN placed INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET placed = (SELECT ifnull(max(seq), 0) FROM ids);
