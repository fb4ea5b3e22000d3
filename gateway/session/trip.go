package session

import (
	"math"
	"time"

	"carillon/wire"
)

// tripSettles is how a longer trip than the one known is taken up: by one part in so many, at each ping. A shorter one counts
// at once, since a line can only seem slower than it is.
const tripSettles = 8

// trip is how long a ping and its answer are on their way, as the server sees it, in microseconds; 0: not known.
type trip uint32

// ponged takes in the answer to a ping. One that was not asked for says nothing.
func (s *Session) ponged(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awaits {
		s.awaits = false
		s.trip.take((now.UnixNano() - s.pinged) / int64(time.Microsecond))
	}
}

func (t *trip) take(micros int64) {
	took := trip(min(max(micros, 1), math.MaxUint32))
	if *t == 0 || took <= *t {
		*t = took
		return
	}
	*t += (took-*t)/tripSettles + 1
}

// known is the trip in whole milliseconds, at least 1; 0 where it is not known.
func (t trip) known() time.Duration {
	return (time.Duration(t)*time.Microsecond + time.Millisecond - 1).Truncate(time.Millisecond)
}

// measured is the trip to the client of a command. The first one of a line has it measured, so that idle lines cost nothing.
func (s *Session) measured() time.Duration {
	s.mu.Lock()
	first := s.trip == 0 && !s.awaits
	if first {
		s.pinged, s.awaits = time.Now().UnixNano(), true
	}
	known := s.trip.known()
	s.mu.Unlock()
	if first {
		s.send(&wire.Message{Type: wire.MsgPing})
	}
	return known
}
