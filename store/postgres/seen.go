package postgres

import (
	"context"
	"crypto/sha1"
	"fmt"
	"sync"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// maxLookups is how many ids callers of Seen ask for together in one statement; what one caller asks is never cut.
const maxLookups = 1024

// lookup is a Seen that waits for its statement.
type lookup struct {
	seen  *store.Seen
	keys  []store.IDKey // that the database is asked for
	known []journal.Known
	err   error
	turn  chan bool // true: ask for all who wait; false: known and err hold
}

// lookups has those who ask while a statement runs share the next one.
type lookups struct {
	mu      sync.Mutex
	waiting []*lookup // one for each caller
	busy    bool      // somebody asks, and wakes the next
}

// Seen is journal.Stage's. Ids that came a moment ago are known without the database, and those that are said to come for the first
// time are taken at their word: the key of their table has the last one. The context is looked at before; then it is a matter of
// Options.Patience.
func (s *Store) Seen(ctx context.Context, cs []channel.Command) ([]journal.Known, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.shut.Load() {
		return nil, journal.ErrClosed
	}
	if err := s.gone(); err != nil {
		return nil, err
	}
	l := &lookup{seen: store.NewSeen(&s.identity, cs), turn: make(chan bool, 1)}
	for _, k := range l.seen.Keys() {
		if a := s.recent.get(k); a != nil {
			l.seen.Found(k, a)
		} else if l.seen.Again(k) {
			l.keys = append(l.keys, k)
		}
	}
	if len(l.keys) == 0 {
		return l.seen.Known(), nil
	}
	if s.lookups.enter(l) {
		some := s.lookups.take()
		err := s.lookUp(some)
		for _, o := range some {
			if o.err = err; err == nil {
				o.known = o.seen.Known()
			}
			if o != l {
				o.turn <- false
			}
		}
		s.lookups.next()
	}
	return l.known, l.err
}

// enter waits; true: it is the caller's turn to ask.
func (q *lookups) enter(l *lookup) bool {
	q.mu.Lock()
	q.waiting = append(q.waiting, l)
	first := !q.busy
	q.busy = true
	q.mu.Unlock()
	return first || <-l.turn
}

// take gives those who are asked for next: whose turn it is comes first.
func (q *lookups) take() (some []*lookup) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ids := 0, 0
	for n < len(q.waiting) && (n == 0 || ids+len(q.waiting[n].keys) <= maxLookups) {
		ids += len(q.waiting[n].keys)
		n++
	}
	some, q.waiting = q.waiting[:n:n], q.waiting[n:]
	return some
}

func (q *lookups) next() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy = len(q.waiting) > 0; q.busy {
		q.waiting[0].turn <- true
	} else {
		q.waiting = nil
	}
}

const findAnswers = `SELECT key, hash, "binary", "offset", tag, code, reply FROM ids WHERE key = ANY($1)`

// lookUp asks the database.
func (s *Store) lookUp(some []*lookup) error {
	var keys [][]byte
	of := map[store.IDKey][]*lookup{}
	for _, l := range some {
		for i, k := range l.keys {
			if of[k] = append(of[k], l); len(of[k]) == 1 {
				keys = append(keys, l.keys[i][:])
			}
		}
	}
	return s.glance(context.Background(), "ids of commands", func(ctx context.Context, w *work) error {
		b := w.batch()
		each(b, func(scan func(...any) error) error {
			var k store.Answered
			var key, hash []byte
			var offset, tag int64
			if err := scan(&key, &hash, &k.Binary, &offset, &tag, &k.Reply.Code, &k.Reply.Body); err != nil {
				return err
			}
			if len(key) != len(store.IDKey{}) || len(hash) != sha1.Size {
				return fmt.Errorf("an id is of another length: %w", journal.ErrDamaged)
			}
			k.Hash, k.Reply.At = [sha1.Size]byte(hash), s.identity.Position(offset, tag)
			s.recent.put(store.IDKey(key), k)
			for _, l := range of[store.IDKey(key)] {
				l.seen.Found(store.IDKey(key), &k)
			}
			return nil
		}, findAnswers, keys)
		return w.send(ctx, b)
	})
}
