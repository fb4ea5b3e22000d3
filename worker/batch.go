package worker

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"carillon/app"
	"carillon/bus"
	"carillon/channel"
	"carillon/journal"
)

// codeFailed is the code of the refusal that stands for a command its service fails on. A service's own are positive.
const codeFailed = -1

// item is a command in hand. It is applied again, with the same stamps, where a commit did not succeed.
type item struct {
	cmd     channel.Command
	ticket  uint64
	also    []uint64 // tickets of duplicates that wait for the same answer
	attempt int
	came    time.Time // on the desk
	taken   time.Time // in hand
	timer   bool
	due     time.Time // of a timer
	stamped bool
	listed  bool // in loop.inHand
	doubted bool // was in a commit whose outcome is not known
	tries   int
	failing bool // answered with codeFailed, unapplied

	// What it came to, once applied.
	home    *resident
	change  int // place in batch.changes; -1: a question
	applied time.Time
	version journal.Version
	reply   channel.Reply
	sends   bool
	wakeAt  time.Time
}

// batch is what one commit makes true.
type batch struct {
	items   []*item
	changes []journal.Change
	from    []*item // of each change; nil: a snapshot alone
	bytes   int
	results []journal.Result
	err     error
}

func (b *batch) empty() bool { return len(b.items) == 0 && len(b.changes) == 0 }

// add puts a change into the batch.
func (b *batch) add(it *item, c journal.Change) {
	if it != nil {
		it.change = len(b.changes)
	}
	b.changes, b.from = append(b.changes, c), append(b.from, it)
	b.bytes += weight(&c)
}

// weight is what a change carries, in bytes.
func weight(c *journal.Change) int {
	n := len(c.Command.Body) + len(c.Reply.Body) + len(c.Snapshot)
	for i := range c.Events {
		n += len(c.Events[i].Body)
	}
	for i := range c.Sends {
		n += len(c.Sends[i].Body)
	}
	for i := range c.Rows {
		n += len(c.Rows[i].Body)
	}
	return n
}

// prepare applies what waits, as far as a batch has room: what was done before gets its reply of then, and duplicates of
// what is in hand wait with it.
func (l *loop) prepare() {
	n := min(l.limit-len(l.next.items), len(l.waiting))
	some := make([]*item, 0, n)
	for _, it := range l.waiting[:n] {
		if it.listed || l.list(it) {
			some = append(some, it)
		}
	}
	rest := l.waiting[n:]
	known, err := l.seen(some)
	for i, it := range some {
		if err == nil && known != nil && (known[i].Reply != nil || known[i].Err != nil) {
			l.w.counts.duplicates.Add(1)
			var r channel.Reply
			if known[i].Reply != nil {
				r = *known[i].Reply
			}
			if it.timer { // its commit was in doubt: what it armed is looked up a little later
				known[i].Err = bus.ErrUnavailable
			}
			l.answer(it, r, known[i].Err)
			continue
		}
		if err == nil {
			err = l.apply(it)
		}
		if l.watch.left.Load() {
			return // nothing of this is ours any more
		}
		if err != nil || l.next.bytes >= maxBatchBytes {
			if err == nil {
				i++
			}
			l.putBack(some[i:], rest, err)
			return
		}
	}
	l.waiting = rest
}

// putBack has items wait again, before the rest; after an error of the store for a while, or not at all any more.
func (l *loop) putBack(some, rest []*item, err error) {
	back := make([]*item, 0, len(some)+len(rest))
	now := l.w.o.Clock()
	if err != nil && len(some) > 0 {
		l.failed(some[0].came, now)
	}
	for _, it := range some {
		if err != nil {
			it.tries++
		}
		if err == nil || it.tries <= maxTries && now.Sub(it.taken) < maxHand {
			back = append(back, it)
		} else if it.doubted {
			l.answer(it, channel.Reply{}, journal.ErrUnconfirmed)
		} else {
			l.answer(it, channel.Reply{}, bus.ErrUnavailable)
		}
	}
	l.waiting = append(back, rest...)
	if err != nil {
		l.w.log.Warn("the store cannot be read; it is tried again", "shard", l.shard.Number(), "cause", err)
		l.rest()
	}
}

// rest leaves the store alone for a while.
func (l *loop) rest() {
	l.backOff()
	l.until = time.Now().Add(l.pause)
}

// list notes an item by its id; false: it waits with another, or is answered.
func (l *loop) list(it *item) bool {
	if it.cmd.ID == "" {
		return true
	}
	k := keyOf(&it.cmd)
	first := l.inHand[k]
	if first == nil {
		l.inHand[k] = it
		it.listed = true
		return true
	}
	l.w.counts.duplicates.Add(1)
	switch {
	case first.cmd.Binary != it.cmd.Binary || !bytes.Equal(first.cmd.Body, it.cmd.Body):
		l.answer(it, channel.Reply{}, journal.ErrReuse)
	case it.timer: // the same one, listed twice
	default:
		first.also = append(first.also, it.ticket)
	}
	return false
}

// seen asks the store which of the items were done before; nil: none has an id.
func (l *loop) seen(some []*item) ([]journal.Known, error) {
	cs := make([]channel.Command, len(some))
	ask, wary := false, time.Now().Before(l.wary)
	for i, it := range some {
		cs[i] = it.cmd
		if wary || it.attempt > 1 || it.doubted {
			cs[i].Age = max(it.cmd.Age, 1)
		}
		ask = ask || it.cmd.ID != ""
	}
	if !ask {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, stalled)
	defer cancel()
	return l.w.o.Stage.Seen(ctx, cs)
}

// apply takes a step of the item's machine and puts what it came to into the next batch. Its errors are the store's.
func (l *loop) apply(it *item) error {
	now := l.w.o.Clock()
	n := it.cmd.Channel
	if _, stopped := l.w.troubles.stopped(n, now); stopped || l.orphans[n] > 0 {
		l.answer(it, channel.Reply{}, bus.ErrStopped)
		return nil
	}
	home, err := l.home(n, now)
	if err != nil || home == nil {
		if err == nil {
			l.answer(it, channel.Reply{}, bus.ErrStopped)
		}
		return err
	}
	if it.cmd.ID == "" && it.attempt > 1 { // perhaps its last owner has done it: nobody can tell
		l.answer(it, channel.Reply{}, journal.ErrUnconfirmed)
		return nil
	}
	if it.timer && (home.wakeAt.IsZero() || home.wakeAt.After(now) && home.wakeAt.After(it.due)) {
		if home.wakeAt.IsZero() {
			err = bus.ErrUnavailable // the agenda was read before the commit that took it back
		}
		l.answer(it, channel.Reply{}, err)
		return nil
	}
	own := l.w.troubles.own(n)
	l.stamp(it, home, now, own)
	if it.failing || max(it.attempt, l.w.troubles.attempts(keyOf(&it.cmd))+1) >= maxAttempts {
		l.fail(it, home)
		return nil
	}
	if !it.timer {
		l.w.o.Waits.Record(now.Sub(it.came))
	}
	l.watch.who.Store(it)
	began := time.Now()
	l.watch.since.Store(int64(began.Sub(l.w.began)) + 1)
	out, err := step(home.machine, it.cmd)
	l.watch.since.Store(0)
	it.applied = time.Now()
	l.w.o.Steps.Record(it.applied.Sub(began))
	if l.watch.left.Load() {
		return nil
	}
	if err == nil {
		err = l.put(it, home, &out)
	}
	if err == nil && !own.from.IsZero() {
		l.w.troubles.recovered(n, now)
	}
	if err != nil {
		l.w.troubles.blame(keyOf(&it.cmd), now)
		l.halt(home, n, err)
		l.answer(it, channel.Reply{}, bus.ErrStopped)
	}
	return nil
}

// home gives the machine of a channel. Without one the channel was stopped just now, or the store cannot be read.
func (l *loop) home(n channel.Name, now time.Time) (*resident, error) {
	if r := l.cache.get(n, now); r != nil {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, stalled)
	defer cancel()
	r, err := l.w.load(ctx, n)
	var f *failure
	switch {
	case errors.As(err, &f) || errors.Is(err, journal.ErrDamaged):
		l.halt(nil, n, err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	l.cache.put(r, now)
	for over := l.cache.over(); over != nil && over != r; over = l.cache.over() {
		l.putAway(over)
	}
	return r, nil
}

// stamp gives the command its time and its chance, once, and its place. own is a time in which the channel was stopped.
func (l *loop) stamp(it *item, home *resident, now time.Time, own span) {
	c := &it.cmd
	if !it.stamped {
		it.stamped = true
		c.Time = now.UTC().Truncate(time.Millisecond)
		if it.due.After(c.Time) {
			c.Time = it.due.UTC().Add(time.Millisecond - 1).Truncate(time.Millisecond)
		}
		l.w.o.Chance(&c.Seed)
	}
	if home.time.After(c.Time) {
		c.Time = home.time
	}
	c.Head = home.offset
	c.Lost = l.out.lost(home.changed, c.Time, own)
}

// fail commits the refusal of a command that its service fails on.
func (l *loop) fail(it *item, home *resident) {
	it.failing = true
	l.w.troubles.recovered(home.name, it.cmd.Time)
	l.w.counts.failed.Add(1)
	l.w.log.Error("the service fails on a command; it is refused for good", "channel", it.cmd.Channel, "user", it.cmd.User, "id", it.cmd.ID)
	l.refuse(it, home, codeFailed, nil)
}

func (l *loop) refuse(it *item, home *resident, code int, body []byte) {
	it.reply = channel.Reply{ID: it.cmd.ID, Code: code, Body: body}
	c := journal.Change{Channel: home.name, Prev: home.version, Command: it.cmd, Reply: it.reply}
	if it.timer {
		c.Timer = home.version
		home.wakeAt = time.Time{}
	}
	l.enter(it, home, &c)
}

// enter puts an item into the next batch; c is nil for a question.
func (l *loop) enter(it *item, home *resident, c *journal.Change) {
	it.home, it.change, it.version = home, -1, home.version
	home.pending++
	home.time = it.cmd.Time
	l.next.items = append(l.next.items, it)
	if c != nil {
		l.next.add(it, *c)
	}
}

// put makes an outcome a part of the next batch.
func (l *loop) put(it *item, home *resident, out *app.Outcome) error {
	it.sends, it.wakeAt = false, time.Time{}
	switch {
	case out.Refused > 0:
		l.refuse(it, home, out.Refused, out.Reply)
		return nil
	case out.ReadOnly && it.timer:
		l.refuse(it, home, codeFailed, nil) // a timer that changes nothing is over
		return nil
	case out.ReadOnly:
		it.reply = channel.Reply{ID: it.cmd.ID, Body: out.Reply}
		l.enter(it, home, nil)
		return nil
	}
	c := journal.Change{
		Channel: home.name, Prev: home.version, Command: it.cmd, Erase: out.Erase, WakeAt: out.WakeAt,
		Reply: channel.Reply{ID: it.cmd.ID, Body: out.Reply},
	}
	if err := l.keep(home, &c); err != nil {
		return err
	}
	if it.timer {
		c.Timer = home.version
	}
	home.version++
	fill(&c, out, home.version)
	home.offset += logged(c.Events)
	home.wakeAt, home.changed = out.WakeAt, it.cmd.Time
	it.reply, it.sends, it.wakeAt = c.Reply, len(c.Sends) > 0, out.WakeAt
	l.enter(it, home, &c)
	return nil
}

// keep adds a snapshot where one is due, and looks now and then how large the machine has become.
func (l *loop) keep(home *resident, c *journal.Change) error {
	home.since++
	due := home.since >= snapshotEvery || len(c.Erase) > 0
	if !due && home.since&(home.since-1) != 0 {
		return nil
	}
	b, err := snapshot(home.machine)
	if err != nil {
		return err
	}
	l.cache.measured(home, len(b))
	if due {
		c.Snapshot, home.since = b, 0
		l.w.counts.snapshots.Add(1)
	}
	return nil
}

// fill copies what counts of an outcome: the slices stay the machine's.
func fill(c *journal.Change, out *app.Outcome, v journal.Version) {
	if len(out.Events) > 0 {
		c.Events = make([]channel.Record, len(out.Events))
	}
	for i := range out.Events {
		e := &out.Events[i]
		c.Events[i] = channel.Record{Channel: c.Channel, Class: e.Class, Key: e.Key, Time: c.Command.Time, From: e.From, Binary: e.Binary, Body: e.Body}
		if e.From == "" {
			c.Events[i].From = c.Command.User
		}
	}
	for i := range out.Sends {
		s := &out.Sends[i]
		c.Sends = append(c.Sends, channel.Command{Channel: s.Channel, Binary: s.Binary, Body: s.Body})
	}
	c.Rows = slices.Clone(out.Rows)
	for i := range c.Rows {
		c.Rows[i].Terms = slices.Clone(c.Rows[i].Terms)
	}
	for _, a := range out.Access {
		c.Access = append(c.Access, channel.Access{Channel: c.Channel, User: a.User, Rights: a.Rights, Version: uint64(v)})
	}
}
