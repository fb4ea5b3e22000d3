package worker

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
)

const (
	dueBatch      = 128                    // timers and sends that are new in one look
	maxOpen       = 4096                   // sends in hand; with more, no further ones are taken until some are done
	maxHeld       = 64                     // of them to one target, so that one that does not answer leaves room for the others
	lookEvery     = 5 * time.Second        // at the agenda without a reason
	timerPatience = time.Minute            // after which a timer in hand is taken for lost
	firstRetry    = 100 * time.Millisecond // of a send; doubles
	lastRetry     = 30 * time.Second       // see firstRetry
	maxNobody     = 20                     // attempts to send to a service that nobody serves; then the send is dropped
)

// lane is the way from one channel to another: one send at a time, so that they arrive in order.
type lane struct{ from, to channel.Name }

// road is a lane with something on it.
type road struct {
	due    []journal.Due
	asked  bool
	tries  int
	nobody int
	next   time.Time
}

// agent does what a shard's channels have to do by themselves: it fires timers and carries sends to the desk.
type agent struct {
	l     *loop
	wake  chan struct{}
	open  map[uint64]struct{} // sends in hand, those with a final reply that is not noted among them
	roads map[lane]*road
	sent  []uint64                   // got a final reply; to be noted
	fires map[channel.Name]time.Time // timers in hand, and when they may come again
	look  time.Time                  // at the agenda
	seen  tickets

	mu    sync.Mutex
	hints time.Time // look at the agenda then; zero: no hint
	rests time.Time // until it looks anyway; zero: it is awake, and hears every hint
	news  []news
}

// tickets are what was seen of the agenda's sends.
type tickets struct {
	after  uint64                // the highest
	held   map[channel.Name]int  // sends in hand, by target
	full   map[channel.Name]bool // targets of which some were passed over
	passed uint64                // the lowest that was; 0: none
}

// news is the end of a timer or of an attempt to send.
type news struct {
	timer channel.Name
	lane  lane
	err   error
}

func newAgent(l *loop) *agent {
	return &agent{l: l, wake: make(chan struct{}, 1), open: make(map[uint64]struct{}), roads: make(map[lane]*road), fires: make(map[channel.Name]time.Time),
		seen: tickets{held: make(map[channel.Name]int), full: make(map[channel.Name]bool)}}
}

// hint tells of sends (now), or of a timer at a time.
func (a *agent) hint(now bool, at time.Time) {
	if now {
		at = a.l.w.o.Clock()
	}
	a.mu.Lock()
	earlier := (a.rests.IsZero() || at.Before(a.rests)) && (a.hints.IsZero() || at.Before(a.hints))
	if earlier {
		a.hints = at
	}
	a.mu.Unlock()
	if earlier {
		a.signal()
	}
}

// fired tells what became of a timer in hand.
func (a *agent) fired(n channel.Name, err error) { a.tell(news{timer: n, err: err}) }

func (a *agent) tell(n news) {
	a.mu.Lock()
	a.news = append(a.news, n)
	a.mu.Unlock()
	a.signal()
}

func (a *agent) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends. What is open then is found on the agenda by whoever has the shard next.
func (a *agent) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := a.l.w.o.Clock()
		a.learn(now)
		a.note(ctx, now)
		if !now.Before(a.look) {
			a.study(ctx, now)
		}
		a.drive(now)
		a.rest()
		timer.Reset(max(a.due().Sub(a.l.w.o.Clock()), time.Millisecond))
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
	}
}

// rest lets hints of what comes later than the next look pass: nearly every commit gives one.
func (a *agent) rest() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rests = a.look
}

// learn takes in what was told.
func (a *agent) learn(now time.Time) {
	a.mu.Lock()
	all, hint := a.news, a.hints
	a.news, a.hints, a.rests = nil, time.Time{}, time.Time{}
	a.mu.Unlock()
	if !hint.IsZero() && hint.Before(a.look) {
		a.look = hint
	}
	for i := range all {
		if n := &all[i]; n.timer != "" {
			a.timerEnded(n, now)
		} else if r := a.roads[n.lane]; r != nil {
			a.sendEnded(n.lane, r, n.err, now)
		}
	}
}

// timerEnded lets a timer come again: at once after a success, since the machine may have armed another for now.
func (a *agent) timerEnded(n *news, now time.Time) {
	delete(a.fires, n.timer)
	if n.err == nil || errors.Is(n.err, bus.ErrFailed) {
		a.look = now
		return
	}
	wait := firstRetry
	if left, stopped := a.l.w.troubles.stopped(n.timer, now); stopped {
		if wait = left; left == 0 {
			wait = timerPatience
		}
	}
	a.fires[n.timer] = now.Add(wait)
	if at := now.Add(wait); at.Before(a.look) {
		a.look = at
	}
}

// sendEnded moves a road on, or tries again later.
func (a *agent) sendEnded(ln lane, r *road, err error, now time.Time) {
	r.asked = false
	if errors.Is(err, bus.ErrNoService) {
		r.nobody++
	}
	if !final(err) && r.nobody < maxNobody {
		a.l.w.counts.resends.Add(1)
		r.next = now.Add(min(firstRetry<<min(r.tries, 10), lastRetry))
		r.tries++
		return
	}
	if err != nil {
		a.l.w.log.Warn("a send was refused for good", "from", ln.from, "to", ln.to, "cause", err)
	}
	fault.Point("worker.sent")
	a.l.w.counts.sends.Add(1)
	a.sent = append(a.sent, r.due[0].Ticket)
	r.due, r.tries, r.nobody, r.next = r.due[1:], 0, 0, time.Time{}
	a.release(ln.to, now)
	if len(r.due) == 0 {
		delete(a.roads, ln)
	}
}

// release counts a send to a target as done. Those to it that were passed over are looked up again once there is room.
func (a *agent) release(to channel.Name, now time.Time) {
	t := &a.seen
	if t.held[to]--; t.held[to] == 0 {
		delete(t.held, to)
	}
	if t.full[to] && t.held[to] <= maxHeld/2 {
		clear(t.full)
		t.after, t.passed = t.passed-1, 0
		a.look = now
	}
}

// final tells whether a send that ended so is never tried again. A refusal is an answer.
func final(err error) bool {
	return err == nil || errors.Is(err, journal.ErrReuse) || errors.Is(err, journal.ErrUnknown) || errors.Is(err, bus.ErrFailed)
}

// note has the store forget what is done.
func (a *agent) note(ctx context.Context, now time.Time) {
	if len(a.sent) == 0 || ctx.Err() != nil {
		return
	}
	if err := a.l.w.o.Agenda.Sent(ctx, a.l.fence, a.sent); err != nil {
		a.trouble(ctx, err)
		a.look = now.Add(firstRetry) // and try again
		return
	}
	for _, ticket := range a.sent {
		delete(a.open, ticket)
	}
	if len(a.open)+len(a.sent) >= maxOpen {
		a.look = now // the agenda was full
	}
	a.sent = a.sent[:0]
}

func (a *agent) trouble(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, journal.ErrFenced) { // the loop finds that out by itself
		a.l.w.log.Warn("timers and sends wait: the agenda cannot be used", "shard", a.l.shard.Number(), "cause", err)
		select {
		case a.l.suspect <- struct{}{}:
		default:
		}
	}
}

// study looks what is due.
func (a *agent) study(ctx context.Context, now time.Time) {
	a.look = now.Add(lookEvery)
	if ctx.Err() != nil {
		return
	}
	after := a.seen.after
	if len(a.open) >= maxOpen {
		after = math.MaxUint64 // timers alone
	}
	for n, at := range a.fires {
		if !now.Before(at) {
			delete(a.fires, n)
		}
	}
	limit := len(a.fires) + dueBatch
	due, next, err := a.l.w.o.Agenda.Due(ctx, a.l.fence, after, limit)
	if err != nil {
		a.trouble(ctx, err)
		a.look = now.Add(firstRetry * 5)
		return
	}
	a.l.w.tenures.looked(a.l, earliest(due, next))
	var timers []journal.Due
	ahead := false // the store's clock is, of that of the stamps: by this it is too early
	for i, asked := 0, a.l.w.o.Clock(); i < len(due); i++ {
		n := due[i].Command.Channel
		if due[i].Ticket != 0 {
			a.take(due[i])
		} else if due[i].At.After(asked) {
			ahead, next = true, earliest(due[i:i+1], next)
		} else if _, inHand := a.fires[n]; !inHand {
			a.fires[n] = now.Add(timerPatience)
			timers = append(timers, due[i])
		}
	}
	switch {
	case len(due) >= limit && !ahead:
		a.look = now
	case len(due) >= limit || !next.IsZero() && !next.After(now): // the store's clock is behind
		a.look = now.Add(minPause)
	case !next.IsZero() && next.Before(a.look):
		a.look = next
	}
	if len(timers) > 0 {
		select {
		case a.l.timers <- timers:
		case <-ctx.Done():
		}
	}
}

// earliest is the time of the first timer of a look at the agenda; zero: there is none.
func earliest(due []journal.Due, next time.Time) time.Time {
	for i := range due {
		if due[i].Ticket == 0 && (next.IsZero() || due[i].At.Before(next)) {
			next = due[i].At
		}
	}
	return next
}

// take puts a send on its road, once, or passes it over while its target has enough.
func (a *agent) take(d journal.Due) {
	t, to := &a.seen, d.Command.Channel
	t.after = max(t.after, d.Ticket)
	if _, known := a.open[d.Ticket]; known {
		return
	}
	if t.full[to] || t.held[to] >= maxHeld {
		t.full[to] = true
		if t.passed == 0 || d.Ticket < t.passed {
			t.passed = d.Ticket
		}
		return
	}
	t.held[to]++
	a.open[d.Ticket] = struct{}{}
	ln := lane{d.Source, d.Command.Channel}
	r := a.roads[ln]
	if r == nil {
		r = &road{}
		a.roads[ln] = r
	}
	r.due = append(r.due, d)
}

// drive asks the first send of each road that stands.
func (a *agent) drive(now time.Time) {
	for ln, r := range a.roads {
		if r.asked || now.Before(r.next) {
			continue
		}
		r.asked = true
		c := r.due[0].Command
		c.Age = 1 // an owner before may have asked it
		a.l.w.o.Desk.Ask(c, func(_ channel.Reply, err error) { a.tell(news{lane: ln, err: err}) })
	}
}

// due is when there is something to do without being told.
func (a *agent) due() time.Time {
	at := a.look
	for _, r := range a.roads {
		if !r.asked && r.next.Before(at) {
			at = r.next
		}
	}
	return at
}
