package limit

import (
	"testing"
	"time"

	"carillon/channel"

	"pgregory.net/rapid"
)

func lag(d time.Duration) Sample { return Sample{FanoutLag: d} }

func feed(p *Pressure, s Sample, times int) Level {
	for range times {
		p.Observe(s)
	}
	return p.Level()
}

func TestPressureRisesAndSettles(t *testing.T) {
	b := DefaultPressureBounds()
	p := NewPressure(b)
	for _, c := range []struct {
		what  string
		s     Sample
		times int
		want  Level
	}{
		{"nothing is wrong", Sample{}, 100, Calm},
		{"busy processors alone are no harm", Sample{CPU: 1, FanoutBusy: 1, FanoutQueue: 1e6}, 100, Calm},
		{"one slow moment", lag(time.Second), b.Rise - 1, Calm},
		{"which passes", lag(0), 1, Calm},
		{"and again", lag(time.Second), b.Rise - 1, Calm},
		{"but now it lasts", lag(time.Second), 1, Shedding},
		{"less, but not enough", lag(400 * time.Millisecond), 100, Shedding},
		{"less by far", lag(90 * time.Millisecond), b.Settle - 1, Shedding},
		{"for long enough", lag(90 * time.Millisecond), 1, Thinning},
		{"it stays between the steps", lag(90 * time.Millisecond), 1000, Thinning},
		{"a relapse within the level", lag(120 * time.Millisecond), 1, Thinning},
		{"calm at last", lag(60 * time.Millisecond), b.Settle, Calm},
		{"memory", Sample{Heap: 0.85}, b.Rise, Thinning},
		{"more of it", Sample{Heap: 0.95}, b.Rise, Shedding},
	} {
		if got := feed(p, c.s, c.times); got != c.want {
			t.Fatalf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	if p.Cause() != Heap || p.Changes() != 5 {
		t.Errorf("cause %v after %d changes", p.Cause(), p.Changes())
	}
}

// TestPressureDoesNotFlap: facts that swing around one step do not change the level with every swing.
func TestPressureDoesNotFlap(t *testing.T) {
	p := NewPressure(DefaultPressureBounds())
	for i := range 1000 {
		p.Observe(lag(time.Duration(80+40*(i/3%2)) * time.Millisecond))
	}
	if p.Changes() != 1 || p.Level() != Thinning {
		t.Errorf("%d changes", p.Changes())
	}
}

func TestPressureDropsByClass(t *testing.T) {
	p := NewPressure(DefaultPressureBounds())
	passes := func(c channel.Class) (n int) {
		for range 100_000 {
			if p.Allow(c) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		s        Sample
		min, max int
	}{{Sample{}, 100_000, 100_000}, {lag(200 * time.Millisecond), 24_000, 26_000}, {lag(time.Second), 0, 0}} {
		feed(p, c.s, 10)
		if n := passes(channel.Fleeting); n < c.min || n > c.max {
			t.Errorf("%v: %d of 100,000 fleeting records pass", p.Level(), n)
		}
		if passes(channel.Logged) != 100_000 || passes(channel.Latest) != 100_000 {
			t.Errorf("%v: a logged or latest record was dropped", p.Level())
		}
	}
	n := p.Dropped(channel.Fleeting, FanoutLag)
	if n < 174_000 || n > 176_000 || p.Dropped(channel.Fleeting, Heap) != 0 || p.Dropped(channel.Logged, FanoutLag) != 0 {
		t.Errorf("%d drops were counted", n)
	}
	b := DefaultPressureBounds()
	b.Keep = 1
	p.SetBounds(b)
	feed(p, lag(200*time.Millisecond), 100)
	if n := passes(channel.Fleeting); n != 100_000 {
		t.Errorf("%d pass where all are to be kept", n)
	}
	var none *Pressure
	if !none.Allow(channel.Fleeting) {
		t.Error("a nil Pressure refused")
	}
}

// TestPressureInAnyWeather: whatever the samples, up takes Rise of them, down Settle, and a level stands only if some
// fact asked for it.
func TestPressureInAnyWeather(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := DefaultPressureBounds()
		b.Rise, b.Settle = rapid.IntRange(1, 4).Draw(t, "rise"), rapid.IntRange(1, 6).Draw(t, "settle")
		p := NewPressure(b)
		last, since := Calm, 0
		for range rapid.IntRange(1, 200).Draw(t, "samples") {
			ms := rapid.SampledFrom([]int{0, 50, 75, 99, 101, 340, 360, 499, 501, 900}).Draw(t, "ms")
			now := p.Observe(lag(time.Duration(ms) * time.Millisecond))
			since++
			switch {
			case now > last && (since < b.Rise || ms < 100):
				t.Fatalf("up after %d samples, at %d ms", since, ms)
			case now < last && (since < b.Settle || now != last-1 || ms >= 350):
				t.Fatalf("down to %v after %d samples, at %d ms", now, since, ms)
			}
			if now != last {
				last, since = now, 0
			}
		}
	})
}

func TestNames(t *testing.T) {
	for _, c := range Causes() {
		if c.String() == "unknown" || c.String() == "" {
			t.Errorf("cause %d has no name", c)
		}
	}
	if Calm.String()+Thinning.String()+Shedding.String() != "calmthinningshedding" || Cause(99).String() != "unknown" {
		t.Error("names")
	}
}

func BenchmarkAllowCalm(b *testing.B) {
	p := NewPressure(DefaultPressureBounds())
	for b.Loop() {
		p.Allow(channel.Fleeting)
	}
}

func BenchmarkAllowThinning(b *testing.B) {
	p := NewPressure(DefaultPressureBounds())
	feed(p, lag(200*time.Millisecond), 10)
	for b.Loop() {
		p.Allow(channel.Fleeting)
	}
}

func BenchmarkObserve(b *testing.B) {
	p := NewPressure(DefaultPressureBounds())
	for b.Loop() {
		p.Observe(Sample{})
	}
}
