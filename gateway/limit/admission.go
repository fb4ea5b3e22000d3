package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"carillon/observe"
)

// AdmissionBounds say how fast newcomers are let in. PerSecond not above 0: at once, all of them.
type AdmissionBounds struct {
	PerSecond float64       // on average
	Burst     int           // at once; at least 1
	Queue     int           // who may wait at a time
	Patience  time.Duration // how long one may wait
}

// Admission lets newcomers in one after another, in the order in which they came. Those it cannot serve in time are
// refused at once, with the time at which it makes sense to come back. A waiting newcomer costs its caller's goroutine
// and one timer; the first in the queue minds the clock and calls the next.
type Admission struct {
	waits    *observe.Histogram
	admitted atomic.Uint64
	full     atomic.Uint64
	late     atomic.Uint64
	gone     atomic.Uint64

	mu          sync.Mutex
	bounds      AdmissionBounds
	rate        *pace
	fill        tank
	first, last *waiter
	waiting     int
}

type waiter struct {
	before, after *waiter
	turn          chan struct{} // it is the first now, or the bounds have changed
	since, until  int64         // ticks
}

// AdmissionStats are figures of an Admission. Waiting is of this moment, the others count since it was made.
type AdmissionStats struct {
	Waiting  int
	Admitted uint64
	Full     uint64 // refused: the queue was full
	Late     uint64 // refused: the turn would have come, or came, after the patience
	Gone     uint64 // went away while waiting
}

// NewAdmission makes an Admission. waits takes how long those let in have waited; it may be nil.
func NewAdmission(b AdmissionBounds, waits *observe.Histogram) *Admission {
	a := &Admission{waits: waits}
	a.SetBounds(b)
	return a
}

// SetBounds changes the bounds. Those who wait keep their place and their patience, at the new pace.
func (a *Admission) SetBounds(b AdmissionBounds) {
	var r Rate
	r.Set(Pace{PerSecond: b.PerSecond, Burst: b.Burst})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bounds, a.rate = b, r.load()
	a.first.call()
}

// Enter lets the caller in, at once or when its turn comes. The error is a *Busy, or that of ctx.
func (a *Admission) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := tick(time.Now())
	a.mu.Lock()
	if a.first == nil {
		if ok, _ := a.fill.take(a.rate, now, 1); ok {
			a.mu.Unlock()
			return a.letIn(0)
		}
	}
	turn := a.turn(now)
	switch {
	case a.waiting >= a.bounds.Queue:
		a.mu.Unlock()
		a.full.Add(1)
		return &Busy{Reason: QueueFull, RetryAfter: spread(turn)}
	case turn > a.bounds.Patience:
		a.mu.Unlock()
		return a.tooLate(turn)
	}
	w := &waiter{before: a.last, turn: make(chan struct{}, 1), since: now, until: now + int64(a.bounds.Patience)}
	if a.last != nil {
		a.last.after = w
	} else {
		a.first = w
	}
	a.last = w
	a.waiting++
	a.mu.Unlock()
	return a.await(ctx, w)
}

// await stands in the queue.
func (a *Admission) await(ctx context.Context, w *waiter) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := tick(time.Now())
		in, pause := a.advance(w, now)
		if in {
			return a.letIn(time.Duration(now - w.since))
		}
		if pause <= 0 {
			return a.tooLate(a.giveUp(w, now))
		}
		timer.Reset(pause)
		select {
		case <-w.turn:
		case <-timer.C:
		case <-ctx.Done():
			a.giveUp(w, now)
			a.gone.Add(1)
			return ctx.Err()
		}
	}
}

// advance lets the first of the queue in if it is time, or says how long until the next look.
func (a *Admission) advance(w *waiter, now int64) (in bool, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	pause = time.Duration(w.until - now)
	if a.first != w {
		return false, pause
	}
	ok, wait := a.fill.take(a.rate, now, 1)
	if !ok {
		return false, min(pause, wait)
	}
	a.remove(w)
	return true, 0
}

// giveUp leaves the queue, and tells when the turn of a newcomer would be.
func (a *Admission) giveUp(w *waiter, now int64) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(w)
	return a.turn(now)
}

// remove takes w out of the queue; a.mu is held.
func (a *Admission) remove(w *waiter) {
	if w.before != nil {
		w.before.after = w.after
	} else {
		a.first = w.after
		a.first.call()
	}
	if w.after != nil {
		w.after.before = w.before
	} else {
		a.last = w.before
	}
	a.waiting--
}

func (w *waiter) call() {
	if w == nil {
		return
	}
	select {
	case w.turn <- struct{}{}:
	default: // it was called already and will look
	}
}

// turn is how long one who joins the queue now would wait; a.mu is held.
func (a *Admission) turn(now int64) time.Duration {
	if a.rate.each == 0 {
		return 0
	}
	ahead := a.fill.ahead(a.fill.full.Load(), now, a.rate) + nanoseconds(a.rate.each*float64(a.waiting+1))
	return time.Duration(max(ahead-a.rate.burst, 0))
}

func (a *Admission) letIn(waited time.Duration) error {
	a.admitted.Add(1)
	a.waits.Record(waited)
	return nil
}

func (a *Admission) tooLate(turn time.Duration) error {
	a.late.Add(1)
	return &Busy{Reason: TooLate, RetryAfter: spread(turn)}
}

// Stats returns figures; they are not of one moment.
func (a *Admission) Stats() AdmissionStats {
	a.mu.Lock()
	waiting := a.waiting
	a.mu.Unlock()
	return AdmissionStats{
		Waiting: waiting, Admitted: a.admitted.Load(),
		Full: a.full.Load(), Late: a.late.Load(), Gone: a.gone.Load(),
	}
}
