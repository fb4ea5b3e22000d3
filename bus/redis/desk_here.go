package redis

import (
	"cmp"
	"slices"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// A shard that this very desk has needs no Redis: what is asked here is handed to its owner as it is. Commands go that way
// when they come for the first time, and while none of this desk's own for their channel is in the stream, which they could
// overtake. Resends go through the stream, where their attempts are counted even if each of them ends a process.

// serve has the asks of a route go to an owner here.
func (r *route) serve(h *holding, shards int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.here == nil {
		r.here = make(map[int]*holding)
	}
	r.here[h.number], r.shards = h, shards
}

// hand gives an ask to its owner here; false: it has to go through Redis. r.mu is held.
func (r *route) hand(a *ask) (taken bool, err error) {
	if len(r.here) == 0 || len(r.parked) > 0 {
		return false, nil
	}
	h := r.here[a.command.Channel.Shard(r.shards)]
	if h == nil || r.d.asks.anyFar(a.command.Channel) {
		return false, nil
	}
	return h.hand(a)
}

// retire ends serve, when the owner's run has ended: what he was not handed, or did not answer, goes through the stream, in order
// and before what comes later. Of what has no id and was handed out nobody can tell what became of it.
func (r *route) retire(h *holding) {
	r.mu.Lock()
	if r.here[h.number] == h {
		delete(r.here, h.number)
	}
	left, lost := h.shut()
	var start *lane
	look := false
	switch {
	case len(left) == 0:
	case len(r.lanes) != r.shards:
		r.parked = append(left, r.parked...)
		look = !r.looking
		r.looking = true
	default:
		for _, a := range left {
			r.d.asks.goesFar(a)
		}
		l := r.lanes[h.number]
		if l.queue = append(left, l.queue...); !l.busy {
			l.busy, start = true, l
		}
	}
	r.mu.Unlock()
	r.d.fail(lost, bus.ErrUnanswered)
	if look {
		r.d.begin(r.look)
	}
	if start != nil {
		r.d.begin(start.drain)
	}
}

// hand queues an ask for the owner. A resend comes this way only behind others of its channel, and so does all that comes when the
// run is about to end.
func (h *holding) hand(a *ask) (taken bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := a.command.Channel
	switch {
	case h.shutDown || (h.leaving || a.command.Age > 0) && h.near[n] == 0:
		return false, nil
	case len(h.here) >= MaxCommands:
		return true, bus.ErrBusy
	}
	h.here = append(h.here, a)
	h.near[n]++
	ring(h.bell)
	return true, nil
}

// leave notes that the run is about to end.
func (h *holding) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaving = true
}

// takeHere gives the owner what was asked here, at most max.
func (h *holding) takeHere(max int) []bus.Asked {
	h.mu.Lock()
	some := h.here[:min(max, len(h.here))]
	if h.here = h.here[len(some):]; len(h.here) == 0 {
		h.here = nil
	}
	h.mu.Unlock()
	if len(some) == 0 {
		return nil
	}
	live := h.d.asks.sending(slices.Clone(some)) // in the same order
	as, now := make([]bus.Asked, 0, len(some)), time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range some {
		if len(as) == len(live) || live[len(as)] != a { // its time is over
			h.settled(a)
			continue
		}
		h.last++
		h.tickets[h.last] = given{here: a}
		asked := bus.Asked{Ticket: h.last, Attempt: 1 + a.tries, Command: a.command}
		asked.Command.Waited += now.Sub(a.since)
		as = append(as, asked)
	}
	return as
}

// settled forgets an ask that is not waited for any more; h.mu is held.
func (h *holding) settled(a *ask) {
	n := a.command.Channel
	if h.near[n]--; h.near[n] == 0 {
		delete(h.near, n)
	}
}

// shut ends hand. left are the asks without an answer, in order; the lost ones were handed out and have no id.
func (h *holding) shut() (left, lost []*ask) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shutDown = true
	for ticket, g := range h.tickets {
		switch {
		case g.here == nil:
			continue
		case g.here.command.ID == "":
			lost = append(lost, g.here)
		default:
			g.here.tries++
			left = append(left, g.here)
		}
		delete(h.tickets, ticket)
	}
	slices.SortFunc(left, func(a, b *ask) int { return cmp.Compare(a.number, b.number) })
	left = append(left, h.here...)
	h.here = nil
	clear(h.near)
	return left, lost
}

// reply is an answer that needs no line.
type reply struct {
	ask   uint64
	reply channel.Reply
	err   error
}

// answer gives them to those who asked.
func (d *Desk) answer(rs []reply) {
	for i := range rs {
		d.asks.end(rs[i].ask, rs[i].reply, rs[i].err)
	}
}
