package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/journal"
	"carillon/store/sqlite"
)

// lost notes what the machines of a world are told of lost time, by the id of the command.
type lost struct {
	mu  sync.Mutex
	all map[string]channel.Command
}

func (l *lost) watch(x *world) {
	l.all = make(map[string]channel.Command)
	x.s.step = func(c channel.Command) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all[c.ID] = c
	}
}

func (l *lost) of(id string) channel.Command {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[id]
}

const inc = `{"op":"add","n":1}`

// settled asks until the store has taken it, and gives the command as the machine saw it.
func (l *lost) settled(x *world, n channel.Name, id string) channel.Command {
	x.Helper()
	x.until("the command "+id+" is done", func() bool {
		_, err := x.ask(n, id, inc)
		return err == nil
	})
	return l.of(id)
}

// twins are two channels of one shard, and one of another.
func twins(x *world) (a, b, other channel.Name) {
	a = "tally:twin"
	for i := 0; b == "" || other == ""; i++ {
		n := channel.Name(fmt.Sprintf("tally:%d", i))
		if n.Shard(x.store.Shards()) == a.Shard(x.store.Shards()) {
			b = n
		} else {
			other = n
		}
	}
	return a, b, other
}

// TestLost: a machine is told how much of the time since its last change the store was away, and nobody waits for it
// longer than a second; afterwards the shard goes on by itself.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stage
		var l lost
		x := open(t, func(x *world) { staged(&s)(x); l.watch(x) })
		a, b, other := twins(x)
		for _, n := range []channel.Name{a, b, other} {
			x.add(n)
		}
		time.Sleep(5 * time.Second)
		away := fmt.Errorf("planted: %w", journal.ErrUnconfirmed)
		s.set(func(s *stage) {
			s.before = func(journal.Fence, []journal.Change) error { return away }
			s.seen = func() error { return away }
		})
		began := time.Now()
		for i := range 120 { // a minute
			asked := time.Now()
			_, err := x.ask(a, fmt.Sprint("away", i), inc)
			if !errors.Is(err, bus.ErrUnavailable) {
				t.Fatalf("command %d while the store is away: %v", i, err)
			}
			if took := time.Since(asked); took > time.Second {
				t.Fatalf("command %d waited for %v", i, took)
			}
			if i > 0 && time.Since(asked) > 50*time.Millisecond {
				t.Fatalf("command %d was not refused at once, but after %v", i, time.Since(asked))
			}
			time.Sleep(time.Until(began.Add(time.Duration(i+1) * 500 * time.Millisecond)))
		}
		s.set(func(s *stage) { s.before, s.seen = nil, nil })
		x.until("the store is found back", func() bool { time.Sleep(100 * time.Millisecond); return x.w.Down() == 0 })
		lasted := time.Since(began)
		time.Sleep(5 * time.Second)
		x.do(a, `{"op":"get"}`) // a question changes nothing of it
		_, _ = x.ask(a, "refused", `{"op":"refuse"}`)
		for _, n := range []channel.Name{a, b} {
			c := l.settled(x, n, "after"+string(n))
			if c.Lost < time.Minute || c.Lost > lasted {
				t.Errorf("%s lost %v, and the store was away for a minute", n, c.Lost)
			}
			if c = l.settled(x, n, "again"+string(n)); c.Lost != 0 {
				t.Errorf("%s lost %v once more", n, c.Lost)
			}
		}
		if c := l.settled(x, other, "other"); c.Lost != 0 {
			t.Errorf("a shard that met no failure lost %v", c.Lost)
		}
		x.restart() // the machines come back from what is kept
		for _, n := range []channel.Name{a, b, other} {
			x.replays(n)
		}
	})
}

// TestLostOverOwners: the time in which nobody had the shard is lost, and no more than that.
func TestLostOverOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lost
		x := open(t, func(x *world) { x.o.Pulse = x.store; l.watch(x) })
		n := channel.Name("tally:owners")
		x.do(n, `{"op":"add","n":1,"wake":3600000}`)
		time.Sleep(10 * time.Minute) // nobody says a word, but a timer waits
		x.stop()
		time.Sleep(40 * time.Second)
		x.start()
		time.Sleep(10 * time.Second)
		c := l.settled(x, n, "next")
		if c.Lost < 40*time.Second || c.Lost > 40*time.Second+2*journal.PulseEvery {
			t.Errorf("lost %v, and there was no owner for 40 s", c.Lost)
		}
		x.replays(n)
	})
}

// TestPulse: the store hears of shards that wait for a timer, and of no others, in one call.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pulse
		x := open(t, func(x *world) { x.o.Pulse = &p })
		a, _, other := twins(x)
		x.add(a)
		x.do(other, `{"op":"add","n":1,"wake":172800000}`) // the day after tomorrow
		time.Sleep(time.Minute)
		if calls := p.take(); len(calls) > 0 {
			t.Errorf("nobody waits for anything soon, and the store hears %v", calls)
		}
		x.do(a, `{"op":"add","n":1,"wake":60000}`)
		x.do("tally:far", `{"op":"add","n":1,"wake":3600000}`)
		time.Sleep(time.Minute)
		shards := x.store.Shards()
		for _, fs := range p.take() {
			if len(fs) != 2 || fs[0].Shard == fs[1].Shard || fs[0].Shard != a.Shard(shards) && fs[1].Shard != a.Shard(shards) {
				t.Fatalf("the store hears %v", fs)
			}
		}
		if p.count.Load() < 25 {
			t.Errorf("%d calls in a minute", p.count.Load())
		}
		time.Sleep(10 * time.Second) // the timer of a has fired
		p.take()
		time.Sleep(10 * time.Second)
		for _, fs := range p.take() {
			if len(fs) != 1 {
				t.Errorf("one shard waits, and the store hears %v", fs)
			}
		}
	})
}

type pulse struct {
	count atomic.Int64
	mu    sync.Mutex
	calls [][]journal.Fence
}

func (p *pulse) Alive(_ context.Context, fs []journal.Fence) error {
	p.count.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, fs)
	return nil
}

func (p *pulse) take() [][]journal.Fence {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.calls
	p.calls = nil
	return calls
}

// TestStalled: while a commit does not come back, others are refused; what it held is answered when it is over.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stage
		var l lost
		x := open(t, func(x *world) { staged(&s)(x); l.watch(x) })
		a, b, _ := twins(x)
		x.add(a)
		x.add(b)
		let := make(chan struct{})
		s.set(func(s *stage) { s.before = func(journal.Fence, []journal.Change) error { <-let; return nil } })
		held := x.post(channel.Command{ID: "held", Channel: a, User: "ann", Body: []byte(inc)})
		time.Sleep(100 * time.Millisecond)
		asked := time.Now()
		if _, err := x.ask(b, "behind", inc); !errors.Is(err, bus.ErrUnavailable) || time.Since(asked) > time.Second {
			t.Errorf("behind a commit that is stuck: %v after %v", err, time.Since(asked))
		}
		time.Sleep(time.Second)
		asked = time.Now()
		if _, err := x.ask(b, "new", inc); !errors.Is(err, bus.ErrUnavailable) || time.Since(asked) > 50*time.Millisecond {
			t.Errorf("while a commit is stuck: %v after %v", err, time.Since(asked))
		}
		if _, err := x.wait(x.post(channel.Command{ID: "old", Age: time.Second, Channel: b, User: "ann", Body: []byte(inc)})); !errors.Is(err, journal.ErrUnconfirmed) {
			t.Errorf("a resend, which may have been done: %v", err)
		}
		time.Sleep(8 * time.Second)
		s.set(func(s *stage) { s.before = nil })
		close(let)
		if _, err := x.wait(held); err != nil {
			t.Errorf("what it held: %v", err)
		}
		if c := l.settled(x, b, "later"); c.Lost < 9*time.Second || c.Lost > 11*time.Second {
			t.Errorf("lost %v of about 10 s", c.Lost)
		}
		x.replays(a)
		x.replays(b)
	})
}

// TestReadsHang: a store that does not answer questions is one that is away.
func TestReadsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stage
		x := open(t, staged(&s))
		n := channel.Name("tally:hang")
		x.add(n)
		s.set(func(s *stage) { s.hang = true })
		for i := range 10 {
			asked := time.Now()
			if _, err := x.ask(n, fmt.Sprint("hang", i), inc); !errors.Is(err, bus.ErrUnavailable) || time.Since(asked) > time.Second {
				t.Fatalf("command %d: %v after %v", i, err, time.Since(asked))
			}
			time.Sleep(time.Second)
		}
		s.set(func(s *stage) { s.hang = false })
		x.until("it goes on", func() bool { _, err := x.ask(n, "on", inc); time.Sleep(100 * time.Millisecond); return err == nil })
	})
}

// TestClaimFails: nobody waits for a shard that cannot be claimed.
func TestClaimFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stage
		var l lost
		x := open(t, func(x *world) { staged(&s)(x); l.watch(x) })
		n := channel.Name("tally:claim")
		x.add(n)
		x.stop()
		s.set(func(s *stage) { s.claim = errors.New("planted") })
		x.start()
		for i := range 10 {
			asked := time.Now()
			if _, err := x.ask(n, fmt.Sprint("claim", i), inc); !errors.Is(err, bus.ErrUnavailable) || time.Since(asked) > time.Second {
				t.Fatalf("command %d: %v after %v", i, err, time.Since(asked))
			}
			time.Sleep(time.Second)
		}
		s.set(func(s *stage) { s.claim = nil })
		x.until("it goes on", func() bool { _, err := x.ask(n, "on", inc); time.Sleep(100 * time.Millisecond); return err == nil })
		if c := l.of("on"); c.Lost < 10*time.Second || c.Lost > 12*time.Second {
			t.Errorf("lost %v of about 10 s", c.Lost)
		}
	})
}

// TestStoppedIsLost: the time in which a channel was stopped is lost to it, and to no other.
func TestStoppedIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lost
		x := open(t, func(x *world) { x.o.Reload = 30 * time.Second; l.watch(x) })
		a, b, _ := twins(x)
		x.add(a)
		x.add(b)
		time.Sleep(5 * time.Second)
		if _, err := x.ask(a, "bad", `{"op":"bad"}`); !errors.Is(err, bus.ErrStopped) {
			t.Fatal(err)
		}
		x.until("it takes commands again", func() bool {
			_, err := x.ask(a, "good", inc)
			time.Sleep(100 * time.Millisecond)
			return err == nil
		})
		if c := l.of("good"); c.Lost < 30*time.Second || c.Lost > 31*time.Second {
			t.Errorf("lost %v of the 30 s in which it was stopped", c.Lost)
		}
		time.Sleep(time.Second)
		if c := l.settled(x, a, "next"); c.Lost != 0 {
			t.Errorf("lost %v once more", c.Lost)
		}
		if c := l.settled(x, b, "b"); c.Lost != 0 {
			t.Errorf("another channel lost %v", c.Lost)
		}
		time.Sleep(10 * time.Second) // it takes commands, though none comes
		if _, err := x.ask(a, "bad again", `{"op":"bad"}`); !errors.Is(err, bus.ErrStopped) {
			t.Fatal(err)
		}
		x.until("it takes commands once more", func() bool {
			_, err := x.ask(a, "good again", inc)
			time.Sleep(100 * time.Millisecond)
			return err == nil
		})
		if c := l.of("good again"); c.Lost < 30*time.Second || c.Lost > 31*time.Second {
			t.Errorf("lost %v of the 30 s in which it was stopped again", c.Lost)
		}
		x.replays(a)
	})
}

// TestTimerLost: a timer is told as well, so that a machine can see that its time has not come.
func TestTimerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stage
		var mu sync.Mutex
		var timers []channel.Command
		x := open(t, func(x *world) {
			staged(&s)(x)
			x.s.step = func(c channel.Command) {
				mu.Lock()
				defer mu.Unlock()
				if c.User == "@"+string(c.Channel) {
					timers = append(timers, c)
				}
			}
		})
		n := channel.Name("tally:flag")
		x.do(n, `{"op":"add","n":1,"wake":20000}`)
		time.Sleep(10 * time.Second)
		s.set(func(s *stage) {
			s.before = func(journal.Fence, []journal.Change) error { return journal.ErrUnconfirmed }
		})
		_, _ = x.ask(n, "away", inc)
		time.Sleep(time.Minute)
		s.set(func(s *stage) { s.before = nil })
		x.until("the timer fires", func() bool { time.Sleep(time.Second); _, fired := x.sum(n); return fired == 1 })
		mu.Lock()
		defer mu.Unlock()
		if c := timers[len(timers)-1]; c.Lost < time.Minute-time.Second || c.Lost > time.Minute+5*time.Second {
			t.Errorf("the timer lost %v of about a minute", c.Lost)
		}
	})
}

var _ journal.Pulse = (*sqlite.Store)(nil)
