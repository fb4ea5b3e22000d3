package journal

import (
	"testing"
	"time"
)

// TestSteady: a clock that is set back does not hold up the time, one that is set ahead is followed and tells so, and what
// lies below a leap is of no account.
func TestSteady(t *testing.T) {
	wall, passed := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), time.Duration(0)
	var lost time.Duration
	s := &steady{at: wall, jumped: func(from, to time.Time) { lost += to.Sub(from) }, read: func() (time.Time, time.Duration) { return wall, passed }}
	began := wall
	for i, c := range []struct{ set, passes, shows, lost time.Duration }{
		{0, time.Second, time.Second, 0},
		{leap / 2, time.Second, 2 * time.Second, 0},
		{-leap / 2, 0, 2 * time.Second, 0},
		{-time.Hour, time.Second, 3 * time.Second, 0},
		{0, time.Minute, 63 * time.Second, 0},
		{time.Hour, time.Second, 64 * time.Second, 0},
		{time.Hour, time.Second, 65*time.Second + time.Hour, time.Hour},
		{-time.Hour, time.Second, 66*time.Second + time.Hour, time.Hour},
	} {
		wall, passed = wall.Add(c.set+c.passes), passed+c.passes
		if got := s.now().Sub(began); got != c.shows || lost != c.lost {
			t.Errorf("step %d: %v have passed and %v are lost, want %v and %v", i, got, lost, c.shows, c.lost)
		}
	}
}

// TestSteadyShowsTheTime: without steps it shows what the machine's clock does.
func TestSteadyShowsTheTime(t *testing.T) {
	clock := Steady(func(from, to time.Time) { t.Errorf("a leap from %v to %v", from, to) })
	before := time.Now()
	now := clock()
	if after := time.Now(); now.Before(before.Add(-leap)) || now.After(after.Add(leap)) {
		t.Errorf("it shows %v between %v and %v", now, before, after)
	}
}
