package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

// commit is one transaction of Commits of different shards. What follows recall belongs to the try under way.
type commit struct {
	s      *Store
	offers []*offer // in the order of their shards, which is that of locks
	memory *memory
	recall bool // what is remembered takes the place of locks; another try locks first

	b      *batchWork
	stale  map[channel.Name]bool
	logs   map[*logWork]*machineWork
	fresh  map[channel.Name]*logWork // need a row
	bodies map[place][]byte          // of records that may be erased
	urgent bool                      // a step changes who may read, or what may still be told

	access  []accessRow
	granted map[accessKey]int // places in access
	sends   []sendRow
	states  map[string]*states // by service
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

// do is one try, from the locks to COMMIT. Where no fence holds, and where nothing is to be written, it ends without one.
func (k *commit) do(ctx context.Context, w *work) error {
	recall := k.recall
	k.begin(recall)
	if recall {
		k.remember()
	} else if err := k.look(ctx, w); err != nil {
		return err
	}
	for _, o := range k.offers {
		for i := range o.changes {
			if !o.fenced() {
				k.change(o, i)
			}
		}
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
	err := w.commit(ctx, last)
	if repeated(err) {
		return fmt.Errorf("%w: %v", journal.ErrRepeated, err) // no other try of the same comes to anything else
	}
	return err
}

func (k *commit) begin(recall bool) {
	slices.SortFunc(k.offers, func(a, b *offer) int {
		return cmp.Or(cmp.Compare(a.fence.Service, b.fence.Service), cmp.Compare(a.fence.Shard, b.fence.Shard))
	})
	*k = commit{s: k.s, offers: k.offers, memory: k.memory, b: k.s.newBatch(),
		stale: map[channel.Name]bool{}, logs: map[*logWork]*machineWork{}, fresh: map[channel.Name]*logWork{},
		bodies: map[place][]byte{}, granted: map[accessKey]int{}, states: map[string]*states{}, erased: map[place]*logWork{}}
	k.b.served = recall
	records, ids := 0, 0
	for _, o := range k.offers {
		for i := range o.changes {
			records += len(o.changes[i].Events)
		}
		ids += len(o.changes)
		o.results, o.shardWork = make([]journal.Result, len(o.changes)), shardWork{}
		if k.states[o.fence.Service] == nil {
			k.states[o.fence.Service] = newStates(o.fence.Service)
		}
	}
	k.b.records, k.b.rows, k.b.ids = make([]channel.Record, 0, records), make([]recordRow, 0, records), make([]idRow, 0, ids)
}

// remember has what this process knows take the place of locks and reads: the write proves it, or the transaction ends.
func (k *commit) remember() {
	k.b.now = k.s.clock.now()
	for _, o := range k.offers {
		t := k.memory.tenures[keyOf(o.fence)]
		o.shardWork = shardWork{id: t.id, n: t.n, stepped: t.stepped, was: t.stepped, served: t.served}
		for i := range o.changes {
			n := o.changes[i].Channel
			if _, twice := k.b.logs[n]; twice {
				continue
			}
			m, _ := k.memory.recall(t, n)
			k.b.logs[n] = &logWork{name: n, logState: m.logState, was: m.logState}
			if m.table != nil {
				k.b.tables[n] = m.table.Clone()
			}
		}
	}
}

// look locks fences and channels, and reads what the changes need.
func (k *commit) look(ctx context.Context, w *work) error {
	names, tables := k.names()
	first := w.batch()
	for _, o := range k.offers {
		each(first, func(scan func(...any) error) error {
			err := scan(&o.id, &o.n, &o.stepped, &o.served)
			o.was = o.stepped
			return err
		}, lockFence, o.fence.Service, o.fence.Shard)
	}
	k.b.askLogs(first, names, k.s.sound.holds)
	k.b.askTables(first, tables)
	k.askBodies(first)
	for _, s := range k.states {
		s.ask(first, k.offers)
	}
	k.s.askTime(first, &k.b.now)
	if err := w.send(ctx, first); err != nil {
		return err
	}
	if !slices.ContainsFunc(k.offers, func(o *offer) bool { return !o.fenced() }) {
		return nil
	}
	return k.b.verifyHeads()
}

// names are the channels of the changes, and those of them whose Latest records are written.
func (k *commit) names() (all, tables []channel.Name) {
	seen := map[channel.Name]bool{} // true: its table is needed
	for _, o := range k.offers {
		for i := range o.changes {
			c := &o.changes[i]
			before, ok := seen[c.Channel]
			if !ok {
				all = append(all, c.Channel)
			}
			table := before || slices.ContainsFunc(c.Events, isLatest)
			if table && !before {
				tables = append(tables, c.Channel)
			}
			seen[c.Channel] = table
		}
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
	for _, o := range k.offers {
		for i := range o.changes {
			for _, offset := range o.changes[i].Erase {
				names, offsets = append(names, string(o.changes[i].Channel)), append(offsets, int64(offset))
			}
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
