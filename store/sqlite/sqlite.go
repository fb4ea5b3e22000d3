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

	"carillon/channel"
	"carillon/journal"
	"carillon/observe"
	"carillon/store"
)

// Defaults and bounds.
const (
	DefaultWaiting      = 16384    // records before the committer
	DefaultWaitingBytes = 64 << 20 // bytes of their bodies

	maxBatch      = 1024    // records and changes in a transaction; one Commit is always taken whole
	maxBatchBytes = 4 << 20 // bytes of bodies in a transaction; one record is always taken
)

// Options configure a Store. The zero value works.
type Options struct {
	Clock        journal.Clock    // journal.Steady if nil
	Policies     journal.Policies // unlimited retention for all if nil
	Carry        journal.Carry    // nobody is told if nil
	Stepped      func()           // called after a commit that changed access or erased something; it only enqueues; may be nil
	Waiting      int              // DefaultWaiting if 0; beyond it Append answers journal.ErrBusy
	WaitingBytes int              // DefaultWaitingBytes if 0

	Commits  *observe.Histogram // time of each transaction, failed ones included; may be nil
	Batches  *observe.Sizes     // records that each made true; may be nil
	Failures *observe.Counter   // transactions that failed; may be nil

	Trouble func(error) // told when the database is no longer where it was opened, and with nil when it is again; may be nil
}

func (o *Options) complete() {
	if o.Clock == nil {
		o.Clock = journal.Steady(nil)
	}
	if o.Policies == nil {
		o.Policies = func(channel.Name) channel.Policy { return channel.Policy{Durable: true} }
	}
	if o.Carry == nil {
		o.Carry = func([]channel.Record) {}
	}
	if o.Stepped == nil {
		o.Stepped = func() {}
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
	identity store.Identity
	present  present
	lock     *os.File
	writing  *sql.DB
	reading  *sql.DB
	anchor   *sql.Conn // of a database in memory
	carrier  *carrier  // nil: of one in memory
	pages    pageStatements
	services serviceReads
	ids      idPlaces
	gate     gate

	mu           sync.Mutex
	waiting      []request
	waitingBytes int
	closed       bool

	shut      atomic.Bool // reads are refused
	wake      chan struct{}
	committer sync.WaitGroup
	helpers   sync.WaitGroup
	stop      context.CancelFunc // of helpers
	closing   sync.Once
	closeErr  error
}

// request is a record on its way to the committer, or a call.
type request struct {
	record channel.Record
	hash   [20]byte
	id     store.IDKey
	done   func(channel.Position, error)
	call   *call // nil: a record
}

// weight is how much of a batch a request takes: records, and bytes of their bodies.
func (q *request) weight() (records, bytes int) {
	if q.call != nil {
		return q.call.records, q.call.bytes
	}
	return 1, len(q.record.Body)
}

// Tier is journal.TierDurable, or journal.TierMemory after OpenMemory.
func (s *Store) Tier() journal.Tier {
	if s.gate.closes {
		return journal.TierMemory
	}
	return journal.TierDurable
}

// Append is journal.Appender's: the record waits for the committer, and done is called after the commit that holds it. A
// Latest record takes no offset, and done gets the zero position.
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
	s.enqueue(q)
	return nil
}

// enqueue is called under mu.
func (s *Store) enqueue(q request) {
	_, bytes := q.weight()
	s.waiting = append(s.waiting, q)
	s.waitingBytes += bytes
	if len(s.waiting) == 1 {
		s.signal()
	}
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
	n, records, bytes := 0, 0, 0
	for n < len(s.waiting) {
		more, size := s.waiting[n].weight()
		if n > 0 && (n == maxBatch || records+more > maxBatch || bytes+size > maxBatchBytes) {
			break
		}
		records += more
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
		if q.call == nil && failed[q.record.Channel] {
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
		if s.stop != nil {
			s.stop()
		}
		s.helpers.Wait()
		s.shut.Store(true)
		s.closeErr = s.closeAll()
	})
	return s.closeErr
}

// Check reads the whole database and returns an error that wraps journal.ErrDamaged if SQLite finds it damaged. It takes
// time in proportion to the database; the chain of each record is checked whenever it is read, without this.
func (s *Store) Check(ctx context.Context) error { return quickCheck(ctx, s.reading) }
