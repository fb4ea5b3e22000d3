package observe

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Shape of a histogram: four buckets for every doubling, from the lower end of its unit on, as in schema 2 of
// Prometheus' native histograms. A value is known to within 19 %.
const (
	Schema    = 2           // each power of two is divided into 2^Schema buckets
	perDouble = 1 << Schema // buckets for a doubling
	doublings = 26          // from 0.95 µs to 64 s, or from 1 to 67,108,864
	inner     = doublings * perDouble
	buckets   = 1 + inner + 1 // at or below the lower end, between, above the upper end
)

// Unit is what a histogram measures.
type Unit struct {
	name   string
	lowest int // the lower end is 2^lowest
}

// The units.
var (
	Seconds = Unit{"seconds", -20}
	Records = Unit{"records", 0}
)

// Name is the word at the end of a metric's name.
func (u Unit) Name() string { return u.name }

// Lowest is the upper end of the lowest bucket. What lies there, zero too, is one.
func (u Unit) Lowest() float64 { return math.Ldexp(1, u.lowest) }

// cell is the part of a histogram that some goroutines write to.
type cell struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Uint64 // ns, or pieces
	_      [128 - (buckets*8+8)%128]byte
}

// Histogram counts durations. Recording takes two atomic additions and allocates nothing; a nil Histogram records
// nothing. It takes 1 KiB for each processor, 8 at most.
type Histogram struct{ cells []cell }

// NewHistogram makes a Histogram.
func NewHistogram() *Histogram { return &Histogram{cells: make([]cell, stripeCount())} }

// Record counts one duration; a negative one as zero.
func (h *Histogram) Record(d time.Duration) {
	if h == nil {
		return
	}
	d = max(d, 0)
	c := &h.cells[stripe(len(h.cells))]
	c.counts[bucket(float64(d)*1e-9, Seconds.lowest)].Add(1)
	c.sum.Add(uint64(d))
}

// Since records the time since a moment, and since the zero time nothing.
func (h *Histogram) Since(began time.Time) {
	if h != nil && !began.IsZero() {
		h.Record(time.Since(began))
	}
}

// momentsOf is how many events are passed over for one that is timed, itself included.
const momentsOf = 64

// Moment is now for one call in 64 and the zero time for the others: where two clock readings for each event would cost
// too much. Chance decides, so that many who do something seldom are seen as well as one who does it often.
func Moment() time.Time {
	if rand.Uint32()%momentsOf != 0 {
		return time.Time{}
	}
	return time.Now()
}

// Snapshot reads the histogram. What is recorded meanwhile may be in it or not.
func (h *Histogram) Snapshot() Snapshot {
	if h == nil {
		return Snapshot{Unit: Seconds}
	}
	return snapshot(h.cells, Seconds, 1e-9)
}

// Sizes counts sizes, such as the records of a commit, at the same price as a Histogram.
type Sizes struct{ cells []cell }

// NewSizes makes a Sizes.
func NewSizes() *Sizes { return &Sizes{cells: make([]cell, stripeCount())} }

// Record counts one size; a negative one as zero.
func (s *Sizes) Record(n int) {
	if s == nil {
		return
	}
	n = max(n, 0)
	c := &s.cells[stripe(len(s.cells))]
	c.counts[bucket(float64(n), Records.lowest)].Add(1)
	c.sum.Add(uint64(n))
}

// Snapshot reads the sizes. What is recorded meanwhile may be in it or not.
func (s *Sizes) Snapshot() Snapshot {
	if s == nil {
		return Snapshot{Unit: Records}
	}
	return snapshot(s.cells, Records, 1)
}

// Mantissas, in [1, 2), at which the buckets within a doubling end.
const (
	quarter = 1.189207115002721  // 2^(1/4)
	half    = 1.4142135623730951 // 2^(1/2)
	most    = 1.681792830507429  // 2^(3/4)
)

// bucket finds the place of a value: 0 up to the lower end 2^lowest, included, then bucket i up to 2^(lowest+i/4),
// included, and the last above all that.
func bucket(v float64, lowest int) int {
	b := math.Float64bits(v)
	exponent := int(b>>52) - 1023
	m := b & (1<<52 - 1)
	i := (exponent - lowest) * perDouble
	// The order of the bits of two floats is that of their values.
	if m > 0 {
		i++
	}
	if m > math.Float64bits(quarter)&(1<<52-1) {
		i++
	}
	if m > math.Float64bits(half)&(1<<52-1) {
		i++
	}
	if m > math.Float64bits(most)&(1<<52-1) {
		i++
	}
	return min(max(i, 0), buckets-1)
}

// Snapshot is what a histogram held at one moment.
type Snapshot struct {
	Unit   Unit
	Count  uint64
	Sum    float64 // in the unit
	counts [buckets]uint64
}

func snapshot(cells []cell, u Unit, scale float64) Snapshot {
	s := Snapshot{Unit: u}
	for i := range cells {
		for k := range s.counts {
			n := cells[i].counts[k].Load()
			s.counts[k] += n
			s.Count += n
		}
		s.Sum += float64(cells[i].sum.Load()) * scale
	}
	return s
}

// Classic returns counts up to a bound, that included, for each doubling. What is above the last bound is in Count alone.
func (s *Snapshot) Classic() (bounds []float64, cumulative []uint64) {
	var sum uint64
	for i, n := range s.counts[:buckets-1] {
		sum += n
		if i%perDouble == 0 {
			bounds = append(bounds, math.Ldexp(1, s.Unit.lowest+i/perDouble))
			cumulative = append(cumulative, sum)
		}
	}
	return bounds, cumulative
}

// Native returns the buckets of a native histogram with Schema: how many are at or below Unit.Lowest, and the others by
// their index in that schema. Those above the upper end are in the bucket next to it.
func (s *Snapshot) Native() (zero uint64, positive map[int]int64) {
	positive = make(map[int]int64)
	for i, n := range s.counts[1:] {
		if n > 0 {
			positive[s.Unit.lowest*perDouble+i+1] = int64(n)
		}
	}
	return s.counts[0], positive
}

// Quantile returns the upper end of the bucket in which that part of the values ends, in the unit; 0 where there are
// none, and +Inf where it lies above the upper end. 0.99 is the 99th percentile.
func (s *Snapshot) Quantile(q float64) float64 {
	rank := uint64(math.Ceil(q * float64(s.Count)))
	var sum uint64
	for i, n := range s.counts {
		if sum += n; sum >= max(rank, 1) {
			if i == buckets-1 {
				return math.Inf(1)
			}
			return math.Exp2(float64(s.Unit.lowest) + float64(i)/perDouble)
		}
	}
	return 0
}
