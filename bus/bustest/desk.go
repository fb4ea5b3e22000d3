package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// OpenDesk opens a desk; the suite closes it with end, after all its owners have ended.
type OpenDesk func(t testing.TB) (d bus.Desk, end func())

// OpenDesks opens the desks of several nodes that are one desk to those who ask: the suite asks at the first, and owners
// come to the others in turn.
type OpenDesks func(t testing.TB) (ds []bus.Desk, end func())

const (
	deskService = "desk"
	deskShards  = 4
)

// RunDesk checks everything that bus.Desk promises. A desk may take its time to move a shard from owner to owner.
func RunDesk(t *testing.T, open OpenDesk) {
	runDesks(t, func(t testing.TB) *counter {
		d, end := open(t)
		return &counter{asks: d, owns: []bus.Desk{d}, end: end}
	})
}

// RunDesks checks the same over several nodes. There a desk may find out after Ask returned that too many commands wait: it
// still says so, and of those that it did not refuse none is lost.
func RunDesks(t *testing.T, open OpenDesks) {
	runDesks(t, func(t testing.TB) *counter {
		ds, end := open(t)
		return &counter{asks: ds[0], owns: ds[1:], end: end, late: true}
	})
}

func runDesks(t *testing.T, open func(testing.TB) *counter) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, *counter)
	}{
		{"answers", checkAnswers},
		{"errors pass through", checkErrors},
		{"nobody serves", checkNobody},
		{"shard by channel", checkShards},
		{"order", checkDeskOrder},
		{"next removes nothing", checkHandOver},
		{"two owners share", checkShare},
		{"answered once", checkOnce},
		{"answers in any order", checkAnyOrder},
		{"bound", checkBusy},
		{"a run that returns", checkRunReturns},
		{"next ends", checkNextEnds},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			k.t = t
			c.check(t, k)
			k.endAll()
			k.end()
			if over := k.twice.Load(); over > 0 {
				t.Errorf("%d commands were answered more than once", over)
			}
		})
	}
}

// checkAnswers: a command arrives as it was asked, and its reply goes back whole.
func checkAnswers(t *testing.T, k *counter) {
	got := make(chan bus.Asked, 16)
	want := channel.Reply{ID: "x", At: channel.Position{Epoch: 1<<64 - 1, Offset: 9, Tag: 1 << 63}, Code: 12, Body: []byte(`"no"`)}
	k.own(func(ctx context.Context, s bus.Shard) error {
		for {
			as, err := s.Next(ctx, 16)
			if err != nil {
				return err
			}
			for _, a := range as {
				if a.Command.ID == "x" {
					got <- a
				}
				if err := s.Answer([]bus.Answered{{Ticket: a.Ticket, Reply: want}}); err != nil {
					return err
				}
			}
		}
	})
	k.served()
	c := channel.Command{ID: "x", Channel: inShard(2), User: "o'neill", Origin: 1<<63 + 1, Age: 3 * time.Second, Binary: true, Body: []byte{0, 255}}
	r, err := k.wait(k.ask(c))
	if err != nil || r.ID != want.ID || r.At != want.At || r.Code != want.Code || string(r.Body) != string(want.Body) {
		t.Errorf("reply is %+v, %v; want %+v", r, err, want)
	}
	a := within(t, got, "the command")
	g := a.Command
	if a.Attempt != 1 || g.ID != c.ID || g.Channel != c.Channel || g.User != c.User || g.Origin != c.Origin || g.Age != c.Age || !g.Binary || string(g.Body) != string(c.Body) {
		t.Errorf("asked %+v, and attempt %d of %+v arrived", c, a.Attempt, g)
	}
}

func checkErrors(t *testing.T, k *counter) {
	k.own(func(ctx context.Context, s bus.Shard) error {
		for {
			as, err := s.Next(ctx, 1)
			if err != nil {
				return err
			}
			_ = s.Answer([]bus.Answered{{Ticket: as[0].Ticket, Err: bus.ErrStopped}})
		}
	})
	k.served()
	if _, err := k.wait(k.ask(order(inShard(1), 1))); !errors.Is(err, bus.ErrStopped) {
		t.Errorf("the owner answered ErrStopped, the asker got %v", err)
	}
}

func checkNobody(t *testing.T, k *counter) {
	k.own(replying(8, nil))
	k.served()
	for _, n := range []channel.Name{"desks:1", "des:1", "desk:1@presence", "nobody"} {
		if _, err := k.wait(k.ask(order(n, 1))); !errors.Is(err, bus.ErrNoService) {
			t.Errorf("nobody serves %s, and the answer is %v", n, err)
		}
	}
}

func checkShards(t *testing.T, k *counter) {
	var wrong atomic.Int64
	k.own(replying(8, func(s bus.Shard, as []bus.Asked) {
		for _, a := range as {
			if a.Command.Channel.Shard(deskShards) != s.Number() {
				wrong.Add(1)
			}
		}
	}))
	k.served()
	var all []*asking
	for i := range 100 {
		all = append(all, k.ask(order(channel.Name(fmt.Sprintf("%s:%d", deskService, i)), i)))
	}
	for i, a := range all {
		if r, err := k.wait(a); err != nil || string(r.Body) != fmt.Sprint(i) {
			t.Errorf("command %d was answered %q, %v", i, r.Body, err)
		}
	}
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d commands came to another shard than that of their channel", n)
	}
}

// seenBy collects what reached owners, by channel.
type seenBy struct {
	mu  sync.Mutex
	ids map[channel.Name][]string
}

func (s *seenBy) note(_ bus.Shard, as []bus.Asked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = make(map[channel.Name][]string)
	}
	for _, a := range as {
		s.ids[a.Command.Channel] = append(s.ids[a.Command.Channel], a.Command.ID)
	}
}

func checkDeskOrder(t *testing.T, k *counter) {
	const askers, each = 8, 200
	var seen seenBy
	k.own(replying(7, seen.note))
	k.served()
	var asked sync.WaitGroup
	for g := range askers {
		asked.Go(func() {
			n := channel.Name(fmt.Sprintf("%s:order%d", deskService, g))
			var all []*asking
			for i := range each {
				all = append(all, k.ask(order(n, i)))
			}
			for _, a := range all {
				<-a.answered
			}
		})
	}
	asked.Wait()
	for g := range askers {
		n := channel.Name(fmt.Sprintf("%s:order%d", deskService, g))
		for i, id := range seen.ids[n] {
			if id != fmt.Sprintf("id%d", i) {
				t.Fatalf("%s: command %d to arrive was %s", n, i, id)
			}
		}
	}
}

// checkHandOver: what an owner left unanswered comes to the next one, in order, as a further attempt.
func checkHandOver(t *testing.T, k *counter) {
	n := inShard(3)
	held := make(chan []bus.Asked, 8)
	first := k.own(func(ctx context.Context, s bus.Shard) error {
		for handed := 0; ; {
			as, err := s.Next(ctx, 2)
			if err != nil {
				return err
			}
			if s.Number() != n.Shard(deskShards) {
				for _, a := range as {
					_ = s.Answer([]bus.Answered{{Ticket: a.Ticket}})
				}
				continue
			}
			held <- as
			if handed += len(as); handed >= 3 { // they may have come one by one
				<-ctx.Done()
			}
		}
	})
	k.served()
	var all []*asking
	for i := range 6 {
		all = append(all, k.ask(order(n, i)))
	}
	for got := 0; got < 3; {
		got += len(within(t, held, "a part of the commands"))
	}
	first.end()
	var attempts []int
	var ids []string
	var mu sync.Mutex
	k.own(replying(100, func(s bus.Shard, as []bus.Asked) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range as {
			if s.Number() == n.Shard(deskShards) {
				attempts, ids = append(attempts, a.Attempt), append(ids, a.Command.ID)
			}
		}
	}))
	for _, a := range all {
		if _, err := k.wait(a); err != nil {
			t.Errorf("after the owner changed: %v", err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"id0", "id1", "id2", "id3", "id4", "id5"}; !slices.Equal(ids, want) {
		t.Errorf("the next owner was handed %v, want %v", ids, want)
	}
	if attempts[0] != 2 || attempts[len(attempts)-1] > attempts[0] || !slices.IsSortedFunc(attempts, func(a, b int) int { return b - a }) {
		t.Errorf("attempts are %v: those that the first owner was handed are at their second", attempts)
	}
}

// checkShare: a second owner gets shards too, and all of them when the first ends.
func checkShare(t *testing.T, k *counter) {
	var mu sync.Mutex
	runs := make(map[int]map[int]bool) // by owner: which shards it serves
	moved := make(chan struct{}, 1)
	member := func(me int) func(context.Context, bus.Shard) error {
		return func(ctx context.Context, s bus.Shard) error {
			note := func(on bool) {
				mu.Lock()
				defer mu.Unlock()
				for other, shards := range runs {
					if on && other != me && shards[s.Number()] {
						t.Errorf("shard %d is given to owner %d while owner %d has it", s.Number(), me, other)
					}
				}
				if runs[me] == nil {
					runs[me] = make(map[int]bool)
				}
				if runs[me][s.Number()] = on; !on {
					delete(runs[me], s.Number())
				}
				select {
				case moved <- struct{}{}:
				default:
				}
			}
			note(true)
			defer note(false)
			return replying(8, nil)(ctx, s)
		}
	}
	until := func(first, second int) {
		t.Helper()
		for {
			mu.Lock()
			ok := len(runs[1]) == first && len(runs[2]) == second
			mu.Unlock()
			if ok {
				return
			}
			within(t, moved, fmt.Sprintf("a division of %d and %d shards", first, second))
		}
	}
	one := k.own(member(1))
	until(deskShards, 0)
	k.own(member(2))
	until(deskShards/2, deskShards/2)
	one.end()
	until(0, deskShards)
	if _, err := k.wait(k.ask(order(inShard(0), 1))); err != nil {
		t.Errorf("after the owners changed: %v", err)
	}
}

func checkOnce(t *testing.T, k *counter) {
	k.own(func(ctx context.Context, s bus.Shard) error {
		for {
			as, err := s.Next(ctx, 8)
			if err != nil {
				return err
			}
			for _, a := range as {
				_ = s.Answer([]bus.Answered{{Ticket: a.Ticket, Reply: channel.Reply{Code: 1}}, {Ticket: a.Ticket, Reply: channel.Reply{Code: 2}}})
				_ = s.Answer([]bus.Answered{{Ticket: a.Ticket, Reply: channel.Reply{Code: 3}}, {Ticket: a.Ticket + 1<<40}})
			}
		}
	})
	k.served()
	for i := range 100 {
		if r, err := k.wait(k.ask(order(inShard(i%deskShards), i))); err != nil || r.Code != 1 {
			t.Fatalf("the first answer had code 1; the asker got %d, %v", r.Code, err)
		}
	}
}

// checkAnyOrder: a command that waits long does not hold up those behind it, for ever so many of them.
func checkAnyOrder(t *testing.T, k *counter) {
	stuck := make(chan uint64, 1)
	var shard atomic.Pointer[bus.Shard]
	k.own(replying2(func(s bus.Shard, a bus.Asked) bool {
		if a.Command.ID != "stuck" {
			return true
		}
		shard.Store(&s)
		stuck <- a.Ticket
		return false
	}))
	k.served()
	n := inShard(1)
	slow := k.ask(channel.Command{ID: "stuck", Channel: n, User: "bob"})
	ticket := within(t, stuck, "the command that stays")
	const commands, open = 20_000, 64 // several at a time: an ask may end without an answer when it waited for long
	var waiting []*asking
	for i := range commands + open {
		if len(waiting) == open || i >= commands {
			if _, err := k.wait(waiting[0]); err != nil {
				t.Fatalf("command %d behind one without an answer: %v", i-open, err)
			}
			waiting = waiting[1:]
		}
		if i < commands {
			waiting = append(waiting, k.ask(order(n, i)))
		}
	}
	if err := (*shard.Load()).Answer([]bus.Answered{{Ticket: ticket, Reply: channel.Reply{Code: 5}}}); err != nil {
		t.Fatal(err)
	}
	if r, err := k.wait(slow); err != nil || r.Code != 5 {
		t.Errorf("answered late: %+v, %v", r, err)
	}
}

// replying2 answers the commands for which see says so.
func replying2(see func(bus.Shard, bus.Asked) bool) func(context.Context, bus.Shard) error {
	return func(ctx context.Context, s bus.Shard) error {
		for {
			as, err := s.Next(ctx, 8)
			if err != nil {
				return err
			}
			for _, a := range as {
				if see(s, a) {
					_ = s.Answer([]bus.Answered{{Ticket: a.Ticket}})
				}
			}
		}
	}
}

// checkBusy asks without end while nobody works: at some point it is refused, at once, and what was taken is kept.
func checkBusy(t *testing.T, k *counter) {
	work := make(chan struct{})
	k.own(func(ctx context.Context, s bus.Shard) error {
		if s.Number() == 0 {
			return replying(8, nil)(ctx, s)
		}
		select {
		case <-work:
		case <-ctx.Done():
		}
		return replying(1000, nil)(ctx, s)
	})
	k.served()
	n := inShard(1)
	big := make([]byte, 1<<16)
	var taken []*asking
	refused := false
	for i := 0; !refused && i < 1_000_000; i++ {
		c := order(n, i)
		c.Body = big
		a := k.ask(c)
		select {
		case <-a.answered:
			refused = true
			if !errors.Is(a.err, bus.ErrBusy) {
				t.Errorf("command %d, with nobody at work: %v", i, a.err)
			}
		default:
			taken = append(taken, a)
		}
	}
	if !refused {
		t.Error("64 GiB of commands wait, and there is no bound")
	}
	close(work)
	kept := 0
	for i, a := range taken {
		switch _, err := k.wait(a); {
		case err == nil:
			kept++
		case !k.late || !errors.Is(err, bus.ErrBusy):
			t.Fatalf("command %d was taken and answered %v", i, err)
		}
	}
	if kept == 0 {
		t.Errorf("none of %d commands was kept", len(taken))
	}
	if _, err := k.wait(k.ask(order(n, 1))); err != nil {
		t.Errorf("after the rush: %v", err)
	}
}

// checkRunReturns: a shard whose run ended by itself is served again.
func checkRunReturns(t *testing.T, k *counter) {
	var runs atomic.Int64
	n := inShard(2)
	k.own(func(ctx context.Context, s bus.Shard) error {
		if s.Number() == n.Shard(deskShards) && runs.Add(1) == 1 {
			if _, err := s.Next(ctx, 8); err != nil {
				return err
			}
			return errors.New("gave up")
		}
		return replying(8, nil)(ctx, s)
	})
	k.served()
	if r, err := k.wait(k.ask(order(n, 3))); err != nil || string(r.Body) != "3" {
		t.Errorf("after the first run gave up: %q, %v", r.Body, err)
	}
	if runs.Load() < 2 {
		t.Error("the run was not begun again")
	}
}

func checkNextEnds(t *testing.T, k *counter) {
	ended := make(chan error, 2*deskShards)
	begun := make(chan int, 2*deskShards)
	o := k.own(func(ctx context.Context, s bus.Shard) error {
		begun <- s.Number()
		as, err := s.Next(ctx, 8)
		for err == nil {
			for _, a := range as {
				_ = s.Answer([]bus.Answered{{Ticket: a.Ticket}})
			}
			as, err = s.Next(ctx, 8)
		}
		if len(as) > 0 {
			err = errors.New("commands came with the error")
		}
		ended <- err
		return err
	})
	k.served()
	for range deskShards {
		within(t, begun, "the beginning of a run")
	}
	o.end()
	for range deskShards {
		if err := within(t, ended, "the end of Next"); !errors.Is(err, context.Canceled) {
			t.Errorf("the owner ended, Next says %v", err)
		}
	}
}
