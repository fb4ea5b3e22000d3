package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

// Commit is journal.Stage's. It heeds no context: fences say who may commit, and the outcome must be known. It takes two round
// trips, a third where a channel is new or a log must be trimmed. Commits of one shard in this process wait for each other, so that
// what they carry is in order. While the database is away it answers journal.ErrUnconfirmed at once.
func (s *Store) Commit(_ context.Context, f journal.Fence, cs []journal.Change) ([]journal.Result, error) {
	for i := range cs {
		if _, err := s.identity.Inspect(f, &cs[i]); err != nil {
			return nil, err
		}
	}
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(cs) == 0 {
		return nil, unconfirmed(s.look(f))
	}
	defer s.turns.take(fenceKey{f.Service, f.Shard})()
	fault.Point("store.taken")
	k := &commit{s: s, fence: f, changes: cs}
	began := time.Now()
	_, err = s.change(s.pool, k.do)
	s.o.Commits.Since(began)
	if err != nil {
		s.o.Failures.Add(1)
		s.sound.doubt(cs)
		return nil, unconfirmed(err)
	}
	if k.n != f.N {
		return nil, journal.ErrFenced
	}
	s.sound.note(k.b.logs)
	fault.Point("store.committed")
	s.o.Batches.Record(len(k.b.records))
	if len(k.b.records) > 0 {
		s.o.Carry(k.b.records)
	}
	fault.Point("store.carried")
	if k.urgent {
		s.o.Stepped()
	}
	return k.results, nil
}

// unconfirmed is what a worker is told. That the database is away, or that others were in the way, is no reason to give up its
// shards: it does the same once more.
func unconfirmed(err error) error {
	switch {
	case err == nil, errors.Is(err, journal.ErrFenced), errors.Is(err, journal.ErrFull), errors.Is(err, journal.ErrDamaged):
		return err
	}
	return fmt.Errorf("%w: %v", journal.ErrUnconfirmed, err)
}

// fenceKey names a shard of a service.
type fenceKey struct {
	service string
	shard   int
}

// turns let one Commit of a shard go at a time. There are as many as shards of services here.
type turns struct {
	mu sync.Mutex
	of map[fenceKey]chan struct{} // holds the turn while nobody has it
}

// take waits for the turn of a shard; it is over with done.
func (t *turns) take(k fenceKey) (done func()) {
	t.mu.Lock()
	turn, ok := t.of[k]
	if !ok {
		if t.of == nil {
			t.of = map[fenceKey]chan struct{}{}
		}
		turn = make(chan struct{}, 1)
		turn <- struct{}{}
		t.of[k] = turn
	}
	t.mu.Unlock()
	<-turn
	return func() { turn <- struct{}{} }
}

// commit is one Commit. What follows changes belongs to the try under way.
type commit struct {
	s       *Store
	fence   journal.Fence
	changes []journal.Change

	b       *batchWork
	id      int64  // of the fence
	n       uint64 // of the fence
	stepped uint64 // steps of the shard so far
	served  int64  // ms
	results []journal.Result
	stale   map[channel.Name]bool
	logs    map[*logWork]*machineWork
	fresh   map[channel.Name]*logWork // need a row
	bodies  map[place][]byte          // of records that may be erased
	steps   store.StepPack
	urgent  bool // a step changes who may read, or what may still be told

	access  []accessRow
	granted map[accessKey]int // places in access
	sends   []sendRow
	states  *states
	erased  map[place]*logWork
}

// machineWork is what becomes of a channel beside its log.
type machineWork struct {
	log       *logWork
	pack      store.CommandPack
	commands  []store.CommandRow
	snapshots []store.SnapshotRow
	wiped     uint64 // what is kept up to this version goes
}

// place is a record that is kept already.
type place struct {
	channel channel.Name
	offset  uint64
}

// lockFence keeps Claim out until the transaction is over.
const lockFence = `SELECT id, n, steps, served FROM fences WHERE service = $1 AND shard = $2 FOR UPDATE`

// do is one try, from the locks to COMMIT. Under a void fence, and where nothing is to be written, it ends without one.
func (k *commit) do(ctx context.Context, w *work) error {
	k.begin()
	names, tables := k.names()
	first := w.batch()
	each(first, func(scan func(...any) error) error { return scan(&k.id, &k.n, &k.stepped, &k.served) },
		lockFence, k.fence.Service, k.fence.Shard)
	k.b.askLogs(first, names, k.s.sound.holds)
	k.b.askTables(first, tables)
	k.askBodies(first)
	k.states.ask(first, k.changes)
	k.s.askTime(first, &k.b.now)
	if err := w.send(ctx, first); err != nil || k.n != k.fence.N {
		return err
	}
	if err := k.b.verifyHeads(); err != nil {
		return err
	}
	for i := range k.changes {
		k.change(i)
	}
	if err := k.b.enroll(ctx, w, k.fresh); err != nil {
		return err
	}
	if err := k.b.trim(ctx, w); err != nil {
		return err
	}
	last := w.batch()
	if !k.queue(last) {
		return nil
	}
	fault.Point("store.filled")
	return w.commit(ctx, last)
}

func (k *commit) begin() {
	*k = commit{s: k.s, fence: k.fence, changes: k.changes, b: k.s.newBatch(), results: make([]journal.Result, len(k.changes)),
		stale: map[channel.Name]bool{}, logs: map[*logWork]*machineWork{}, fresh: map[channel.Name]*logWork{},
		bodies: map[place][]byte{}, granted: map[accessKey]int{}, states: newStates(k.fence.Service), erased: map[place]*logWork{}}
}

// names are the channels of the changes, and those of them whose Latest records are written.
func (k *commit) names() (all, tables []channel.Name) {
	seen := make(map[channel.Name]bool, len(k.changes)) // true: its table is needed
	for i := range k.changes {
		c := &k.changes[i]
		before, ok := seen[c.Channel]
		if !ok {
			all = append(all, c.Channel)
		}
		table := before
		for j := range c.Events {
			table = table || c.Events[j].Class == channel.Latest
		}
		if table && !before {
			tables = append(tables, c.Channel)
		}
		seen[c.Channel] = table
	}
	return all, tables
}

const findBodies = `SELECT c.name, r."offset", r.body FROM unnest($1::text[], $2::bigint[]) AS e (name, "offset")
	JOIN channels c ON c.name = e.name
	CROSS JOIN LATERAL (SELECT * FROM records WHERE channel = c.id AND "offset" = e."offset" AND hash IS NULL OFFSET 0) AS r`

// askBodies reads what is to be erased, for its hash must stay.
func (k *commit) askBodies(to *pgx.Batch) {
	var names []string
	var offsets []int64
	for i := range k.changes {
		for _, offset := range k.changes[i].Erase {
			names, offsets = append(names, string(k.changes[i].Channel)), append(offsets, int64(offset))
		}
	}
	if len(names) == 0 {
		return
	}
	each(to, func(scan func(...any) error) error {
		var p place
		var body []byte
		if err := scan(&p.channel, &p.offset, &body); err != nil {
			return err
		}
		k.bodies[p] = body
		return nil
	}, findBodies, names, offsets)
}
