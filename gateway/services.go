package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/journal"
	"carillon/wire"
)

// Command takes a command to the service of its channel. done gets the final reply and what it survives.
func (g *Gateway) Command(c channel.Command, done func(channel.Reply, wire.Ack, error)) {
	if g.o.Desk == nil || !g.o.Policies(c.Channel).Service {
		done(channel.Reply{}, "", &wire.Error{Code: wire.CodeNoService})
		return
	}
	level := wire.Ack(g.o.Journal(c.Channel).Tier())
	g.o.Desk.Ask(c, func(r channel.Reply, err error) {
		switch {
		case errors.Is(err, bus.ErrNoService): // there is one, as the policy says, only nobody runs it at this moment
			err = &wire.Error{Code: wire.CodeUnavailable}
		case err != nil:
			err = publicError(err)
		}
		done(r, level, err)
	})
}

// rights are the questions that wait to be read, and who asked.
type rights struct {
	mu      sync.Mutex
	waiting []grant
	reading bool
}

type grant struct {
	journal.Grant
	done func(channel.Rights, error)
}

// maxGrants is how many questions one read of the journal answers.
const maxGrants = 256

// Rights tells from another goroutine what the service of a guarded channel grants a user now: no change that was
// committed before the call is missed. Questions that wait are read together.
func (g *Gateway) Rights(n channel.Name, user string, done func(channel.Rights, error)) {
	r := &g.rights
	r.mu.Lock()
	r.waiting = append(r.waiting, grant{journal.Grant{Channel: n, User: user}, done})
	start := !r.reading
	r.reading = true
	r.mu.Unlock()
	if start && !g.crew.do(g.readRights) {
		for _, q := range r.take(len(r.waiting)) {
			q.done(0, publicError(journal.ErrClosed))
		}
	}
}

func (r *rights) take(max int) []grant {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(max, len(r.waiting))
	some := r.waiting[:n:n]
	if r.waiting = r.waiting[n:]; n == 0 {
		r.waiting, r.reading = nil, false
	}
	return some
}

func (g *Gateway) readRights() {
	for some := g.rights.take(maxGrants); len(some) > 0; some = g.rights.take(maxGrants) {
		asked := make([]journal.Grant, len(some))
		for i := range some {
			asked[i] = some[i].Grant
		}
		ctx, cancel := g.readContext()
		answers, err := g.o.Trail.Rights(ctx, asked)
		cancel()
		if err != nil {
			err = publicError(err)
		}
		for i := range some {
			if err != nil {
				some[i].done(0, err)
			} else {
				some[i].done(answers[i].Rights, nil)
			}
		}
	}
}

// Bounds of following services.
const (
	trailEvery = 500 * time.Millisecond // between two looks without a hint
	trailSteps = 1000                   // of one look; with more, the next follows at once
)

// Stepped hints that a service has committed something. It never blocks.
func (g *Gateway) Stepped() {
	select {
	case g.hint <- struct{}{}:
	default:
	}
}

// follow learns what services committed: whose access changed, and heads that the bus may have lost. A head is only
// looked up if the ring still lacks it one look later: the bus is nearly always faster.
func (g *Gateway) follow(from []journal.Mark) {
	f := follower{g: g, marks: make(map[journal.Mark]uint64)}
	f.note(from)
	timer := time.NewTimer(trailEvery)
	defer timer.Stop()
	for {
		select {
		case <-g.stop:
			return
		case <-timer.C:
		case <-g.hint:
		}
		more := f.look()
		if more {
			g.Stepped()
		}
		timer.Reset(trailEvery)
	}
}

// follower is the state of follow.
type follower struct {
	g       *Gateway
	marks   map[journal.Mark]uint64 // by service and shard: the last step seen
	heads   map[channel.Name]channel.Position
	checked time.Time
	failing bool // and it was logged
}

func (f *follower) note(marks []journal.Mark) {
	for _, m := range marks {
		seq := m.Seq
		m.Seq = 0
		f.marks[m] = seq
	}
}

// look reads what is new; more says that it was not all.
func (f *follower) look() (more bool) {
	g := f.g
	if now := time.Now(); now.Sub(f.checked) >= trailEvery {
		f.checked = now
		for n, head := range f.heads {
			if g.o.Hub.Expect(n, head) != hub.NeedNone {
				g.tend(n, false, func(r *room) { r.behind = true })
			}
		}
		f.heads = make(map[channel.Name]channel.Position)
	}
	ctx, cancel := g.readContext()
	defer cancel()
	after := make([]journal.Mark, 0, len(f.marks))
	for m, seq := range f.marks {
		m.Seq = seq
		after = append(after, m)
	}
	steps, err := g.o.Trail.Follow(ctx, after, trailSteps)
	switch {
	case errors.Is(err, journal.ErrTrimmed), errors.Is(err, journal.ErrDamaged):
		f.startOver(ctx)
	case err != nil: // the next look asks again, from the same marks
	}
	if err != nil && !f.failing {
		g.o.Log.Error("services cannot be followed: changes of access wait", "error", err)
	}
	if f.failing = err != nil; f.failing {
		return false
	}
	for i := range steps {
		f.step(&steps[i])
	}
	return len(steps) == trailSteps
}

func (f *follower) step(s *journal.Step) {
	f.note([]journal.Mark{s.Mark})
	if f.g.o.Hub.Has(s.Channel) {
		f.heads[s.Channel] = s.Head
		if len(s.Erased) > 0 { // by the room's own task: a read under way may still bring what was erased
			f.g.tend(s.Channel, false, func(r *room) { r.stale.offsets = append(r.stale.offsets, s.Erased...) })
		}
	}
	if s.Version == 1 {
		return // before it nobody was let in, so nobody can lose anything
	}
	for _, a := range s.Access {
		f.g.o.Granted(a.Channel, a.User)
	}
}

// startOver reads everything anew: what the steps would have said is not known any more.
func (f *follower) startOver(ctx context.Context) {
	ends, err := f.g.o.Trail.Ends(ctx)
	if err != nil {
		return
	}
	f.note(ends)
	for i := range f.g.shards {
		for _, n := range f.g.shards[i].names() { // bodies may have been erased: nothing from memory is sent any more
			f.g.tend(n, false, func(r *room) { r.behind, r.stale.any = true, true })
		}
	}
	f.g.o.Granted("", "")
}
