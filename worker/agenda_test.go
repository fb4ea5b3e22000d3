package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/app"
	"carillon/channel"
	"carillon/journal"
)

// TestTimers: a timer comes once, not before its time, and again where its commit failed.
func TestTimers(t *testing.T) {
	var s stage
	var mu sync.Mutex
	var early []string
	wake := make(map[channel.Name]time.Time)
	x := open(t, func(x *world) {
		staged(&s)(x)
		x.s.step = func(c channel.Command) {
			mu.Lock()
			defer mu.Unlock()
			if bytes.Contains(c.Body, []byte("wake")) {
				wake[c.Channel] = c.Time.Add(50 * time.Millisecond)
			} else if app.IsTimer(c) && c.Time.Before(wake[c.Channel]) {
				early = append(early, fmt.Sprintf("%s at %v, armed for %v", c.Channel, c.Time, wake[c.Channel]))
			}
		}
	})
	var failed atomic.Bool
	s.set(func(s *stage) {
		s.before = func(_ journal.Fence, cs []journal.Change) error {
			for i := range cs {
				if cs[i].Timer > 0 && !failed.Swap(true) {
					return journal.ErrUnconfirmed
				}
			}
			return nil
		}
	})
	for i := range 10 {
		x.do(channel.Name(fmt.Sprintf("tally:w%d", i)), `{"op":"add","n":1,"wake":50}`)
	}
	for i := range 10 {
		n := channel.Name(fmt.Sprintf("tally:w%d", i))
		x.until("the timer of "+string(n), func() bool { _, timers := x.sum(n); return timers > 0 })
		x.add(n)
		if _, timers := x.sum(n); timers != 1 {
			t.Errorf("%s had %d timers", n, timers)
		}
		x.replays(n)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(early) > 0 {
		t.Errorf("timers came early: %v", early)
	}
}

// TestTimerReplaced: a step that states no timer, or a later one, replaces the one before; one armed before a restart comes
// after it.
func TestTimerReplaced(t *testing.T) {
	x := open(t, nil)
	x.do("tally:gone", `{"op":"add","n":1,"wake":60000}`)
	x.do("tally:gone", `{"op":"add","n":1}`)
	x.do("tally:sooner", `{"op":"add","n":1,"wake":60000}`)
	x.do("tally:sooner", `{"op":"add","n":1,"wake":1}`)
	x.do("tally:later", `{"op":"add","n":1,"wake":300}`)
	x.restart()
	for _, n := range []channel.Name{"tally:sooner", "tally:later"} {
		x.until("the timer of "+string(n), func() bool { _, timers := x.sum(n); return timers == 1 })
	}
	if _, timers := x.sum("tally:gone"); timers != 0 {
		t.Errorf("a timer that was taken back came")
	}
}

// TestTimerPoison: a timer on which the service fails is given up at its third attempt, and the channel lives.
func TestTimerPoison(t *testing.T) {
	x := open(t, func(x *world) {
		x.o.Reload = 20 * time.Millisecond
		x.s.step = func(c channel.Command) {
			if app.IsTimer(c) {
				panic("as ordered")
			}
		}
	})
	n := channel.Name("tally:tp")
	x.do(n, `{"op":"add","n":1,"wake":1}`)
	x.until("the timer is given up", func() bool { return x.w.Stats().Failed == 1 })
	x.until("the channel goes on", func() bool { _, err := x.ask(n, "after", `{"op":"add","n":1}`); return err == nil })
	due, _, err := x.store.Due(t.Context(), fenceOf(x, n), 0, 10)
	if err != nil || len(due) > 0 {
		t.Errorf("still due: %+v, %v", due, err)
	}
}

// fenceOf claims the shard of a channel, after the worker ended.
func fenceOf(x *world, n channel.Name) journal.Fence {
	x.Helper()
	x.stop()
	f, err := x.store.Claim(x.Context(), "tally", n.Shard(x.store.Shards()))
	if err != nil {
		x.Fatal(err)
	}
	return f
}

// TestSends: what a machine sends arrives once and in order, also across a restart and while the target is stopped.
func TestSends(t *testing.T) {
	x := open(t, func(x *world) { x.o.Reload = 50 * time.Millisecond })
	const sends = 40
	to := channel.Name("tally:target")
	for range 2 {
		_, _ = x.ask(to, "bad", `{"op":"panic"}`)
	}
	for i := range sends {
		x.do(channel.Name(fmt.Sprintf("tally:from%d", i%2)), fmt.Sprintf(`{"op":"send","to":"tally:target","n":%d}`, i+1))
		if i == sends/2 {
			x.restart()
		}
	}
	x.until("all sends arrive", func() bool {
		r, err := x.ask(to, "look", `{"op":"get"}`)
		return err == nil && bytes.Contains(r.Body, fmt.Appendf(nil, `"sum":%d,`, sends*(sends+1)/2))
	})
	st, err := x.store.Load(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	last := make(map[string]int)
	past, err := x.store.Past(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range past.Commands {
		var n int
		if _, err := fmt.Sscanf(string(k.Command.Body), `{"op":"add","n":%d}`, &n); err != nil {
			t.Fatal(err)
		}
		if n <= last[k.Command.User] {
			t.Errorf("from %s came %d after %d", k.Command.User, n, last[k.Command.User])
		}
		last[k.Command.User] = n
		if from, ok := app.SentBy(k.Command); !ok || from != "tally:from0" && from != "tally:from1" {
			t.Errorf("a send is from %s", k.Command.User)
		}
	}
	if st.Version != sends {
		t.Errorf("%d commands arrived, %d were sent", st.Version, sends)
	}
	x.until("nothing is left on the agenda", func() bool { return x.w.Stats().Sends > 0 })
	for _, n := range []channel.Name{"tally:from0", "tally:from1"} {
		x.replays(n)
	}
}

// TestSendRefused: a refusal counts as delivered, and what comes behind it goes on.
func TestSendRefused(t *testing.T) {
	x := open(t, nil)
	n := channel.Name("tally:sr")
	x.do(n, `{"op":"send","to":"tally:sink","pad":1}`)
	x.do(n, `{"op":"send","to":"tally:sink","n":5}`)
	x.until("both sends are noted", func() bool { return x.w.Stats().Sends == 2 })
	if sum, _ := x.sum("tally:sink"); sum != 5 || x.w.Stats().Refused != 1 {
		t.Errorf("the sum is %d; %+v", sum, x.w.Stats())
	}
	x.stop()
	due, _, err := x.store.Due(t.Context(), fenceOf(x, n), 0, 10)
	if err != nil || len(due) > 1 { // the last may not be noted before the end
		t.Errorf("still due: %+v, %v", due, err)
	}
}

// notes is an agenda that remembers which sends were noted.
type notes struct {
	journal.Agenda
	mu   sync.Mutex
	sent []uint64
}

func (a *notes) Sent(ctx context.Context, f journal.Fence, tickets []uint64) error {
	a.mu.Lock()
	a.sent = append(a.sent, tickets...)
	a.mu.Unlock()
	return a.Agenda.Sent(ctx, f, tickets)
}

func (a *notes) has(ticket uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.sent, ticket)
}

// TestSendNoted: a send is forgotten after its target committed it, however long that takes, and not before.
func TestSendNoted(t *testing.T) {
	var s stage
	var a notes
	x := open(t, func(x *world) {
		staged(&s)(x)
		a.Agenda = x.store
		x.o.Agenda = &a
	})
	shards := x.store.Shards()
	from, slow, quick := channel.Name("tally:from"), channel.Name("tally:slow"), channel.Name("tally:quick")
	for i := 0; slow.Shard(shards) == from.Shard(shards) || slow.Shard(shards) == quick.Shard(shards); i++ {
		slow = channel.Name(fmt.Sprintf("tally:slow%d", i))
	}
	held, let := make(chan struct{}), make(chan struct{})
	s.set(func(s *stage) {
		s.before = func(_ journal.Fence, cs []journal.Change) error {
			if has(cs, `"n":5}`) && cs[0].Channel == slow {
				close(held)
				<-let
			}
			return nil
		}
	})
	x.do(from, fmt.Sprintf(`{"op":"send","to":%q,"n":5}`, slow))
	<-held
	due, _, err := x.store.Due(t.Context(), journal.Fence{Service: "tally", Shard: from.Shard(shards), N: 1}, 0, 10)
	if err != nil || len(due) != 1 {
		t.Fatalf("on the agenda: %+v, %v", due, err)
	}
	for range 10 {
		x.do(from, fmt.Sprintf(`{"op":"send","to":%q,"n":1}`, quick))
	}
	x.until("the other sends are noted", func() bool { return x.w.Stats().Sends == 10 })
	if a.has(due[0].Ticket) {
		t.Error("a send was forgotten before its target committed it")
	}
	close(let)
	x.until("it is noted", func() bool { return a.has(due[0].Ticket) })
}

// TestDeadTarget: a channel that takes nothing holds up neither timers nor what is sent to others, however much waits for
// it; and it gets everything, in order, once it lives again.
func TestDeadTarget(t *testing.T) {
	const waiting = 200 // several times what is in hand for one target at a time
	var alive atomic.Bool
	x := open(t, func(x *world) {
		x.o.Reload = 5 * time.Millisecond
		x.s.step = func(c channel.Command) {
			if c.Channel == "tally:dead" && !alive.Load() {
				panic("dead")
			}
		}
	})
	x.until("it is given up", func() bool {
		_, _ = x.ask("tally:dead", fmt.Sprint("k", x.ids.Add(1)), `{"op":"add","n":1}`)
		stopped := x.w.Stopped()
		return len(stopped) > 0 && stopped[0].Until.IsZero()
	})
	src := channel.Name("tally:src")
	for range waiting {
		x.do(src, `{"op":"send","to":"tally:dead","n":1}`)
	}
	x.do(src, `{"op":"send","to":"tally:alive","n":5,"wake":10}`)
	x.until("the others go on", func() bool {
		_, timers := x.sum(src)
		sum, _ := x.sum("tally:alive")
		return timers > 0 && sum == 5
	})
	alive.Store(true)
	x.w.Restart("tally:dead")
	x.until("all arrives", func() bool {
		sum, _ := x.sum("tally:dead")
		return sum == waiting
	})
}
