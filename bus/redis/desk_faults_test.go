package redis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/bus"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/internal/servertest"

	"go.uber.org/goleak"
)

// askers ask all the time, a few commands at once, and count how asks end.
type askers struct {
	t     testing.TB
	d     *redis.Desk
	n     channel.Name
	stop  chan struct{}
	ended chan struct{}

	mu      sync.Mutex
	good    int
	errors  map[error]int
	longest time.Duration // of an ask that was refused as not done
}

func asking(t testing.TB, d *redis.Desk, n channel.Name) *askers {
	s := &askers{t: t, d: d, n: n, stop: make(chan struct{}), ended: make(chan struct{}), errors: make(map[error]int)}
	go s.run()
	return s
}

func (s *askers) run() {
	defer close(s.ended)
	free := make(chan struct{}, 4)
	for i := 0; ; i++ {
		select {
		case <-s.stop:
			for range cap(free) {
				free <- struct{}{}
			}
			return
		case free <- struct{}{}:
		}
		began := time.Now()
		var once atomic.Bool
		s.d.Ask(channel.Command{ID: fmt.Sprint(i), Channel: s.n, User: "ann"}, func(_ channel.Reply, err error) {
			if once.Swap(true) {
				s.t.Error("a command was answered twice")
			}
			s.mu.Lock()
			if err == nil {
				s.good++
			} else {
				s.errors[err]++
			}
			if errors.Is(err, bus.ErrUnavailable) {
				s.longest = max(s.longest, time.Since(began))
			}
			s.mu.Unlock()
			time.AfterFunc(time.Millisecond, func() { <-free })
		})
	}
}

// await waits until something holds of how asks ended so far.
func (s *askers) await(what string, is func(good int, errors map[error]int) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) {
		s.mu.Lock()
		ok := is(s.good, s.errors)
		s.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s did not come: %d answered, errors %v", what, s.good, s.errors)
		}
	}
}

func (s *askers) goesOn(what string) {
	s.t.Helper()
	s.mu.Lock()
	before := s.good
	s.mu.Unlock()
	s.await(what, func(good int, _ map[error]int) bool { return good > before+100 })
}

func (s *askers) refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errors[bus.ErrUnavailable]
}

func (s *askers) end() {
	close(s.stop)
	<-s.ended
	for err := range s.errors {
		if !errors.Is(err, bus.ErrUnavailable) && !errors.Is(err, bus.ErrUnanswered) && !errors.Is(err, bus.ErrNoService) {
			s.t.Errorf("an ask ended with %v", err)
		}
	}
}

// TestDeskRedisEmptied: a Redis that comes back without its data has leases taken anew; nothing hangs, nothing ends twice.
func TestDeskRedisEmptied(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	ds := desks(t, r.URL(), 3)
	inOwn(t, ds[1], "svc", 4, answering)
	inOwn(t, ds[2], "svc", 4, answering)
	s := asking(t, ds[0], "svc:a")
	s.goesOn("the beginning")
	for range 2 {
		before := s.refused()
		r.Kill()
		s.await("a refusal", func(_ int, errors map[error]int) bool { return errors[bus.ErrUnavailable] > before })
		r.Start()
		s.goesOn("the time after the restart")
	}
	r.Do("flushall")
	s.goesOn("the time after FLUSHALL")
	r.Do("client", "kill", "type", "pubsub")
	s.goesOn("the time after all who listen were cut off")
	s.end()
	t.Logf("%d answered, errors %v", s.good, s.errors)
}

// TestDeskRedisFrozen: owners give their shards up while Redis cannot tell them whether they are theirs, asks fail fast, and
// everything heals.
func TestDeskRedisFrozen(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	ds := desks(t, r.URL(), 3)
	var holders atomic.Int64
	run := func(ctx context.Context, s bus.Shard) error {
		holders.Add(1)
		defer holders.Add(-1)
		return answering(ctx, s)
	}
	inOwn(t, ds[1], "svc", 4, run)
	inOwn(t, ds[2], "svc", 4, run)
	s := asking(t, ds[0], "svc:a")
	s.goesOn("the beginning")
	r.Freeze()
	frozen := time.Now()
	s.await("the end of all runs", func(int, map[error]int) bool { return holders.Load() == 0 })
	t.Logf("all shards were given up %v after Redis froze", time.Since(frozen))
	s.await("refusals", func(_ int, errors map[error]int) bool { return errors[bus.ErrUnavailable] > 4 })
	r.Thaw()
	s.goesOn("the time after it")
	s.end()
	t.Logf("%d answered, errors %v; the longest refusal took %v, an ask may take %v", s.good, s.errors, s.longest, redis.AskFor)
	if s.longest > redis.AskFor/2 {
		t.Errorf("a refusal that nothing was done took %v", s.longest)
	}
}

// TestDeskSentinels: after a fail-over leases and commands go on at the new master.
func TestDeskSentinels(t *testing.T) {
	t.Parallel()
	w := servertest.StartSentinels(t, servertest.RedisNone...)
	ds := desks(t, w.URL(), 2)
	inOwn(t, ds[1], "svc", 2, answering)
	s := asking(t, ds[0], "svc:a")
	s.goesOn("the beginning")
	w.Master().Kill()
	s.await("an error", func(_ int, errors map[error]int) bool { return len(errors) > 0 })
	s.goesOn("the time after the fail-over")
	s.end()
	t.Logf("%d answered, errors %v", s.good, s.errors)
}

// TestDeskClose: Close answers what waits, ends the runs, and leaves no goroutine.
func TestDeskClose(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	before := goleak.IgnoreCurrent()
	b := reach(t, r.URL())
	d := redis.NewDesk(redis.DeskOptions{Backbone: b})
	begun, taken := make(chan struct{}), make(chan struct{})
	owned := make(chan error, 1)
	go func() {
		owned <- d.Own(context.Background(), "c", 1, func(ctx context.Context, s bus.Shard) error {
			close(begun)
			if _, err := s.Next(ctx, 10); err != nil {
				return err
			}
			close(taken)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	<-begun
	ended := make(chan error, 1)
	d.Ask(channel.Command{Channel: "c:a", ID: "1"}, func(_ channel.Reply, err error) { ended <- err })
	<-taken
	d.Close()
	d.Close()
	if err := <-owned; !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Own ended with %v", err)
	}
	if err := <-ended; !errors.Is(err, bus.ErrUnanswered) && !errors.Is(err, bus.ErrClosed) {
		t.Errorf("what waited ended with %v", err)
	}
	if _, err := askNow(d, channel.Command{Channel: "c:a"}); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("asked after Close: %v", err)
	}
	if err := d.Own(context.Background(), "c", 1, answering); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("owned after Close: %v", err)
	}
	if s := d.Stats(); s.Waiting != 0 || s.Shards != 0 {
		t.Errorf("after Close: %+v", s)
	}
	if left := r.Do("keys", "*desk-lease*"); left != "" {
		t.Errorf("leases are left: %s", left)
	}
	b.Close()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
