package gateway

import (
	"maps"
	"slices"
	"sync"
	"time"

	"carillon/channel"
	"carillon/gateway/hub"
)

// line is what is known of the bus between this node and the others.
type line struct {
	mu       sync.Mutex
	down     bool
	since    time.Time // of the first trouble that was not healed yet; zero: there is none
	troubles uint64    // so far
	healed   uint64    // of them: everything was compared since

	ears map[channel.Name]struct{} // listened to of late, whose heads were not read yet
}

// Bounds of being apart and of coming together again.
const (
	staleAfter   = 500 * time.Millisecond // subscribers are not told of less
	healEvery    = 250 * time.Millisecond // how often is looked whether there is something to compare
	healPause    = time.Second            // before it is tried again
	slowRound    = 5 * time.Minute        // between two looks at all heads
	apartRound   = 8 * time.Second        // the same of durable channels, whose truth and announcement are two steps
	settleTime   = 500 * time.Millisecond // between reading their heads and comparing them: the bus is nearly always faster
	maxHeads     = 1000                   // names in one question to a journal
	healPatience = 10 * time.Second       // for the rings of one such question
)

// Trouble hears of the bus. Once the line is whole again, every ring is compared with its journal.
func (g *Gateway) Trouble(down bool) {
	if g.o.Shared {
		g.line.trouble(down)
		return
	}
	if down {
		return
	}
	for i := range g.shards {
		for _, n := range g.shards[i].names() {
			g.tend(n, false, func(r *room) { r.behind = true })
		}
	}
}

func (l *line) trouble(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	l.troubles++
	if l.since.IsZero() {
		l.since = time.Now()
	}
}

// fresh notes a channel that is listened to from now on.
func (l *line) fresh(n channel.Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ears == nil {
		l.ears = make(map[channel.Name]struct{})
	}
	l.ears[n] = struct{}{}
}

func (l *line) takeEars() []channel.Name {
	l.mu.Lock()
	defer l.mu.Unlock()
	ears := slices.Collect(maps.Keys(l.ears))
	l.ears = nil
	return ears
}

// stale tells whether records may have been late for so long that subscribers should know.
func (l *line) stale() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.since.IsZero() && time.Since(l.since) >= staleAfter
}

// unhealed is how many troubles there were, if there is something to compare and a line to do so.
func (l *line) unhealed() (troubles uint64, any bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.troubles, !l.down && l.healed < l.troubles
}

// heal notes that everything was compared after that many troubles.
func (l *line) heal(troubles uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.healed = troubles; l.healed == l.troubles && !l.down {
		l.since = time.Time{}
	}
}

// watch tells subscribers when they may be behind, and when they no longer are.
func (g *Gateway) watch() {
	ticker := time.NewTicker(healEvery)
	defer ticker.Stop()
	for told := false; ; {
		select {
		case <-g.stop:
			return
		case <-ticker.C:
		}
		if stale := g.line.stale(); stale != told {
			told = stale
			g.o.Stale(stale)
		}
	}
}

// heal compares heads: all of them after trouble and once in a slow round, those that announcements can miss in a fast one.
func (g *Gateway) heal() {
	ticker := time.NewTicker(healEvery)
	defer ticker.Stop()
	var pause time.Time
	var left []channel.Name // to be compared after so many troubles
	var after uint64
	slow, apart := time.Now().Add(slowRound), time.Now().Add(apartRound)
	for {
		select {
		case <-g.stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		if troubles, any := g.line.unhealed(); any && now.After(pause) {
			if troubles != after {
				left, after = g.names(everyName), troubles
			}
			if left = g.compare(left, look{tables: true}); len(left) == 0 {
				g.line.heal(troubles)
				slow = time.Now().Add(slowRound)
			}
			pause = time.Now().Add(healPause)
		}
		for _, n := range g.compare(g.line.takeEars(), look{}) {
			if at, listened := g.heard(n); listened && at.IsZero() {
				g.line.fresh(n)
			}
		}
		if now.After(apart) {
			g.compare(g.names(g.isApart), look{settle: true})
			apart = time.Now().Add(apartRound)
		}
		if now.After(slow) {
			g.compare(g.names(everyName), look{settle: true, tables: true})
			slow = time.Now().Add(slowRound)
		}
	}
}

func everyName(channel.Name) bool { return true }

// isApart tells channels of which becoming true and being announced are two steps, with nothing that follows them: plain
// ones kept in SQL. Services have their trail.
func (g *Gateway) isApart(n channel.Name) bool {
	p := g.o.Policies(n)
	return p.Durable && !p.Service
}

// names are the channels that this node has a ring of or listens to, as far as they are wanted.
func (g *Gateway) names(wanted func(channel.Name) bool) (names []channel.Name) {
	for i := range g.shards {
		sh := &g.shards[i]
		sh.mu.Lock()
		for n := range sh.rooms {
			names = append(names, n)
		}
		for n := range sh.listening {
			if sh.rooms[n] == nil {
				names = append(names, n)
			}
		}
		sh.mu.Unlock()
	}
	return slices.DeleteFunc(names, func(n channel.Name) bool { return !wanted(n) })
}

// look is how heads are compared.
type look struct {
	settle bool // what is announced at this moment may arrive first
	tables bool // read the tables of Latest records too: no head tells of them
}

// compare asks the journals for the heads of channels and has read what their rings lack. What could not be compared is
// left: somebody has to try again.
func (g *Gateway) compare(names []channel.Name, l look) (left []channel.Name) {
	byJournal := make(map[Journal][]channel.Name)
	for _, n := range names {
		j := g.o.Journal(n)
		byJournal[j] = append(byJournal[j], n)
	}
	for j, all := range byJournal {
		for some := range slices.Chunk(all, maxHeads) {
			if !g.compareSome(j, some, l) {
				left = append(left, some...)
			}
		}
	}
	return left
}

func (g *Gateway) compareSome(j Journal, ns []channel.Name, l look) bool {
	type known struct{ ring, heard channel.Position }
	before := make([]known, len(ns)) // was true before the question: a lower head has gone back
	for i, n := range ns {
		_, before[i].ring, _ = g.o.Hub.Head(n)
		before[i].heard, _ = g.heard(n)
	}
	ctx, cancel := g.readContext()
	heads, err := j.Heads(ctx, ns)
	cancel()
	if err != nil || l.settle && !g.wait(settleTime) {
		return false
	}
	answers, asked := make(chan error, len(ns)), 0
	for i, n := range ns {
		g.overhear(n, before[i].heard, heads[i])
		was := before[i].ring
		back := was.Epoch == heads[i].Epoch && heads[i].Offset < was.Offset
		behind := back || g.o.Hub.Expect(n, heads[i]) != hub.NeedNone
		if !behind && !l.tables {
			continue
		}
		g.tend(n, false, func(r *room) {
			r.behind, r.tables = r.behind || behind, true
			r.waiting = append(r.waiting, waiter{done: func(_ channel.Position, err error) { answers <- err }})
			asked++
		})
	}
	return g.collect(answers, asked)
}

// collect waits for that many rings; false if one could not be brought up, or they take too long.
func (g *Gateway) collect(answers <-chan error, asked int) (ok bool) {
	patience := time.NewTimer(healPatience)
	defer patience.Stop()
	for ok = true; asked > 0; asked-- {
		select {
		case err := <-answers:
			ok = ok && err == nil
		case <-patience.C:
			return false
		case <-g.stop:
			return false
		}
	}
	return ok
}

// wait lets time pass; false if the gateway is closed.
func (g *Gateway) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-g.stop:
		return false
	}
}
