package hub

import (
	"time"

	"carillon/channel"
)

// crowd is what a room has only while it has cursors.
type crowd struct {
	cursors int
	runs    []*run // by format; nil where no cursor takes it
	side    *side  // nil until the first Fleeting record
	stripes []*stripe
	timer   *time.Timer // of the batch window, while it is armed
}

// attach makes a cursor; see Hub.Attach.
func (r *room) attach(from From, format int, origin uint64, w Waker) (*Cursor, Start, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone || !r.filled {
		return nil, Start{}, ErrPending
	}
	head := r.ring.head()
	at := head
	switch {
	case !from.After.IsZero():
		if gap := r.miss(from.After); gap != channel.GapNone {
			return nil, Start{}, &Miss{Gap: gap, Base: r.ring.base, Head: head}
		}
		at = from.After
	case from.Rewind > 0:
		at = r.ring.position(head.Offset - min(uint64(from.Rewind), uint64(r.ring.n)))
	}
	r.unwatch(at.Offset)
	if r.crowd == nil {
		r.crowd = &crowd{runs: make([]*run, len(r.hub.formats))}
	}
	rn := r.crowd.runs[format]
	if rn == nil {
		rn = &run{}
		r.crowd.runs[format] = rn
	}
	rn.cursors++
	c := &Cursor{room: r, waker: w, origin: origin, epoch: at.Epoch, at: at.Offset, tag: at.Tag, to: at.Offset, format: uint8(format), chain: r.chain}
	if s := r.crowd.side; s != nil {
		c.side = s.ring.offset()
	}
	if l := r.latest; l != nil {
		c.table = &reading{rev: l.rev, past: l.past}
		if l.live() > 0 || !from.After.IsZero() {
			c.table.past = noPast
		}
	}
	r.crowd.seat(r, c)
	r.hub.cursors.Add(1)
	return c, Start{At: at, Head: head}, nil
}

// detach takes a cursor out of the room; see Cursor.Detach.
func (r *room) detach(c *Cursor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.stripe == nil {
		return
	}
	r.crowd.leave(c)
	r.hub.cursors.Add(-1)
	rn := r.crowd.runs[c.format]
	if rn.cursors--; rn.cursors == 0 {
		r.charge(-rn.clear())
		r.crowd.runs[c.format] = nil
		if s := r.crowd.side; s != nil && s.runs[c.format] != nil {
			r.charge(-s.runs[c.format].clear())
			s.runs[c.format] = nil
		}
		r.unencode(int(c.format))
	}
	if r.crowd.cursors == 0 {
		r.disarm()
		if s := r.crowd.side; s != nil {
			r.charge(-s.clear())
		}
		r.watched.Store(nil)
		r.crowd = nil
	}
}

// encode and about make a room the source of its runs.
func (r *room) encode(dst []byte, format int, offset uint64) []byte {
	rec := r.hub.scratch.Get().(*channel.Record)
	r.ring.at(offset).show(rec)
	rec.Channel, rec.At, rec.Prev = r.name, r.ring.position(offset), r.ring.tag(offset-1)
	dst = r.hub.formats[format](dst, rec)
	rec.Body = nil
	r.hub.scratch.Put(rec)
	return dst
}

func (r *room) about(offset uint64) *entry { return r.ring.at(offset) }
