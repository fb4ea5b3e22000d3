package worker_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/bus"
	"carillon/bus/local"
	"carillon/channel"
	"carillon/journal"
	"carillon/worker"
)

// TestPoison: a panic stops its channel and no other; the command is refused at its third attempt, and stays so.
func TestPoison(t *testing.T) {
	x := open(t, func(x *world) { x.o.Reload = 50 * time.Millisecond })
	n := channel.Name("tally:poison")
	x.add(n)
	stopped := 0
	for {
		_, err := x.ask(n, "bad", `{"op":"panic"}`)
		if errors.Is(err, bus.ErrFailed) {
			break
		}
		if !errors.Is(err, bus.ErrStopped) {
			t.Fatalf("a command that panics: %v", err)
		}
		stopped++
		x.add("tally:other")
	}
	if p := x.w.Stats().Panics; p != 2 || stopped < 2 {
		t.Errorf("%d panics and %d times stopped before the third attempt", p, stopped)
	}
	if _, err := x.ask(n, "bad", `{"op":"panic"}`); !errors.Is(err, bus.ErrFailed) {
		t.Errorf("asked again after it failed for good: %v", err)
	}
	if sum, _ := x.sum(n); sum != 1 {
		t.Errorf("the sum is %d: a half step stayed", sum)
	}
	x.replays(n)
}

// TestStopsForGood: a channel that fails again and again waits for an operator.
func TestStopsForGood(t *testing.T) {
	x := open(t, func(x *world) { x.o.Reload = time.Millisecond })
	n := channel.Name("tally:again")
	given := func() bool {
		stopped := x.w.Stopped()
		return len(stopped) > 0 && stopped[0].Until.IsZero()
	}
	for i := 0; !given(); i++ {
		if _, err := x.ask(n, fmt.Sprint(i), `{"op":"bad"}`); !errors.Is(err, bus.ErrStopped) {
			t.Fatalf("an outcome that is none: %v", err)
		}
	}
	if p := x.w.Stats().Panics; p != 4 {
		t.Errorf("the channel was tried %d times, and is to be tried once and then three times again", p)
	}
	if _, err := x.ask(n, "more", `{"op":"add","n":1}`); !errors.Is(err, bus.ErrStopped) {
		t.Errorf("it waits for an operator, and says %v", err)
	}
	x.w.Restart(n)
	x.add(n)
}

// TestSlowStep: a step that does not end costs the loop its shard; others go on, and the command is refused at last.
func TestSlowStep(t *testing.T) {
	let := make(chan struct{})
	var stuck atomic.Int64
	x := open(t, func(x *world) {
		x.o.Slow = 300 * time.Millisecond
		x.s.step = func(c channel.Command) {
			if c.ID == "slow" {
				stuck.Add(1)
				<-let
			}
		}
	})
	n := channel.Name("tally:slow")
	x.add(n)
	slow := x.post(channel.Command{ID: "slow", Channel: n, User: "ann", Body: []byte(`{"op":"add","n":100}`)})
	var all []<-chan answer
	for i := range 10 {
		all = append(all, x.post(channel.Command{ID: fmt.Sprint(i), Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1}`)}))
	}
	if _, err := x.wait(slow); !errors.Is(err, bus.ErrFailed) {
		t.Errorf("a command whose step never ends: %v", err)
	}
	for i, got := range all {
		if _, err := x.wait(got); err != nil {
			t.Errorf("command %d behind it: %v", i, err)
		}
	}
	if stuck.Load() != 2 {
		t.Errorf("it was tried %d times, want 2", stuck.Load())
	}
	close(let)
	if sum, _ := x.sum(n); sum != 11 {
		t.Errorf("the sum is %d, want 11", sum)
	}
	x.replays(n)
}

// TestUnconfirmed: whether a commit came to pass or not, the command is done once.
func TestUnconfirmed(t *testing.T) {
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprintf("committed %v", done), func(t *testing.T) {
			var s stage
			x := open(t, staged(&s))
			n := channel.Name("tally:u")
			x.add(n)
			var failures atomic.Int64
			held, posted := make(chan struct{}), make(chan struct{})
			var once sync.Once
			lose := func(journal.Fence, []journal.Change) error {
				once.Do(func() { close(held) })
				<-posted // so that more waits behind it
				if failures.Add(1) <= 2 {
					return fmt.Errorf("planted: %w", journal.ErrUnconfirmed)
				}
				return nil
			}
			s.set(func(s *stage) {
				if done {
					s.after = lose
				} else {
					s.before = lose
				}
			})
			var all []<-chan answer
			for i := range 50 {
				all = append(all, x.post(channel.Command{ID: fmt.Sprint(i), Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1}`)}))
				<-held
			}
			close(posted)
			for i, got := range all {
				r, err := x.wait(got)
				if errors.Is(err, bus.ErrUnavailable) { // it came when the store had failed twice
					r, err = x.ask(n, fmt.Sprint(i), inc)
				}
				if err != nil || !bytes.Contains(r.Body, fmt.Appendf(nil, `"sum":%d,`, i+2)) {
					t.Errorf("command %d: %s, %v", i, r.Body, err)
				}
			}
			x.until("the store is found back", func() bool { return x.w.Down() == 0 })
			if sum, _ := x.sum(n); sum != 51 {
				t.Errorf("the sum is %d", sum)
			}
			x.replays(n)
		})
	}
}

// TestSameStamps: a command that is run again has the time and the chance of its first run.
func TestSameStamps(t *testing.T) {
	var s stage
	var mu sync.Mutex
	var seen []channel.Command
	x := open(t, func(x *world) {
		staged(&s)(x)
		x.s.step = func(c channel.Command) {
			mu.Lock()
			defer mu.Unlock()
			if c.ID == "stamp" {
				seen = append(seen, c)
			}
		}
	})
	var failed atomic.Bool
	s.set(func(s *stage) {
		s.before = func(_ journal.Fence, cs []journal.Change) error {
			if has(cs, `"n":77`) && !failed.Swap(true) {
				return journal.ErrUnconfirmed
			}
			return nil
		}
	})
	if _, err := x.ask("tally:stamp", "stamp", `{"op":"add","n":77}`); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 2 || seen[0].Seed != seen[1].Seed || !seen[0].Time.Equal(seen[1].Time) || seen[0].Seed == [32]byte{} || seen[0].Time.IsZero() {
		t.Errorf("the command was run as %+v", seen)
	}
}

func TestGivesUp(t *testing.T) {
	var s stage
	x := open(t, staged(&s))
	n := channel.Name("tally:up")
	x.add(n)
	fail := func(err error) {
		s.set(func(s *stage) { s.before, s.seen = nil, nil })
		x.until("the store is found back", func() bool { return x.w.Down() == 0 })
		s.set(func(s *stage) { s.before = func(journal.Fence, []journal.Change) error { return err } })
	}
	fail(journal.ErrFull)
	if _, err := x.ask(n, "full", `{"op":"add","n":1}`); !errors.Is(err, journal.ErrFull) {
		t.Errorf("the disk is full: %v", err)
	}
	fail(journal.ErrUnconfirmed)
	if _, err := x.ask(n, "doubt", `{"op":"add","n":1}`); !errors.Is(err, journal.ErrUnconfirmed) {
		t.Errorf("every commit fails: %v", err)
	}
	fail(nil)
	s.set(func(s *stage) { s.seen = func() error { return errors.New("planted") } })
	if _, err := x.ask(n, "blind", `{"op":"add","n":1}`); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("ids cannot be read: %v", err)
	}
	fail(nil)
	for _, id := range []string{"full", "doubt", "blind"} {
		if _, err := x.ask(n, id, `{"op":"add","n":1}`); err != nil {
			t.Errorf("%s, asked again: %v", id, err)
		}
	}
	if sum, _ := x.sum(n); sum != 4 {
		t.Errorf("the sum is %d, want 4", sum)
	}
}

// TestCulprit: of a batch with one command that the store cannot write, that one is refused and the others are done.
func TestCulprit(t *testing.T) {
	var s stage
	x := open(t, staged(&s))
	x.add("tally:c0")
	s.set(func(s *stage) {
		s.before = func(_ journal.Fence, cs []journal.Change) error {
			for i := range cs {
				if bytes.Contains(cs[i].Command.Body, []byte(`"n":666`)) && cs[i].Reply.Code == 0 {
					return errors.New("planted: no such value")
				}
			}
			return nil
		}
	})
	var all []<-chan answer
	for i := range 200 {
		body := `{"op":"add","n":1}`
		if i == 77 {
			body = `{"op":"add","n":666}`
		}
		all = append(all, x.post(channel.Command{ID: fmt.Sprint(i), Channel: channel.Name(fmt.Sprintf("tally:c%d", i%5)), User: "ann", Body: []byte(body)}))
	}
	for i, got := range all {
		if _, err := x.wait(got); (i == 77) != errors.Is(err, bus.ErrFailed) || i != 77 && err != nil {
			t.Errorf("command %d: %v", i, err)
		}
	}
	for i := range 5 {
		x.replays(channel.Name(fmt.Sprintf("tally:c%d", i)))
	}
}

// TestZombie: an owner that was paused within its commit, while another took the shard over, writes nothing.
func TestZombie(t *testing.T) {
	var s stage
	x := open(t, staged(&s))
	n := channel.Name("tally:z")
	x.add(n)
	held, let := make(chan journal.Fence), make(chan struct{})
	var accepted, refused atomic.Int64
	var first atomic.Uint64
	s.set(func(s *stage) {
		var once sync.Once
		s.before = func(f journal.Fence, _ []journal.Change) error {
			once.Do(func() { first.Store(f.N); held <- f; <-let })
			return nil
		}
	})
	old := x.post(channel.Command{ID: "old", Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1}`)})
	fence := <-held
	var all []<-chan answer
	for i := range 30 {
		all = append(all, x.post(channel.Command{ID: fmt.Sprint("z", i), Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1}`)}))
	}

	// The other owner has a desk of its own, as on another node.
	second := local.NewDesk()
	o := x.o
	o.Desk, o.Stage = second, x.store
	w, err := worker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var ran sync.WaitGroup
	ran.Go(func() { _ = w.Run(t.Context()) })
	y := &world{TB: t, desk: second, w: w, store: x.store, o: o}
	x.until("the other owner knows its service", func() bool {
		_, err := y.ask(n, "new", `{"op":"add","n":10}`)
		return err == nil
	})
	s.set(func(s *stage) {
		s.before = nil
		s.after = func(f journal.Fence, _ []journal.Change) error {
			if f.Shard == fence.Shard && f.N == first.Load() {
				accepted.Add(1)
			}
			return nil
		}
	})
	close(let)
	x.until("the zombie is fenced", func() bool { refused.Store(int64(x.w.Stats().Failures)); return refused.Load() > 0 })
	if _, err := x.wait(old); err != nil {
		t.Errorf("after the shard was claimed again: %v", err)
	}
	for _, got := range all {
		if _, err := x.wait(got); err != nil {
			t.Errorf("after the shard was claimed again: %v", err)
		}
	}
	w.Close()
	ran.Wait()
	second.Close()
	if accepted.Load() != 0 {
		t.Errorf("%d commits of the zombie were accepted", accepted.Load())
	}
	x.until("the sum is whole", func() bool { sum, _ := x.sum(n); return sum == 1+10+1+30 })
	x.replays(n)
}

// TestTakeOver: two owners on one desk share the shards, and nothing is lost or done twice when one ends at any time.
func TestTakeOver(t *testing.T) {
	x := open(t, nil)
	var asking sync.WaitGroup
	for g := range 8 {
		asking.Go(func() {
			n := channel.Name(fmt.Sprintf("tally:t%d", g))
			for i := range 300 {
				for {
					_, err := x.ask(n, fmt.Sprint(i), `{"op":"add","n":1}`)
					if err == nil {
						break
					}
					if !errors.Is(err, journal.ErrUnconfirmed) {
						t.Errorf("%s: %v", n, err)
						return
					}
				}
			}
		})
	}
	for range 5 {
		other, err := worker.New(x.o)
		if err != nil {
			t.Fatal(err)
		}
		var ran sync.WaitGroup
		ran.Go(func() { _ = other.Run(t.Context()) })
		before := other.Stats().Commands
		x.until("the other works too", func() bool { return other.Stats().Commands > before || x.w.Stats().Commands >= 8*300 })
		other.Close()
		ran.Wait()
	}
	asking.Wait()
	for g := range 8 {
		n := channel.Name(fmt.Sprintf("tally:t%d", g))
		if sum, _ := x.sum(n); sum != 300 {
			t.Errorf("%s has %d", n, sum)
		}
		x.replays(n)
	}
}

// TestCompanions: a question that was asked beside a change which cannot be written is answered.
func TestCompanions(t *testing.T) {
	var s stage
	var once atomic.Bool
	x := open(t, func(x *world) { staged(&s)(x) })
	a := channel.Name("tally:a")
	x.add(a)
	gate, in := make(chan struct{}), make(chan struct{}, 1)
	s.set(func(s *stage) {
		s.before = func(_ journal.Fence, cs []journal.Change) error {
			if has(cs, `"n":55`) && !once.Swap(true) {
				in <- struct{}{}
				<-gate
			}
			if has(cs, `"n":66`) {
				return errors.New("cannot be written")
			}
			return nil
		}
	})
	first := x.post(channel.Command{ID: "f", Channel: a, User: "ann", Body: []byte(`{"op":"add","n":55}`)})
	<-in
	bad := x.post(channel.Command{ID: "bad", Channel: a, User: "ann", Body: []byte(`{"op":"add","n":66}`)})
	question := x.post(channel.Command{ID: "q", Channel: a, User: "ann", Body: []byte(`{"op":"get"}`)})
	close(gate)
	_, _ = x.wait(first)
	_, _ = x.wait(bad)
	if _, err := x.wait(question); err != nil {
		t.Errorf("the question beside it: %v", err)
	}
}
