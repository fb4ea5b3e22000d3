package observe

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCounterLosesNothing(t *testing.T) {
	var c Counter
	h, s := NewHistogram(), NewSizes()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 10_000 {
				c.Add(2)
				h.Record(time.Duration(i) * time.Microsecond)
				s.Record(i)
			}
		})
	}
	all.Wait()
	hs, ss := h.Snapshot(), s.Snapshot()
	if c.Load() != 160_000 || hs.Count != 80_000 || ss.Count != 80_000 || ss.Sum != 8*49_995_000 || math.Abs(hs.Sum-8*49.995) > 1e-6 {
		t.Error(c.Load(), hs.Count, hs.Sum, ss.Count, ss.Sum)
	}
}

func TestNilCountsNothing(t *testing.T) {
	var (
		c  *Counter
		g  *Gauge
		h  *Histogram
		s  *Sizes
		cs *Counters
	)
	c.Add(1)
	g.Add(1)
	g.Set(1)
	h.Record(1)
	h.Since(time.Now())
	s.Record(1)
	cs.Add(1, LabelClass.Value("logged"))
	hs, ss := h.Snapshot(), s.Snapshot()
	if c.Load()+uint64(g.Load())+hs.Count+ss.Count+cs.Load() != 0 {
		t.Error("a nil counted")
	}
	if bounds, _ := hs.Classic(); len(bounds) == 0 || hs.Quantile(0.5) != 0 {
		t.Error("a nil Histogram has no shape")
	}
}

// upperEnd is the mathematics that bucket computes by bits.
func upperEnd(i, lowest int) float64 { return math.Exp2(float64(lowest) + float64(i)/perDouble) }

// TestBucketHoldsItsValue: every value lies in its bucket, above the end of the one before and not above its own.
func TestBucketHoldsItsValue(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, v float64, lowest int) {
		i := bucket(v, lowest)
		switch {
		case i == 0 && v <= upperEnd(0, lowest):
		case i == buckets-1 && v > upperEnd(buckets-2, lowest):
		case i > 0 && i < buckets-1 && v > upperEnd(i-1, lowest)*(1-1e-15) && v <= upperEnd(i, lowest)*(1+1e-15):
		default:
			t.Fatalf("%v is in bucket %d, which ends at %v", v, i, upperEnd(i, lowest))
		}
	}
	for _, lowest := range []int{Seconds.lowest, Records.lowest} {
		for i := range buckets {
			end := math.Ldexp(1, lowest+i/perDouble)
			for _, v := range []float64{0, end, math.Nextafter(end, 0), math.Nextafter(end, math.Inf(1)), math.MaxFloat64} {
				check(t, v, lowest)
			}
			for _, near := range []float64{1 - 1e-9, 1, 1 + 1e-9} {
				check(t, upperEnd(i, lowest)*near, lowest)
			}
			if k := bucket(end, lowest); i%perDouble == 0 && i < buckets-1 && k != i {
				t.Errorf("%v, the end of bucket %d, is in bucket %d", end, i, k)
			}
		}
		rapid.Check(t, func(t *rapid.T) { check(t, rapid.Float64Range(0, 1e9).Draw(t, "value"), lowest) })
	}
}

// TestQuantiles: no quantile is too low, and none more than 19 % too high.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	h := NewHistogram()
	var all []float64
	for range 20_000 {
		d := time.Duration(math.Exp(r.NormFloat64()*2-6) * 1e9)
		all = append(all, d.Seconds())
		h.Record(d)
	}
	slices.Sort(all)
	s := h.Snapshot()
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[int(math.Ceil(q*float64(len(all))))-1]
		if got := s.Quantile(q); got < want || got > max(want*1.1893, Seconds.Lowest()) {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	h.Record(time.Hour)
	if s = h.Snapshot(); !math.IsInf(s.Quantile(1), 1) {
		t.Error(s.Quantile(1))
	}
}

// TestBothShapesAgree: classic and native buckets tell the same story.
func TestBothShapesAgree(t *testing.T) {
	s := NewSizes()
	for i := range 5000 {
		s.Record(i)
	}
	snap := s.Snapshot()
	bounds, cumulative := snap.Classic()
	zero, positive := snap.Native()
	for i, b := range bounds {
		want := uint64(min(int(b)+1, 5000))
		sum := zero
		for index, n := range positive {
			if math.Exp2(float64(index)/perDouble) <= b*(1+1e-12) {
				sum += uint64(n)
			}
		}
		if cumulative[i] != want || sum != want {
			t.Errorf("up to %v: classic %d, native %d, want %d", b, cumulative[i], sum, want)
		}
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	h, s, c := NewHistogram(), NewSizes(), new(Counter)
	cs := NewCounters(RecordsDropped)
	class, why := LabelClass.Value("fleeting"), LabelDrop.Value("heap")
	if n := testing.AllocsPerRun(1000, func() {
		h.Record(time.Millisecond)
		s.Record(7)
		c.Add(1)
		cs.Add(1, class, why)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkYardstick is one atomic addition, of which a Counter takes one and a Histogram two.
func BenchmarkYardstick(b *testing.B) {
	n := new(atomic.Uint64)
	for b.Loop() {
		n.Add(1)
	}
}

func BenchmarkCounter(b *testing.B) {
	c := new(Counter)
	for b.Loop() {
		c.Add(1)
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := NewHistogram()
	d := time.Duration(0)
	for b.Loop() {
		d = (d + 7919) & (1<<30 - 1)
		h.Record(d)
	}
}

func BenchmarkHistogramParallel(b *testing.B) {
	h := NewHistogram()
	b.RunParallel(func(pb *testing.PB) {
		d := time.Duration(0)
		for pb.Next() {
			d = (d + 7919) & (1<<30 - 1)
			h.Record(d)
		}
	})
}

func BenchmarkSizes(b *testing.B) {
	s := NewSizes()
	n := 0
	for b.Loop() {
		n = (n + 79) & 1023
		s.Record(n)
	}
}

func BenchmarkCounters(b *testing.B) {
	cs := NewCounters(RecordsDropped)
	class, why := LabelClass.Value("fleeting"), LabelDrop.Value("heap")
	for b.Loop() {
		cs.Add(1, class, why)
	}
}
