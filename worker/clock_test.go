package worker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon/app"
	"carillon/channel"
	"carillon/journal"
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
