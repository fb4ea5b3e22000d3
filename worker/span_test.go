package worker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestOutages compares what is remembered of outages with a line of milliseconds.
func TestOutages(t *testing.T) {
	base := time.UnixMilli(1_700_000_000_000)
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	rapid.Check(t, func(t *rapid.T) {
		var o outages
		var line [300]bool
		mark := func(from, to int) {
			for ms := from; ms < to; ms++ {
				line[ms] = true
			}
		}
		draw := func(name string) int { return rapid.IntRange(0, len(line)).Draw(t, name) }
		for range rapid.IntRange(0, 20).Draw(t, "outages") {
			from, to := draw("from"), draw("to")
			o.add(at(from), at(to))
			mark(from, to)
		}
		if rapid.Bool().Draw(t, "one was met twice, and is over") {
			first, second, over := draw("first"), draw("second"), draw("over")
			o.begin(at(first))
			o.begin(at(second))
			o.end(at(over))
			mark(min(first, second), over)
		}
		from, to := draw("since"), draw("until")
		var own span
		if rapid.Bool().Draw(t, "stopped") {
			stopped := draw("stopped at")
			own.from = at(stopped)
			if till := draw("till"); rapid.Bool().Draw(t, "runs again") {
				own.to = at(till)
				mark(stopped, till)
			} else {
				mark(stopped, to)
			}
		}
		if rapid.Bool().Draw(t, "one lasts") {
			since := draw("lasts since")
			o.begin(at(since))
			mark(since, to)
		}
		want := 0
		for ms := from; ms < to; ms++ {
			if line[ms] {
				want++
			}
		}
		if got := o.lost(at(from), at(to), own); got != time.Duration(want)*time.Millisecond {
			t.Fatalf("lost %v between %d and %d, want %d ms: %v", got, from, to, want, o.spans)
		}
		for i := 1; i < len(o.spans); i++ {
			if !o.spans[i].from.After(o.spans[i-1].to) {
				t.Fatalf("%v are not apart and in order", o.spans)
			}
		}
	})
}

// TestOutagesBound: beyond the bound those that lie closest become one, and nothing that was lost is forgotten.
func TestOutagesBound(t *testing.T) {
	base := time.UnixMilli(1_700_000_000_000)
	var o outages
	var want time.Duration
	for i := range 10 * maxOutages {
		from := base.Add(time.Duration(i*i) * time.Second)
		o.add(from, from.Add(500*time.Millisecond))
		want += 500 * time.Millisecond
	}
	if len(o.spans) != maxOutages {
		t.Errorf("%d outages are remembered, not %d", len(o.spans), maxOutages)
	}
	end := base.Add(1000 * 1000 * time.Second)
	if got := o.lost(base, end, span{}); got < want {
		t.Errorf("lost %v of %v", got, want)
	}
	if got := o.lost(o.spans[1].to, end, span{}); got < (maxOutages-3)*500*time.Millisecond {
		t.Errorf("the later ones are forgotten: %v", got)
	}
	if got := o.lost(time.Time{}, end, span{}); got != 0 {
		t.Errorf("lost %v since a time that never was", got)
	}
}
