package hub

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/observe"

	"pgregory.net/rapid"
)

// TestOutCountsWhatWentOut: however writes are cut, whoever is muted, each record counts once for each cursor it went to.
func TestOutCountsWhatWentOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := New([]Encode{frameFormat(0)}, Options{Workers: 1})
		defer h.Close()
		log := newTruth(1, 1)
		h.Open("a")
		h.Fill("a", log.base, nil)
		var cs []*Cursor
		streams := make([][]byte, 3)
		for i := range streams {
			c, _, err := h.Attach("a", From{}, 0, uint64(i), nobody{})
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		write := func(i, most int) (more bool) {
			bufs, more, _ := cs[i].Ready(nil, rapid.IntRange(1, 200).Draw(t, "budget"))
			taken := slices.Concat(bufs...)
			n := min(len(taken), most)
			streams[i] = append(append(streams[i], taken[:n]...), cs[i].Wrote(n)...)
			return more || n < len(taken)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			origin, noEcho := uint64(rapid.IntRange(0, 2).Draw(t, "origin")), rapid.Bool().Draw(t, "no echo")
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				h.Append(log.grow("a", bodyOf(len(log.rs)), origin, noEcho))
			case 1:
				h.Append(channel.Record{Channel: "a", Class: channel.Fleeting, Origin: origin, NoEcho: noEcho, Body: bodyOf(7)})
			case 2:
				write(rapid.IntRange(0, 2).Draw(t, "cursor"), rapid.IntRange(0, 150).Draw(t, "taken"))
			}
		}
		var want [channel.Fleeting + 1]uint64
		for i := range cs {
			for write(i, 1<<20) {
			}
			fs, _ := deframe(streams[i])
			for _, f := range fs {
				want[f.class]++
			}
		}
		if got := h.Stats().Out; got != want {
			t.Fatalf("counted %v, received %v", got, want)
		}
	})
}

// TestWrittenIsMeasuredOnce: a record whose way is measured counts at its first write, not at later ones, and not at that to somebody who was
// not there when it came.
func TestWrittenIsMeasuredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		written := observe.NewHistogram()
		h := New([]Encode{frameFormat(0)}, Options{Workers: 1, Written: written})
		defer h.Close()
		log := newTruth(1, 1)
		h.Open("a")
		h.Fill("a", log.base, nil)
		first, second := mustAttach(t, h, "a", From{}), mustAttach(t, h, "a", From{})
		say := func(class channel.Class, noEcho bool) {
			r := channel.Record{Channel: "a", Class: class, Body: bodyOf(1)}
			if class == channel.Logged {
				r = log.grow("a", bodyOf(1), 0, noEcho)
			}
			r.Came = time.Now()
			h.Append(r)
		}
		expect := func(count uint64, sum time.Duration) {
			t.Helper()
			if s := written.Snapshot(); s.Count != count || time.Duration(s.Sum*1e9+0.5).Round(time.Millisecond) != sum {
				t.Fatalf("measured %d with a sum of %v s, want %d with %v", s.Count, s.Sum, count, sum)
			}
		}
		say(channel.Logged, false)
		time.Sleep(time.Second)
		expect(0, 0)
		drain(t, second)
		expect(1, time.Second)
		time.Sleep(time.Second)
		drain(t, first)
		expect(1, time.Second)

		say(channel.Fleeting, false)
		time.Sleep(time.Second)
		drain(t, first)
		expect(2, 2*time.Second)
		drain(t, second)

		first.Detach()
		say(channel.Logged, false)
		time.Sleep(time.Second)
		late := mustAttach(t, h, "a", From{Rewind: 1})
		drain(t, late)
		drain(t, second)
		expect(2, 2*time.Second)

		second.Detach()
		late.Detach()
		say(channel.Logged, false) // nobody is there
		drain(t, mustAttach(t, h, "a", From{Rewind: 1}))
		expect(2, 2*time.Second)
	})
}

// TestLagIsBounded: Lag knows what cursors lack, and looks at no more than it says.
func TestLagIsBounded(t *testing.T) {
	h := newHub(t, Options{})
	filled(t, h, "small")
	log := filled(t, h, "large")
	slow := mustAttach(t, h, "large", From{})
	for i := range 7 {
		h.Append(log.grow("large", bodyOf(i), 0, false))
	}
	mustAttach(t, h, "small", From{})
	if lags := h.Lag(nil); !slices.Contains(lags, 7) || !slices.Contains(lags, 0) || len(lags) != 2 {
		t.Fatalf("lags %v", lags)
	}
	drain(t, slow)
	if lags := h.Lag(nil); len(lags) != 2 || slices.Max(lags) != 0 {
		t.Fatalf("lags %v", lags)
	}
	for range 5000 {
		mustAttach(t, h, "large", From{})
	}
	if lags := h.Lag(nil); len(lags) > lagCursors || len(lags) < lagCursors/2 {
		t.Fatalf("%d cursors were looked at", len(lags))
	}
}

// TestBusyTime: workers that wait are not busy, and one that works is, by the clock.
func TestBusyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New([]Encode{frameFormat(0)}, Options{Workers: 2})
		synctest.Wait()
		time.Sleep(time.Hour)
		if busy := h.Stats().Busy; busy != 0 {
			t.Errorf("busy for %v without work", busy)
		}
		h.Again(resuming(func() { time.Sleep(time.Minute) }))
		synctest.Wait()
		time.Sleep(time.Second)
		if busy := h.Stats().Busy; busy != time.Second {
			t.Errorf("busy for %v within a job of a minute, after a second", busy)
		}
		time.Sleep(time.Hour)
		if busy := h.Stats().Busy; busy != time.Minute {
			t.Errorf("busy for %v after a job of a minute", busy)
		}
		h.Close()
		time.Sleep(time.Hour)
		if busy := h.Stats().Busy; busy != time.Minute {
			t.Errorf("busy for %v after the end", busy)
		}
	})
}

// resuming is a connection that does something when it is resumed.
type resuming func()

func (resuming) Wake(*Cursor) {}
func (f resuming) Resume()    { f() }
