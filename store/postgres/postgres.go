// Package postgres is the durable journal that many nodes share: one Postgres database. A few committers per process take
// what waits into one transaction after another; inside it the rows of the channels are locked in the order of their names,
// so that offsets and tags follow from what all nodes wrote, and nothing is acknowledged before its COMMIT was answered. It
// must never block in Append, never queue for a database that is away, and never serve a record whose place in the chain of
// hashes it has not checked. Start with Open; work.go is a transaction, commit.go the way of a batch, read.go that of a page.
package postgres

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/observe"
	"carillon/store"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Defaults and bounds.
const (
	DefaultWaiting      = 16384    // records before the committers
	DefaultWaitingBytes = 64 << 20 // bytes of their bodies
	DefaultMaxConns     = 8        // connections of a store: its committers', those of services, and of readers
	DefaultCommitters   = 2        // channels are spread over them

	maxBatch      = 1024    // records in a transaction
	smallBatch    = 64      // fewer are not written beside another batch
	maxBatchBytes = 4 << 20 // bytes of bodies in a transaction; one record is always taken
)

// Options configure a Store. The zero value works.
type Options struct {
	Clock        journal.Clock    // the database's clock if nil, so that nodes whose clocks differ agree
	Policies     journal.Policies // unlimited retention for all if nil
	Carry        journal.Carry    // nobody is told if nil; called with the records that this process made true
	Stepped      func()           // called after a commit that changed access or erased something; it only enqueues; may be nil
	Waiting      int              // DefaultWaiting if 0; beyond it Append answers journal.ErrBusy
	WaitingBytes int              // DefaultWaitingBytes if 0
	MaxConns     int              // DefaultMaxConns if 0; at least Committers + 4
	Committers   int              // of plain channels; DefaultCommitters if 0
	Patience     time.Duration    // DefaultPatience if 0: how long the database may be silent until it counts as away
	Unsynced     bool             // a server with fsync = off is accepted: for tests, since it may lose what was acknowledged

	Commits  *observe.Histogram // time of each transaction, failed ones included; may be nil
	Batches  *observe.Sizes     // records that each made true; may be nil
	Failures *observe.Counter   // transactions that failed; may be nil

	Trouble func(error) // told once when the database no longer answers, and once with nil when it does again; may be nil
}

func (o *Options) complete() {
	if o.Policies == nil {
		o.Policies = func(channel.Name) channel.Policy { return channel.Policy{Durable: true} }
	}
	if o.Carry == nil {
		o.Carry = func([]channel.Record) {}
	}
	if o.Stepped == nil {
		o.Stepped = func() {}
	}
	if o.Trouble == nil {
		o.Trouble = func(error) {}
	}
	if o.Waiting <= 0 {
		o.Waiting = DefaultWaiting
	}
	if o.WaitingBytes <= 0 {
		o.WaitingBytes = DefaultWaitingBytes
	}
	if o.Committers <= 0 {
		o.Committers = DefaultCommitters
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.MaxConns <= 0 {
		o.MaxConns = DefaultMaxConns
	}
	o.MaxConns = max(o.MaxConns, o.Committers+3)
}

// Store is a journal in a Postgres database. Use Open.
type Store struct {
	o        Options
	identity store.Identity
	pool     *pgxpool.Pool // of readers
	writing  *pgxpool.Pool // of those who commit, one connection each
	reach    reach
	clock    clock
	spread   maphash.Seed // of channels over the queues
	lane     *lane        // of services
	lookups  lookups      // of ids of their commands
	recent   recent       // of those ids
	sound    sound        // logs of services

	mu           sync.Mutex
	queues       []queue // one for each committer
	waiting      int     // records in all of them
	waitingBytes int
	writes       int      // batches being written
	held         []*queue // of small batches that wait for a turn, the longest first
	closed       bool

	shut       atomic.Bool // reads are refused
	ending     context.Context
	end        context.CancelFunc // ends what is not a commit: probes, housekeeping
	working    sync.WaitGroup
	committing sync.WaitGroup
	closing    sync.Once
}

// Tier is journal.TierDurable.
func (s *Store) Tier() journal.Tier { return journal.TierDurable }

// Close refuses what comes from now on, commits and answers everything appended before, and closes all connections. It must
// not be called from within Carry or a done.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.refuseQueued()
		s.committing.Wait()
		s.shut.Store(true)
		s.end()
		s.working.Wait()
		s.closePools()
	})
	return nil
}

func (s *Store) closePools() {
	for _, p := range []*pgxpool.Pool{s.writing, s.pool} {
		if p != nil {
			p.Close()
		}
	}
}
