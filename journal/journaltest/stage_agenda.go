package journaltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

func (w *stage) due(f journal.Fence, max int) ([]journal.Due, time.Time) {
	w.t.Helper()
	due, next, err := w.s.Due(context.Background(), f, 0, max)
	if err != nil || len(due) > max {
		w.t.Fatalf("due: %d of at most %d, %v", len(due), max, err)
	}
	return due, next
}

func checkTimers(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ns := w.neighbours("svc", 3)
	f := w.claim(ns[0])
	at := func(s int) time.Time { return w.begun.Add(time.Duration(s) * time.Second) }
	arm := func(n channel.Name, prev journal.Version, when time.Time) {
		t.Helper()
		c := w.step(n, prev)
		c.WakeAt = when
		w.commit(t, f, c)
	}
	check := func(next time.Time, want ...string) {
		t.Helper()
		due, later := w.due(f, 10)
		var got []string
		for _, d := range due {
			if d.Ticket != 0 || d.Command.Channel != d.Source || d.Command.User != "@"+string(d.Source) || d.Command.ID == "" || len(d.Command.Body) != 0 {
				t.Fatalf("a timer is %+v", d)
			}
			got = append(got, fmt.Sprintf("%s armed by %d for +%v", d.Source, d.Armed, d.At.Sub(w.begun)))
		}
		if !slices.Equal(got, want) || !later.Equal(next) {
			t.Fatalf("due: %q, next %v; want %q, next %v", got, later, want, next)
		}
	}
	check(time.Time{})
	arm(ns[0], 0, at(10))
	arm(ns[1], 0, at(20))
	arm(ns[2], 0, at(30))
	check(at(10))
	w.clock.add(15 * time.Second)
	first := fmt.Sprintf("%s armed by 1 for +10s", ns[0])
	check(at(20), first)
	arm(ns[1], 1, at(5)) // earlier than before, and past already
	check(at(30), fmt.Sprintf("%s armed by 2 for +5s", ns[1]), first)
	arm(ns[1], 2, time.Time{})
	check(at(30), first)
	w.clock.add(time.Minute)
	arm(ns[2], 1, at(31)) // every change states it anew
	check(time.Time{}, first, fmt.Sprintf("%s armed by 2 for +31s", ns[2]))
	arm(ns[0], 1, at(200))
	check(at(200), fmt.Sprintf("%s armed by 2 for +31s", ns[2]))
	// A snapshot changes no timer.
	w.commit(t, f, journal.Change{Channel: ns[2], Prev: 2, Snapshot: []byte("s")})
	check(at(200), fmt.Sprintf("%s armed by 2 for +31s", ns[2]))
}

// checkTimerReplies: a timer that was refused is over, but not one that was armed since.
func checkTimerReplies(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:timer")
	f := w.claim(n)
	refuse := func(prev, timer journal.Version) {
		t.Helper()
		c := w.step(n, prev)
		c.Command.ID = fmt.Sprintf("refused %d %d", prev, timer)
		c.Reply.Code, c.Events, c.Timer = 3, nil, timer
		w.commit(t, f, c)
	}
	count := func(want int) journal.Due {
		t.Helper()
		due, _ := w.due(f, 10)
		if len(due) != want {
			t.Fatalf("%d timers are due, want %d", len(due), want)
		}
		return append(due, journal.Due{})[0]
	}
	past := w.begun.Add(-time.Second)
	c := w.step(n, 0)
	c.WakeAt = past
	w.commit(t, f, c)
	one := count(1)
	refuse(1, 0) // an ordinary refusal
	count(1)
	c = w.step(n, 1)
	c.WakeAt = past
	w.commit(t, f, c)
	refuse(2, one.Armed) // void: another arming replaced it
	two := count(1)
	if two.Armed != 2 || two.Command.ID == one.Command.ID {
		t.Fatalf("armed again: %+v, before %+v", two, one)
	}
	refuse(2, two.Armed)
	count(0)
	if st := w.load(t, n); !st.WakeAt.IsZero() || st.Version != 2 {
		t.Fatalf("after a refused timer: %+v", st)
	}
	// One that is accepted is over too, by what it states anew.
	c = w.step(n, 2)
	c.WakeAt = past
	w.commit(t, f, c)
	c = w.step(n, 3)
	c.Command.User, c.Command.ID, c.Timer = "@"+string(n), count(1).Command.ID, 3
	w.commit(t, f, c)
	count(0)
}

func checkSends(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enterStage(t, open, dir)
	ns := w.neighbours("svc", 3)
	f := w.claim(ns[0])
	send := func(prev journal.Version, targets ...channel.Name) journal.Change {
		c := w.step(ns[0], prev)
		for i, n := range targets {
			c.Sends = append(c.Sends, channel.Command{
				Channel: n, Binary: i%2 == 1, Body: fmt.Appendf(nil, "%d.%d", prev+1, i), User: "eve", ID: "chosen", Origin: 5,
			})
		}
		return c
	}
	w.commit(t, f, send(0, ns[1], ns[2], ns[1]), send(1, "other:x", ns[0]))
	w.commit(t, f, send(2, ns[1]))
	bodies := func() (got string, tickets []uint64) {
		due, _ := w.due(f, 100)
		ids := map[string]bool{}
		for _, d := range due {
			c := d.Command
			if d.Ticket == 0 || d.Source != ns[0] || c.User != "@"+string(ns[0]) || c.ID == "" || ids[c.ID] || c.Origin != 0 ||
				c.Binary != strings.HasSuffix(string(c.Body), "1") {
				t.Fatalf("a send is %+v", d)
			}
			ids[c.ID] = true
			got += fmt.Sprintf("%s>%s ", c.Body, c.Channel)
			tickets = append(tickets, d.Ticket)
		}
		return got, tickets
	}
	want := fmt.Sprintf("1.0>%s 1.1>%s 1.2>%s 2.0>other:x 2.1>%s 3.0>%s ", ns[1], ns[2], ns[1], ns[0], ns[1])
	got, tickets := bodies()
	if got != want {
		t.Fatalf("sends %q, want %q", got, want)
	}
	again, same := bodies()
	if again != want || !slices.Equal(tickets, same) {
		t.Fatalf("what nobody took changed to %q", again)
	}
	if err := w.s.Sent(context.Background(), f, []uint64{tickets[0], tickets[3], 999_999}); err != nil {
		t.Fatal(err)
	}
	left := fmt.Sprintf("1.1>%s 1.2>%s 2.1>%s 3.0>%s ", ns[2], ns[1], ns[0], ns[1])
	if got, _ := bodies(); got != left {
		t.Fatalf("left are %q, want %q", got, left)
	}
	if w.s.Tier() == journal.TierDurable {
		w.reopen(open, dir)
		if got, _ := bodies(); got != left {
			t.Fatalf("after reopening %q, want %q", got, left)
		}
	}
	// A ticket is never given twice, or a late Sent would forget another send.
	if _, all := bodies(); w.s.Sent(context.Background(), f, all) != nil {
		t.Fatal("sent")
	}
	w.commit(t, f, send(3, ns[1]))
	if _, fresh := bodies(); len(fresh) != 1 || slices.Contains(tickets, fresh[0]) {
		t.Fatalf("tickets %v, before %v", fresh, tickets)
	}
}

// checkAgendaBounds: where there is more than fits, neither sends nor timers keep the others from being seen.
func checkAgendaBounds(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ns := w.neighbours("svc", 30)
	f := w.claim(ns[0])
	var cs []journal.Change
	for i, n := range ns {
		c := w.step(n, 0)
		c.WakeAt = w.begun.Add(time.Duration(i-len(ns)) * time.Second)
		c.Sends = []channel.Command{{Channel: "svc:x", Body: []byte("1")}}
		cs = append(cs, c)
	}
	w.commit(t, f, cs...)
	for _, max := range []int{1, 2, 3, 10, 45, 60, 100} {
		due, next := w.due(f, max)
		sends := 0
		for _, d := range due {
			if d.Ticket != 0 {
				sends++
			}
		}
		timers := len(due) - sends
		if len(due) != min(max, 60) || max > 1 && (sends < min(max/2, 30) || timers < min(max/2, 30)) {
			t.Fatalf("at most %d: %d sends and %d timers", max, sends, timers)
		}
		if want := w.begun.Add(time.Duration(timers-len(ns)) * time.Second); timers < 30 && !next.Equal(want) || timers == 30 && !next.IsZero() {
			t.Fatalf("at most %d: after %d timers the next is %v", max, timers, next)
		}
	}
	var all []uint64
	due, _ := w.due(f, 100)
	for _, d := range due {
		if d.Ticket != 0 {
			all = append(all, d.Ticket)
		}
	}
	if err := w.s.Sent(context.Background(), f, all); err != nil {
		t.Fatal(err)
	}
	if due, _ := w.due(f, 100); len(due) != 30 {
		t.Fatalf("%d left", len(due))
	}
}

func checkTrail(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ctx := context.Background()
	if ends, err := w.s.Ends(ctx); err != nil || len(ends) != 0 {
		t.Fatalf("ends of nothing: %v, %v", ends, err)
	}
	a := w.neighbours("svc", 2)
	fa := w.claim(a[0])
	const other = channel.Name("svc2:x")
	fo := w.claim(other)
	if steps, err := w.s.Follow(ctx, nil, 10); err != nil || len(steps) != 0 {
		t.Fatalf("steps of nothing: %v, %v", steps, err)
	}
	grant := w.step(a[1], 0)
	grant.Access = []channel.Access{{User: "ann", Rights: channel.Read | channel.Signal, Channel: "svc:lie", Version: 99}, {User: ""}}
	rs := w.commit(t, fa, w.step(a[0], 0), grant, w.step(a[0], 1))
	w.commit(t, fo, w.step(other, 0))
	w.commit(t, fa, w.step(a[0], 2))
	ends, err := w.s.Ends(ctx)
	if err != nil || len(ends) != 2 {
		t.Fatalf("ends %v, %v", ends, err)
	}
	all := w.follow(nil, 1)
	if len(all) != 5 {
		t.Fatalf("%d steps in pages of one", len(all))
	}
	for i, max := range []int{2, 3, 100} {
		if again := w.follow(nil, max); fmt.Sprint(again) != fmt.Sprint(all) {
			t.Fatalf("pages of row %d: %+v, want %+v", i, again, all)
		}
	}
	var mine []journal.Step
	for _, s := range all {
		if s.Service == "svc" {
			mine = append(mine, s)
		}
	}
	if len(mine) != 4 || mine[0].Channel != a[0] || mine[1].Channel != a[1] || mine[2].Version != 2 || mine[3].Version != 3 || mine[2].Head != rs[2].At {
		t.Fatalf("steps of the shard: %+v", mine)
	}
	access := []channel.Access{{Channel: a[1], User: "ann", Rights: channel.Read | channel.Signal, Version: 1}, {Channel: a[1], Version: 1}}
	if !slices.Equal(mine[1].Access, access) || mine[0].Access != nil {
		t.Fatalf("access %+v", mine[1].Access)
	}
	// From a mark in the middle of a commit, and from the ends.
	if rest, err := w.s.Follow(ctx, []journal.Mark{mine[1].Mark}, 10); err != nil || len(rest) != 3 {
		t.Fatalf("after a mark: %+v, %v", rest, err)
	}
	if rest, err := w.s.Follow(ctx, ends, 10); err != nil || len(rest) != 0 {
		t.Fatalf("after the ends: %+v, %v", rest, err)
	}
}

// follow pages through the trail, as a gateway does.
func (w *stage) follow(after []journal.Mark, max int) (all []journal.Step) {
	w.t.Helper()
	marks := map[string]journal.Mark{}
	for _, m := range after {
		marks[fmt.Sprint(m.Service, m.Shard)] = m
	}
	for {
		var from []journal.Mark
		for _, m := range marks {
			from = append(from, m)
		}
		steps, err := w.s.Follow(context.Background(), from, max)
		if err != nil || len(steps) > max {
			w.t.Fatalf("follow: %d of at most %d, %v", len(steps), max, err)
		}
		for _, s := range steps {
			key := fmt.Sprint(s.Service, s.Shard)
			if s.Seq != marks[key].Seq+1 {
				w.t.Fatalf("step %+v after %+v", s.Mark, marks[key])
			}
			marks[key] = s.Mark
		}
		all = append(all, steps...)
		if len(steps) < max {
			return all
		}
	}
}

func checkTrimmed(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ctx := context.Background()
	const n = channel.Name("svc:trim")
	f := w.claim(n)
	w.commit(t, f, w.steps(n, 0, 5)...)
	ends, err := w.s.Ends(ctx)
	if err != nil || len(ends) != 1 {
		t.Fatalf("ends %v, %v", ends, err)
	}
	w.clock.add(journal.TrailKept - time.Second)
	w.commit(t, f, w.steps(n, 5, 5)...)
	w.claim("svc3:never") // a shard without steps
	if steps, err := w.s.Follow(ctx, nil, 100); err != nil || len(steps) != 10 {
		t.Fatalf("%d steps shortly before their time, %v", len(steps), err)
	}
	w.clock.add(2 * time.Second)
	mark := func(seq uint64) []journal.Mark { return []journal.Mark{{Service: f.Service, Shard: f.Shard, Seq: seq}} }
	for _, others := range []int{0, 1, 2} { // what others did since
		for seq, want := range map[uint64]int{0: -1, 4: -1, 5: 5, 7: 3, 10: 0, 11: -1} {
			steps, err := w.s.Follow(ctx, mark(seq), 100)
			if want >= 0 {
				want += others
			}
			if want < 0 && !errors.Is(err, journal.ErrTrimmed) || want >= 0 && (err != nil || len(steps) != want) {
				t.Fatalf("after %d: %d steps, %v; want %d", seq, len(steps), err, want)
			}
		}
		const other = channel.Name("svc4:x")
		w.commit(t, w.claim(other), w.step(other, journal.Version(others))) // and a commit clears away
	}
}

// rights asks for one grant.
func (w *stage) rights(n channel.Name, user string, want channel.Rights, version uint64) {
	w.t.Helper()
	as, err := w.s.Rights(context.Background(), []journal.Grant{{Channel: n, User: user}})
	if err != nil || len(as) != 1 || as[0].Channel != n || as[0].Rights != want || as[0].Version != version {
		w.t.Fatalf("rights of %q in %s: %+v, %v; want %b by version %d", user, n, as, err, want, version)
	}
}

func checkRights(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ns := w.neighbours("svc", 2)
	f := w.claim(ns[0])
	decide := func(prev journal.Version, as ...channel.Access) {
		t.Helper()
		c := w.step(ns[0], prev)
		c.Access = as
		w.commit(t, f, c)
	}
	both := channel.Read | channel.Signal
	w.rights(ns[0], "ann", 0, 0)
	decide(0, channel.Access{User: "ann", Rights: both}, channel.Access{User: "bob", Rights: channel.Read})
	w.rights(ns[0], "ann", both, 1)
	w.rights(ns[0], "eve", 0, 0)
	w.rights(ns[0], "", 0, 0)
	w.rights(ns[1], "ann", 0, 0)
	decide(1, channel.Access{Rights: channel.Read}, channel.Access{User: "bob"})
	w.rights(ns[0], "eve", channel.Read, 2)
	w.rights(ns[0], "", channel.Read, 2)
	w.rights(ns[0], "ann", both, 1)
	w.rights(ns[0], "bob", 0, 2) // banned, though everybody may
	w.rights(ns[1], "eve", 0, 0)
	c := w.step(ns[0], 2)
	c.Access = []channel.Access{{User: "ann"}, {User: "ann", Rights: channel.Read}}
	w.commit(t, f, c) // of two decisions in a change the later holds
	var gs []journal.Grant
	var want []channel.Rights
	for i := range 200 {
		user := []string{"ann", "bob", "eve", "eve" + fmt.Sprint(i)}[i%4]
		gs = append(gs, journal.Grant{Channel: ns[i/100], User: user})
		want = append(want, []channel.Rights{channel.Read, 0, channel.Read, channel.Read}[i%4]*channel.Rights(1-i/100))
	}
	as, err := w.s.Rights(context.Background(), gs)
	if err != nil || len(as) != len(gs) {
		t.Fatalf("%d answers, %v", len(as), err)
	}
	for i, a := range as {
		if a.Rights != want[i] || a.Channel != gs[i].Channel || a.User != gs[i].User && a.User != "" {
			t.Fatalf("grant %d, %+v: %+v, want %b", i, gs[i], a, want[i])
		}
	}
}
