package limit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Shape of the map of a Meter.
const (
	meterShards = 64
	swept       = 2 // entries that each new key looks at for expiry
	candidates  = 8 // entries among which one is dropped when the map is full
)

// Meter limits how often each key does something: connects of an address, bad tokens from it. It keeps one bucket per
// key in a bounded map. A bucket that is full again says nothing about its key and is forgotten; where the map is full
// of others, a new key replaces, of a few, the one closest to that, so that a flood of fresh keys does not wash away
// those that misbehave most. No call looks at more than a few entries.
type Meter[K comparable] struct {
	rate    Rate
	maxKeys atomic.Int64
	keys    atomic.Int64
	refused atomic.Uint64
	evicted atomic.Uint64
	fold    func(K) K
	seed    maphash.Seed
	shards  [meterShards]meterShard[K]
}

type meterShard[K comparable] struct {
	mu    sync.Mutex
	place map[K]int
	slots []metered[K]
	hand  int // where the next look for something to forget begins
}

type metered[K comparable] struct {
	key  K
	fill tank
}

// MeterStats are figures of a Meter. Keys is of this moment, the others count since it was made.
type MeterStats struct {
	Keys    int
	Refused uint64
	Evicted uint64 // keys that were forgotten before their bucket was full again: maxKeys is too small
}

// NewMeter makes a Meter with this pace for each key, which keeps at most about maxKeys keys.
func NewMeter[K comparable](p Pace, maxKeys int) *Meter[K] {
	m := &Meter[K]{seed: maphash.MakeSeed()}
	m.SetPace(p)
	m.SetMaxKeys(maxKeys)
	return m
}

// NewAddrMeter makes a Meter for addresses, those of one IPv6 /64 being one key (see Group).
func NewAddrMeter(p Pace, maxKeys int) *Meter[netip.Addr] {
	m := NewMeter[netip.Addr](p, maxKeys)
	m.fold = Group
	return m
}

// SetPace changes the pace of every key.
func (m *Meter[K]) SetPace(p Pace) { m.rate.Set(p) }

// SetMaxKeys changes how many keys are kept. Fewer than now: they go as new ones come.
func (m *Meter[K]) SetMaxKeys(n int) { m.maxKeys.Store(int64(max(n, meterShards))) }

// Take charges n units to a key, or none and says when they would pass.
//
// Against guessing, pay first and take back on success: Take before the token is checked, GiveBack when it was good.
// Then a thousand guesses at the same moment are as limited as a thousand in a row.
func (m *Meter[K]) Take(key K, now time.Time, n int) (ok bool, wait time.Duration) {
	p := m.rate.load()
	if p.each == 0 || n <= 0 {
		return true, 0
	}
	at := tick(now)
	s, key := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.place[key]
	if !known {
		i = m.admit(s, key, at)
	}
	if ok, wait = s.slots[i].fill.take(p, at, n); !ok {
		m.refused.Add(1)
	}
	return ok, wait
}

// GiveBack undoes a Take of n units.
func (m *Meter[K]) GiveBack(key K, n int) {
	s, key := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, known := s.place[key]; known {
		s.slots[i].fill.giveBack(m.rate.load(), n)
	}
}

// Stats returns figures; they are not of one moment.
func (m *Meter[K]) Stats() MeterStats {
	return MeterStats{Keys: int(m.keys.Load()), Refused: m.refused.Load(), Evicted: m.evicted.Load()}
}

func (m *Meter[K]) shard(key K) (*meterShard[K], K) {
	if m.fold != nil {
		key = m.fold(key)
	}
	return &m.shards[maphash.Comparable(m.seed, key)%meterShards], key
}

// admit makes room for a new key and returns its slot; s.mu is held.
func (m *Meter[K]) admit(s *meterShard[K], key K, now int64) int {
	if s.place == nil {
		s.place = make(map[K]int)
	}
	for range swept {
		if i, idle := s.look(now); idle {
			m.forget(s, i)
		}
	}
	most := int(m.maxKeys.Load()) / meterShards
	for tries := 0; len(s.slots) >= most && tries < candidates; tries++ { // more than once only after SetMaxKeys
		m.forget(s, m.victim(s, now))
	}
	s.slots = append(s.slots, metered[K]{key: key})
	s.place[key] = len(s.slots) - 1
	m.keys.Add(1)
	return len(s.slots) - 1
}

// look tells whether the entry under the hand has a full bucket, and moves on; i is -1 if there is none.
func (s *meterShard[K]) look(now int64) (i int, idle bool) {
	if len(s.slots) == 0 {
		return -1, false
	}
	i = s.hand % len(s.slots)
	s.hand = i + 1
	return i, s.slots[i].fill.full.Load() <= now
}

// victim picks, of the next few entries, the one whose bucket is full first.
func (m *Meter[K]) victim(s *meterShard[K], now int64) int {
	best, bestFull := -1, int64(0)
	for range candidates {
		i, idle := s.look(now)
		if idle {
			return i
		}
		if full := s.slots[i].fill.full.Load(); best < 0 || full < bestFull {
			best, bestFull = i, full
		}
	}
	m.evicted.Add(1)
	return best
}

// forget drops an entry; the last one takes its place.
func (m *Meter[K]) forget(s *meterShard[K], i int) {
	last := len(s.slots) - 1
	delete(s.place, s.slots[i].key)
	if i != last {
		moved := &s.slots[last]
		s.slots[i].key = moved.key
		s.slots[i].fill.full.Store(moved.fill.full.Load())
		s.place[moved.key] = i
	}
	s.slots[last] = metered[K]{}
	s.slots = s.slots[:last]
	m.keys.Add(-1)
}
