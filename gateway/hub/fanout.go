package hub

import "time"

// Bounds of fan-out.
const (
	maxStripe   = 4096             // cursors in one stripe
	quantum     = 128              // cursors woken before a stripe goes to the back of the queue
	quantumTime = time.Millisecond // or that long
	batch       = 16               // cursors copied out from under the lock at a time
)

// stripe is a part of a room's cursors, and the unit of queueing: the stripes of a large room are served side by side.
// All of it is guarded by the lock of the room. The left slots from next on, round the end, hold the cursors that are to
// be visited; cursors keep their order when they move, so that nobody is passed over.
type stripe struct {
	room   *room
	slots  []*Cursor // nil where one left
	free   []uint32  // empty slots
	next   uint32
	left   uint32
	queued bool
}

// seat gives a cursor its place in a stripe that has room.
func (w *crowd) seat(r *room, c *Cursor) {
	w.cursors++
	var s *stripe
	for i := len(w.stripes) - 1; i >= 0 && s == nil; i-- {
		if t := w.stripes[i]; len(t.slots)-len(t.free) < maxStripe {
			s = t
		}
	}
	if s == nil {
		s = &stripe{room: r}
		w.stripes = append(w.stripes, s)
	}
	c.stripe = s
	if n := len(s.free); n > 0 {
		c.slot = s.free[n-1]
		s.free = s.free[:n-1]
		s.slots[c.slot] = c
		return
	}
	n := uint32(len(s.slots))
	if s.next >= n {
		s.next = 0
	}
	if s.next+s.left > n {
		s.left++ // the slots still to be visited go round the end, which moves
	}
	c.slot = n
	s.slots = append(s.slots, c)
}

// leave frees the place of a cursor, and memory that a shrunken crowd no longer needs.
func (w *crowd) leave(c *Cursor) {
	w.cursors--
	s := c.stripe
	c.stripe = nil
	s.slots[c.slot] = nil
	s.free = append(s.free, c.slot)
	live := len(s.slots) - len(s.free)
	if live == 0 {
		s.slots, s.free, s.next, s.left = nil, nil, 0, 0
		w.drop(s)
		return
	}
	if len(s.slots) >= batch && live < len(s.slots)/4 {
		s.compact(live)
	}
}

func (w *crowd) drop(s *stripe) {
	for i, t := range w.stripes {
		if t == s {
			w.stripes = append(w.stripes[:i], w.stripes[i+1:]...)
			return
		}
	}
}

// compact moves the cursors together, those still to be visited first.
func (s *stripe) compact(live int) {
	slots := make([]*Cursor, 0, live)
	left := s.left
	for i := range uint32(len(s.slots)) {
		if i == left {
			s.left = uint32(len(slots))
		}
		if c := s.slots[(s.next+i)%uint32(len(s.slots))]; c != nil {
			c.slot = uint32(len(slots))
			slots = append(slots, c)
		}
	}
	if left == uint32(len(s.slots)) {
		s.left = uint32(len(slots))
	}
	s.slots, s.free, s.next = slots, nil, 0
}

// kick has all cursors of the room visited: at once, or when the batch window has passed.
func (r *room) kick() {
	w := r.crowd
	switch {
	case w == nil || w.timer != nil:
	case r.window <= 0:
		r.queueAll()
	case !r.hub.queue.isClosed():
		r.hub.timers.Add(1)
		w.timer = time.AfterFunc(r.window, func() { r.windowOver(w) })
	}
}

// windowOver queues the crowd that armed the timer; another one has its own.
func (r *room) windowOver(w *crowd) {
	defer r.hub.timers.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crowd == w && w.timer != nil {
		w.timer = nil
		r.queueAll()
	}
}

func (r *room) disarm() {
	if w := r.crowd; w != nil && w.timer != nil {
		if w.timer.Stop() {
			r.hub.timers.Done()
		}
		w.timer = nil
	}
}

func (r *room) queueAll() {
	for _, s := range r.crowd.stripes {
		s.left = uint32(len(s.slots))
		if !s.queued {
			s.queued = true
			r.hub.queue.push(job{stripe: s})
		}
	}
}

// copyOut takes the next cursors to be woken, those that are up to date left out; more says that some are left to visit.
func (s *stripe) copyOut(dst []*Cursor) (n int, more bool) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	for looked := 0; n < len(dst) && s.left > 0 && looked < quantum; looked++ {
		if s.next >= uint32(len(s.slots)) {
			s.next = 0
		}
		c := s.slots[s.next]
		s.next++
		s.left--
		if c != nil && !c.caughtUp() {
			dst[n] = c
			n++
		}
	}
	return n, s.left > 0
}

// pause ends a quantum: what is left to visit waits at the back of the queue.
func (s *stripe) pause() {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	s.queued = s.left > 0
	if s.queued {
		s.room.hub.queue.goOn(job{stripe: s})
	}
}

// work is a fan-out worker.
func (h *Hub) work() {
	for !h.serve() {
	}
}

// serve does jobs until the queue is closed, or until a connection panics: that one ends, and work begins anew.
func (h *Hub) serve() (closed bool) {
	var cursors [batch]*Cursor
	var j job
	defer func() { h.survive(recover(), j, &cursors) }()
	for {
		var yields, ok bool
		if j, yields, ok = h.queue.pop(); !ok {
			return true
		}
		switch {
		case j.stripe != nil:
			h.visit(j.stripe, yields, &cursors)
		case j.waker != nil:
			h.count.resumes.Add(1)
			j.waker.Resume()
		default:
			h.relieve()
		}
	}
}

// visit wakes cursors of a stripe for one quantum, or until somebody new comes if it yields to those.
func (h *Hub) visit(s *stripe, yields bool, cursors *[batch]*Cursor) {
	began := time.Now()
	for range quantum / batch {
		n, more := s.copyOut(cursors[:])
		near(cursors[:n])
		for i, c := range cursors[:n] {
			c.waker.Wake(c)
			cursors[i] = nil
		}
		h.count.wakes.Add(uint64(n))
		if !more || yields && h.queue.newcomers.Load() > 0 || time.Since(began) >= quantumTime {
			break
		}
	}
	s.pause()
}

// near has the connections' memory fetched. When thousands are woken most of it is not in the cache, and Wake would
// wait for one piece after the other: no load goes ahead of an atomic operation.
func near(cursors []*Cursor) (n uint32) {
	for _, c := range cursors {
		if w, ok := c.waker.(Nearby); ok {
			n += w.Near()
		}
	}
	return n
}
