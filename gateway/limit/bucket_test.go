package limit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func TestBucketIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Bucket{}); n > 24 {
		t.Errorf("a Bucket has %d bytes", n)
	}
	if n := unsafe.Sizeof(Traffic{}); n > 32 {
		t.Errorf("a Traffic has %d bytes", n)
	}
}

// TestBucketAgainstWindows: in no window of time does more pass than the burst and what the rate gives in that time, and
// a refusal names the very moment at which the same would pass.
func TestBucketAgainstWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Pace{PerSecond: rapid.Float64Range(0.01, 1e6).Draw(t, "per second"), Burst: rapid.IntRange(1, 1000).Draw(t, "burst")}
		rate := NewRate(p)
		var b Bucket
		b.Use(rate)
		now := time.Now()
		type pass struct {
			at time.Time
			n  int
		}
		var passed []pass
		for range rapid.IntRange(1, 60).Draw(t, "takes") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(float64(p.Burst)/p.PerSecond*4e8)).Draw(t, "pause")))
			n := rapid.IntRange(1, p.Burst).Draw(t, "n")
			ok, wait := b.Take(now, n)
			if !ok {
				if wait <= 0 || probe(&b, now.Add(wait-1), n) || !probe(&b, now.Add(wait), n) {
					t.Fatalf("refused for %v, which is not when it would pass", wait)
				}
				continue
			}
			passed = append(passed, pass{now, n})
			sum := 0.0
			for i := len(passed) - 1; i >= 0; i-- {
				sum += float64(passed[i].n)
				window := now.Sub(passed[i].at).Seconds()
				if most := float64(p.Burst) + (window+1e-6)*p.PerSecond + 1e-6; sum > most {
					t.Fatalf("%v passed within %v s at %+v, at most %v may", sum, window, p, most)
				}
			}
		}
	})
}

// probe asks a copy of b.
func probe(b *Bucket, at time.Time, n int) bool {
	var c Bucket
	c.rate = b.rate
	c.fill.full.Store(b.fill.full.Load())
	ok, _ := c.Take(at, n)
	return ok
}

// TestBucketGivesItsRate: asked all the time, a bucket lets through its burst and then its rate, not less.
func TestBucketGivesItsRate(t *testing.T) {
	for _, p := range []Pace{{PerSecond: 50, Burst: 100}, {PerSecond: 3, Burst: 1}, {PerSecond: 1e6, Burst: 1000}} {
		var b Bucket
		b.Use(NewRate(p))
		now, passed := time.Now(), 0
		step := time.Duration(1e9 / p.PerSecond / 40)
		for range 100_000 {
			if ok, _ := b.Take(now, 1); ok {
				passed++
			}
			now = now.Add(step)
		}
		want := float64(p.Burst) + 100_000*step.Seconds()*p.PerSecond
		if f := float64(passed); f < want*0.97 || f > want*1.01+1 {
			t.Errorf("%+v: %d passed, want about %v", p, passed, want)
		}
	}
}

func TestBucketRace(t *testing.T) {
	var b Bucket
	b.Use(NewRate(Pace{PerSecond: 1, Burst: 100}))
	now := time.Now()
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 20 {
				if ok, _ := b.Take(now, 1); ok {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d passed of a burst of 100", passed.Load())
	}
}

func TestFrameLargerThanBurst(t *testing.T) {
	var b Bucket
	b.Use(NewRate(Pace{PerSecond: 10, Burst: 20}))
	now := time.Now()
	if ok, _ := b.Take(now, 128); !ok {
		t.Fatal("a full bucket refused a frame larger than its burst: it could never pass")
	}
	if ok, wait := b.Take(now, 1); ok || wait != 12800*time.Millisecond-1900*time.Millisecond {
		t.Fatalf("the debt is %v, %v", ok, wait)
	}
}

func TestRateChangesWhileRunning(t *testing.T) {
	r := NewRate(Pace{PerSecond: 1, Burst: 1})
	var b, free Bucket
	b.Use(r)
	now := time.Now()
	b.Take(now, 1)
	if ok, _ := b.Take(now, 1); ok {
		t.Fatal("more than the burst passed")
	}
	r.Set(Pace{PerSecond: 1, Burst: 10})
	if ok, _ := b.Take(now, 5); !ok {
		t.Fatal("the larger burst does not count yet")
	}
	r.Set(Pace{})
	for range 1000 {
		if ok, _ := b.Take(now, 1000); !ok {
			t.Fatal("a Rate without a limit refused")
		}
		if ok, _ := free.Take(now, 1000); !ok {
			t.Fatal("the zero Bucket refused")
		}
	}
	if r.Pace() != (Pace{}) {
		t.Fatal(r.Pace())
	}
}

// TestClockSetBack: a time without a monotonic reading may jump; nobody is locked out for longer than an hour and a burst.
func TestClockSetBack(t *testing.T) {
	var b Bucket
	b.Use(NewRate(Pace{PerSecond: 1, Burst: 1}))
	now := time.Now().Round(0)
	b.Take(now.Add(1000*time.Hour), 1)
	if ok, wait := b.Take(now, 1); ok || wait > time.Hour+time.Second {
		t.Fatalf("%v, %v", ok, wait)
	}
}

func BenchmarkBucket(b *testing.B) {
	var k Bucket
	k.Use(NewRate(Pace{PerSecond: 1e6, Burst: 1000}))
	now := time.Now()
	for b.Loop() {
		now = now.Add(1000)
		k.Take(now, 1)
	}
}

func BenchmarkBucketRefuses(b *testing.B) {
	var k Bucket
	k.Use(NewRate(Pace{PerSecond: 1, Burst: 1}))
	now := time.Now()
	for b.Loop() {
		k.Take(now, 1)
	}
}
