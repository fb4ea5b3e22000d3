package limit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
)

// gateShards is how many parts the map of a Gate has, each with a lock of its own.
const gateShards = 64

// Gate limits how many at a time each key has: connections of a user, of an address. An entry lives only while its key
// has somebody inside. Safe from many goroutines: of fifty who enter for five places, exactly five come in.
type Gate[K comparable] struct {
	bound   atomic.Int64 // places of a key
	maxKeys atomic.Int64
	keys    atomic.Int64
	inside  atomic.Int64
	refused atomic.Uint64
	full    atomic.Uint64
	strays  atomic.Uint64
	fold    func(K) K
	seed    maphash.Seed
	shards  [gateShards]gateShard[K]
}

type gateShard[K comparable] struct {
	mu    sync.Mutex
	count map[K]int
	peak  int // most keys since the map was made
	_     [40]byte
}

// GateStats are figures of a Gate. Keys and Inside are of this moment, the others count since it was made.
type GateStats struct {
	Keys, Inside int
	Refused      uint64 // at the bound of their key
	Full         uint64 // because the map has as many keys as it may
	Strays       uint64 // calls of Leave by a key that had nobody inside: a bug of the caller
}

// NewGate makes a Gate with so many places a key and at most maxKeys keys; bound 0 is no limit.
func NewGate[K comparable](bound, maxKeys int) *Gate[K] {
	g := &Gate[K]{seed: maphash.MakeSeed()}
	g.SetBound(bound)
	g.SetMaxKeys(maxKeys)
	return g
}

// NewAddrGate makes a Gate for addresses, those of one IPv6 /64 being one key (see Group).
func NewAddrGate(bound, maxKeys int) *Gate[netip.Addr] {
	g := NewGate[netip.Addr](bound, maxKeys)
	g.fold = Group
	return g
}

// SetBound changes the places of a key, 0 is no limit. Those inside stay.
func (g *Gate[K]) SetBound(n int) { g.bound.Store(int64(max(n, 0))) }

// SetMaxKeys changes how many keys may have somebody inside at a time.
func (g *Gate[K]) SetMaxKeys(n int) { g.maxKeys.Store(int64(max(n, 1))) }

// Enter takes a place of this key, if there is one. Whoever got true calls Leave once, with the same key.
func (g *Gate[K]) Enter(key K) bool { return g.EnterWithin(key, int(g.bound.Load())) }

// EnterWithin is Enter with a bound of its own, such as a token names; 0 is no limit. Everybody inside counts, whatever
// the bound was when they entered.
func (g *Gate[K]) EnterWithin(key K, bound int) bool {
	s, key := g.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.count[key]
	if bound > 0 && n >= bound {
		g.refused.Add(1)
		return false
	}
	if n == 0 {
		if g.keys.Add(1) > g.maxKeys.Load() {
			g.keys.Add(-1)
			g.full.Add(1)
			return false
		}
		if s.count == nil {
			s.count = make(map[K]int)
		}
	}
	s.count[key] = n + 1
	s.peak = max(s.peak, len(s.count))
	g.inside.Add(1)
	return true
}

// Leave gives a place back.
func (g *Gate[K]) Leave(key K) {
	s, key := g.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.count[key]
	if !ok {
		g.strays.Add(1)
		return
	}
	g.inside.Add(-1)
	if n > 1 {
		s.count[key] = n - 1
		return
	}
	delete(s.count, key)
	g.keys.Add(-1)
	s.shrink()
}

// Inside returns how many places of a key are taken.
func (g *Gate[K]) Inside(key K) int {
	s, key := g.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[key]
}

// Stats returns figures; they are not of one moment.
func (g *Gate[K]) Stats() GateStats {
	return GateStats{
		Keys: int(g.keys.Load()), Inside: int(g.inside.Load()),
		Refused: g.refused.Load(), Full: g.full.Load(), Strays: g.strays.Load(),
	}
}

func (g *Gate[K]) shard(key K) (*gateShard[K], K) {
	if g.fold != nil {
		key = g.fold(key)
	}
	return &g.shards[maphash.Comparable(g.seed, key)%gateShards], key
}

// roomy is the number of keys below which a map is not made smaller.
const roomy = 64

// shrink gives back what a map holds on to after a crowd has left: maps never do by themselves.
func (s *gateShard[K]) shrink() {
	if s.peak < roomy || len(s.count) > s.peak/8 {
		return
	}
	smaller := make(map[K]int, len(s.count))
	for k, n := range s.count {
		smaller[k] = n
	}
	s.count, s.peak = smaller, len(smaller)
}
