package worker

import (
	"errors"
	"slices"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
)

// commit makes batches true, one after the other, beside the loop.
func (l *loop) commit() {
	for b := range l.commits {
		began := time.Now()
		b.results, b.err = l.w.o.Stage.Commit(l.ctx, l.fence, b.changes)
		if b.err == nil {
			fault.Point("worker.committed")
			l.w.o.Batches.Record(len(b.changes))
		}
		l.w.o.Commits.Record(time.Since(began))
		l.settled <- b
	}
}

// settle answers what was committed, and has done again what was not. An error means that the shard is not ours.
func (l *loop) settle(b *batch) error {
	l.flight = nil
	if b.err == nil {
		l.succeed(b)
		return nil
	}
	l.w.counts.failures.Add(1)
	if errors.Is(b.err, journal.ErrFenced) || errors.Is(b.err, journal.ErrClosed) {
		return b.err // whoever has the shard next is handed what is not answered
	}
	if errors.Is(b.err, journal.ErrRepeated) {
		l.waiting = slices.Concat(l.repeated(b), l.retract(b), l.waiting)
		return nil
	}
	if l.fails == 0 || len(b.changes) > 0 {
		l.w.log.Warn("a commit failed", "shard", l.shard.Number(), "changes", len(b.changes), "cause", b.err)
	}
	if storeFails(b) {
		now := l.w.o.Clock()
		l.failed(b.came(now), now)
	}
	behind := l.retract(b)
	var back []*item
	switch {
	case errors.Is(b.err, journal.ErrFull):
		for _, it := range b.items {
			l.answer(it, channel.Reply{}, journal.ErrFull)
		}
		l.rest()
	case errors.Is(b.err, journal.ErrDamaged) && len(b.changes) > 0: // nothing was written: find out whose it is
		if len(b.changes) > 1 {
			l.limit = max(1, min(l.limit, len(b.items))/2)
			back = b.items
			break
		}
		back = b.items
		l.halt(nil, b.changes[0].Channel, b.err) // those who ask are told stopped
	case errors.Is(b.err, journal.ErrUnconfirmed) || len(b.changes) == 0:
		back = l.doubt(b)
		if l.pause >= minPause { // not for the first time: perhaps it is one of them
			l.limit = max(1, min(l.limit, len(b.items))/2)
		}
		l.rest()
	case len(b.changes) == 1:
		back = l.culprit(b)
	default: // something in it cannot be written: find out what
		l.limit = max(1, min(l.limit, len(b.items))/2)
		back = b.items
	}
	l.waiting = append(append(append(make([]*item, 0, len(back)+len(behind)+len(l.waiting)), back...), behind...), l.waiting...)
	return nil
}

// succeed answers a batch in its order; heads follow it, so that a question names the one it saw.
func (l *loop) succeed(b *batch) {
	l.recovered()
	l.limit = min(2*l.limit, MaxBatch)
	l.w.counts.commits.Add(1)
	var wake time.Time
	poke := false
	var stale map[channel.Name]bool
	for _, it := range b.items {
		home := it.home
		var err error
		if it.change >= 0 {
			res := &b.results[it.change]
			err = res.Err
			switch {
			case err != nil:
			case res.Version != it.version:
				err = broken("a change was to lead to version %d and led to %d", it.version, res.Version)
			default:
				home.head = res.At
			}
		}
		if err != nil {
			b.err = err
			if stale == nil {
				stale = make(map[channel.Name]bool)
			}
			stale[home.name] = true
		}
		if stale[home.name] { // questions too: they were asked of what is not so
			continue
		}
		l.committed(it)
		if it.sends {
			poke = true
		}
		if !it.wakeAt.IsZero() && (wake.IsZero() || it.wakeAt.Before(wake)) {
			wake = it.wakeAt
		}
	}
	if l.agent != nil && (poke || !wake.IsZero()) {
		l.agent.hint(poke, wake)
	}
	l.w.tenures.armed(l, wake)
	if stale != nil {
		l.stale(b)
	}
}

// committed answers an item whose batch is true.
func (l *loop) committed(it *item) {
	home := it.home
	home.pending--
	if l.orphans[home.name] > 0 {
		if l.orphans[home.name]--; l.orphans[home.name] == 0 {
			delete(l.orphans, home.name)
		}
	}
	switch {
	case it.change < 0:
		l.w.counts.questions.Add(1)
	case it.reply.Code != 0:
		l.w.counts.refused.Add(1)
	default:
		l.w.counts.commands.Add(1)
		l.w.troubles.went(home.name)
	}
	if !it.applied.IsZero() {
		l.w.o.Stores.Since(it.applied)
	}
	it.reply.At = home.head
	l.answer(it, it.reply, nil)
}

// stale does again what the store refused because the channel has another version than the machine: what is in memory is
// wrong, whoever is at fault.
func (l *loop) stale(b *batch) {
	l.w.log.Error("a channel has another version in the store than in memory; it is loaded anew", "shard", l.shard.Number(), "cause", b.err)
	part := &batch{}
	failed := make(map[channel.Name]bool)
	for _, it := range b.items {
		if it.change >= 0 && (b.results[it.change].Err != nil || b.results[it.change].Version != it.version) {
			failed[it.home.name] = true
		}
		if failed[it.home.name] {
			part.items = append(part.items, it)
		}
	}
	behind := l.retract(part)
	back := l.doubt(part)
	l.waiting = append(append(append(make([]*item, 0, len(back)+len(behind)+len(l.waiting)), back...), behind...), l.waiting...)
	l.rest()
}

// repeated gives the items of a batch of which nothing was written, because one of them had come before without saying so: now
// each is looked up.
func (l *loop) repeated(b *batch) (back []*item) {
	l.wary = time.Now().Add(waryFor)
	for _, it := range b.items {
		if it.tries++; it.tries > maxTries {
			l.answer(it, channel.Reply{}, journal.ErrUnconfirmed)
			continue
		}
		back = append(back, it)
	}
	return back
}

// doubt gives the items of a batch that can be done again: the store tells those that were done after all by their id.
func (l *loop) doubt(b *batch) (back []*item) {
	now := l.w.o.Clock()
	for _, it := range b.items {
		it.tries++
		it.doubted = true
		if it.tries > maxTries || it.cmd.ID == "" && it.change >= 0 || now.Sub(it.taken) >= maxHand {
			l.answer(it, channel.Reply{}, journal.ErrUnconfirmed)
			continue
		}
		back = append(back, it)
	}
	return back
}

// culprit deals with a change that cannot be written even alone: the command is refused, and if not even that can be
// written, it is answered all the same.
func (l *loop) culprit(b *batch) (back []*item) {
	it := b.from[0]
	if it == nil {
		return b.items // a snapshot, and it is dropped
	}
	if it.failing {
		l.answer(it, channel.Reply{}, bus.ErrFailed)
		return slices.DeleteFunc(b.items, func(other *item) bool { return other == it }) // questions beside it
	}
	it.failing = true
	return b.items
}

// retract forgets the machines of a batch that did not become true, and gives the items of the next one that were applied
// on top of it, in order.
func (l *loop) retract(b *batch) (behind []*item) {
	out := make(map[channel.Name]bool)
	for _, it := range b.items {
		out[it.home.name] = true
	}
	for i := range b.changes {
		if b.from[i] == nil {
			out[b.changes[i].Channel] = true
		}
	}
	for n := range out {
		if r := l.cache.byName[n]; r != nil {
			l.cache.drop(r)
		}
		delete(l.orphans, n)
	}
	old := l.next
	l.next = &batch{}
	at := 0
	for _, it := range old.items {
		for ; at < len(old.changes) && (old.from[at] == nil || at < it.change); at++ {
			l.next.addAlone(old, at, out)
		}
		if out[it.home.name] {
			behind = append(behind, it)
			if it.change >= 0 {
				at = it.change + 1
			}
			continue
		}
		l.next.items = append(l.next.items, it)
		if it.change >= 0 {
			at = it.change + 1
			l.next.add(it, old.changes[it.change])
		}
	}
	for ; at < len(old.changes); at++ {
		l.next.addAlone(old, at, out)
	}
	return behind
}

// addAlone takes a snapshot over from another batch, unless its channel is out.
func (b *batch) addAlone(old *batch, at int, out map[channel.Name]bool) {
	if old.from[at] == nil && !out[old.changes[at].Channel] {
		b.add(nil, old.changes[at])
	}
}

// halt stops a channel after its service failed in it. r is its machine, if it has one; what that came to before stays.
func (l *loop) halt(r *resident, n channel.Name, why error) {
	if r != nil {
		l.cache.drop(r)
		if r.pending > 0 {
			l.orphans[n] = r.pending
		}
	}
	l.w.counts.panics.Add(1)
	d, again := l.w.troubles.halt(n, why.Error(), l.w.o.Clock())
	args := []any{"channel", n, "code", "stopped", "cause", why}
	var f *failure
	if errors.As(why, &f) && len(f.stack) > 0 {
		args = append(args, "stack", string(f.stack))
	}
	if again {
		l.w.log.Error("a channel is stopped; it is tried again after a while", append(args, "after", d)...)
	} else {
		l.w.log.Error("a channel is stopped until it is restarted", args...)
	}
}

// passivate puts machines away that nobody asked for.
func (l *loop) passivate() {
	before := l.w.o.Clock().Add(-l.w.o.Idle)
	for r := l.cache.resting(before); r != nil && len(l.next.changes) < MaxBatch; r = l.cache.resting(before) {
		l.putAway(r)
	}
}

// putAway takes a machine out of memory; its snapshot goes with the next batch.
func (l *loop) putAway(r *resident) {
	l.cache.drop(r)
	l.w.counts.passivated.Add(1)
	if c, ok := l.last(r); ok {
		l.next.add(nil, c)
	}
}

// last is the change that keeps a machine's snapshot, if it is not kept already.
func (l *loop) last(r *resident) (journal.Change, bool) {
	if r.since == 0 {
		return journal.Change{}, false
	}
	b, err := snapshot(r.machine)
	if err != nil {
		l.w.log.Error("the service cannot make a snapshot; the commands are kept", "channel", r.name, "cause", err)
		return journal.Change{}, false
	}
	l.w.counts.snapshots.Add(1)
	return journal.Change{Channel: r.name, Prev: r.version, Snapshot: b}, true
}

// keepAll keeps the snapshots of all machines, at the end: what comes next need not run their commands again.
func (l *loop) keepAll() {
	b := &batch{}
	flush := func() bool {
		if b.empty() {
			return true
		}
		fault.Point("worker.drain")
		_, err := l.w.o.Stage.Commit(l.ctx, l.fence, b.changes)
		if err != nil && !errors.Is(err, journal.ErrFenced) {
			l.w.log.Warn("snapshots were not kept; commands are run again instead", "shard", l.shard.Number(), "cause", err)
		}
		b = &batch{}
		return err == nil
	}
	for r := l.cache.oldest; r != nil; r = r.newer {
		if c, ok := l.last(r); ok {
			b.add(nil, c)
		}
		if len(b.changes) >= MaxBatch || b.bytes >= maxBatchBytes {
			if !flush() {
				return
			}
		}
	}
	flush()
}
