package journaltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

func checkVersions(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ns := w.neighbours("svc", 3)
	f := w.claim(ns[0])
	first := w.head(t, ns[0])
	if st := w.load(t, ns[0]); st.Version != 0 || st.Head != first || st.Start != first || st.Snapshot != nil || !st.WakeAt.IsZero() || !st.Time.IsZero() {
		t.Fatalf("an unknown channel is %+v", st)
	}
	var cs []journal.Change
	for v := range 4 {
		for _, n := range ns {
			cs = append(cs, w.step(n, journal.Version(v)))
		}
	}
	rs := w.commit(t, f, cs...)
	for i, r := range rs {
		n := cs[i].Channel
		if r.Version != cs[i].Prev+1 || r.At.Offset != uint64(r.Version) {
			t.Fatalf("change %d of %s: %+v", i, n, r)
		}
	}
	for i, n := range ns {
		log := w.all(t, n)
		if len(log) != 4 || log[3].At != rs[9+i].At || w.head(t, n) != rs[9+i].At {
			t.Fatalf("%s: %d records, head %+v, last result %+v", n, len(log), w.head(t, n), rs[9+i])
		}
		for v, r := range log {
			if c := cs[v*3+i]; string(r.Body) != fmt.Sprintf(`"v%d"`, v+1) || r.From != "ann" || !r.Time.Equal(c.Command.Time) {
				t.Fatalf("record %d of %s: %+v", v, n, r)
			}
		}
		checkSameRecords(t, log, w.carriedOf(n))
	}
	if rs := w.commit(t, f); len(rs) != 0 {
		t.Fatalf("a commit of nothing: %+v", rs)
	}
}

func checkSameRecords(t tb, log, carried []channel.Record) {
	t.Helper()
	if len(log) != len(carried) {
		t.Fatalf("%d in the log, %d carried", len(log), len(carried))
	}
	for i := range log {
		a, b := log[i], carried[i]
		if a.At != b.At || a.Prev != b.Prev || string(a.Body) != string(b.Body) || a.From != b.From || !a.Time.Equal(b.Time) || a.Binary != b.Binary {
			t.Fatalf("record %d: kept %+v, carried %+v", i, a, b)
		}
	}
}

func checkStale(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ns := w.neighbours("svc", 2)
	a, b := ns[0], ns[1]
	f := w.claim(a)
	w.commit(t, f, w.steps(a, 0, 3)...)
	refusal := func(c journal.Change) journal.Change {
		c.Reply.Code, c.Events = 9, nil
		return c
	}
	note := func(n channel.Name, prev journal.Version) journal.Change {
		return journal.Change{Channel: n, Prev: prev, Snapshot: []byte("late")}
	}
	for i, c := range []struct {
		changes []journal.Change
		stale   []bool
	}{
		{[]journal.Change{w.step(a, 2)}, []bool{true}},
		{[]journal.Change{w.step(a, 4)}, []bool{true}},
		{[]journal.Change{refusal(w.step(a, 1))}, []bool{true}},
		{[]journal.Change{note(a, 2), note(b, 1)}, []bool{true, true}},
		// What follows a stale change of the channel was made for a state that never came, even if its number fits.
		{[]journal.Change{w.step(a, 0), w.step(b, 0), w.step(a, 3), w.step(b, 1), refusal(w.step(a, 3))}, []bool{true, false, true, false, true}},
		{[]journal.Change{w.step(a, 3), w.step(a, 3), w.step(a, 4)}, []bool{false, true, true}},
	} {
		before := w.load(t, a)
		rs, err := w.s.Commit(context.Background(), f, c.changes)
		if err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		for j, r := range rs {
			if errors.Is(r.Err, journal.ErrStale) != c.stale[j] || !c.stale[j] && r.Err != nil {
				t.Fatalf("row %d, change %d: %+v", i, j, r)
			}
		}
		if c.stale[0] && fmt.Sprint(w.load(t, a)) != fmt.Sprint(before) {
			t.Fatalf("row %d changed %s to %+v", i, a, w.load(t, a))
		}
	}
	if va, vb := w.load(t, a).Version, w.load(t, b).Version; va != 4 || vb != 2 {
		t.Fatalf("versions %d and %d", va, vb)
	}
	if k := w.known(w.step(a, 4).Command); k != (journal.Known{}) {
		t.Fatalf("the command of a stale change is known: %+v", k)
	}
}

// checkEvents: what a machine says is carried in its order, whatever its class.
func checkEvents(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:events")
	f := w.claim(n)
	c := w.step(n, 0)
	c.Events = []channel.Record{
		{Class: channel.Latest, Key: "k", Body: []byte("1")},
		{Class: channel.Logged, Body: []byte("2"), Channel: "svc:lie", Origin: 3, NoEcho: true, ID: "lie", Rev: 9, Time: time.Unix(1, 0)},
		{Class: channel.Fleeting, Body: []byte("3")},
		{Class: channel.Logged, From: "bob", Binary: true, Body: []byte{4}},
		{Class: channel.Latest, Key: "k", From: "bob", Body: []byte("5")},
		{Class: channel.Latest, Key: "k", Body: nil},
		{Class: channel.Latest, Key: "never", Body: nil},
	}
	rs := w.commit(t, f, c)
	got := w.carriedOf(n)
	want := []struct {
		class channel.Class
		from  string
		body  string
	}{
		{channel.Latest, "", "1"}, {channel.Logged, "ann", "2"}, {channel.Fleeting, "ann", "3"}, {channel.Logged, "bob", "\x04"},
		{channel.Latest, "bob", "5"}, {channel.Latest, "", ""},
	}
	if len(got) != len(want) {
		t.Fatalf("carried %+v", got)
	}
	rev := uint64(0)
	for i, r := range got {
		if r.Class != want[i].class || r.From != want[i].from || string(r.Body) != want[i].body || r.Channel != n || r.Origin != 0 || r.NoEcho ||
			r.ID != "" || !r.Time.Equal(c.Command.Time) {
			t.Fatalf("event %d: %+v, want %+v", i, r, want[i])
		}
		switch r.Class {
		case channel.Fleeting:
			if !r.At.IsZero() || r.Rev != 0 {
				t.Fatalf("a fleeting event has a place: %+v", r)
			}
		case channel.Latest:
			if r.Rev <= rev || r.At != (channel.Position{Epoch: rs[0].At.Epoch}) || r.Key != "k" {
				t.Fatalf("latest event %d: %+v", i, r)
			}
			rev = r.Rev
		}
	}
	if rs[0].At.Offset != 2 || len(w.all(t, n)) != 2 {
		t.Fatalf("head %+v, %d in the log", rs[0].At, len(w.all(t, n)))
	}
	w.is(n, "bob/k=5")
	w.carriedAll(t, n)
	// A change without events is one all the same.
	c = w.step(n, 1)
	c.Events = nil
	if rs := w.commit(t, f, c); rs[0].Version != 2 || rs[0].At.Offset != 2 {
		t.Fatalf("without events: %+v", rs)
	}
}

func checkRefusedChanges(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ns := w.neighbours("svc", 2)
	f := w.claim(ns[0])
	w.commit(t, f, w.steps(ns[0], 0, 2)...)
	before := w.load(t, ns[0])
	for _, n := range ns { // one that exists, and one that nobody ever wrote to
		empty := w.head(t, n)
		c := w.step(n, w.load(t, n).Version)
		c.Reply.Code = 17
		c.Events, c.Access = nil, []channel.Access{{User: "ann", Rights: channel.Read}}
		rs := w.commit(t, f, c)
		if rs[0].Version != c.Prev || rs[0].At != empty {
			t.Fatalf("a refusal moved %s to %+v", n, rs[0])
		}
		if k := w.known(c.Command); k.Reply == nil || k.Reply.Code != 17 || string(k.Reply.Body) != string(c.Reply.Body) || k.Reply.At != empty {
			t.Fatalf("the refusal is known as %+v", k)
		}
		w.rights(n, "ann", 0, 0)
	}
	if after := w.load(t, ns[0]); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Fatalf("refusals made %+v of %+v", after, before)
	}
	if ends, err := w.s.Ends(context.Background()); err != nil || len(ends) != 1 || ends[0].Seq != 2 {
		t.Fatalf("ends %+v, %v", ends, err)
	}
}

func checkBadChanges(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:bad")
	f := w.claim(n)
	foreign, empty, erasing, elsewhere := w.step("svc2:bad", 0), w.step(n, 0), w.step(n, 0), w.step(n, 0)
	empty.Events = append(empty.Events, channel.Record{Binary: true})
	erasing.Erase = []uint64{1}
	elsewhere.Command.Channel = "svc:else"
	other := f
	other.Shard = (f.Shard + 1) % w.s.Shards()
	if _, err := w.s.Claim(context.Background(), "svc", w.s.Shards()); err == nil {
		t.Fatal("claimed a shard that does not exist")
	}
	for i, c := range []journal.Change{foreign, empty, erasing, elsewhere} {
		if _, err := w.s.Commit(context.Background(), f, []journal.Change{w.step(n, 0), c}); err == nil {
			t.Fatalf("bad change %d was committed", i)
		}
	}
	if _, err := w.s.Commit(context.Background(), other, []journal.Change{w.step(n, 0)}); err == nil {
		t.Fatal("a change under the fence of another shard was committed")
	}
	if st := w.load(t, n); st.Version != 0 || len(w.carriedOf(n)) != 0 {
		t.Fatalf("bad changes left %+v", st)
	}
}

func checkSeen(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:seen")
	f := w.claim(n)
	fine, refused, plain := w.step(n, 0), w.step(n, 1), w.step(n, 1)
	refused.Command.ID, refused.Reply.Code, refused.Events = "no", 5, nil
	refused.Reply.Body = nil
	plain.Command.ID = ""
	rs := w.commit(t, f, fine, refused, plain)
	change := func(c channel.Command, f func(*channel.Command)) channel.Command { f(&c); return c }
	type row struct {
		c     channel.Command
		reply *channel.Reply
		err   error
	}
	first := &channel.Reply{ID: fine.Command.ID, At: rs[0].At, Body: fine.Reply.Body}
	no := &channel.Reply{ID: "no", At: rs[1].At, Code: 5}
	rows := []row{
		{fine.Command, first, nil},
		{refused.Command, no, nil},
		{change(fine.Command, func(c *channel.Command) { c.Age = 1000 * time.Hour; c.Origin = 8; c.Time = time.Now() }), first, nil},
		{change(fine.Command, func(c *channel.Command) { c.Body = []byte("2") }), nil, journal.ErrReuse},
		{change(refused.Command, func(c *channel.Command) { c.Body = nil }), nil, journal.ErrReuse},
		{change(fine.Command, func(c *channel.Command) { c.Binary = true }), nil, journal.ErrReuse},
		{change(fine.Command, func(c *channel.Command) { c.User = "bob" }), nil, nil},
		{change(fine.Command, func(c *channel.Command) { c.Channel = "svc:seen2" }), nil, nil},
		{change(fine.Command, func(c *channel.Command) { c.ID = "c9" }), nil, nil},
		{change(fine.Command, func(c *channel.Command) { c.ID = "c9"; c.Age = 1000 * time.Hour }), nil, journal.ErrUnknown},
		{change(fine.Command, func(c *channel.Command) { c.ID = ""; c.Age = 1000 * time.Hour }), nil, nil},
		{plain.Command, nil, nil},
	}
	var cs []channel.Command
	for _, r := range rows {
		cs = append(cs, r.c)
	}
	known, err := w.s.Seen(context.Background(), cs)
	if err != nil || len(known) != len(cs) {
		t.Fatalf("%d known, %v", len(known), err)
	}
	for i, r := range rows {
		k := known[i]
		if !errors.Is(k.Err, r.err) || (k.Reply == nil) != (r.reply == nil) || k.Reply != nil && !sameReply(*k.Reply, *r.reply) {
			t.Errorf("row %d: %+v %v, want %+v %v", i, k.Reply, k.Err, r.reply, r.err)
		}
	}
	// Known for a day, whatever the clock of the asker says.
	w.clock.add(24 * time.Hour)
	w.commit(t, f, w.step(n, 2))
	if k := w.known(refused.Command); k.Reply == nil || !sameReply(*k.Reply, *no) {
		t.Fatalf("after a day: %+v", k)
	}
}

// checkSeenMany: a storm of resends is one question, and different ids in numbers are answered in order.
func checkSeenMany(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n, count = channel.Name("svc:storm"), 500
	f := w.claim(n)
	rs := w.commit(t, f, w.steps(n, 0, count)...)
	var cs []channel.Command
	for i := range 10_000 {
		cs = append(cs, w.step(n, journal.Version(i%(count+1))).Command)
	}
	known, err := w.s.Seen(context.Background(), cs)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range known {
		v := i % (count + 1)
		if v == count && k != (journal.Known{}) || v < count && (k.Reply == nil || k.Reply.At != rs[v].At || string(k.Reply.Body) != fmt.Sprintf(`"r%d"`, v+1)) {
			t.Fatalf("command %d: %+v", i, k)
		}
	}
}

// checkRepeated: a command that comes again without saying so is found out before the Commit or by it, and then nothing of that
// Commit is true.
func checkRepeated(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enterStage(t, open, dir)
	ns := w.neighbours("svc", 2)
	f := w.claim(ns[0])
	first, other := w.step(ns[0], 0), w.step(ns[1], 0)
	rs := w.commit(t, f, first, other)
	w.reopen(open, dir)
	if w.s.Tier() != journal.TierDurable {
		return
	}
	f = w.claim(ns[0])
	twice, fine := w.step(ns[0], 1), w.step(ns[1], 1)
	twice.Command.ID, twice.Command.Body = first.Command.ID, first.Command.Body
	known, err := w.s.Seen(context.Background(), []channel.Command{fine.Command, twice.Command})
	if err != nil || known[0] != (journal.Known{}) {
		t.Fatalf("seen: %+v, %v", known, err)
	}
	if known[1] == (journal.Known{}) {
		if rs, err := w.s.Commit(context.Background(), f, []journal.Change{fine, twice}); !errors.Is(err, journal.ErrRepeated) {
			t.Fatalf("what was done before is committed: %+v, %v", rs, err)
		}
	}
	for _, n := range ns {
		if st := w.load(t, n); st.Version != 1 {
			t.Errorf("%s: version %d of a commit that was refused", n, st.Version)
		}
	}
	want := first.Reply
	want.ID, want.At = first.Command.ID, rs[0].At
	if k := w.known(twice.Command); k.Reply == nil || !sameReply(*k.Reply, want) {
		t.Errorf("it is known as %+v", k)
	}
	w.commit(t, f, fine, w.step(ns[0], 1))
}

func checkFences(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ctx := context.Background()
	const n = channel.Name("svc:fence")
	if _, err := w.s.Commit(ctx, journal.Fence{Service: "svc", Shard: n.Shard(w.s.Shards()), N: 1}, nil); !errors.Is(err, journal.ErrFenced) {
		t.Fatalf("under a fence that nobody claimed: %v", err)
	}
	old := w.claim(n)
	c := w.step(n, 0)
	c.Sends = []channel.Command{{Channel: "svc:b", Body: []byte("1")}}
	w.commit(t, old, c)
	now := w.claim(n)
	if now.N <= old.N {
		t.Fatalf("fence %d after %d", now.N, old.N)
	}
	for i, f := range []journal.Fence{old, {Service: now.Service, Shard: now.Shard, N: now.N + 1}, {Service: now.Service, Shard: now.Shard}} {
		for _, cs := range [][]journal.Change{nil, {w.step(n, 1)}, {w.step(n, 7)}, {{Channel: n, Prev: 1, Snapshot: []byte("s")}}} {
			if rs, err := w.s.Commit(ctx, f, cs); !errors.Is(err, journal.ErrFenced) {
				t.Fatalf("fence %d, %d changes: %v, %v", i, len(cs), rs, err)
			}
		}
		if _, _, err := w.s.Due(ctx, f, 0, 10); !errors.Is(err, journal.ErrFenced) {
			t.Fatalf("due under fence %d: %v", i, err)
		}
		if err := w.s.Sent(ctx, f, []uint64{1}); !errors.Is(err, journal.ErrFenced) {
			t.Fatalf("sent under fence %d: %v", i, err)
		}
	}
	if st := w.load(t, n); st.Version != 1 || st.Snapshot != nil || len(w.carriedOf(n)) != 1 {
		t.Fatalf("a void fence left %+v", st)
	}
	if due, _, err := w.s.Due(ctx, now, 0, 10); err != nil || len(due) != 1 {
		t.Fatalf("due %+v, %v", due, err)
	}
	w.commit(t, now, w.step(n, 1))
	w.commit(t, now)
	// Another shard and another service have fences of their own.
	other, err := w.s.Claim(ctx, "svc", (now.Shard+1)%w.s.Shards())
	if err == nil {
		_, err = w.s.Claim(ctx, "svc2", now.Shard)
	}
	if err != nil || other.N != 1 {
		t.Fatalf("another shard: %+v, %v", other, err)
	}
	w.commit(t, now, w.step(n, 2))
}

// checkZombie: an owner who does not know that he lost his shard goes on committing. From the new owner's claim on, nothing
// of it counts, and nothing that counted before is lost.
func checkZombie(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:zombie")
	f := w.claim(n)
	var accepted atomic.Uint64
	var zombie sync.WaitGroup
	zombie.Go(func() {
		for v := journal.Version(0); ; v++ {
			rs, err := w.s.Commit(context.Background(), f, []journal.Change{w.step(n, v)})
			if errors.Is(err, journal.ErrFenced) {
				return
			}
			if err != nil || rs[0].Err != nil {
				t.Errorf("version %d: %+v, %v", v, rs, err)
				return
			}
			accepted.Store(uint64(v + 1))
		}
	})
	for accepted.Load() < 20 && !t.Failed() {
		_, _ = w.s.Seen(context.Background(), []channel.Command{{Channel: n, ID: "x"}})
	}
	now := w.claim(n)
	st := w.load(t, n)
	for i := range 50 {
		w.commit(t, now, w.step(n, st.Version+journal.Version(i)))
	}
	zombie.Wait()
	if uint64(st.Version) < accepted.Load() {
		t.Fatalf("the zombie was told of %d versions, the new owner saw %d", accepted.Load(), st.Version)
	}
	if log := w.all(t, n); len(log) != int(st.Version)+50 {
		t.Fatalf("%d records, want %d", len(log), st.Version+50)
	}
	checkSameRecords(t, w.all(t, n), w.carriedOf(n))
}

// checkOwners: owners of several shards, and plain appends, share the committer.
func checkOwners(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const rounds, batch = 30, 20
	var owners sync.WaitGroup
	names := map[int]channel.Name{}
	for i := 0; len(names) < 6; i++ {
		n := channel.Name(fmt.Sprintf("svc:%d", i))
		if _, taken := names[n.Shard(w.s.Shards())]; !taken {
			names[n.Shard(w.s.Shards())] = n
		}
	}
	for _, n := range names {
		f := w.claim(n)
		owners.Go(func() {
			for round := range rounds {
				rs, err := w.s.Commit(context.Background(), f, w.steps(n, journal.Version(round*batch), batch))
				if err != nil || rs[batch-1].Err != nil || rs[batch-1].Version != journal.Version((round+1)*batch) {
					t.Errorf("%s, round %d: %v", n, round, err)
					return
				}
				if carried := w.carriedOf(n); len(carried) != (round+1)*batch {
					t.Errorf("%s: %d carried when the commit returned", n, len(carried))
				}
			}
		})
	}
	w.fill(t, "plain:x", bodies(300)...)
	owners.Wait()
	for _, n := range names {
		checkSameRecords(t, w.all(t, n), w.carriedOf(n))
		if st := w.load(t, n); st.Version != rounds*batch || len(st.Commands) != rounds*batch {
			t.Fatalf("%s at %d with %d commands", n, st.Version, len(st.Commands))
		}
	}
	if steps, err := w.s.Follow(context.Background(), nil, 10_000); err != nil || len(steps) != len(names)*rounds*batch {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
}
