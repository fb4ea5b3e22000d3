package limit

import (
	"testing"
	"time"
)

func TestTrafficChargesAllOrNothing(t *testing.T) {
	rates := NewRates(Pace{PerSecond: 10, Burst: 10}, Pace{PerSecond: 100, Burst: 1000})
	var c Traffic
	c.Use(rates)
	now := time.Now()
	for range 2 {
		if r, _ := c.Take(now, Frame{Requests: 1, Bytes: 500}); r != Passed {
			t.Fatal(r)
		}
	}
	for range 100 {
		if r, wait := c.Take(now, Frame{Requests: 1, Bytes: 100}); r != TooManyBytes || wait != time.Second {
			t.Fatal(r, wait)
		}
	}
	if r, _ := c.Take(now, Frame{Requests: 8, Bytes: 0}); r != Passed {
		t.Fatal("frames that were refused for their bytes were charged as requests")
	}
	if r, wait := c.Take(now, Frame{Requests: 1, Bytes: 0}); r != TooManyRequests || wait != 100*time.Millisecond {
		t.Fatal(r, wait)
	}
	var free Traffic
	if r, _ := free.Take(now, Frame{Requests: 1e6, Bytes: 1e9}); r != Passed {
		t.Fatal("the zero Traffic refused")
	}
}

func TestBucketAllocatesNothing(t *testing.T) {
	var c Traffic
	c.Use(NewRates(Pace{PerSecond: 10, Burst: 10}, Pace{PerSecond: 100, Burst: 1000}))
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { c.Take(now, Frame{Requests: 1, Bytes: 10}) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTraffic(b *testing.B) {
	var k Traffic
	k.Use(NewRates(Pace{PerSecond: 1e6, Burst: 1000}, Pace{PerSecond: 1e9, Burst: 1e6}))
	now := time.Now()
	for b.Loop() {
		now = now.Add(1000)
		k.Take(now, Frame{Requests: 1, Bytes: 100})
	}
}

// TestNarrowedTraffic: a connection's own paces hold beside the shared ones, whichever is lower; a frame that one of
// them refuses is charged to none.
func TestNarrowedTraffic(t *testing.T) {
	now := time.Now()
	take := func(c *Traffic, want Refused, f Frame) {
		t.Helper()
		if got, wait := c.Take(now, f); got != want || (want != Passed) != (wait > 0) {
			t.Fatalf("%+v: %v, to wait %v; want %v", f, got, wait, want)
		}
	}
	rates := NewRates(Pace{PerSecond: 10, Burst: 10}, Pace{PerSecond: 100, Burst: 1000})
	for name, c := range map[string]*Traffic{"shared": {rates: rates}, "alone": {}} {
		t.Run(name, func(t *testing.T) {
			c.Narrow(5, 2, 500)
			take(c, Passed, Frame{Requests: 2, Publishes: 2, Bytes: 100})
			for range 50 {
				take(c, TooManyPublishes, Frame{Requests: 1, Publishes: 1, Bytes: 100})
				take(c, TooManyBytes, Frame{Requests: 1, Bytes: 401})
			}
			take(c, Passed, Frame{Requests: 3, Bytes: 400})
			take(c, TooManyRequests, Frame{Requests: 1})
			now = now.Add(time.Second)
			take(c, Passed, Frame{Requests: 5, Publishes: 2})
			c.Narrow(5, 2, 500) // as a refresh does it: what was taken stays taken
			take(c, TooManyRequests, Frame{Requests: 1})
			c.Narrow(0, 0, 0)
			take(c, Passed, Frame{Requests: 1, Publishes: 1})
		})
	}
	wide := &Traffic{rates: NewRates(Pace{PerSecond: 3, Burst: 3}, Pace{})}
	wide.Narrow(1000, 1000, 1000)
	take(wide, Passed, Frame{Requests: 3})
	take(wide, TooManyRequests, Frame{Requests: 1}) // a token cannot raise what the server allows
}
