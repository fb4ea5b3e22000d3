package session

import (
	"testing"
	"time"
)

// A shorter trip counts at once, a longer one slowly; and one that is known is at least a millisecond.
func TestTrip(t *testing.T) {
	var k trip
	if k.known() != 0 {
		t.Errorf("before any ping the trip is %v", k.known())
	}
	for i, c := range []struct {
		took  int64 // µs
		least time.Duration
		most  time.Duration
	}{
		{100_000, 100 * time.Millisecond, 100 * time.Millisecond},
		{40_001, 41 * time.Millisecond, 41 * time.Millisecond},
		{10_000_000, 41 * time.Millisecond, 2 * time.Second}, // a client that waits with one answer gains little
		{40_000, 40 * time.Millisecond, 40 * time.Millisecond},
		{-5, time.Millisecond, time.Millisecond}, // the machine's clock was set
		{1 << 60, time.Millisecond, 10 * time.Minute},
	} {
		if k.take(c.took); k.known() < c.least || k.known() > c.most || k.known()%time.Millisecond != 0 {
			t.Errorf("after ping %d, of %d µs, the trip is %v", i, c.took, k.known())
		}
	}
	k = 40_000
	for range 100 {
		k.take(120_000)
	}
	if k.known() < 119*time.Millisecond || k.known() > 121*time.Millisecond {
		t.Errorf("a line that has become slower has a trip of %v", k.known())
	}
}
