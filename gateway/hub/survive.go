package hub

// survive ends the connection that panicked while a worker was at a job, and has all of its stripe visited again: whom
// the worker had in hand was not woken. A panic of the hub's own is none it may survive.
func (h *Hub) survive(v any, j job, cursors *[batch]*Cursor) {
	if v == nil {
		return
	}
	culprit := j.waker
	for i, c := range cursors {
		if c != nil && culprit == nil {
			culprit = c.waker
		}
		cursors[i] = nil
	}
	if culprit == nil || h.broken == nil {
		panic(v)
	}
	h.broken(v, culprit)
	if s := j.stripe; s != nil {
		s.room.mu.Lock()
		s.left = uint32(len(s.slots))
		s.room.mu.Unlock()
		s.pause()
	}
}
