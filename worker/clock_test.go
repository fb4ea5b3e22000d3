package worker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon/app"
	"carillon/channel"
	"carillon/journal"
	"carillon/worker"
)

// looks counts how often the agenda is asked.
type looks struct {
	journal.Agenda
	count atomic.Int64
}

func (l *looks) Due(ctx context.Context, f journal.Fence, after uint64, max int) ([]journal.Due, time.Time, error) {
	l.count.Add(1)
	return l.Agenda.Due(ctx, f, after, max)
}

// TestClocksDiffer: where the clocks of store and worker differ, no timer comes before the worker's clock is there, and the
// store is not asked in a hurry until its own is.
func TestClocksDiffer(t *testing.T) {
	for _, off := range []time.Duration{-2 * time.Second, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var l looks
			var came atomic.Int64 // ms since the start, by the worker's clock
			began := time.Now()
			clock := func() time.Time { return time.Now().Add(off) }
			x := open(t, func(x *world) {
				l.Agenda = x.store
				x.o.Agenda, x.o.Clock = &l, clock
				x.s.step = func(c channel.Command) {
					if app.IsTimer(c) && c.Channel == "tally:twin" {
						came.Store(clock().Sub(began.Add(off)).Milliseconds())
					}
				}
			})
			n, busy, _ := twins(x)
			x.do(n, `{"op":"add","n":1,"wake":10000}`)
			for range 30 { // what else happens in the shard has the agenda looked at
				time.Sleep(time.Second)
				x.do(busy, `{"op":"add","n":1,"wake":1}`)
			}
			if at := came.Load(); at < 10000 {
				t.Errorf("with the worker's clock off by %v the timer came after %d ms, not after 10 s", off, at)
			}
			if asked := l.count.Load(); asked > 4000 {
				t.Errorf("with the worker's clock off by %v the agenda was asked %d times in half a minute", off, asked)
			}
		})
	}
}

// TestMissed: time that passes between two beats beyond what lies between beats is lost, and no other.
func TestMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lost
		var off atomic.Int64
		x := open(t, func(x *world) {
			x.o.Pulse = x.store
			x.o.Clock = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
			l.watch(x)
		})
		n := channel.Name("tally:stopped")
		x.do(n, `{"op":"add","n":1,"wake":36000000}`)
		time.Sleep(time.Minute)
		if c := l.settled(x, n, "before"); c.Lost != 0 {
			t.Errorf("lost %v, and nothing happened", c.Lost)
		}
		off.Store(int64(time.Hour)) // what a process sees that was stopped for an hour
		time.Sleep(10 * time.Second)
		if c := l.settled(x, n, "after"); c.Lost < time.Hour-journal.PulseEvery || c.Lost > time.Hour {
			t.Errorf("lost %v of an hour", c.Lost)
		}
		if c := l.settled(x, n, "again"); c.Lost != 0 {
			t.Errorf("lost %v once more", c.Lost)
		}
		x.restart()
		x.replays(n)
	})
}

// TestTimersBehindDesk: where the desk is full, a command that came before a timer's time is done before the timer, though both
// are late; and timers come although the desk is never empty.
func TestTimersBehindDesk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stage
		var mu sync.Mutex
		var did []string // of twin, and how many others were done before
		others := 0
		x := open(t, func(x *world) {
			staged(&s)(x)
			x.s.step = func(c channel.Command) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case c.Channel != "tally:twin":
					others++
				case app.IsTimer(c):
					did = append(did, "timer")
				default:
					did = append(did, c.ID)
				}
			}
		})
		n, busy, _ := twins(x)
		x.add(busy)
		x.do(n, `{"op":"add","n":1,"wake":2000}`)
		s.set(func(s *stage) {
			s.before = func(journal.Fence, []journal.Change) error { time.Sleep(300 * time.Millisecond); return nil }
		})
		var answers []<-chan answer
		fill := func(count int) {
			for range count {
				id := fmt.Sprint("fill", x.ids.Add(1))
				answers = append(answers, x.post(channel.Command{ID: id, Channel: busy, User: "ann", Body: []byte(inc)}))
			}
		}
		fill(20 * worker.MaxBatch) // six seconds of work
		time.Sleep(time.Second)
		answers = append(answers, x.post(channel.Command{ID: "in time", Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1,"wake":500}`)}))
		for range 100 { // faster than they are done
			fill(2 * worker.MaxBatch / 3)
			time.Sleep(100 * time.Millisecond)
		}
		mu.Lock()
		seen, backlog := slices.Clone(did), others
		mu.Unlock()
		if want := []string{"do2", "in time", "timer"}; !slices.Equal(seen, want) {
			t.Errorf("after %d others %v were done, want %v", backlog, seen, want)
		}
		s.set(func(s *stage) { s.before = nil })
		for _, got := range answers {
			if _, err := x.wait(got); err != nil {
				t.Fatal(err)
			}
		}
		x.replays(n)
	})
}
