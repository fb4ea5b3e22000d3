package client

import (
	"context"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// stance is where a subscription stands with the server.
type stance uint8

const (
	away     stance = iota // not subscribed: there is no line, or the next attempt is due later
	asked                  // subscribe was sent
	live                   // records are handed over as they come
	filling                // they are held, while history is read up to where they began
	catching               // not subscribed: history is read to its end, then subscribe
	parked                 // not subscribed: the reader has enough
	over
)

// follow is the way of a subscription through the log. pos moves only with what is handed over, so that whatever
// happens to the line, to ask again from pos is right. All of it is guarded by Client.mu.
type follow struct {
	s      *Subscription
	stance stance
	turn   uint64   // changes when answers under way are no longer wanted
	pos    Position // behind the last record handed over
	fill   fill
	told   uint64 // epoch of which a Gap was raised, while none of its records came yet
	asks   int    // subscribes in a row that were refused for the moment
	tries  int    // pages in a row that were refused or did not fit, without progress
	doubts int    // records in a row that do not continue pos
	blind  bool   // history is of no help this time
}

// subscribeCall is a subscribe under way.
type subscribeCall struct {
	f    *follow
	turn uint64
}

func (f *follow) subscribed() bool { return f.stance == live || f.stance == filling }

func (f *follow) turnTo(st stance) {
	f.stance = st
	f.turn++
	f.fill = fill{}
}

func (f *follow) lineUp() {
	if f.stance == away {
		f.ask()
	}
}

// lineDown forgets what belongs to the line. A parked reader stays parked.
func (f *follow) lineDown() {
	f.blind = false
	if f.stance != parked {
		f.turnTo(away)
	}
}

func (f *follow) stop() { f.turnTo(over) }

// ask subscribes from pos.
func (f *follow) ask() {
	f.turnTo(away)
	if f.s.c.line == nil {
		return
	}
	f.stance = asked
	r := request(wire.ReqSubscribe, f.s.name)
	r.At = f.pos
	if f.pos.IsZero() {
		r.Rewind = f.s.o.Rewind
	}
	if f.s.o.Token != nil {
		f.fetch(r)
		return
	}
	f.s.c.control(r, &subscribeCall{f, f.turn})
}

// fetch subscribes with a fresh token, unless things are different by the time it is there.
func (f *follow) fetch(r wire.Request) {
	c, turn := f.s.c, f.turn
	if c.ctx.Err() != nil {
		return
	}
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, refreshWait)
		defer cancel()
		token, err := f.s.o.Token(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case f.turn != turn:
		case err != nil:
			f.askLater(0)
		default:
			r.Token = token
			c.control(r, &subscribeCall{f, turn})
		}
	})
}

// askLater subscribes after a pause.
func (f *follow) askLater(advised time.Duration) {
	f.asks++
	f.pause(f.s.c.retryWait(f.asks, advised))
}

func (f *follow) pause(d time.Duration) {
	f.turnTo(away)
	turn := f.turn
	f.s.c.after(d, func() {
		if f.turn == turn {
			f.ask()
		}
	})
}

// leave unsubscribes where the server has the subscription, or will have it in a moment.
func (f *follow) leave() {
	if f.subscribed() || f.stance == asked {
		f.s.c.control(request(wire.ReqUnsubscribe, f.s.name), nobody{})
	}
}

// park leaves the channel until the reader has read most of what waits.
func (f *follow) park() {
	f.leave()
	f.turnTo(parked)
}

// drained hears that most of what waited was read.
func (f *follow) drained() {
	switch f.stance {
	case parked:
		f.ask()
	case filling, catching:
		f.page()
	}
}

// resync leaves and asks again from pos, because server and client disagree on where pos lies: the answer tells.
// A disagreement that lasts is paced, and in the end history is believed no longer.
func (f *follow) resync() {
	f.leave()
	f.tries++
	if f.tries > maxTries {
		f.blind = true
	}
	if f.tries == 1 {
		f.ask()
		return
	}
	f.pause(f.s.c.retryWait(f.tries-1, 0))
}

// maxTries is how often in a row history is asked in vain before its records count as missing.
const maxTries = 8

// answered takes the reply to subscribe.
func (k *subscribeCall) answered(m *wire.Message) {
	f := k.f
	switch {
	case f.turn != k.turn:
	case m.Type == wire.MsgError && m.Retry:
		f.askLater(m.RetryAfter)
	case m.Type == wire.MsgError:
		f.s.end(answerError(m))
	default:
		f.attached(m)
		f.s.started()
	}
}

// attached goes on from where the server begins.
func (f *follow) attached(m *wire.Message) {
	f.asks = 0
	fresh := f.pos.IsZero()
	if fresh {
		f.pos = m.At
	}
	lost := m.Gap.Reason != channel.GapNone || m.HasRecovered && !m.Recovered
	if fresh || !lost {
		f.goLive()
		return
	}
	f.s.values.replace(f.s.name, nil) // what there is follows
	f.s.signal()
	f.gap(m.Gap, m.At)
}

func (f *follow) goLive() {
	f.turnTo(live)
	f.blind = false
}

// record takes a Logged record.
func (f *follow) record(r Record) {
	switch f.stance {
	case live:
		switch f.accept(r) {
		case doubted:
			f.doubt(r)
		case tooMuch:
			f.park()
		}
	case filling:
		f.hold(r)
	}
}

// verdict says what became of a record.
type verdict uint8

const (
	handed verdict = iota
	known
	doubted
	tooMuch
)

// accept hands a record over if it is new, continues pos as far as can be told, and there is room.
func (f *follow) accept(r Record) verdict {
	switch v := f.judge(r); {
	case v != handed:
		return v
	case f.s.full():
		return tooMuch
	}
	f.hand(r)
	return handed
}

// judge compares a record with pos. Holes prove nothing: a record may be kept from this connection (NoEcho).
func (f *follow) judge(r Record) verdict {
	p := f.pos
	switch {
	case p.IsZero():
		return handed
	case r.At.Epoch != p.Epoch:
		return doubted
	case r.At.Offset < p.Offset, r.At == p:
		return known
	case r.At.Offset == p.Offset:
		return doubted
	case r.At.Offset == p.Offset+1 && len(r.Body) > 0 && p.Next(r.Body) != r.At:
		return doubted
	}
	return handed
}

func (f *follow) hand(r Record) {
	f.pos = r.At
	f.tries, f.doubts = 0, 0
	f.told = 0
	f.s.push(Event{Record: r})
}

// doubt deals with a record that does not continue what was handed over: the server is asked to judge pos. If it vouches
// for pos and then sends such a record again, the break is in the log itself, and is said.
func (f *follow) doubt(r Record) {
	f.doubts++
	if f.doubts < 2 {
		f.resync()
		return
	}
	if f.s.full() {
		f.park()
		return
	}
	f.raise(Gap{Reason: channel.GapDiverged, At: f.pos})
	f.hand(r)
}
