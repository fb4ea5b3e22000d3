package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
	"carillon/store"
)

const (
	crowd       = 4                    // shards that commit at the same time: from here on they gather
	gather      = 3 * time.Millisecond // for so long after the last transaction began
	joinBytes   = 4 << 20              // of bodies that Commits of several shards have together in one transaction; one is always taken
	joinChanges = 1024                 // see joinBytes
	maxTenures  = 4096                 // shards that a lane remembers
	maxKnown    = 16384                // channels that a lane remembers, in each of two generations
	maxEntries  = 4 * maxKnown         // of their tables
	maxTable    = 64                   // entries of a table that is remembered
)

// Commit is journal.Stage's. It heeds no context: fences say who may commit, and the outcome must be known. What several shards
// commit at the same time becomes true in one transaction, of one round trip where this process remembers the channels from its last
// Commit under the same fence. Commits of one shard in this process go one after the other, so that what they carry is in order.
// While the database is away it answers journal.ErrUnconfirmed at once.
func (s *Store) Commit(_ context.Context, f journal.Fence, cs []journal.Change) ([]journal.Result, error) {
	o := &offer{fence: f, changes: cs, settled: make(chan struct{})}
	for i := range cs {
		n, err := s.identity.Inspect(f, &cs[i])
		if err != nil {
			return nil, err
		}
		o.bytes += n
	}
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(cs) == 0 {
		return nil, unconfirmed(s.look(f))
	}
	if err := s.gone(); err != nil {
		return nil, unconfirmed(err)
	}
	o.sums = s.identity.SumUp(cs)
	s.lane.put(o)
	<-o.settled
	if o.err != nil {
		return nil, unconfirmed(o.err)
	}
	return o.results, nil
}

// unconfirmed is what a worker is told. That the database is away, or that others were in the way, is no reason to give up its
// shards: it does the same once more.
func unconfirmed(err error) error {
	switch {
	case err == nil, errors.Is(err, journal.ErrFenced), errors.Is(err, journal.ErrRepeated), errors.Is(err, journal.ErrFull), errors.Is(err, journal.ErrDamaged):
		return err
	}
	return fmt.Errorf("%w: %v", journal.ErrUnconfirmed, err)
}

// fenceKey names a shard of a service.
type fenceKey struct {
	service string
	shard   int
}

func keyOf(f journal.Fence) fenceKey { return fenceKey{f.Service, f.Shard} }

// offer is a Commit that waits for its transaction. What is embedded belongs to the try under way.
type offer struct {
	fence   journal.Fence
	changes []journal.Change
	sums    []store.Sums  // of changes
	bytes   int           // of their bodies
	settled chan struct{} // closed when the rest holds
	results []journal.Result
	err     error

	shardWork
}

// shardWork is what becomes of a shard in a transaction.
type shardWork struct {
	id      int64  // of the fence
	n       uint64 // of the fence
	stepped uint64 // steps of the shard so far
	was     uint64 // steps before the transaction
	served  int64  // ms
	steps   store.StepPack
}

// fenced tells that the shard is another's.
func (o *offer) fenced() bool { return o.n != o.fence.N }

// lane takes Commits into one transaction after another, on one goroutine. What came while a transaction ran is the next one. Where
// many shards are at it, what else comes within gather of its beginning goes with them: most of what a transaction costs, here
// and in the database, it costs once.
type lane struct {
	s      *Store
	memory memory
	wake   chan struct{}

	mu      sync.Mutex
	waiting []*offer // one for each caller of Commit
}

func newLane(s *Store) *lane { return &lane{s: s, memory: newMemory(), wake: make(chan struct{}, 1)} }

func (l *lane) put(o *offer) {
	l.mu.Lock()
	l.waiting = append(l.waiting, o)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run commits until the store has ended: then nobody waits any more.
func (l *lane) run() {
	for {
		select {
		case <-l.wake:
		case <-l.s.ending.Done():
			return
		}
		for offers := l.take(); len(offers) > 0; offers = l.take() {
			began := time.Now()
			l.commit(offers)
			if len(offers) >= crowd {
				time.Sleep(gather - time.Since(began))
			}
		}
	}
}

// take gives what waits, of each shard the first.
func (l *lane) take() (offers []*offer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := map[fenceKey]bool{}
	changes, bytes := 0, 0
	l.waiting = slices.DeleteFunc(l.waiting, func(o *offer) bool {
		changes += len(o.changes)
		bytes += o.bytes
		k := keyOf(o.fence)
		// Once one is left out all behind it are: the sums have grown.
		if taken[k] || len(offers) > 0 && (changes > joinChanges || bytes > joinBytes) {
			taken[k] = true
			return false
		}
		taken[k] = true
		offers = append(offers, o)
		return true
	})
	return offers
}

// commit makes offers true: first those that nothing must be read for, in one round trip, then the others.
func (l *lane) commit(offers []*offer) {
	fault.Point("store.taken")
	var known, others []*offer
	fresh := l.s.clock.fresh()
	for _, o := range offers {
		if fresh && l.memory.knows(o) {
			known = append(known, o)
		} else {
			others = append(others, o)
		}
	}
	l.write(known, true)
	l.write(others, false)
}

// write makes offers true in one transaction and answers them. With recall, what is remembered takes the place of locks.
func (l *lane) write(offers []*offer, recall bool) {
	if len(offers) == 0 {
		return
	}
	s := l.s
	began := time.Now()
	k := &commit{s: s, offers: offers, memory: &l.memory, recall: recall}
	certain, err := s.change(s.writing, k.do)
	s.o.Commits.Since(began)
	if err != nil {
		s.o.Failures.Add(1)
		for _, o := range offers {
			l.memory.forget(o.fence)
			s.sound.doubt(o.changes)
		}
		if certain && len(offers) > 1 && ofOne(err) {
			// The others go on without the one whose fault it is.
			for _, o := range offers {
				l.write([]*offer{o}, false)
			}
			return
		}
		l.settle(offers, err)
		return
	}
	s.sound.note(k.b.logs)
	for _, o := range offers {
		l.memory.note(o, k.b)
	}
	k.b.noteIDs()
	fault.Point("store.committed")
	s.o.Batches.Record(len(k.b.records))
	if len(k.b.records) > 0 {
		s.o.Carry(k.b.records)
	}
	fault.Point("store.carried")
	if k.urgent {
		s.o.Stepped()
	}
	l.settle(offers, nil)
}

// ofOne tells that a transaction failed for one of its shards: for what cannot be written there, or others who hold its rows. A
// database that is slow or away is no reason to ask it once for each.
func ofOne(err error) bool {
	return ofData(err) || errors.Is(err, journal.ErrRepeated) || code(err) == codeLockWait || again(err) && !isAway(err)
}

// settle answers offers; those whose shard is another's hear so.
func (l *lane) settle(offers []*offer, err error) {
	for _, o := range offers {
		if o.err = err; err == nil && o.fenced() {
			o.err = journal.ErrFenced
		}
		close(o.settled)
	}
}

// memory is what a lane remembers of shards that this process commits to, and of their channels, from its last commit under a
// fence that was never void since: what is written on the strength of it proves the fence, the number of steps, and the heads.
// Channels are kept in two generations, so that the bounds need no search.
type memory struct {
	tenures map[fenceKey]*tenure
	logs    map[channel.Name]known
	older   map[channel.Name]known
	entries int // of tables in logs
}

// tenure is a shard under one fence.
type tenure struct {
	id      int64
	n       uint64
	stepped uint64
	served  int64 // ms
}

// known is a channel as this process wrote it last.
type known struct {
	logState
	of    *tenure
	table *store.Table // of its Latest records; nil: not known
}

func newMemory() memory {
	return memory{tenures: map[fenceKey]*tenure{}, logs: map[channel.Name]known{}}
}

// recall gives what is remembered of a channel.
func (m *memory) recall(t *tenure, n channel.Name) (known, bool) {
	k, ok := m.logs[n]
	if !ok {
		k, ok = m.older[n]
	}
	return k, ok && k.of == t
}

// knows tells whether an offer can be written without anything being read before.
func (m *memory) knows(o *offer) bool {
	t := m.tenures[keyOf(o.fence)]
	if t == nil || t.n != o.fence.N {
		return false
	}
	for i := range o.changes {
		c := &o.changes[i]
		k, ok := m.recall(t, c.Channel)
		if !ok || len(c.Rows) > 0 || len(c.Erase) > 0 || k.table == nil && slices.ContainsFunc(c.Events, isLatest) {
			return false
		}
	}
	return true
}

func isLatest(e channel.Record) bool { return e.Class == channel.Latest }

// forget drops what is remembered of a shard.
func (m *memory) forget(f journal.Fence) { delete(m.tenures, keyOf(f)) }

// note remembers what an offer came to.
func (m *memory) note(o *offer, b *batchWork) {
	key := keyOf(o.fence)
	t := m.tenures[key]
	switch {
	case o.fenced():
		delete(m.tenures, key)
		return
	case t == nil || t.n != o.n || t.stepped != o.was:
		if len(m.tenures) >= maxTenures {
			clear(m.tenures)
		}
		t = &tenure{id: o.id, n: o.n}
		m.tenures[key] = t
	}
	t.stepped, t.served = o.stepped, o.served
	for i := range o.changes {
		n := o.changes[i].Channel
		st := b.logs[n]
		if st.id == 0 || st.version == 0 {
			continue
		}
		k := known{logState: st.logState, of: t, table: b.tables[n]}
		if k.table == nil {
			if before, ok := m.recall(t, n); ok {
				k.table = before.table // the changes did not touch it
			}
		}
		m.put(n, k)
	}
}

func (m *memory) put(n channel.Name, k known) {
	if k.table != nil && len(k.table.Entries) > maxTable {
		k.table = nil
	}
	if k.table != nil {
		m.entries += len(k.table.Entries)
	}
	if _, ok := m.logs[n]; !ok && len(m.logs) >= maxKnown || m.entries > maxEntries {
		m.older, m.logs, m.entries = m.logs, map[channel.Name]known{}, 0
		if k.table != nil {
			m.entries = len(k.table.Entries)
		}
	}
	if before, ok := m.logs[n]; ok && before.table != nil {
		m.entries -= len(before.table.Entries)
	}
	m.logs[n] = k
}
