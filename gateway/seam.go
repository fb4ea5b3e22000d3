package gateway

import (
	"context"
	"slices"
	"time"

	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/journal"
)

// room is what the gateway knows of a channel that has, or had a moment ago, subscribers here. Everything done to it is
// done by one task at a time: that makes fills single flight.
type room struct {
	busy    bool // a task tends it; it takes what waits before it goes
	joined  bool // the bus delivers; touched by the task only
	waiting []waiter
	behind  bool // the hub lacks records that the journal has
	tables  bool // the hub may lack Latest records
	stale   stale
	leave   bool // close it, unless somebody came
	idle    bool // had no subscribers at the last sweep
}

// stale is what the ring may still hold whole though it was erased: records at some offsets, or nobody knows which.
type stale struct {
	offsets []uint64
	any     bool
}

func (s stale) none() bool { return len(s.offsets) == 0 && !s.any }

type waiter struct {
	from hub.From
	done func(oldest channel.Position, err error)
}

// Join makes the ring of a channel ready to attach to, reaching back as far as from where journal and ring bounds allow,
// and then calls done from another goroutine: with the position before the oldest record that history still has (zero if
// nobody had to look), or with an error. Many who join at once share one read.
func (g *Gateway) Join(n channel.Name, from hub.From, done func(oldest channel.Position, err error)) {
	g.tend(n, true, func(r *room) { r.waiting = append(r.waiting, waiter{from, done}) })
}

// Records takes what the bus delivers. Holes and divergences are looked up in the journal.
func (g *Gateway) Records(rs []channel.Record) {
	for i := range rs {
		if g.o.Hub.Append(rs[i]) != hub.NeedNone {
			g.tend(rs[i].Channel, false, func(r *room) { r.behind = true })
		}
		if rs[i].Class == channel.Logged {
			g.hear(&rs[i])
		}
	}
}

// tend notes something about a room, makes it if asked to, and sees that a task works it off.
func (g *Gateway) tend(n channel.Name, create bool, note func(*room)) {
	sh := g.shard(n)
	sh.mu.Lock()
	r := sh.rooms[n]
	if r == nil {
		if !create {
			sh.mu.Unlock()
			return
		}
		r = &room{}
		sh.rooms[n] = r
	}
	r.idle = false
	note(r)
	start := !r.busy
	r.busy = true
	sh.mu.Unlock()
	if start && !g.tenders.do(func() { g.work(sh, n, r) }) {
		g.refuse(sh, r)
	}
}

// work is the task of a room: it goes on until nothing more is asked.
func (g *Gateway) work(sh *roomShard, n channel.Name, r *room) {
	for {
		sh.mu.Lock()
		waiting, behind, tables, erased, leave := r.waiting, r.behind, r.tables, r.stale, r.leave
		r.waiting, r.behind, r.tables, r.stale, r.leave = nil, false, false, stale{}, false
		if len(waiting) == 0 && !behind && !tables && erased.none() && !leave {
			r.busy = false
			sh.mu.Unlock()
			return
		}
		sh.mu.Unlock()
		if erased.any {
			g.o.Hub.Forget(n)
		}
		g.o.Hub.Erase(n, erased.offsets)
		if len(waiting) == 0 && !behind && !tables && !leave {
			continue
		}
		if len(waiting) == 0 && leave {
			if g.close(sh, n, r) {
				return
			}
			continue
		}
		oldest, behind, err := g.fill(n, r, asked{waiting, behind, tables})
		if behind {
			time.AfterFunc(catchUpPause, func() { g.tend(n, false, func(r *room) { r.behind = true }) })
		}
		if err != nil {
			err = publicError(err)
		}
		for _, w := range waiting {
			w.done(oldest, err)
		}
	}
}

// close gives up a room that nobody is subscribed to; false if somebody came meanwhile.
func (g *Gateway) close(sh *roomShard, n channel.Name, r *room) bool {
	if !g.o.Hub.Drop(n) && g.o.Hub.Has(n) {
		return false // somebody is in it, or was when it was looked at: the next sweep sees
	}
	r.joined = false
	sh.mu.Lock()
	g.leave(sh, n, true)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(r.waiting) > 0 {
		return false
	}
	delete(sh.rooms, n)
	return true
}

// refuse answers everybody who waits for a room after the gateway closed.
func (g *Gateway) refuse(sh *roomShard, r *room) {
	sh.mu.Lock()
	waiting := r.waiting
	r.waiting, r.busy = nil, false
	sh.mu.Unlock()
	for _, w := range waiting {
		w.done(channel.Position{}, publicError(journal.ErrClosed))
	}
}

// asked is what one go at filling a ring is for.
type asked struct {
	waiting        []waiter
	behind, tables bool
}

// fill brings bus, journal and hub together (rule 27): join the bus first, read the journal afterwards, so that what
// becomes true in between is carried, kept aside by the hub and merged by position.
// still says that the ring lacks what the journal has, and that somebody must look again.
func (g *Gateway) fill(n channel.Name, r *room, a asked) (oldest channel.Position, still bool, err error) {
	waiting, behind := a.waiting, a.behind
	ctx, cancel := g.readContext()
	defer cancel()
	if !r.joined {
		g.o.Hub.Open(n)
		if err := g.join(ctx, g.shard(n), n); err != nil {
			g.o.Hub.Drop(n)
			return channel.Position{}, false, err
		}
		r.joined = true
	}
	j := g.o.Journal(n)
	base, head, filled := g.o.Hub.Head(n)
	if !filled {
		heads, err := j.Heads(ctx, []channel.Name{n})
		if err != nil {
			return channel.Position{}, behind, err
		}
		if err := g.fillTable(ctx, j, n); err != nil {
			return channel.Position{}, behind, err
		}
		base, head = heads[0], heads[0]
		behind = g.o.Hub.Fill(n, head, nil) != hub.NeedNone
	}
	if (behind || a.tables) && filled {
		if err := g.fillTable(ctx, j, n); err != nil {
			return channel.Position{}, true, err
		}
	}
	behind = behind || slices.ContainsFunc(waiting, func(w waiter) bool { return ahead(w.from, head) })
	for tries := 0; behind && tries < catchUpTries; tries++ {
		need, err := g.catchUp(ctx, j, n, head)
		if err != nil {
			return channel.Position{}, true, err
		}
		behind = need != hub.NeedNone
		base, head, _ = g.o.Hub.Head(n)
	}
	oldest, err = g.reachBack(ctx, j, n, base, head, waiting)
	return oldest, behind, err
}

func ahead(from hub.From, head channel.Position) bool {
	return from.After.Epoch == head.Epoch && from.After.Offset > head.Offset
}

// catchUpTries bounds how often a ring is read up in one go while more gets lost on the way; after that, or when the
// journal could not be read, it is tried again after catchUpPause.
const (
	catchUpTries = 4
	catchUpPause = time.Second
)

// catchUp reads what the journal has after the ring's head, which was true before: where the journal does not know it any
// more, it was lost or went back, and the ring is replaced. The hub may have lost something meanwhile: then it says so, and wants the same again.
func (g *Gateway) catchUp(ctx context.Context, j Journal, n channel.Name, head channel.Position) (hub.Need, error) {
	for {
		p, err := j.Read(ctx, n, journal.Query{After: head})
		if err != nil {
			return hub.NeedNone, err
		}
		if p.Gap != channel.GapNone {
			tail, err := j.Read(ctx, n, journal.Query{Back: true, Limit: g.ringDepth(n)})
			if err != nil {
				return hub.NeedNone, err
			}
			if p.Gap == channel.GapTrimmed {
				return g.o.Hub.Fill(n, tail.Base, tail.Records), nil
			}
			return g.o.Hub.Replace(n, tail.Base, tail.Records), nil
		}
		need := g.o.Hub.Fill(n, p.Base, p.Records)
		if !p.More || len(p.Records) == 0 {
			return need, nil
		}
		head = p.Records[len(p.Records)-1].At
	}
}

// reachBack prepends to the ring what the waiters want to hear again, as far as its bounds allow.
func (g *Gateway) reachBack(ctx context.Context, j Journal, n channel.Name, base, head channel.Position, waiting []waiter) (oldest channel.Position, err error) {
	bound := uint64(g.ringDepth(n))
	var wanted uint64 // offsets before head
	beyond := false   // somebody wants more than a ring can hold
	for _, w := range waiting {
		switch d := depth(w.from, head); {
		case d <= bound:
			wanted = max(wanted, d)
		case w.from.After.IsZero():
			wanted = bound
		default:
			beyond = true
		}
	}
	for have := head.Offset - base.Offset; have < wanted && base.Offset > 0; {
		p, err := j.Read(ctx, n, journal.Query{After: base, Back: true, Limit: int(min(wanted-have, journal.MaxPage))})
		if err != nil {
			return channel.Position{}, err
		}
		oldest = p.Oldest
		if len(p.Records) == 0 {
			break
		}
		g.o.Hub.Fill(n, p.Base, p.Records)
		reached, _, _ := g.o.Hub.Head(n)
		if reached.Offset >= base.Offset {
			break // the ring is full
		}
		base, have = reached, head.Offset-reached.Offset
	}
	if beyond && oldest.IsZero() {
		p, err := j.Read(ctx, n, journal.Query{Back: true, Limit: 1})
		if err != nil {
			return channel.Position{}, err
		}
		oldest = p.Oldest
	}
	return oldest, nil
}

// depth is how many records before head a subscriber wants to hear.
func depth(from hub.From, head channel.Position) uint64 {
	switch {
	case from.After.IsZero():
		return uint64(from.Rewind)
	case from.After.Epoch != head.Epoch || from.After.Offset >= head.Offset:
		return 0
	default:
		return head.Offset - from.After.Offset
	}
}

func (g *Gateway) ringDepth(n channel.Name) int {
	if k := g.o.Policies(n).Ring.Records; k > 0 {
		return min(k, journal.MaxPage)
	}
	return journal.MaxPage
}

// sweep closes rooms that had no subscriber at two looks in a row.
func (g *Gateway) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-g.stop:
			return
		case <-ticker.C:
		}
		for i := range g.shards {
			for _, n := range g.shards[i].names() {
				g.look(&g.shards[i], n)
			}
		}
	}
}

func (g *Gateway) look(sh *roomShard, n channel.Name) {
	empty := g.o.Hub.Cursors(n) == 0
	sh.mu.Lock()
	r := sh.rooms[n]
	gone := r != nil && empty && r.idle
	if r != nil {
		r.idle = empty
	}
	sh.mu.Unlock()
	if gone {
		g.tend(n, false, func(r *room) { r.leave = true })
	}
}

func (sh *roomShard) names() []channel.Name {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	names := make([]channel.Name, 0, len(sh.rooms))
	for n := range sh.rooms {
		names = append(names, n)
	}
	return names
}
