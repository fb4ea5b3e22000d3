package postgres

import (
	"sync"

	"carillon/store"
)

// A generation of recent ids holds so many, with so many bytes of replies.
const (
	maxRecent      = 8192
	maxRecentBytes = 4 << 20
)

// recent are ids of commands that this process committed or looked up a moment ago, with what they got: a resend that comes at
// once costs no question. There are two generations, so that the bounds need no search. It is safe for concurrent use.
type recent struct {
	mu    sync.Mutex
	ids   map[store.IDKey]store.Answered
	older map[store.IDKey]store.Answered
	bytes int // of replies in ids
}

// get gives what an id got; nil: it is not known here.
func (r *recent) get(k store.IDKey) *store.Answered {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.ids[k]
	if !ok {
		a, ok = r.older[k]
	}
	if !ok {
		return nil
	}
	return &a
}

// put takes an id that is in the database.
func (r *recent) put(k store.IDKey, a store.Answered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil || len(r.ids) >= maxRecent || r.bytes >= maxRecentBytes {
		r.older, r.ids, r.bytes = r.ids, make(map[store.IDKey]store.Answered), 0
	}
	r.ids[k] = a
	r.bytes += len(a.Reply.Body)
}

// clear forgets all: the next database that answers may be one that does not have them.
func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids, r.older, r.bytes = nil, nil, 0
}
