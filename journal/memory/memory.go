// Package memory is the journal of a single process: it keeps the tail of every log in memory, within the retention of
// its policy, and forgets all of it when the process ends; the next one has another epoch, so that every reader is told.
// It must never block in Append, and never hold a lock while it calls Carry or a done. Start with Journal.Append;
// deliver.go hands results out in order, ids.go recognises resends, shard.go bounds the number of logs, table.go is Latest.
package memory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/observe"
)

// Defaults and bounds.
const (
	DefaultBytes = 512 << 20 // of bodies, and of the names in tables
	DefaultLogs  = 1 << 20   // logs known at a time
	DefaultIDs   = 1 << 20   // idempotency ids in each of the two generations

	maxWaiting = 16384 // appended but not yet handed out, per log
	shardCount = 256   // power of two
	minShard   = 64    // logs a shard is worth having for
)

// Options configure a Journal. The zero value works.
type Options struct {
	Epoch    uint64           // random if 0
	Clock    journal.Clock    // time.Now if nil
	Policies journal.Policies // channel.DefaultPolicy for all if nil
	Carry    journal.Carry    // nobody is told if nil
	MaxBytes int              // DefaultBytes if 0; beyond it the longest untouched logs lose their records, and then their tables
	MaxLogs  int              // DefaultLogs if 0; beyond it the empty and the longest untouched are forgotten
	MaxIDs   int              // DefaultIDs if 0

	// Of one in 64 times that results are handed out: how long Carry and the dones took, and how many records there were. May be nil.
	Commits *observe.Histogram
	Batches *observe.Sizes
}

// Journal keeps logs in memory. Use New.
type Journal struct {
	epoch    uint64
	clock    journal.Clock
	policies journal.Policies
	carry    journal.Carry
	seed     maphash.Seed
	shards   []shard
	budget   budget
	ids      *ids
	commits  *observe.Histogram
	batches  *observe.Sizes

	relay    relay
	spare    sync.Pool      // of *waiting
	active   sync.WaitGroup // logs with results under way
	stop     chan struct{}
	stopped  sync.WaitGroup // sweeper and relay
	shutdown sync.Once
}

// New starts an empty journal. Close ends it.
func New(o Options) *Journal {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Policies == nil {
		policy := channel.DefaultPolicy()
		o.Policies = func(channel.Name) channel.Policy { return policy }
	}
	if o.Carry == nil {
		o.Carry = func([]channel.Record) {}
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultBytes
	}
	if o.MaxLogs <= 0 {
		o.MaxLogs = DefaultLogs
	}
	if o.MaxIDs <= 0 {
		o.MaxIDs = DefaultIDs
	}
	for o.Epoch == 0 {
		o.Epoch = randomWord()
	}
	j := &Journal{
		epoch: o.Epoch, clock: o.Clock, policies: o.Policies, carry: o.Carry,
		seed: maphash.MakeSeed(), ids: newIDs(o.MaxIDs, o.Clock()),
		commits: o.Commits, batches: o.Batches,
		relay: relay{wake: make(chan struct{}, 1)}, stop: make(chan struct{}),
	}
	count := shardCount
	if o.MaxLogs < shardCount*minShard {
		count = 1
	}
	j.shards = make([]shard, count)
	j.budget.most, j.budget.share = int64(o.MaxBytes), o.MaxBytes/count
	for i := range j.shards {
		j.shards[i].init(o.MaxLogs / count)
	}
	j.stopped.Add(2)
	go j.sweep()
	go j.runRelay()
	return j
}

func randomWord() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return binary.BigEndian.Uint64(b[:])
}

// Tier is journal.TierMemory.
func (j *Journal) Tier() journal.Tier { return journal.TierMemory }

// Close refuses what comes from now on and returns when everything appended before was handed out.
// It must not be called from within Carry or a done.
func (j *Journal) Close() {
	j.shutdown.Do(func() {
		for i := range j.shards {
			j.shards[i].close()
		}
		j.active.Wait()
		close(j.stop)
		j.stopped.Wait()
	})
}

func (j *Journal) shard(n channel.Name) *shard {
	if len(j.shards) == 1 {
		return &j.shards[0]
	}
	return &j.shards[maphash.String(j.seed, string(n))%shardCount]
}

// Append is journal.Appender's: dedupe, position, chain, keep; then carry and done, in order.
func (j *Journal) Append(r channel.Record, done func(channel.Position, error)) {
	switch {
	case r.Class == channel.Fleeting:
		done(channel.Position{}, journal.ErrClass)
		return
	case r.Class == channel.Logged && len(r.Body) == 0:
		done(channel.Position{}, journal.ErrEmpty)
		return
	}
	// Everything that needs no lock, and everything that belongs to others, happens before it is taken.
	hash := hashOf(&r)
	id := claim{set: r.ID != "", hash: hash, binary: r.Binary, age: r.Age}
	if id.set {
		id.key = j.ids.key(r.Channel, r.From, r.ID)
	}
	policy := j.policies(r.Channel)
	now := j.clock()

	s := j.shard(r.Channel)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		done(channel.Position{}, journal.ErrClosed)
		return
	}
	l := j.log(s, r.Channel)
	if l.waiting != nil && len(l.waiting.results) >= maxWaiting {
		s.mu.Unlock()
		done(channel.Position{}, journal.ErrBusy)
		return
	}
	res := result{done: done}
	if at, known, err := j.ids.find(id, now); known || err != nil {
		res.at, res.err = at, err
		if err == nil && r.Class == channel.Logged {
			res.at.Epoch = j.epoch
		}
	} else {
		j.admit(s, l, r, hash, now, policy, &res)
		j.ids.remember(id, res.at)
	}
	late := s.late
	s.late = false
	if l.busy {
		j.wait(l, res)
		s.mu.Unlock()
		return
	}
	l.busy = true
	j.active.Add(1)
	s.mu.Unlock()
	j.deliverOne(&res)
	j.drain(s, l, drainTurns)
	if late {
		j.help()
	}
}

// admit makes a record true. The shard's mu is held.
func (j *Journal) admit(s *shard, l *log, r channel.Record, hash [20]byte, now time.Time, p channel.Policy, res *result) {
	if r.Class == channel.Latest {
		res.table = l.set(r, j.epoch, now, p, &s.bytes)
	} else {
		res.fresh = true
		res.record = l.append(r, j.epoch, hash, now.UnixMilli(), p.Retention, &s.bytes)
		res.at = res.record.At
	}
	j.settle(s, l)
}

func hashOf(r *channel.Record) [20]byte {
	if r.Class == channel.Latest {
		return latestHash(r)
	}
	return channel.BodyHash(r.Body)
}

// Heads is journal.Reader's. A name that was unknown is known from now on, so that the answer stays true.
func (j *Journal) Heads(ctx context.Context, ns []channel.Name) ([]channel.Position, error) {
	heads := make([]channel.Position, len(ns))
	for i, n := range ns {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s := j.shard(n)
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, journal.ErrClosed
		}
		heads[i] = j.log(s, n).head(j.epoch)
		s.mu.Unlock()
	}
	return heads, nil
}
