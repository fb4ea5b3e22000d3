package limit

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/observe"
)

// crowd sends n newcomers one after another, and notes in what order and when they came in, and who was refused.
type crowd struct {
	mu      sync.Mutex
	began   time.Time
	order   []int
	at      []time.Duration
	refused map[int]error
	all     sync.WaitGroup
}

func newCrowd() *crowd { return &crowd{began: time.Now(), refused: map[int]error{}} }

func (c *crowd) send(ctx context.Context, a *Admission, who int) {
	c.all.Go(func() {
		err := a.Enter(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.refused[who] = err
			return
		}
		c.order = append(c.order, who)
		c.at = append(c.at, time.Since(c.began))
	})
	synctest.Wait() // it has come in, been refused, or stands in the queue
}

func TestAdmissionIsFairAndSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := observe.NewHistogram()
		a := NewAdmission(AdmissionBounds{PerSecond: 10, Burst: 5, Queue: 100, Patience: 10 * time.Second}, waits)
		c, goroutines := newCrowd(), runtime.NumGoroutine()
		for i := range 50 {
			c.send(t.Context(), a, i)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 50 {
			t.Errorf("50 callers run on %d goroutines", n)
		}
		if s := a.Stats(); s.Waiting != 45 || s.Admitted != 5 {
			t.Errorf("%+v", s)
		}
		c.all.Wait()
		if !slices.IsSorted(c.order) || len(c.order) != 50 {
			t.Errorf("came in as %v", c.order)
		}
		for i, at := range c.at {
			if want := max(0, time.Duration(i-4)*100*time.Millisecond); at < want || at > want+time.Millisecond {
				t.Errorf("number %d came in after %v, want %v", i, at, want)
			}
		}
		if s := waits.Snapshot(); s.Count != 50 {
			t.Errorf("%d waits recorded", s.Count)
		}
	})
}

func TestAdmissionRefusesBeyondItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(AdmissionBounds{PerSecond: 10, Burst: 1, Queue: 5, Patience: time.Hour}, nil)
		c := newCrowd()
		for i := range 10 {
			c.send(t.Context(), a, i)
		}
		for i := 6; i < 10; i++ {
			var b *Busy
			if !errors.As(c.refused[i], &b) || b.Reason != QueueFull || b.RetryAfter < 600*time.Millisecond || b.RetryAfter > 900*time.Millisecond || b.Seconds() != 1 {
				t.Errorf("number %d: %v, %+v", i, c.refused[i], b)
			}
		}
		c.all.Wait()
		a.SetBounds(AdmissionBounds{PerSecond: 10, Burst: 1, Queue: 1000, Patience: time.Second})
		c = newCrowd()
		for i := range 1000 {
			c.send(t.Context(), a, i)
		}
		if d := time.Since(c.began); d > time.Millisecond {
			t.Errorf("refusals came after %v, not at once", d)
		}
		if n := len(c.refused); n < 985 {
			t.Errorf("%d were refused at once", n)
		}
		c.all.Wait()
		if len(c.order) < 10 || len(c.order) > 11 {
			t.Errorf("%d came in within the patience", len(c.order))
		}
		if s := a.Stats(); s.Full != 4 || s.Late != uint64(1000-len(c.order)) || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestAdmissionWhoLeavesTakesNoTurn: newcomers who give up, wherever they stand, delay nobody.
func TestAdmissionWhoLeavesTakesNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(AdmissionBounds{PerSecond: 10, Burst: 1, Queue: 100, Patience: time.Minute}, nil)
		c := newCrowd()
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 30 {
			if i%3 != 0 { // the first of the queue and the last among them
				c.send(ctx, a, i)
			} else {
				c.send(t.Context(), a, i)
			}
		}
		time.Sleep(50 * time.Millisecond)
		cancel()
		c.all.Wait()
		if want := []int{0, 3, 6, 9, 12, 15, 18, 21, 24, 27}; !slices.Equal(c.order, want) {
			t.Errorf("came in as %v", c.order)
		}
		if last := c.at[9]; last > 901*time.Millisecond {
			t.Errorf("the last came in after %v", last)
		}
		for who, err := range c.refused {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("number %d: %v", who, err)
			}
		}
		if s := a.Stats(); s.Gone != 20 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		if err := a.Enter(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("one who had gone before came in: %v", err)
		}
	})
}

func TestAdmissionBoundsChangeWhileOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(AdmissionBounds{PerSecond: 0.01, Burst: 1, Queue: 100, Patience: time.Hour}, nil)
		c := newCrowd()
		for i := range 20 {
			c.send(t.Context(), a, i)
		}
		a.SetBounds(AdmissionBounds{PerSecond: 1000, Burst: 1, Queue: 100, Patience: time.Hour})
		c.all.Wait()
		if !slices.IsSorted(c.order) || len(c.order) != 20 {
			t.Errorf("came in as %v", c.order)
		}
		a.SetBounds(AdmissionBounds{PerSecond: 0.01, Burst: 1, Queue: 100, Patience: time.Hour})
		late := newCrowd()
		for i := range 20 {
			late.send(t.Context(), a, i)
		}
		a.SetBounds(AdmissionBounds{})
		late.all.Wait()
		if d := time.Since(late.began); len(late.order) != 20 || d > 0 {
			t.Errorf("%d came in when the limit was lifted, after %v", len(late.order), d)
		}
		// A burst that becomes free is for those who wait, not for who comes at that moment.
		a.SetBounds(AdmissionBounds{PerSecond: 0.01, Burst: 1, Queue: 100, Patience: time.Hour})
		burst := newCrowd()
		for i := range 10 {
			burst.send(t.Context(), a, i)
		}
		a.SetBounds(AdmissionBounds{PerSecond: 10, Burst: 5, Queue: 100, Patience: time.Hour})
		err := a.Enter(t.Context())
		burst.mu.Lock()
		if err != nil || len(burst.order) < 9 {
			t.Errorf("%v, who came later came in before all but %d", err, len(burst.order))
		}
		burst.mu.Unlock()
		burst.all.Wait()
		// Slower than before, for those who wait already: their own patience ends it.
		a.SetBounds(AdmissionBounds{PerSecond: 10, Burst: 1, Queue: 100, Patience: time.Second})
		slow := newCrowd()
		for i := range 5 {
			slow.send(t.Context(), a, i)
		}
		a.SetBounds(AdmissionBounds{PerSecond: 0.001, Burst: 1, Queue: 100, Patience: time.Second})
		slow.all.Wait()
		if d := time.Since(slow.began); d > 1001*time.Millisecond || len(slow.refused) == 0 {
			t.Errorf("%d refused after %v", len(slow.refused), d)
		}
	})
}

// TestAdmissionStorm: however they come and leave, everybody gets an answer and nobody stays in the queue.
func TestAdmissionStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(AdmissionBounds{PerSecond: 500, Burst: 10, Queue: 200, Patience: 2 * time.Second}, nil)
		var all sync.WaitGroup
		for i := range 2000 {
			all.Go(func() {
				time.Sleep(time.Duration(i%97) * 7 * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%13)*100*time.Millisecond)
				defer cancel()
				_ = a.Enter(ctx)
			})
		}
		all.Wait()
		s := a.Stats()
		if s.Waiting != 0 || a.first != nil || a.last != nil {
			t.Errorf("%+v, and the queue is not empty", s)
		}
		if s.Admitted+s.Full+s.Late+s.Gone > 2000 || s.Admitted < 300 || s.Gone == 0 || s.Full == 0 {
			t.Errorf("%+v", s)
		}
	})
}

func BenchmarkAdmissionOpen(b *testing.B) {
	a := NewAdmission(AdmissionBounds{PerSecond: 1e9, Burst: 1e6, Queue: 1, Patience: time.Second}, nil)
	ctx := b.Context()
	for b.Loop() {
		_ = a.Enter(ctx)
	}
}

func BenchmarkAdmissionRefuses(b *testing.B) {
	a := NewAdmission(AdmissionBounds{PerSecond: 0.001, Burst: 1, Queue: 1, Patience: time.Second}, nil)
	ctx := b.Context()
	_ = a.Enter(ctx)
	for b.Loop() {
		_ = a.Enter(ctx)
	}
}
