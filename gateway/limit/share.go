package limit

import "sync/atomic"

// Share limits how many of one kind there are in all, such as connections that have not said who they are, which may
// take only a part of the files a process can open.
type Share struct {
	bound, taken atomic.Int64
	refused      atomic.Uint64
}

// NewShare makes a Share of that many places; 0 is no limit.
func NewShare(places int) *Share {
	s := new(Share)
	s.SetBound(places)
	return s
}

// PartOf returns that part of a whole, at least 1: PartOf(0.2, files) for a fifth of the file limit.
func PartOf(part float64, whole int) int { return max(1, int(part*float64(whole))) }

// SetBound changes the number of places, 0 is no limit. Those taken stay so.
func (s *Share) SetBound(places int) { s.bound.Store(int64(max(places, 0))) }

// Enter takes a place, if there is one. Whoever got true calls Leave once.
func (s *Share) Enter() bool {
	for {
		n, bound := s.taken.Load(), s.bound.Load()
		if bound > 0 && n >= bound {
			s.refused.Add(1)
			return false
		}
		if s.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Leave gives a place back.
func (s *Share) Leave() { s.taken.Add(-1) }

// Taken returns how many places are taken now.
func (s *Share) Taken() int { return int(s.taken.Load()) }

// Refused counts those who found no place.
func (s *Share) Refused() uint64 { return s.refused.Load() }
