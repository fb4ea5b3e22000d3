package client

import (
	"carillon/channel"
	"carillon/wire"
)

// Bounds of what is held while history is read.
const (
	holdRecords = 1000
	holdBytes   = 1 << 20 // of bodies
	pageRecords = 500     // asked for at a time
)

// fill is the reading of history to close a gap.
type fill struct {
	goal  Position    // up to where; zero while catching up
	why   channel.Gap // what the server called it
	fresh bool        // the log is a new one: begin with the oldest record, not at pos
	asked bool        // a page is under way, or due later
	held  []Record    // live ones, which continue goal
	bytes int         // of held
}

// historyCall is a page under way.
type historyCall struct {
	f    *follow
	turn uint64
}

// gapTold takes the server's word that it skipped records.
func (f *follow) gapTold(g wire.Gap, at Position) {
	switch {
	case !f.subscribed():
	case f.stance == filling && at.Epoch == f.fill.goal.Epoch && !voids(g.Reason):
		// What is held lies before at, and will be read again.
		f.fill.goal = at
		f.fill.held, f.fill.bytes = nil, 0
		f.page()
	case f.s.full():
		f.park() // and hear of it again, when the reader is ready for it
	default:
		f.gap(g, at)
	}
}

// voids tells gaps that no page of history can fill.
func voids(r channel.Gap) bool {
	return r == channel.GapEpoch || r == channel.GapDiverged || r == channel.GapAhead
}

// gap goes on from at, behind a gap: history fills it as far as it can, and for the rest a Gap is raised.
func (f *follow) gap(g wire.Gap, at Position) {
	switch {
	case at.IsZero():
		f.raise(Gap{From: g.From, To: g.To, Reason: g.Reason, At: f.pos})
		f.goLive()
	case g.Reason == channel.GapEpoch || at.Epoch != f.pos.Epoch:
		if f.told != at.Epoch || f.pos.Epoch == at.Epoch {
			from := f.pos // to resume from there means to hear of the new log again, from its start
			if at.Offset == 0 {
				from = at
			}
			f.raise(Gap{Reason: channel.GapEpoch, At: from})
			f.told = at.Epoch
		}
		f.begin(fill{goal: at, why: channel.GapTrimmed, fresh: true})
	case voids(g.Reason) || at.Offset < f.pos.Offset || at.Offset == f.pos.Offset && at != f.pos:
		if !voids(g.Reason) {
			g.Reason = channel.GapDiverged
		}
		f.raise(Gap{Reason: g.Reason, At: at})
		f.pos = at
		f.goLive()
	default:
		f.begin(fill{goal: at, why: g.Reason})
	}
}

// raise hands over a Gap.
func (f *follow) raise(g Gap) { f.s.push(Event{Gap: &g}) }

func (f *follow) begin(x fill) {
	f.turnTo(filling)
	f.fill = x
	switch {
	case f.blind:
		f.giveUp()
	case !x.fresh && f.pos.Offset >= x.goal.Offset, x.fresh && x.goal.Offset == 0:
		f.filled()
	default:
		f.page()
	}
}

// hold keeps a live record until the gap before it is filled. When too many come, they are dropped, and read from
// history too: the channel is left until that is done.
func (f *follow) hold(r Record) {
	x := &f.fill
	if len(x.held) < holdRecords && x.bytes+len(r.Body) <= holdBytes {
		x.held = append(x.held, r)
		x.bytes += len(r.Body)
		return
	}
	f.leave()
	f.stance = catching
	x.goal, x.held, x.bytes = Position{}, nil, 0
	f.page()
}

// page asks for the next page, once the reader has room for it.
func (f *follow) page() {
	if f.fill.asked || !f.s.queue.below(f.s.o.BufferRecords/4, f.s.o.BufferBytes/4) {
		return
	}
	f.fill.asked = true
	r := request(wire.ReqHistory, f.s.name)
	r.Limit = min(pageRecords, f.s.o.BufferRecords)
	if !f.fill.fresh {
		r.At = f.pos
	}
	f.s.c.control(r, &historyCall{f, f.turn})
}

// answered takes a page.
func (k *historyCall) answered(m *wire.Message) {
	f := k.f
	if f.turn != k.turn {
		return
	}
	f.fill.asked = false
	switch {
	case m.Type == wire.MsgReply:
		f.paged(m)
	case m.Retry && f.tries < maxTries:
		f.pageLater(m)
	default:
		f.giveUp()
	}
}

// pageLater asks again after a pause.
func (f *follow) pageLater(m *wire.Message) {
	f.tries++
	f.fill.asked = true
	turn := f.turn
	f.s.c.after(f.s.c.retryWait(f.tries, m.RetryAfter), func() {
		if f.turn == turn {
			f.fill.asked = false
			f.page()
		}
	})
}

// paged hands a page over.
func (f *follow) paged(m *wire.Message) {
	x := &f.fill
	base := m.Page.Before
	if voids(m.Gap.Reason) || f.stance == filling && base.Epoch != x.goal.Epoch || !x.fresh && base.Epoch != f.pos.Epoch {
		f.resync()
		return
	}
	before := f.pos
	f.skipTo(base, m.Gap.Reason == channel.GapTrimmed)
	for _, r := range m.Page.Records {
		if f.stance == filling && r.At.Offset > x.goal.Offset {
			break
		}
		switch f.judge(r) {
		case handed:
			f.hand(r)
		case doubted:
			f.resync()
			return
		}
	}
	f.turnPage(m, f.pos == before)
}

// turnPage goes on after a page; stuck says that it brought nothing. Only a page that was read when the log had reached
// the goal tells that the rest is not to be had: an earlier one may have crossed with word of a later gap.
func (f *follow) turnPage(m *wire.Message, stuck bool) {
	x := &f.fill
	switch {
	case f.stance == filling && f.pos.Offset >= x.goal.Offset:
		f.filled()
	case f.stance == catching && !m.Page.More:
		f.ask()
	case !m.Page.More && m.Page.Head.Offset >= x.goal.Offset, stuck && f.tries >= maxTries:
		f.giveUp()
	case stuck:
		f.pageLater(m)
	default:
		f.page()
	}
}

// skipTo raises a Gap for what lies between pos and the first record that history has, and moves behind it.
func (f *follow) skipTo(base Position, trimmed bool) {
	x := &f.fill
	if !x.fresh && !trimmed {
		return
	}
	if f.stance == filling && base.Offset > x.goal.Offset {
		base = x.goal
	}
	first := f.pos.Offset + 1
	if x.fresh {
		first = 1
	}
	if base.Offset >= first {
		f.raise(Gap{From: first, To: base.Offset, Reason: channel.GapTrimmed, At: base})
	}
	f.pos, x.fresh = base, false
}

// filled hands over what was held, and goes on live.
func (f *follow) filled() {
	x := f.fill
	if f.pos != x.goal && f.pos.Offset == x.goal.Offset && f.pos.Epoch == x.goal.Epoch {
		f.resync() // history and the live log have another past
		return
	}
	if x.fresh {
		f.pos = x.goal
	}
	f.tries = 0
	f.goLive()
	for _, r := range x.held {
		if f.record(r); f.stance != live {
			return
		}
	}
}

// giveUp raises a Gap for what history did not give, and goes on behind it.
func (f *follow) giveUp() {
	x := &f.fill
	if f.stance == catching {
		f.blind = true
		f.ask()
		return
	}
	first := f.pos.Offset + 1
	if x.fresh {
		first = 1
	}
	if first <= x.goal.Offset {
		f.raise(Gap{From: first, To: x.goal.Offset, Reason: x.why, At: x.goal})
	} else if f.pos != x.goal {
		f.raise(Gap{Reason: channel.GapDiverged, At: x.goal})
	}
	f.pos, x.fresh = x.goal, false
	f.filled()
}
