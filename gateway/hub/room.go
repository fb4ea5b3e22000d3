package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"carillon/channel"
)

// room is a channel that this node serves. Its crowd exists only while it has cursors: most rooms are idle, and cheap.
type room struct {
	hub    *Hub
	name   channel.Name
	window time.Duration // batch window
	most   int           // records the ring keeps
	heavy  int           // bytes of bodies the ring keeps; at least one record stays whatever its size

	watched atomic.Pointer[watched] // nil: the way of no record is being measured

	mu     sync.Mutex
	ring   ring
	aside  *aside
	crowd  *crowd
	latest *latest // nil: no Latest records came yet
	cost   int64   // of this room in the budget
	muted  uint64  // offset of the newest record with NoEcho
	jumped uint64  // cursors below this offset lost what the log itself no longer had
	chain  uint32  // counts replacements of the ring
	void   channel.Gap
	filled bool
	doubt  bool // a Need of NeedDiverged was answered since the last Fill
	gone   bool
}

func newRoom(h *Hub, n channel.Name, p channel.Policy) *room {
	r := &room{hub: h, name: n, window: p.BatchWindow, most: p.Ring.Records, heavy: p.Ring.Bytes}
	if r.most <= 0 {
		r.most = maxRecords
	}
	if r.heavy <= 0 {
		r.heavy = maxBytes
	}
	r.most = min(r.most, maxRecords)
	return r
}

// Bounds of a ring whose policy names none.
const (
	maxRecords = 1 << 24
	maxBytes   = 1 << 30
)

// charge books bytes of this room in the budget of the node.
func (r *room) charge(n int64) {
	if n != 0 {
		r.cost += n
		r.hub.used.Add(n)
	}
}

// append takes in one record.
func (r *room) append(rec *channel.Record) Need {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.gone:
		return NeedNone
	case rec.Class == channel.Fleeting:
		if r.crowd != nil {
			r.pass(rec)
			r.kick()
		}
		return NeedNone
	case rec.Class == channel.Latest:
		return r.update(rec)
	case !r.filled:
		r.keep(rec)
		return NeedNone
	}
	need := NeedNone
	switch r.judge(rec) {
	case next:
		r.push(rec)
		r.watch(rec, rec.At.Offset)
		if need = r.holes(); need != NeedNone && r.aside.least <= rec.At.Offset+1 {
			need = r.sweep()
		}
		r.trim()
		r.kick()
	case early:
		r.keep(rec)
		need = NeedHole
	case stray:
		need = NeedDiverged
	}
	return r.doubtful(need)
}

// place is where a record belongs in relation to a ring.
type place uint8

const (
	known place = iota
	next
	early
	stray
)

// judge applies the one rule of continuity: a duplicate has epoch, offset and tag of a record the ring can show, the
// next one follows the head and names its tag; anything else is a hole or another past.
func (r *room) judge(rec *channel.Record) place {
	head := r.ring.offset()
	switch {
	case rec.At.Epoch != r.ring.base.Epoch:
		return stray
	case rec.At.Offset > head+1:
		return early
	case rec.At.Offset == head+1:
		if rec.Prev == r.ring.tag(head) {
			return next
		}
	case r.ring.has(rec.At.Offset):
		if rec.At.Tag == r.ring.tag(rec.At.Offset) {
			return known
		}
	}
	return stray
}

func (r *room) doubtful(need Need) Need {
	r.doubt = r.doubt || need == NeedDiverged
	return need
}

// push adds a record that judge called next. The caller trims.
func (r *room) push(rec *channel.Record) {
	e := newEntry(rec)
	r.ring.push(e)
	r.charge(e.cost())
	if rec.NoEcho {
		r.muted = rec.At.Offset
	}
}

// trim cuts the ring to its bounds, and below them while the node is over its budget and this room over its share.
func (r *room) trim() {
	for r.ring.n > 1 && (int(r.ring.n) > r.most || r.ring.bytes > r.heavy) {
		r.charge(-r.ring.shift())
	}
	cut := uint64(0)
	for r.ring.n > 1 && r.hub.over(r.cost) {
		r.charge(-r.ring.shift())
		cut++
		r.trimRuns()
	}
	if cut > 0 {
		r.hub.count.cut.Add(cut)
	}
	r.trimRuns()
}

func (r *room) trimRuns() {
	if r.crowd == nil {
		return
	}
	for _, rn := range r.crowd.runs {
		if rn != nil {
			r.charge(-rn.trim(r.ring.base.Offset))
		}
	}
}

// expect compares a head of the journal with the ring.
func (r *room) expect(at channel.Position) Need {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.gone:
		return NeedNone
	case !r.filled:
		return NeedHole
	case at.Epoch != r.ring.base.Epoch:
		return r.doubtful(NeedDiverged)
	case at.Offset > r.ring.offset():
		return NeedHole
	case !r.ring.has(at.Offset) || r.ring.tag(at.Offset) != at.Tag:
		return r.doubtful(NeedDiverged)
	}
	return NeedNone
}

// miss judges a position that a subscriber wants to follow.
func (r *room) miss(at channel.Position) channel.Gap {
	switch {
	case at.Epoch != r.ring.base.Epoch:
		return channel.GapEpoch
	case at.Offset > r.ring.offset():
		return channel.GapAhead
	case at.Offset < r.ring.base.Offset:
		return channel.GapTrimmed
	case at.Tag != r.ring.tag(at.Offset):
		return channel.GapDiverged
	}
	return channel.GapNone
}
