package hub

import "carillon/channel"

// fill merges a stretch of the log read from the journal; see Hub.Fill.
func (r *room) fill(base channel.Position, rs []channel.Record, back bool) Need {
	rs = chained(base, rs)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return NeedNone
	}
	before := r.ring.head()
	again := NeedNone
	void := r.fits(base, rs)
	if back && void == channel.GapNone {
		void = channel.GapDiverged
	}
	switch {
	case !r.filled:
		r.reset(base, rs)
		r.filled = true
	case void != channel.GapNone:
		r.reset(base, rs)
		again = r.forget()
		r.chain++
		r.void = void
		r.jumped = 0
		r.kick()
	case base.Offset > before.Offset:
		r.jumped = before.Offset + 1
		r.reset(base, rs)
	default:
		r.extend(base, rs)
	}
	r.doubt = false
	need := max(r.sweep(), again)
	r.trim()
	if r.ring.head() != before {
		r.kick()
	}
	return r.doubtful(need)
}

// chained is the part of rs that follows base without a break.
func chained(base channel.Position, rs []channel.Record) []channel.Record {
	for i := range rs {
		at := rs[i].At
		if at.Epoch != base.Epoch || at.Offset != base.Offset+1 || rs[i].Prev != base.Tag {
			return rs[:i]
		}
		base = at
	}
	return rs
}

// end is the position behind the last of rs.
func end(base channel.Position, rs []channel.Record) channel.Position {
	if len(rs) == 0 {
		return base
	}
	return rs[len(rs)-1].At
}

// fits tells why a stretch cannot be of the ring's own past: GapNone if it can. Where the two overlap or touch, both
// seams must carry the same tag. A stretch wholly below the ring proves nothing, for it may have been read long ago;
// only after a divergence was seen is it the journal that went back.
func (r *room) fits(base channel.Position, rs []channel.Record) channel.Gap {
	last := end(base, rs)
	switch {
	case !r.filled:
		return channel.GapNone
	case base.Epoch != r.ring.base.Epoch:
		return channel.GapEpoch
	case base.Offset > r.ring.offset():
		return channel.GapNone
	case last.Offset < r.ring.base.Offset:
		if r.doubt {
			return channel.GapDiverged
		}
		return channel.GapNone
	}
	for _, seam := range []uint64{max(base.Offset, r.ring.base.Offset), min(last.Offset, r.ring.offset())} {
		if tagIn(base, rs, seam) != r.ring.tag(seam) {
			return channel.GapDiverged
		}
	}
	return channel.GapNone
}

// tagIn is the tag after an offset that lies within base and rs.
func tagIn(base channel.Position, rs []channel.Record, offset uint64) uint64 {
	if offset == base.Offset {
		return base.Tag
	}
	return rs[offset-base.Offset-1].At.Tag
}

// reset begins the ring anew.
func (r *room) reset(base channel.Position, rs []channel.Record) {
	for r.ring.n > 0 {
		r.charge(-r.ring.shift())
	}
	r.ring = ring{base: base}
	r.muted = 0
	r.watched.Store(nil)
	if r.crowd != nil {
		for _, rn := range r.crowd.runs {
			if rn != nil {
				r.charge(-rn.clear())
			}
		}
	}
	r.extend(base, rs)
}

// extend adds what the ring lacks of a stretch that fits it: first in front, then, as far as the bounds allow, behind.
func (r *room) extend(base channel.Position, rs []channel.Record) {
	for i := range rs {
		if rs[i].At.Offset == r.ring.offset()+1 {
			r.push(&rs[i])
			r.trim()
		}
	}
	for i := len(rs) - 1; i >= 0; i-- {
		rec := &rs[i]
		if rec.At.Offset > r.ring.base.Offset {
			continue
		}
		e := newEntry(rec)
		if rec.At.Offset < r.ring.base.Offset || int(r.ring.n) >= r.most || r.ring.bytes+len(e.body) > r.heavy ||
			r.hub.used.Load()+e.cost() > r.hub.budget {
			return
		}
		r.ring.prepend(e, rec.Prev)
		r.charge(e.cost())
		if rec.NoEcho {
			r.muted = max(r.muted, rec.At.Offset)
		}
	}
}
