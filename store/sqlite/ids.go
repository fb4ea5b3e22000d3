package sqlite

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// first is what became of the first sending of an id.
type first struct {
	hash   [sha1.Size]byte
	binary bool
	at     channel.Position
}

// known reads back the ids of a batch that were committed before.
func (w *writer) known(ctx context.Context, batch []request) (map[store.IDKey]first, error) {
	known := map[store.IDKey]first{}
	var keys []store.IDKey
	for i := range batch {
		if batch[i].call == nil && batch[i].record.ID != "" {
			keys = append(keys, batch[i].id)
		}
	}
	err := w.findIDs(ctx, keys, func(k store.IDKey, a *store.Answered, offset, tag int64) {
		f := first{hash: a.Hash, binary: a.Binary}
		if offset > 0 { // a Latest record has none
			f.at = w.s.identity.Position(offset, tag)
		}
		known[k] = f
	})
	return known, err
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

// aging is a table whose rows stand in the order in which they came, and go when they are old.
type aging struct {
	drop, first *sql.Stmt // the first of all rows at most, if older than a time (ms); number and time of the first
	oldest      int64     // ms; too low is harmless
}

// forget drops rows older than limit: the first max of all at most, so twice as many as a batch adds are enough to keep up. It
// tells how many went, and the number of the first that is left; 0: there is none.
func (a *aging) forget(ctx context.Context, limit, now time.Time, max int) (dropped, first int64, err error) {
	if a.oldest > limit.UnixMilli() {
		return 0, 0, nil
	}
	res, err := a.drop.ExecContext(ctx, max, limit.UnixMilli())
	if err != nil {
		return 0, 0, err
	}
	if dropped, err = res.RowsAffected(); err != nil {
		return 0, 0, err
	}
	// The oldest row tells when to come back; an empty table has to wait for its first.
	oldest := now.UnixMilli()
	err = scanOne(a.first.QueryRowContext(ctx), &first, &oldest)
	a.oldest = oldest
	return dropped, first, err
}
