package postgres

import (
	"crypto/sha1"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

// first is what became of the first sending of an id.
type first struct {
	hash   [sha1.Size]byte
	binary bool
	at     channel.Position
}

const findIDs = `SELECT key, hash, "binary", "offset", tag FROM ids WHERE key = ANY($1)`

// known asks for the ids of a batch that were committed before.
func (s *Store) known(b *pgx.Batch, batch []request, into map[store.IDKey]first) {
	keys := make([][]byte, 0, len(batch))
	for i := range batch {
		if batch[i].record.ID != "" {
			keys = append(keys, batch[i].id[:])
		}
	}
	if len(keys) == 0 {
		return
	}
	b.Queue(findIDs, keys).Query(func(rows rows) error {
		for rows.Next() {
			var key, hash []byte
			var f first
			var offset, tag int64
			if err := rows.Scan(&key, &hash, &f.binary, &offset, &tag); err != nil {
				return err
			}
			copy(f.hash[:], hash)
			if offset > 0 { // a Latest record has none
				f.at = s.identity.Position(offset, tag)
			}
			into[store.IDKey(key)] = f
		}
		return rows.Err()
	})
}

// resend tells whether a record need not be appended: because it was, or because that cannot be told.
func (q *request) resend(known map[store.IDKey]first) (at channel.Position, settled bool, err error) {
	if q.record.ID == "" {
		return at, false, nil
	}
	f, ok := known[q.id]
	switch {
	case ok && (f.hash != q.hash || f.binary != q.record.Binary):
		return at, true, journal.ErrReuse
	case ok:
		return f.at, true, nil
	case q.record.Age > store.IDsKnown:
		return at, true, journal.ErrUnknown
	}
	return at, false, nil
}
