// Package sqlite is the durable journal of a single node: a SQLite database in a folder of its own. One committer takes
// what waits into one transaction after another, and nothing is acknowledged before it is on the disk, so that kill -9 and power
// loss cost nothing that was acknowledged. It must never block in Append, and never serve a record whose place in the
// chain of hashes it has not checked. Start with Open; commit.go is the way of a batch, read.go that of a page.
package sqlite

import (
	"context"
	"database/sql"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/observe"
)

// Defaults and bounds.
const (
	DefaultWaiting      = 16384    // records before the committer
	DefaultWaitingBytes = 64 << 20 // bytes of their bodies

	maxBatch      = 1024    // records in a transaction
	maxBatchBytes = 4 << 20 // bytes of bodies in a transaction; one record is always taken
)

// Options configure a Store. The zero value works.
type Options struct {
	Clock        journal.Clock    // time.Now if nil
	Policies     journal.Policies // unlimited retention for all if nil
	Carry        journal.Carry    // nobody is told if nil
	Waiting      int              // DefaultWaiting if 0; beyond it Append answers journal.ErrBusy
	WaitingBytes int              // DefaultWaitingBytes if 0

	Commits  *observe.Histogram // time of each transaction, failed ones included; may be nil
	Batches  *observe.Sizes     // records that each made true; may be nil
	Failures *observe.Counter   // transactions that failed; may be nil
}

func (o *Options) complete() {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Policies == nil {
		o.Policies = func(channel.Name) channel.Policy { return channel.Policy{Durable: true} }
	}
	if o.Carry == nil {
		o.Carry = func([]channel.Record) {}
	}
	if o.Waiting <= 0 {
		o.Waiting = DefaultWaiting
	}
	if o.WaitingBytes <= 0 {
		o.WaitingBytes = DefaultWaitingBytes
	}
}

// Store is a journal in a SQLite database. Use Open.
type Store struct {
	o        Options
	identity identity
	lock     *os.File
	writing  *sql.DB
	reading  *sql.DB
	pages    pageStatements

	mu           sync.Mutex
	waiting      []request
	waitingBytes int
	closed       bool

	shut      atomic.Bool // reads are refused
	wake      chan struct{}
	committer sync.WaitGroup
	closing   sync.Once
	closeErr  error
}

// request is a record on its way to the committer.
type request struct {
	record channel.Record
	hash   [20]byte
	id     idKey
	done   func(channel.Position, error)
}

// Tier is journal.TierDurable.
func (s *Store) Tier() journal.Tier { return journal.TierDurable }

// Append is journal.Appender's: the record waits for the committer, and done is called after the commit that holds it.
func (s *Store) Append(r channel.Record, done func(channel.Position, error)) {
	if r.Class != channel.Logged {
		done(channel.Position{}, journal.ErrClass)
		return
	}
	if len(r.Body) == 0 {
		done(channel.Position{}, journal.ErrEmpty)
		return
	}
	q := request{record: r, hash: channel.BodyHash(r.Body), done: done}
	if r.ID != "" {
		q.id = s.identity.key(r.Channel, r.From, r.ID)
	}
	if err := s.queue(q); err != nil {
		done(channel.Position{}, err)
	}
}

func (s *Store) queue(q request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return journal.ErrClosed
	case len(s.waiting) >= s.o.Waiting || s.waitingBytes >= s.o.WaitingBytes:
		return journal.ErrBusy
	}
	s.waiting = append(s.waiting, q)
	s.waitingBytes += len(q.record.Body)
	if len(s.waiting) == 1 {
		s.signal()
	}
	return nil
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take gives the next batch, in order, and whether the store is closed. What was appended while a commit ran is the
// next batch: no timer gathers it.
func (s *Store) take() (batch []request, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, bytes := 0, 0
	for n < len(s.waiting) && n < maxBatch {
		size := len(s.waiting[n].record.Body)
		if n > 0 && bytes+size > maxBatchBytes {
			break
		}
		bytes += size
		n++
	}
	batch = s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	s.waitingBytes -= bytes
	if len(s.waiting) == 0 {
		s.waiting = nil // the batch owns the array now
	}
	return batch, s.closed
}

// takeBehind removes from the queue what stands behind failed records of the same channels.
func (s *Store) takeBehind(failed map[channel.Name]bool) (behind []request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []request
	for _, q := range s.waiting {
		if failed[q.record.Channel] {
			behind = append(behind, q)
			s.waitingBytes -= len(q.record.Body)
		} else {
			rest = append(rest, q)
		}
	}
	s.waiting = rest
	return behind
}

// Waiting is how many records wait for the committer now.
func (s *Store) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// Close refuses what comes from now on, commits and answers everything appended before, and closes the database. It must
// not be called from within Carry or a done.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.signal()
		s.mu.Unlock()
		s.committer.Wait()
		s.shut.Store(true)
		s.closeErr = s.closeAll()
	})
	return s.closeErr
}

// Check reads the whole database and returns an error that wraps journal.ErrDamaged if SQLite finds it damaged. It takes
// time in proportion to the database; the chain of each record is checked whenever it is read, without this.
func (s *Store) Check(ctx context.Context) error { return quickCheck(ctx, s.reading) }
