package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
	"carillon/store"
)

const (
	maxLogs    = 16384       // logs that a committer remembers, in each of two generations
	maxTrusted = 65536       // logs of services known to be sound, in each of two generations
	carefulFor = time.Second // how long it locks and looks first, after others wrote to a channel that it remembered, or an id came again
)

// committer makes true what waits in one queue: the records of the channels that fall to it. It lives on one goroutine.
type committer struct {
	s     *Store
	queue *queue

	logs, older map[channel.Name]logState // as this process wrote them last; their heads were held against their last records
	careful     time.Time                 // until then nothing is taken from memory
}

func newCommitter(s *Store, q *queue) *committer {
	return &committer{s: s, queue: q, logs: map[channel.Name]logState{}}
}

// run commits until the store is closed and nothing waits.
func (c *committer) run() {
	for {
		batch, closed := c.s.take(c.queue)
		switch {
		case len(batch) > 0:
			c.write(batch)
			c.s.done()
		case closed:
			return
		default:
			<-c.queue.wake
		}
	}
}

// result is what one request of a batch is told after the commit.
type result struct {
	at  channel.Position
	err error
}

// write makes one batch true and answers it, or fails it together with what waits behind it.
func (c *committer) write(batch []request) {
	fault.Point("store.taken")
	began := time.Now()
	var b *batchWork
	var results []result
	recall := began.After(c.careful) && c.s.clock.fresh() && !anyOld(batch)
	certain, err := c.s.change(c.s.writing, func(ctx context.Context, w *work) (err error) {
		b = c.s.newBatch()
		results, err = c.fill(ctx, w, b, batch, recall)
		if why := code(err); b.remembered && (why == codeSerialization || why == codeUnique) {
			c.careful = time.Now().Add(carefulFor)
		}
		recall = false // another try locks first
		return err
	})
	c.s.o.Commits.Since(began)
	if err == nil {
		fault.Point("store.committed")
		c.announce(b, batch, results)
		return
	}
	c.s.o.Failures.Add(1)
	if parts := byChannel(batch); certain && len(parts) > 1 && ofData(err) {
		// A damaged log, or a row that cannot be written, is the fault of one channel; the others go on without it.
		for _, part := range parts {
			c.write(part)
		}
		return
	}
	c.forget(batch)
	failed := map[channel.Name]bool{}
	for i := range batch {
		failed[batch[i].record.Channel] = true
	}
	// Behind a failed record nothing may become true before its sender knows: that would change the order.
	for _, q := range append(batch, c.s.takeBehind(c.queue, failed)...) {
		q.done(channel.Position{}, err)
	}
}

// announce tells the world, and then those who asked.
func (c *committer) announce(b *batchWork, batch []request, results []result) {
	for n, st := range b.logs {
		c.remember(n, st)
	}
	c.s.o.Batches.Record(len(b.records))
	if len(b.records) > 0 {
		c.s.o.Carry(b.records)
	}
	fault.Point("store.carried")
	for i := range batch {
		batch[i].done(results[i].at, results[i].err)
	}
}

func byChannel(batch []request) (parts [][]request) {
	index := map[channel.Name]int{}
	for _, q := range batch {
		i, ok := index[q.record.Channel]
		if !ok {
			i = len(parts)
			index[q.record.Channel] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], q)
	}
	return parts
}

// fill is a batch inside its transaction. With recall, what this process remembers of its logs takes the place of locks: the
// write proves it, or the transaction ends. One round trip then does all.
func (c *committer) fill(ctx context.Context, w *work, b *batchWork, batch []request, recall bool) ([]result, error) {
	known := map[store.IDKey]first{}
	names, tables := namesOf(batch)
	var err error
	if recall && b.recall(names, c.recall) {
		b.now = c.s.clock.now()
		if len(tables) > 0 {
			first := w.batch()
			b.askTables(first, tables)
			err = w.send(ctx, first)
		}
	} else {
		first := w.batch()
		b.askLogs(first, names, c.isSound)
		b.askTables(first, tables)
		c.s.known(first, batch, known)
		c.s.askTime(first, &b.now)
		err = w.send(ctx, first)
	}
	if err != nil {
		return nil, err
	}
	if err := b.verifyHeads(); err != nil {
		return nil, err
	}
	results, fresh := b.place(batch, known)
	if err := b.enroll(ctx, w, fresh); err != nil {
		return nil, err
	}
	if err := b.trim(ctx, w); err != nil {
		return nil, err
	}
	fault.Point("store.filled")
	if b.empty() {
		return results, nil // nothing to write: the transaction ends without a commit
	}
	last := w.batch()
	b.queue(last)
	return results, w.commit(ctx, last)
}

// namesOf are the channels of a batch, and those of them whose tables are needed.
func namesOf(batch []request) (names, tables []channel.Name) {
	seen := map[channel.Name]bool{} // true: its table is needed
	for i := range batch {
		q := &batch[i]
		n, table := q.record.Channel, q.look || q.record.Class == channel.Latest
		before, ok := seen[n]
		if !ok {
			names = append(names, n)
		}
		if table && !before {
			tables = append(tables, n)
		}
		seen[n] = before || table
	}
	return names, tables
}

// place gives each record that is new its position, and everyone else the answer known already. fresh are the logs that need
// a row.
func (b *batchWork) place(batch []request, known map[store.IDKey]first) (results []result, fresh map[channel.Name]*logWork) {
	results, fresh = make([]result, len(batch)), map[channel.Name]*logWork{}
	for i := range batch {
		q := &batch[i]
		st := b.logs[q.record.Channel]
		if q.look {
			b.look(st)
			continue
		}
		at, settled, err := q.resend(known)
		switch {
		case settled:
			results[i] = result{at, err}
		case st.version != 0:
			results[i].err = journal.ErrOwned // its offsets are the machine's to count on
		default:
			results[i].at = b.placeRecord(st, q, known)
			if st.id == 0 {
				fresh[st.name] = st
			}
		}
	}
	return results, fresh
}

func (b *batchWork) placeRecord(st *logWork, q *request, known map[store.IDKey]first) channel.Position {
	r := q.record
	if r.Class == channel.Latest {
		r.Time = b.now
		b.set(st, r)
		r.At = channel.Position{}
	} else {
		b.log(st, &r, q.hash, b.now.UnixMilli())
	}
	if r.ID != "" {
		known[q.id] = first{hash: q.hash, binary: r.Binary, at: r.At}
		b.ids = append(b.ids, idRow{key: q.id, hash: q.hash, binary: r.Binary, at: r.At})
	}
	return r.At
}

// empty tells that nothing is to be written.
func (b *batchWork) empty() bool {
	if len(b.ids) > 0 {
		return false
	}
	for _, st := range b.logs {
		if st.moved {
			return false
		}
	}
	return true
}

// anyOld tells that a record was first sent so long ago that its id must be looked up: if it is not known, nothing is appended.
func anyOld(batch []request) bool {
	return slices.ContainsFunc(batch, func(q request) bool { return q.record.ID != "" && q.record.Age > store.IDsKnown })
}

func (c *committer) recall(n channel.Name) (logState, bool) {
	st, ok := c.logs[n]
	if !ok {
		st, ok = c.older[n]
	}
	return st, ok
}

func (c *committer) isSound(n channel.Name) bool {
	_, ok := c.recall(n)
	return ok
}

// remember keeps a committed state of a plain log, in two generations so that the bound needs no search.
func (c *committer) remember(n channel.Name, st *logWork) {
	if st.id == 0 || st.version != 0 {
		return
	}
	if len(c.logs) >= maxLogs {
		c.older, c.logs = c.logs, map[channel.Name]logState{}
	}
	c.logs[n] = st.logState
}

// forget has the logs of a failed batch read anew.
func (c *committer) forget(batch []request) {
	for i := range batch {
		delete(c.logs, batch[i].record.Channel)
		delete(c.older, batch[i].record.Channel)
	}
}

// ofData tells that a batch failed for what stands in it or in the tables, not for the state of the server.
func ofData(err error) bool {
	if errors.Is(err, journal.ErrDamaged) {
		return true
	}
	switch c := code(err); {
	case len(c) != 5:
		return false
	default:
		return c[:2] == "22" || c[:2] == "23" || c[:2] == "54" || c == "P0001" // data, constraints, limits, a trigger's refusal
	}
}
