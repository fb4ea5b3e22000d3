package journal

import (
	"sync"
	"time"
)

// leap is how far the machine's clock must be ahead of the time that passed to have been set, or to have slept.
const leap = 100 * time.Millisecond

// Steady is a Clock that begins with the machine's and goes on by the time that passes. Where the machine's clock is set
// back, it goes on as before until the process ends; where that is set ahead, or the machine slept, it follows and tells
// jumped of the moments between which nothing was done. It must not ask the clock itself, and may be nil.
func Steady(jumped func(from, to time.Time)) Clock {
	began := time.Now()
	s := &steady{at: began.Round(0), jumped: jumped, read: func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(began)
	}}
	return s.now
}

// steady tells the machine's clock, which anybody can set, from the time that passes.
type steady struct {
	read   func() (wall time.Time, passed time.Duration)
	jumped func(from, to time.Time)

	mu     sync.Mutex
	at     time.Time     // what was shown last
	passed time.Duration // until then
}

func (s *steady) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	wall, passed := s.read()
	from := s.at.Add(passed - s.passed)
	to := from
	if wall.Sub(from) >= leap {
		to = wall
		if s.jumped != nil {
			s.jumped(from, to) // under the lock: nobody is shown the time behind a leap before it was told
		}
	}
	s.at, s.passed = to, passed
	return to
}
