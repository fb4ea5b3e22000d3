package sqlite

import (
	"context"
	"crypto/sha1"
	"time"

	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
	"carillon/store"
)

// result is what one request of a batch is told after the commit.
type result struct {
	at  channel.Position
	err error
}

// batchWork is a batch while it becomes rows.
type batchWork struct {
	now     time.Time
	results []result              // of appends
	known   map[store.IDKey]first // ids of appends
	records []channel.Record      // to be carried, in order
	rows    []any                 // of records, as all below are of the table they are named after
	ids     []any
	fresh   map[store.IDKey]int64 // numbers of ids
	asked   []store.IDKey         // those of commands
	placed  int                   // ids that got their place
	logs    map[channel.Name]*logWork
	order   []*logWork // of logs

	commands []any
	access   []any
	sends    []any
	steps    []any
	latest   map[tableKey]entryRow
	places   []tableKey // of latest, in order

	stated map[rowKey]*channel.Row
	states []rowKey // of stated, in order

	snapshots []snapshotWork
	fences    map[fenceKey]*fenceState
	touched   map[fenceKey]*fenceState // those that got steps, or were served
	urgent    bool                     // a step changes who may read, or what may still be told
}

// logWork is a log in a batch.
type logWork struct {
	logState
	name  channel.Name
	moved bool // its row has changed
	pack  store.CommandPack
}

// transact makes what a batch asks for true in one transaction: dedupe, position, chain, changes, trim, heads. The work's results
// count only if err is nil; certain is explained at inTransaction, and culprit tells that it was the batch that failed.
func (w *writer) transact(ctx context.Context, batch []request) (b *batchWork, certain, culprit bool, err error) {
	b = w.newBatch()
	b.results = make([]result, len(batch))
	var inside error
	certain, err = w.inTransaction(ctx, func() error {
		inside = w.fill(ctx, b, batch)
		fault.Point("store.filled")
		return inside
	})
	if err != nil {
		return nil, certain, inside != nil, err
	}
	fault.Point("store.committed")
	w.settle(b)
	return b, true, false, nil
}

func (w *writer) newBatch() *batchWork {
	return &batchWork{now: w.s.o.Clock(), logs: map[channel.Name]*logWork{}, latest: map[tableKey]entryRow{},
		fences: map[fenceKey]*fenceState{}, touched: map[fenceKey]*fenceState{}, fresh: map[store.IDKey]int64{}, stated: map[rowKey]*channel.Row{}}
}

// settle remembers what a batch made true.
func (w *writer) settle(b *batchWork) {
	for _, st := range b.order {
		if st.id != 0 {
			w.remember(st.name, st.logState)
		}
	}
	for k, st := range b.fences {
		w.fences[k] = *st
	}
	w.forgetTables()
	w.settleIDs(b)
}

// fill runs inside the transaction.
func (w *writer) fill(ctx context.Context, b *batchWork, batch []request) error {
	if err := w.recallIDs(ctx); err != nil {
		return err
	}
	if err := w.place(ctx, b, batch); err != nil {
		return err
	}
	for _, st := range b.order {
		b.flushPack(st)
	}
	if err := w.insert(ctx, b); err != nil {
		return err
	}
	if err := w.keepSnapshots(ctx, b); err != nil {
		return err
	}
	if added := len(b.fresh); added > 0 {
		if err := w.placeIDs(ctx, b, 2*added); err != nil {
			return err
		}
		if err := w.forgetOldIDs(ctx, b.now, 2*added); err != nil {
			return err
		}
	}
	if added := len(b.steps) / w.service.addSteps.width; added > 0 {
		if _, _, err := w.oldSteps.forget(ctx, b.now.Add(-journal.TrailKept), b.now, 2*added); err != nil {
			return err
		}
	}
	for _, st := range b.order {
		if !st.moved {
			continue
		}
		if err := w.trim(ctx, st.name, &st.logState, b.now); err != nil {
			return err
		}
	}
	return w.moveHeads(ctx, b)
}

// insert writes the rows of a batch, many with a statement.
func (w *writer) insert(ctx context.Context, b *batchWork) error {
	if err := w.unused(ctx, b); err != nil {
		return err
	}
	for _, rows := range [...]struct {
		into *many
		args []any
	}{
		{&w.addRows, b.rows}, {&w.ids.add, b.ids}, {&w.service.addCommands, b.commands},
		{&w.service.addAccess, b.access}, {&w.service.addSends, b.sends}, {&w.service.addSteps, b.steps},
	} {
		if err := rows.into.exec(ctx, rows.args); err != nil {
			return err
		}
	}
	for _, f := range b.touched {
		if _, err := w.service.touchFence.ExecContext(ctx, int64(f.steps), f.served, f.id); err != nil {
			return err
		}
	}
	if err := w.writeRows(ctx, b); err != nil {
		return err
	}
	return w.writeTables(ctx, b)
}

// place gives each record of the batch that is new its position, everyone else the answer known already, and calls their turn.
func (w *writer) place(ctx context.Context, b *batchWork, batch []request) (err error) {
	if b.known, err = w.known(ctx, batch); err != nil {
		return err
	}
	for i := range batch {
		q := &batch[i]
		if q.call != nil {
			err = q.call.do(ctx, w, b)
		} else {
			b.results[i], err = w.placeRecord(ctx, b, q)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) placeRecord(ctx context.Context, b *batchWork, q *request) (result, error) {
	if at, settled, err := q.resend(b.known); settled {
		return result{at, err}, nil
	}
	st, err := w.log(ctx, b, q.record.Channel)
	if err == nil && st.version != 0 {
		return result{err: journal.ErrOwned}, nil // its offsets are the machine's to count on
	}
	if err == nil {
		err = w.enroll(ctx, st)
	}
	if err != nil {
		return result{}, err
	}
	r := q.record
	if r.Class == channel.Latest {
		r.Time = b.now
		if err := w.set(ctx, b, st, r); err != nil {
			return result{}, err
		}
	} else {
		b.log(st, &r, q.hash, b.now.UnixMilli())
	}
	if r.ID != "" {
		b.known[q.id] = first{hash: q.hash, binary: r.Binary, at: r.At}
		b.ids = append(b.ids, b.newID(w, q.id), q.id[:], q.hash[:], r.Binary, int64(r.At.Offset), int64(r.At.Tag), b.now.UnixMilli(), 0, nil)
	}
	return result{at: r.At}, nil
}

// log appends a Logged record to its log.
func (b *batchWork) log(st *logWork, r *channel.Record, hash [sha1.Size]byte, ms int64) {
	st.lastMS = max(st.lastMS, ms)
	r.Prev = st.head.Tag
	r.At = st.head.NextHash(hash)
	r.Time = time.UnixMilli(st.lastMS).UTC()
	r.Rev, r.Key = 0, ""
	st.head = r.At
	st.bytes += int64(len(r.Body))
	st.moved = true
	b.records = append(b.records, *r)
	b.rows = append(b.rows, st.id, int64(r.At.Offset), int64(r.At.Tag), store.SealRecord(r), r.Time.UnixMilli(), r.From, r.Binary, r.Body)
}

func (w *writer) moveHeads(ctx context.Context, b *batchWork) error {
	var plain, machines []any
	for _, st := range b.order {
		switch {
		case !st.moved:
		case st.version == 0:
			plain = append(plain, st.row(st.name)...)
		default:
			machines = append(append(machines, st.row(st.name)...), int64(st.version), st.commanded, st.shard, unlessZero(st.wake))
		}
	}
	if err := w.moveTo.exec(ctx, plain); err != nil {
		return err
	}
	return w.service.moveMachines.exec(ctx, machines)
}

func unlessZero(v int64) any {
	if v == 0 {
		return nil
	}
	return v
}

// row is what a log has in common with every other: the columns of moveTo.
func (st *logState) row(n channel.Name) []any {
	return []any{st.id, string(n), int64(st.head.Offset), int64(st.head.Tag), int64(st.oldest.Offset), int64(st.oldest.Tag), st.bytes,
		st.lastMS, int64(st.rev)}
}
