package worker

import (
	"context"
	"sync"
	"time"

	"carillon/journal"
)

// farTimer is how far ahead a timer may lie for its shard to be kept alive in the store.
const farTimer = 24 * time.Hour

// tenures are the loops that own a shard now, each with the time of its earliest timer; zero: it knows of none.
type tenures struct {
	mu  sync.Mutex
	all map[*loop]time.Time
}

func (ts *tenures) enter(l *loop) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.all == nil {
		ts.all = make(map[*loop]time.Time)
	}
	ts.all[l] = time.Time{}
}

func (ts *tenures) leave(l *loop) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.all, l)
}

// armed notes a timer of a loop.
func (ts *tenures) armed(l *loop, at time.Time) {
	if at.IsZero() {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if first, ok := ts.all[l]; ok && (first.IsZero() || at.Before(first)) {
		ts.all[l] = at
	}
}

// looked notes the earliest timer of a loop as the agenda has it.
func (ts *tenures) looked(l *loop, first time.Time) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if _, ok := ts.all[l]; ok {
		ts.all[l] = first
	}
}

// waiting are the fences of the shards that are served and have a timer before a moment.
func (ts *tenures) waiting(before time.Time) (fs []journal.Fence) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for l, first := range ts.all {
		if !first.IsZero() && first.Before(before) && !l.watch.left.Load() {
			fs = append(fs, l.fence)
		}
	}
	return fs
}

// beat tells the store which shards are served, as long as anything there waits for a time: with one call for all of them.
// A beat that comes late has found the process stopped: that was an outage too.
func (w *Worker) beat(ctx context.Context) {
	every := time.NewTicker(journal.PulseEvery)
	defer every.Stop()
	for last := w.o.Clock(); ; {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		now := w.o.Clock()
		if now.Sub(last) >= journal.PulseEvery+stalled {
			w.missed(last.Add(journal.PulseEvery), now)
		}
		last = now // a stop during the call below counts too
		if fs := w.tenures.waiting(now.Add(farTimer)); len(fs) > 0 {
			// If it fails, the next claim takes the time until then for an outage as well: nobody is charged for that.
			ctx, cancel := context.WithTimeout(ctx, journal.PulseEvery)
			_ = w.o.Pulse.Alive(ctx, fs)
			cancel()
		}
	}
}
