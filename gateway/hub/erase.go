package hub

import "carillon/channel"

// Erase takes the bodies out of records that the ring still holds, and forgets what was encoded of it: whoever has not
// been handed them yet gets them empty, as history has them now.
func (h *Hub) Erase(n channel.Name, offsets []uint64) {
	r := h.room(n)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return
	}
	erased := false
	for _, offset := range offsets {
		if offset <= r.ring.base.Offset || offset > r.ring.offset() {
			continue
		}
		e := r.ring.at(offset)
		r.charge(-int64(len(e.body)))
		r.ring.bytes -= len(e.body)
		e.body = nil
		erased = true
	}
	if !erased || r.crowd == nil {
		return
	}
	for _, rn := range r.crowd.runs {
		if rn != nil {
			r.charge(-rn.clear())
		}
	}
}

// Forget empties the ring, where nobody can tell which of its records were erased. Cursors that are not at the head are
// told a Loss.
func (h *Hub) Forget(n channel.Name) {
	r := h.room(n)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.gone && r.ring.n > 0 {
		r.charge(-r.ring.shift())
	}
	r.trimRuns()
	r.ring.fit(r.ring.n)
}
