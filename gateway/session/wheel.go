package session

import (
	"sync"
	"time"
)

// The wheel's geometry: deadlines are met within one tick; those beyond a turn are looked at once a turn.
const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = 512
	stallAfter = 2 * time.Second // a tick that comes this late means that the machine stood still
)

// timed is something with a deadline on the wheel. Due is called from the wheel's goroutine with no lock held; it must
// not block and returns the next deadline, or the zero time for none. Where it panics, broke is called instead.
type timed interface {
	due(now time.Time) time.Time
	broke(v any)
}

// spoke is a place on the wheel; it is embedded by value in what it times.
type spoke struct {
	prev, next *spoke
	what       timed
	firing     bool  // due is running: the wheel decides where it goes next
	at         int64 // deadline, Unix nanoseconds
}

// wheel is one timer for all connections: a hashed timing wheel. One goroutine turns it.
type wheel struct {
	mu      sync.Mutex
	slots   [wheelSlots]spoke // list heads
	turned  int64             // index of the last tick that was handled
	stalled time.Time         // when the machine last came back from standing still
	stop    chan struct{}
	done    sync.WaitGroup
}

func newWheel() *wheel {
	w := &wheel{turned: time.Now().UnixNano() / int64(wheelTick), stop: make(chan struct{})}
	for i := range w.slots {
		h := &w.slots[i]
		h.prev, h.next = h, h
	}
	w.done.Go(w.turn)
	return w
}

// Close stops the wheel and waits for it. Nothing is due afterwards.
func (w *wheel) Close() {
	close(w.stop)
	w.done.Wait()
}

// set gives s a deadline; an earlier one of the same spoke is replaced.
func (w *wheel) set(s *spoke, what timed, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.what = what
	w.place(s, at.UnixNano())
}

// soon moves the deadline of s forward to at, if it has a later one or none.
func (w *wheel) soon(s *spoke, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ns := at.UnixNano(); s.what != nil && (s.at == 0 || ns < s.at) {
		w.place(s, ns)
	}
}

// remove takes s off for good. A call of due that is under way goes on.
func (w *wheel) remove(s *spoke) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(s)
	s.what, s.at = nil, 0
}

func (w *wheel) place(s *spoke, at int64) {
	w.unlink(s)
	s.at = at
	if s.firing {
		return
	}
	tick := max(at/int64(wheelTick)+1, w.turned+1)
	h := &w.slots[tick%wheelSlots]
	s.prev, s.next = h.prev, h
	s.prev.next, s.next.prev = s, s
}

func (w *wheel) unlink(s *spoke) {
	if s.next != nil {
		s.prev.next, s.next.prev = s.next, s.prev
		s.prev, s.next = nil, nil
	}
}

// lastStall is when the machine last came back from standing still: what happened before is no fault of a client.
func (w *wheel) lastStall() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stalled
}

func (w *wheel) turn() {
	ticker := time.NewTicker(wheelTick)
	defer ticker.Stop()
	var batch []*spoke
	last := time.Now()
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		if now.Sub(last) > stallAfter {
			w.mu.Lock()
			w.stalled = now
			w.mu.Unlock()
		}
		last = now
		batch = w.collect(now, batch[:0])
		for _, s := range batch {
			w.fire(s, now)
		}
		clear(batch)
	}
}

// collect takes what is due by now off the wheel.
func (w *wheel) collect(now time.Time, batch []*spoke) []*spoke {
	w.mu.Lock()
	defer w.mu.Unlock()
	ns := now.UnixNano()
	until := ns / int64(wheelTick)
	from := max(w.turned+1, until-wheelSlots+1)
	for tick := from; tick <= until; tick++ {
		h := &w.slots[tick%wheelSlots]
		for s := h.next; s != h; {
			next := s.next
			if s.at <= ns {
				w.unlink(s)
				s.firing = true
				batch = append(batch, s)
			}
			s = next
		}
	}
	w.turned = max(w.turned, until)
	return batch
}

// guarded keeps a panic at the one conversation that it is of.
func guarded(what timed, now time.Time) (next time.Time) {
	defer func() {
		if v := recover(); v != nil {
			what.broke(v)
		}
	}()
	return what.due(now)
}

// fire calls due and puts the spoke back at the earlier of what due says and what was asked for meanwhile.
func (w *wheel) fire(s *spoke, now time.Time) {
	w.mu.Lock()
	what := s.what
	s.at = 0
	w.mu.Unlock()
	var next time.Time
	if what != nil {
		next = guarded(what, now)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.firing = false
	if s.what == nil {
		return
	}
	at := s.at
	if !next.IsZero() && (at == 0 || next.UnixNano() < at) {
		at = next.UnixNano()
	}
	if at != 0 {
		w.place(s, at)
	}
}
