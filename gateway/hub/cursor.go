package hub

import (
	"sync/atomic"

	"carillon/channel"
)

// Cursor is a subscriber: a place in the ring of a channel. Ready and Wrote are called by whoever holds the write state
// of the connection, so never two at once; At and Detach may be called from anywhere.
//
// Its fields belong to the lock of the room, but for handed and skips, which are the holder's, and sent, by which Wrote
// says without the lock that all of it went out; whoever takes the lock next settles that. Between Ready and Wrote nobody
// else changes at, to, side and typed.
type Cursor struct {
	room   *room
	waker  Waker
	origin uint64
	stripe *stripe // nil after Detach
	slot   uint32  // in the stripe
	chain  uint32  // room.chain when it last stood in the ring

	epoch, at, tag uint64   // everything up to at went out
	to             uint64   // everything up to to was handed out by the last Ready
	seg            *segment // where what was handed out begins
	side           uint64   // the same as at for Fleeting records
	sideSeg        *segment
	table          *reading // the same for Latest records; nil: there were none
	handed         uint32   // bytes handed out by the last Ready
	sideHanded     uint32   // of those, Fleeting
	format         uint8
	typed          uint8 // Fleeting records after side that were handed out, or passed over, by the last Ready
	skips          bool  // the last Ready passed over records, so that the offsets do not tell how many it handed out
	sent           atomic.Bool
}

// Ready appends to dst what the cursor is due: whole framed records, shared by all who read them and never to be
// changed, up to about budget bytes but at least one record. More says that there is more. It encodes at most 64 KiB.
// What was handed out before and not reported to Wrote is handed out again. With a Loss there are no bytes: the cursor
// has moved, and the next Ready goes on from Loss.At. Fleeting records come only behind all Logged ones. The table of
// Latest records comes before all, whole and whatever the budget; of its changes only the newest of each entry.
func (c *Cursor) Ready(dst [][]byte, budget int) (bufs [][]byte, more bool, loss Loss) {
	c.room.mu.Lock()
	defer c.room.mu.Unlock() // deferred: where an Encode panics, the room must not stay locked for all others
	return c.next(dst, min(max(budget, 0), maxHanded))
}

// maxHanded is the most that one Ready hands out, in bytes.
const maxHanded = 1 << 30

func (c *Cursor) next(dst [][]byte, left int) (bufs [][]byte, more bool, loss Loss) {
	r := c.room
	c.settle()
	c.handed, c.sideHanded, c.skips = 0, 0, false
	c.to, c.typed = c.at, 0
	c.seg, c.sideSeg = nil, nil
	if c.table != nil {
		c.table.drop()
	}
	if c.stripe == nil {
		return dst, false, Loss{}
	}
	if c.chain != r.chain || c.at < r.ring.base.Offset {
		loss = c.fall()
		return dst, !c.caughtUp(), loss
	}
	head := r.ring.offset()
	if busy := c.at < head || c.pendingSide(); r.latest != nil && c.tableTurn(busy) {
		dst, more = c.gatherTable(dst, left)
		return dst, more || busy, Loss{}
	}
	if c.at < head && left > 0 {
		dst = c.gatherLogged(dst, head, left)
		left -= int(c.handed)
	}
	if s := r.crowd.side; s != nil && s.ring.offset() != c.side {
		dst = c.gatherSide(dst, s, left, c.to == head)
	}
	return dst, c.to < head || c.pendingSide() || c.tableDue(), Loss{}
}

// gatherLogged adds Logged records. Most cursors are close behind the head and take the end of the newest segment.
func (c *Cursor) gatherLogged(dst [][]byte, head uint64, left int) [][]byte {
	r := c.room
	rn := r.crowd.runs[c.format]
	if n := len(rn.segs); n > 0 && r.muted <= c.at {
		s := rn.segs[n-1]
		if s.first <= c.at+1 && s.last() == head {
			if begin := s.end(c.at); len(s.bytes)-begin <= left {
				c.to, c.seg, c.handed = head, s, uint32(len(s.bytes)-begin)
				return append(dst, s.bytes[begin:len(s.bytes):len(s.bytes)])
			}
		}
	}
	t := take{rn: rn, src: r, c: c, from: c.at, last: head, left: left, mutes: r.muted > c.at}
	dst = t.gather(dst)
	c.to, c.seg, c.handed = t.to, t.seg, uint32(t.bytes)
	if t.bytes == 0 && t.to > c.at {
		c.moveTo(t.to, t.tag)
	}
	return dst
}

// gatherSide adds Fleeting records if the cursor is at the head of the log, and skips them if it is not.
func (c *Cursor) gatherSide(dst [][]byte, s *side, left int, atHead bool) [][]byte {
	due := c.side
	c.side = s.ring.offset()
	if atHead {
		c.side = s.fresh(due)
	}
	c.room.hub.count.fleeting.Add(c.side - due)
	if c.side == s.ring.offset() || left <= 0 {
		return dst
	}
	if s.runs[c.format] == nil {
		s.runs[c.format] = &run{}
	}
	t := take{rn: s.runs[c.format], src: s, c: c, from: c.side, last: s.ring.offset(), left: left, mutes: true}
	dst = t.gather(dst)
	c.typed, c.sideSeg, c.sideHanded = uint8(t.to-c.side), t.seg, uint32(t.bytes)
	c.handed += uint32(t.bytes)
	if t.bytes == 0 {
		c.side, c.typed = t.to, 0
	}
	return dst
}

// fall moves a cursor whose place is gone and says what it lost.
func (c *Cursor) fall() Loss {
	r := c.room
	r.hub.count.losses.Add(1)
	at, loss := r.ring.head(), Loss{From: c.at + 1, Reason: channel.GapSlow}
	switch {
	case c.chain != r.chain:
		loss.From, loss.Reason = 1, r.void
	case c.at < r.jumped:
		at, loss.Reason = r.ring.base, channel.GapTrimmed
	}
	loss.To, loss.At = at.Offset, at
	c.epoch, c.chain = at.Epoch, r.chain
	if r.latest != nil {
		c.follow().past = noPast
	}
	c.moveTo(at.Offset, at.Tag)
	return loss
}

func (c *Cursor) moveTo(offset, tag uint64) { c.at, c.to, c.tag = offset, offset, tag }

func (c *Cursor) pendingSide() bool {
	s := c.room.crowd.side
	return s != nil && c.sideTo() < s.ring.offset()
}

// sideTo is up to where Fleeting records were handed out.
func (c *Cursor) sideTo() uint64 { return c.side + uint64(c.typed) }

// caughtUp tells that a visit would be in vain.
func (c *Cursor) caughtUp() bool {
	c.settle()
	r := c.room
	return c.at == r.ring.offset() && c.chain == r.chain && (r.crowd.side == nil || c.side == r.crowd.side.ring.offset()) && !c.tableDue()
}

// Wrote reports that the first n bytes handed out by the last Ready went out. If that ends within a record, the record
// counts as sent, and cut is a copy of its other part, which the caller must send before anything else. Records of which
// nothing went out are handed out again. It is to be called after Detach too, if bytes were under way.
func (c *Cursor) Wrote(n int) (cut []byte) {
	if c.table != nil && len(c.table.pieces) > 0 {
		return c.wroteTable(n)
	}
	if n == int(c.handed) && !c.skips {
		if w := c.room.watched.Load(); w != nil {
			c.first(w, c.to, c.sideTo())
		}
		c.went(c.to-c.at, uint64(c.typed))
		c.sent.Store(true)
		return nil
	}
	return c.wroteSome(n)
}

// wroteSome is Wrote where it takes a look at each record.
func (c *Cursor) wroteSome(n int) (cut []byte) {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	w := walk{seg: c.seg, origin: c.origin, at: c.at, to: c.to, tag: c.tag}
	side := walk{seg: c.sideSeg, origin: c.origin, at: c.side, to: c.sideTo()}
	logged := int(c.handed - c.sideHanded)
	cut = w.part(min(n, logged))
	if n >= logged {
		cut = side.part(n - logged)
	}
	if watched := c.room.watched.Load(); watched != nil {
		c.first(watched, w.at, side.at)
	}
	c.went(w.passed, side.passed)
	c.at, c.tag, c.side = w.at, w.tag, side.at
	c.to, c.typed = c.at, 0
	c.seg, c.sideSeg = nil, nil
	return cut
}

// settle moves the cursor behind what went out.
func (c *Cursor) settle() {
	if !c.sent.Load() {
		return
	}
	c.sent.Store(false)
	w := walk{seg: c.seg, at: c.at, to: c.to, tag: c.tag}
	w.all()
	c.at, c.tag, c.side, c.typed = w.at, w.tag, c.sideTo(), 0
	c.seg, c.sideSeg = nil, nil
}

// At is where the cursor stands: everything up to there went out.
func (c *Cursor) At() channel.Position {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	c.settle()
	return channel.Position{Epoch: c.epoch, Offset: c.at, Tag: c.tag}
}

// Detach ends the subscription: Ready gives nothing any more. It may be called twice.
func (c *Cursor) Detach() { c.room.detach(c) }
