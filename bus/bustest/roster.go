package bustest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// RosterWorld is a roster under test and the clock that it goes by.
type RosterWorld struct {
	Roster   bus.Roster
	Debounce time.Duration
	Now      func() time.Time      // the roster's clock
	Pass     func(d time.Duration) // lets it move on
}

// OpenRoster opens an empty roster; what it holds open is given back by t.Cleanup.
type OpenRoster func(t testing.TB) RosterWorld

// RunRoster checks everything that bus.Roster promises.
func RunRoster(t *testing.T, open OpenRoster) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, *register)
	}{
		{"several connections", checkSeveral},
		{"repeats", checkRepeats},
		{"strangers", checkStrangers},
		{"sure", checkSure},
		{"away and back", checkAwayAndBack},
		{"away for good", checkAwayForGood},
		{"told once", checkToldOnce},
		{"back while told", checkBackWhileTold},
		{"channels apart", checkChannelsApart},
		{"pages", checkPages},
		{"where", checkWhere},
		{"flaps", checkFlaps},
		{"everybody at once", checkAtOnce},
		{"model", checkModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, &register{t: t, w: open(t)}) })
	}
}

// register talks to a roster and fails its test on every error.
type register struct {
	t fataler
	w RosterWorld
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (g *register) member(n channel.Name, user string, conn uint64) bus.Member {
	return bus.Member{Channel: n, User: user, Conn: conn, Since: g.w.Now().UTC().Truncate(time.Millisecond)}
}

func (g *register) enter(n channel.Name, user string, conn uint64, first bool) {
	g.t.Helper()
	got, err := g.w.Roster.Enter(g.member(n, user, conn))
	if err != nil || got != first {
		g.t.Fatalf("enter %s %s/%d: first %v (%v), want %v", n, user, conn, got, err, first)
	}
}

func (g *register) leave(n channel.Name, user string, conn uint64, sure, last bool) {
	g.t.Helper()
	got, err := g.w.Roster.Leave(g.member(n, user, conn), sure)
	if err != nil || got != last {
		g.t.Fatalf("leave %s %s/%d sure %v: last %v (%v), want %v", n, user, conn, sure, got, err, last)
	}
}

// sweep returns who was told to be gone, as "channel user", sorted.
func (g *register) sweep(limit int) (gone []string) {
	g.t.Helper()
	err := g.w.Roster.Sweep(limit, func(ms []bus.Member) {
		for _, m := range ms {
			gone = append(gone, string(m.Channel)+" "+m.User)
		}
	})
	if err != nil {
		g.t.Fatalf("sweep: %v", err)
	}
	slices.Sort(gone)
	return gone
}

func (g *register) gone(want ...string) {
	g.t.Helper()
	if got := g.sweep(1000); !slices.Equal(got, want) {
		g.t.Fatalf("gone: %q, want %q", got, want)
	}
}

func (g *register) list(n channel.Name, after string, limit int) ([]bus.Member, int) {
	g.t.Helper()
	ms, count, err := g.w.Roster.Members(context.Background(), n, after, limit)
	if err != nil {
		g.t.Fatalf("members of %s: %v", n, err)
	}
	return ms, count
}

func users(ms []bus.Member) []string {
	us := make([]string, 0, len(ms))
	for _, m := range ms {
		us = append(us, m.User)
	}
	return us
}

func (g *register) holds(n channel.Name, want ...string) {
	g.t.Helper()
	ms, count := g.list(n, "", 1000)
	if got := users(ms); !slices.Equal(got, want) || count != len(want) {
		g.t.Fatalf("%s holds %q, %d in all, want %q", n, got, count, want)
	}
}

func (g *register) where(us ...string) []bus.Seen {
	g.t.Helper()
	seen, err := g.w.Roster.Where(context.Background(), us)
	if err != nil || len(seen) != len(us) {
		g.t.Fatalf("where %q: %d answers, %v", us, len(seen), err)
	}
	for i := range seen {
		if seen[i].User != us[i] {
			g.t.Fatalf("where %q: answer %d is about %s", us, i, seen[i].User)
		}
	}
	return seen
}

// The suite steps over the end of the debounce by a tenth of it, either way.
func (g *register) nearly() { g.w.Pass(g.w.Debounce * 9 / 10) }
func (g *register) over()   { g.w.Pass(g.w.Debounce * 11 / 10) }

func checkSeveral(_ *testing.T, g *register) {
	g.enter("a:x", "ann", 1, true)
	g.enter("a:x", "ann", 2, false)
	g.enter("a:x", "ann", 3, false)
	g.enter("a:x", "bob", 4, true)
	g.holds("a:x", "ann", "bob")
	g.leave("a:x", "ann", 1, true, false)
	g.leave("a:x", "ann", 3, false, false)
	g.holds("a:x", "ann", "bob")
	g.over()
	g.gone() // she is there by her second connection
	g.leave("a:x", "ann", 2, true, true)
	g.holds("a:x", "bob")
	g.enter("a:x", "ann", 9, true)
}

func checkRepeats(_ *testing.T, g *register) {
	g.enter("a:x", "ann", 1, true)
	g.enter("a:x", "ann", 1, false)
	g.leave("a:x", "ann", 1, true, true)
	g.leave("a:x", "ann", 1, true, false)
	g.leave("a:x", "ann", 1, false, false)
	g.holds("a:x")
	g.enter("a:x", "ann", 1, true)
	g.leave("a:x", "ann", 1, false, false)
	g.leave("a:x", "ann", 1, true, false) // gone already, and not surely: nothing is told of it twice
	g.holds("a:x", "ann")
	g.over()
	g.gone("a:x ann")
	g.gone()
}

func checkStrangers(_ *testing.T, g *register) {
	g.leave("a:x", "ann", 1, true, false)
	g.enter("a:x", "ann", 1, true)
	g.leave("a:x", "ann", 2, true, false)
	g.leave("a:x", "bob", 1, true, false)
	g.leave("a:y", "ann", 1, true, false)
	g.holds("a:x", "ann")
	g.holds("a:y")
}

func checkSure(_ *testing.T, g *register) {
	g.enter("a:x", "ann", 1, true)
	g.leave("a:x", "ann", 1, true, true)
	g.holds("a:x")
	g.over()
	g.gone() // it was told by Leave
	// The last of two goes surely: she is out at once, though the other one may only have been lost.
	g.enter("a:x", "bob", 1, true)
	g.enter("a:x", "bob", 2, false)
	g.leave("a:x", "bob", 1, false, false)
	g.leave("a:x", "bob", 2, true, true)
	g.holds("a:x")
}

func checkAwayAndBack(_ *testing.T, g *register) {
	g.enter("a:x", "ann", 1, true)
	ms, _ := g.list("a:x", "", 1)
	for i := range uint64(5) {
		g.leave("a:x", "ann", 1+i, false, false)
		g.nearly()
		g.gone()
		g.holds("a:x", "ann")
		g.enter("a:x", "ann", 2+i, false)
	}
	g.over()
	g.gone()
	if again, _ := g.list("a:x", "", 1); !again[0].Since.Equal(ms[0].Since) {
		g.t.Fatalf("she came at %v and is said to have come at %v", ms[0].Since, again[0].Since)
	}
}

func checkAwayForGood(_ *testing.T, g *register) {
	g.enter("a:x", "ann", 1, true)
	g.enter("a:x", "bob", 2, true)
	g.leave("a:x", "ann", 1, false, false)
	g.nearly()
	g.leave("a:x", "bob", 2, false, false)
	g.gone()
	g.w.Pass(g.w.Debounce / 5)
	g.gone("a:x ann")
	g.holds("a:x", "bob")
	g.over()
	g.gone("a:x bob")
	g.holds("a:x")
	g.enter("a:x", "ann", 3, true)
}

func checkToldOnce(t *testing.T, g *register) {
	const lost, limit = 100, 7
	for i := range uint64(lost) {
		n, user := channel.Name(fmt.Sprintf("a:%d", i%13)), fmt.Sprintf("u%d", i)
		g.enter(n, user, i+1, true)
		g.leave(n, user, i+1, false, false)
	}
	g.over()
	told := map[string]int{}
	for range lost {
		some := g.sweep(limit)
		if len(some) > limit {
			t.Fatalf("%d were told where at most %d were asked for", len(some), limit)
		}
		for _, s := range some {
			told[s]++
		}
		if len(some) == 0 {
			break
		}
	}
	for who, n := range told {
		if n != 1 {
			t.Errorf("%s was told %d times", who, n)
		}
	}
	if len(told) != lost {
		t.Errorf("%d of %d were told", len(told), lost)
	}
}

// checkBackWhileTold: nothing is held while it is told, and who enters then has come anew.
func checkBackWhileTold(t *testing.T, g *register) {
	for _, c := range []channel.Name{"a:x", "a:y"} {
		g.enter(c, "ann", 1, true)
		g.leave(c, "ann", 1, false, false)
	}
	g.over()
	told := 0
	err := g.w.Roster.Sweep(1000, func(ms []bus.Member) {
		for _, m := range ms {
			told++
			if m.Channel == "a:x" {
				g.enter("a:x", "ann", 2, true)
			}
		}
	})
	if err != nil || told != 2 {
		t.Fatalf("%d were told, %v", told, err)
	}
	g.holds("a:x", "ann")
	g.holds("a:y")
	g.gone()
	g.leave("a:x", "ann", 2, true, true)
}

func checkChannelsApart(_ *testing.T, g *register) {
	g.enter("", "ann", 1, true)
	g.enter("a:x", "ann", 1, true)
	g.enter("a:y", "ann", 1, true)
	g.leave("a:x", "ann", 1, true, true)
	g.leave("a:y", "ann", 1, false, false)
	g.holds("", "ann")
	g.holds("a:x")
	g.holds("a:y", "ann")
	g.over()
	g.gone("a:y ann")
	g.holds("", "ann")
}

func checkPages(t *testing.T, g *register) {
	const count = 2000
	var want []string
	conns := map[string]uint64{}
	for i := range count {
		user := fmt.Sprintf("u%d", (i*7919)%count)
		want = append(want, user)
		conns[user] = uint64(i + 1)
		g.enter("a:x", user, uint64(i+1), true)
		if i == count/2 {
			g.list("a:x", "", 1) // from here on, what is kept in order is changed in order
		}
	}
	for i := range count / 2 {
		user := fmt.Sprintf("u%d", (i*2*7919)%count)
		want = slices.DeleteFunc(want, func(u string) bool { return u == user })
		g.leave("a:x", user, conns[user], true, true)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 99, 1000, 5000} {
		var got []string
		for after := ""; ; {
			ms, total := g.list("a:x", after, limit)
			if total != len(want) || len(ms) > limit {
				t.Fatalf("%d of %d by pages of %d", len(ms), total, limit)
			}
			if len(ms) == 0 {
				break
			}
			got = append(got, users(ms)...)
			after = ms[len(ms)-1].User
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d have %d users, not the %d there are, in order", limit, len(got), len(want))
		}
	}
	if ms, total := g.list("a:x", want[9]+"!", 2); total != len(want) || !slices.Equal(users(ms), want[10:12]) {
		t.Errorf("behind nobody's place: %v", users(ms))
	}
	for _, user := range slices.Backward(want[1:]) {
		g.leave("a:x", user, conns[user], true, true)
	}
	g.enter("a:x", "zoe", 1, true)
	g.holds("a:x", want[0], "zoe")
	if ms, total := g.list("a:nobody", "", 10); len(ms) != 0 || total != 0 {
		t.Errorf("%d of %d in a channel nobody was in", len(ms), total)
	}
}

func checkWhere(t *testing.T, g *register) {
	before := g.w.Now()
	g.enter("", "ann", 1, true)
	g.enter("", "bob", 2, true)
	g.enter("a:x", "cy", 3, true) // in a channel; whether he is connected is said by "" alone
	seen := g.where("ann", "nobody", "bob", "ann", "cy")
	if !seen[0].Online || seen[1].Online || !seen[2].Online || !seen[3].Online || seen[4].Online || !seen[1].Last.IsZero() {
		t.Errorf("online: %+v", seen)
	}
	g.leave("", "ann", 1, true, true)
	g.leave("", "bob", 2, false, false)
	left := g.w.Now()
	seen = g.where("ann", "bob")
	if seen[0].Online || !seen[1].Online {
		t.Errorf("one left surely, one was lost: %+v", seen)
	}
	g.nearly()
	if last := g.where("bob")[0].Last; last.After(left.Add(g.w.Debounce / 4)) {
		t.Errorf("he was lost at %v and is said to have been there at %v", left, last)
	}
	g.over()
	g.gone(" bob")
	for _, s := range g.where("bob", "ann") {
		if s.Online || s.Last.Before(before.Add(-time.Second)) || s.Last.After(left.Add(time.Second)) {
			t.Errorf("%s was last there between %v and %v: %+v", s.User, before, left, s)
		}
	}
	g.enter("", "bob", 5, true)
	if !g.where("bob")[0].Online || len(g.where()) != 0 {
		t.Error("he is back")
	}
}

// checkFlaps: 20,000 times off and on within the window are no event.
func checkFlaps(t *testing.T, g *register) {
	const members, flaps = 100, 20_000
	for u := range members {
		g.enter("a:x", fmt.Sprintf("u%d", u), uint64(u+1), true)
	}
	for i := range flaps {
		user, conn := fmt.Sprintf("u%d", i%members), uint64(i%members+1)
		g.leave("a:x", user, conn, false, false)
		if i%997 == 0 {
			g.gone()
		}
		g.enter("a:x", user, conn, false)
	}
	g.over()
	g.gone()
	if _, count := g.list("a:x", "", 1); count != members {
		t.Errorf("%d of %d are there", count, members)
	}
}

// checkAtOnce has many users come and go in the same channels; what is left is right.
func checkAtOnce(t *testing.T, g *register) {
	const goroutines, rounds = 8, 300
	var busy sync.WaitGroup
	for u := range goroutines {
		busy.Go(func() {
			user := fmt.Sprintf("u%d", u)
			for i := range rounds {
				n := channel.Name(fmt.Sprintf("a:%d", i%3))
				m := g.member(n, user, uint64(i+1))
				if first, err := g.w.Roster.Enter(m); err != nil || !first {
					t.Errorf("%s enters: first %v, %v", user, first, err)
				}
				_, _, _ = g.w.Roster.Members(context.Background(), n, "", 5)
				_ = g.w.Roster.Sweep(10, func([]bus.Member) {})
				if last, err := g.w.Roster.Leave(m, true); err != nil || !last {
					t.Errorf("%s leaves: last %v, %v", user, last, err)
				}
			}
			if _, err := g.w.Roster.Enter(g.member("a:end", user, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	busy.Wait()
	for i := range 3 {
		g.holds(channel.Name(fmt.Sprintf("a:%d", i)))
	}
	if _, count := g.list("a:end", "", 1); count != goroutines {
		t.Errorf("%d of %d are there", count, goroutines)
	}
}
