package sqlite

import (
	"context"
	"crypto/sha1"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// commit is one Commit on its way.
type commit struct {
	fence   journal.Fence
	changes []journal.Change
	sums    []store.Sums // of changes
	results []journal.Result
	steps   store.StepPack
	stale   map[channel.Name]bool
}

// do turns the changes into rows of the batch. The fence is read in the transaction that writes, so no Claim can come between.
func (k *commit) do(ctx context.Context, w *writer, b *batchWork) (refused, err error) {
	key := fenceKey{k.fence.Service, k.fence.Shard}
	f, err := w.fence(ctx, b, key)
	if err != nil {
		return nil, err
	}
	if f == nil || f.n != k.fence.N {
		return journal.ErrFenced, nil
	}
	k.results, k.steps, k.stale = make([]journal.Result, len(k.changes)), store.StepPack{}, nil
	for i := range k.changes {
		if err := k.change(ctx, w, b, f, i); err != nil {
			return nil, err
		}
	}
	if k.steps.Count > 0 {
		first := f.steps + 1
		f.steps += uint64(k.steps.Count)
		b.steps = append(b.steps, f.id, int64(first), int64(f.steps), b.now.UnixMilli(), k.steps.Body)
	}
	if k.steps.Count > 0 || f.stale(b.now) {
		b.serve(key, f)
	}
	return nil, nil
}

func (k *commit) change(ctx context.Context, w *writer, b *batchWork, f *fenceState, i int) error {
	c, res := &k.changes[i], &k.results[i]
	st, err := w.log(ctx, b, c.Channel)
	if err != nil {
		return err
	}
	switch {
	case k.stale[c.Channel] || st.version != uint64(c.Prev):
		if k.stale == nil {
			k.stale = map[channel.Name]bool{}
		}
		k.stale[c.Channel] = true
		*res = journal.Result{At: st.head, Version: journal.Version(st.version), Err: journal.ErrStale}
		return nil
	case c.Command.Channel == "":
		b.snapshot(st, c.Snapshot, nil)
	case c.Reply.Code != 0:
		// The timer it was for must not come again; one armed since then must.
		if c.Timer != 0 && uint64(c.Timer) == st.version && st.wake != 0 {
			st.wake, st.moved = 0, true
		}
	default:
		if err := k.accept(ctx, w, b, f, st, i); err != nil {
			return err
		}
	}
	*res = journal.Result{At: st.head, Version: journal.Version(st.version)}
	if c.Command.ID != "" {
		return w.reply(b, c, &k.sums[i], st.head)
	}
	return nil
}

// accept takes the step that a command came to.
func (k *commit) accept(ctx context.Context, w *writer, b *batchWork, f *fenceState, st *logWork, i int) error {
	c := &k.changes[i]
	if err := w.enroll(ctx, st); err != nil {
		return err
	}
	base := st.head
	st.moved = true
	st.version++
	st.shard = f.id
	st.commanded = c.Command.Time.UnixMilli()
	st.wake = 0
	if !c.WakeAt.IsZero() {
		st.wake = c.WakeAt.UnixNano()
	}
	for j := range c.Events {
		if err := w.event(ctx, b, st, c, &c.Events[j], k.sums[i].Events[j]); err != nil {
			return err
		}
	}
	b.keep(st, base, &c.Command)
	for _, a := range c.Access {
		b.access = append(b.access, st.id, a.User, int64(a.Rights), int64(st.version))
	}
	for j := range c.Sends {
		s := &c.Sends[j]
		b.sends = append(b.sends, f.id, string(c.Channel), int64(st.version), j, string(s.Channel), s.Binary, store.Blob(s.Body))
	}
	b.state(k.fence.Service, c.Rows)
	if c.Snapshot != nil {
		b.snapshot(st, c.Snapshot, c.Erase)
	}
	b.urgent = b.urgent || len(c.Access) > 0 || len(c.Erase) > 0
	k.steps.Add(c.Channel, st.version, st.head, c.Erase, c.Access)
	return nil
}

// event makes a record of what a machine said, of which only class, key, kind, body and sender count; hash is that of a Logged body.
func (w *writer) event(ctx context.Context, b *batchWork, st *logWork, c *journal.Change, e *channel.Record, hash [sha1.Size]byte) error {
	ms := c.Command.Time.UnixMilli()
	r := channel.Record{Channel: c.Channel, Class: e.Class, Time: time.UnixMilli(ms).UTC(), From: e.From, Binary: e.Binary, Body: e.Body}
	if e.Class == channel.Latest {
		// Without a sender it is the service's own key, whoever asked.
		r.Key = e.Key
		return w.set(ctx, b, st, r)
	}
	if r.From == "" {
		r.From = c.Command.User
	}
	if e.Class == channel.Logged {
		b.log(st, &r, hash, ms)
	} else {
		b.records = append(b.records, r)
	}
	return nil
}

// keep notes a command for the next Load.
func (b *batchWork) keep(st *logWork, base channel.Position, c *channel.Command) {
	st.pack.Add(st.version, base, st.head, c)
	if st.pack.Full() {
		b.flushPack(st)
	}
}

// flushPack makes a row of the commands gathered so far. Rows end where snapshots stand, so that they can go as a whole.
func (b *batchWork) flushPack(st *logWork) {
	p := &st.pack
	if p.First == 0 {
		return
	}
	b.commands = append(b.commands, st.id, int64(p.First), int64(p.Last), store.SealPlace(st.name, p.Last, p.Body), p.Body)
	st.pack = store.CommandPack{}
}

// reply notes what a command with an id is told whenever it comes again.
func (w *writer) reply(b *batchWork, c *journal.Change, s *store.Sums, at channel.Position) error {
	if _, twice := b.fresh[s.Key]; twice {
		return errTwice
	}
	b.asked = append(b.asked, s.Key)
	b.ids = append(b.ids, b.newID(w, s.Key), s.Key[:], s.Body[:], c.Command.Binary, int64(at.Offset), int64(at.Tag), b.now.UnixMilli(),
		c.Reply.Code, c.Reply.Body)
	return nil
}
