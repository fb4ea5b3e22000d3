package postgres

import (
	"hash/maphash"
	"slices"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// request is a record on its way to a committer, or a look at a channel that nobody writes to.
type request struct {
	record channel.Record
	hash   [20]byte
	id     store.IDKey
	done   func(channel.Position, error)
	look   bool // only what is too old there goes; the record has a channel and nothing else
}

// queue is what waits before a committer.
type queue struct {
	waiting []request
	wake    chan struct{}
}

// Append is journal.Appender's: the record waits for its channel's committer, and done is called after the commit that holds
// it. While the database is away it is refused at once, with an error that wraps journal.ErrClosed. A Latest record takes no
// offset, and done gets the zero position.
func (s *Store) Append(r channel.Record, done func(channel.Position, error)) {
	if r.Class != channel.Logged && r.Class != channel.Latest {
		done(channel.Position{}, journal.ErrClass)
		return
	}
	if r.Class == channel.Logged && len(r.Body) == 0 {
		done(channel.Position{}, journal.ErrEmpty)
		return
	}
	q := request{record: r, done: done}
	if r.Class == channel.Logged {
		q.hash = channel.BodyHash(r.Body)
	} else {
		q.hash = store.LatestHash(&r)
	}
	if r.ID != "" {
		q.id = s.identity.Key(r.Channel, r.From, r.ID)
	}
	err := s.gone()
	if err == nil {
		err = s.enqueue(q)
	}
	if err != nil {
		done(channel.Position{}, err)
	}
}

func (s *Store) enqueue(q request) error {
	at := &s.queues[maphash.String(s.spread, string(q.record.Channel))%uint64(len(s.queues))]
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return journal.ErrClosed
	case s.waiting >= s.o.Waiting || s.waitingBytes >= s.o.WaitingBytes:
		return journal.ErrBusy
	}
	at.waiting = append(at.waiting, q)
	s.waiting++
	s.waitingBytes += len(q.record.Body)
	if n := len(at.waiting); n == 1 || n == smallBatch {
		at.signal()
	}
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take gives the next batch of a queue, in order, and whether the store is closed and the queue at its end. What was appended
// while a commit ran is the next batch: no timer gathers it. A small one waits for its turn while others are written, and
// gathers more: many small transactions side by side cost more than one after the other. What is taken is given back with done.
func (s *Store) take(from *queue) (batch []request, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(from.waiting); n > 0 && n < smallBatch && (s.writes > 0 || len(s.held) > 0 && s.held[0] != from) {
		if !slices.Contains(s.held, from) {
			s.held = append(s.held, from)
		}
		return nil, false
	}
	s.held = slices.DeleteFunc(s.held, func(q *queue) bool { return q == from })
	if len(from.waiting) == 0 {
		s.wakeHeld()
		return nil, s.closed
	}
	s.writes++
	n, bytes := 0, 0
	for n < len(from.waiting) && n < maxBatch {
		size := len(from.waiting[n].record.Body)
		if n > 0 && bytes+size > maxBatchBytes {
			break
		}
		bytes += size
		n++
	}
	batch = from.waiting[:n:n]
	from.waiting = from.waiting[n:]
	s.waiting -= n
	s.waitingBytes -= bytes
	if len(from.waiting) == 0 {
		from.waiting = nil // the batch owns the array now
	}
	return batch, false
}

// done ends the write of a batch, and gives the turn to who waits for it longest.
func (s *Store) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes--
	s.wakeHeld()
}

// wakeHeld wakes the first who waits for a turn, if it is there; mu is held.
func (s *Store) wakeHeld() {
	if s.writes == 0 && len(s.held) > 0 {
		s.held[0].signal()
	}
}

// takeBehind removes from a queue what stands behind failed records of the same channels.
func (s *Store) takeBehind(from *queue, failed map[channel.Name]bool) (behind []request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []request
	for _, q := range from.waiting {
		if failed[q.record.Channel] {
			behind = append(behind, q)
			s.waiting--
			s.waitingBytes -= len(q.record.Body)
		} else {
			rest = append(rest, q)
		}
	}
	from.waiting = rest
	return behind
}

// refuseQueued has the committers finish what waits, and everything after it refused.
func (s *Store) refuseQueued() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for i := range s.queues {
		s.queues[i].signal()
	}
}

// Waiting is how many records wait for the committers now.
func (s *Store) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// Present is an error that says why, while the database is away.
func (s *Store) Present() error { return s.gone() }
