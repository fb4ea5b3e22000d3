package local_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/bus"
	"carillon/bus/bustest"
	"carillon/bus/local"
	"carillon/channel"
)

// hand is a clock that is moved by hand.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func newHand() *hand { return &hand{now: time.UnixMilli(1_700_000_000_000)} }

func (h *hand) time() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func TestRoster(t *testing.T) {
	bustest.RunRoster(t, func(testing.TB) bustest.RosterWorld {
		h := newHand()
		return bustest.RosterWorld{
			Roster: local.NewRoster(local.RosterOptions{Clock: h.time}), Debounce: local.DefaultDebounce, Now: h.time, Pass: h.pass,
		}
	})
}

// TestRosterTo30Seconds: 29.9 s are a flap, 30.1 s are an absence.
func TestRosterTo30Seconds(t *testing.T) {
	for away, events := range map[time.Duration]int{29_900 * time.Millisecond: 0, 30_100 * time.Millisecond: 2} {
		h := newHand()
		r := local.NewRoster(local.RosterOptions{Clock: h.time})
		m := bus.Member{Channel: "a:x", User: "ann", Conn: 1}
		enter(t, r, m)
		if _, err := r.Leave(m, false); err != nil {
			t.Fatal(err)
		}
		h.pass(away)
		got := 0
		if err := r.Sweep(10, func(ms []bus.Member) { got += len(ms) }); err != nil {
			t.Fatal(err)
		}
		if enter(t, r, m) {
			got++
		}
		if got != events {
			t.Errorf("%d events after %v, want %d", got, away, events)
		}
	}
}

func enter(t testing.TB, r *local.Roster, m bus.Member) bool {
	t.Helper()
	first, err := r.Enter(m)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestRosterIsBounded(t *testing.T) {
	r := local.NewRoster(local.RosterOptions{MaxMembers: 3})
	m := func(i int) bus.Member {
		return bus.Member{Channel: channel.Name(fmt.Sprintf("a:%d", i%2)), User: fmt.Sprint(i), Conn: 1}
	}
	for i := range 3 {
		enter(t, r, m(i))
	}
	if _, err := r.Enter(m(3)); !errors.Is(err, local.ErrFull) {
		t.Errorf("a fourth member: %v", err)
	}
	if ms, _, _ := r.Members(context.Background(), "a:1", "", 9); len(ms) != 1 || r.Count() != 3 {
		t.Errorf("%v, %d in all", ms, r.Count())
	}
	again := m(1)
	again.Conn = 7
	if enter(t, r, again) {
		t.Error("another connection of a member counts as a member")
	}
	if _, err := r.Leave(m(0), true); err != nil {
		t.Fatal(err)
	}
	enter(t, r, m(3))
}

func TestLastSeenIsBounded(t *testing.T) {
	h := newHand()
	r := local.NewRoster(local.RosterOptions{Clock: h.time, MaxSeen: 10, SeenFor: time.Hour})
	visit := func(user string) {
		m := bus.Member{User: user, Conn: 1}
		enter(t, r, m)
		if _, err := r.Leave(m, true); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
	}
	known := func(user string) bool {
		seen, err := r.Where(context.Background(), []string{user})
		return err == nil && !seen[0].Last.IsZero()
	}
	for i := range 10 {
		visit(fmt.Sprint(i))
	}
	visit("0") // the longest gone is now 1
	visit("new")
	for user, want := range map[string]bool{"0": true, "1": false, "2": true, "9": true, "new": true} {
		if known(user) != want {
			t.Errorf("%s is known: %v", user, !want)
		}
	}
	h.pass(time.Hour - 2*time.Second)
	if !known("0") || known("2") {
		t.Error("users are forgotten an hour after they left")
	}
	if err := r.Sweep(1, func([]bus.Member) {}); err != nil {
		t.Fatal(err)
	}
	if !known("0") || !known("new") || known("9") {
		t.Error("a sweep forgets what is too old, and no more")
	}
}

func BenchmarkRosterFlap(b *testing.B) {
	for _, size := range []int{1, 100, 50_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := local.NewRoster(local.RosterOptions{})
			ms := make([]bus.Member, size)
			for i := range ms {
				ms[i] = bus.Member{Channel: "a:x", User: fmt.Sprintf("user%d", i), Conn: uint64(i + 1)}
				enter(b, r, ms[i])
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _ = r.Leave(ms[i%size], false)
				_, _ = r.Enter(ms[i%size])
			}
		})
	}
}
