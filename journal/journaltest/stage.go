package journaltest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// Service is what a journal of services offers to StageSuite.
type Service interface {
	Journal
	journal.Tables
	journal.Stage
	following
}

// following is what goes on beside the changes themselves.
type following interface {
	journal.Agenda
	journal.Trail
	journal.Archive
	journal.Finder
	journal.Pulse
}

// StageSuite is the law of journals of services: what Run is for logs. What open returns must be a Service.
func StageSuite(t *testing.T, open Open) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, Open)
	}{
		{"versions", checkVersions},
		{"stale", checkStale},
		{"events", checkEvents},
		{"refused changes", checkRefusedChanges},
		{"bad changes", checkBadChanges},
		{"seen", checkSeen},
		{"seen of thousands", checkSeenMany},
		{"repeated", checkRepeated},
		{"fences", checkFences},
		{"zombie", checkZombie},
		{"owners at once", checkOwners},
		{"load", checkLoad},
		{"past", checkPast},
		{"erase", checkErase},
		{"erase everywhere", checkEraseEverywhere},
		{"timers", checkTimers},
		{"timer replies", checkTimerReplies},
		{"sends", checkSends},
		{"agenda bounds", checkAgendaBounds},
		{"trail", checkTrail},
		{"trail trimmed", checkTrimmed},
		{"rights", checkRights},
		{"rows", checkRows},
		{"any search", checkAnySearch},
		{"pulse", checkPulse},
		{"any changes", checkAnyChanges},
		{"stage reopen", checkStageReopen},
		{"crash", checkCrash},
		{"stage close", checkStageClose},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, open) })
	}
}

// stage is a world with services.
type stage struct {
	*world
	s     Service
	begun time.Time
}

func enterStage(t *testing.T, open Open, dir string) *stage {
	t.Helper()
	w := enter(t, open, dir)
	return &stage{world: w, s: w.j.(Service), begun: w.clock.Now().Truncate(time.Millisecond).UTC()}
}

func (w *stage) reopen(open Open, dir string) {
	w.t.Helper()
	w.end()
	w.open(open, dir)
	w.s = w.j.(Service)
}

func (w *stage) claim(n channel.Name) journal.Fence {
	w.t.Helper()
	f, err := w.s.Claim(context.Background(), n.Namespace(), n.Shard(w.s.Shards()))
	if err != nil || f.Service != n.Namespace() || f.Shard != n.Shard(w.s.Shards()) || f.N == 0 {
		w.t.Fatalf("claim for %s: %+v, %v", n, f, err)
	}
	return f
}

// commit must succeed, and each change of it.
func (w *stage) commit(t tb, f journal.Fence, cs ...journal.Change) []journal.Result {
	t.Helper()
	rs, err := w.s.Commit(context.Background(), f, cs)
	if err != nil || len(rs) != len(cs) {
		t.Fatalf("commit of %d: %d results, %v", len(cs), len(rs), err)
	}
	for i, r := range rs {
		if r.Err != nil || r.At.IsZero() {
			t.Fatalf("change %d of %s: %+v", i, cs[i].Channel, r)
		}
	}
	return rs
}

// step is a change that says its version: one logged event "v<version>" and the reply "r<version>" for the command "c<version>".
func (w *stage) step(n channel.Name, prev journal.Version) journal.Change {
	v := strconv.Itoa(int(prev) + 1)
	return journal.Change{
		Channel: n, Prev: prev,
		Command: channel.Command{
			ID: "c" + v, Channel: n, User: "ann", Origin: 7, Time: w.begun.Add(time.Duration(prev) * time.Millisecond),
			Head: uint64(prev), Seed: [32]byte{1, byte(prev)}, Body: []byte(`"c` + v + `"`),
		},
		Reply:  channel.Reply{Body: []byte(`"r` + v + `"`)},
		Events: []channel.Record{{Body: []byte(`"v` + v + `"`)}},
	}
}

// steps are the next count changes of a channel.
func (w *stage) steps(n channel.Name, prev journal.Version, count int) (cs []journal.Change) {
	for i := range count {
		cs = append(cs, w.step(n, prev+journal.Version(i)))
	}
	return cs
}

func (w *stage) load(t tb, n channel.Name) journal.State {
	t.Helper()
	st, err := w.s.Load(context.Background(), n)
	if err != nil {
		t.Fatalf("load %s: %v", n, err)
	}
	checkState(t, n, st)
	return st
}

// checkState: the commands lead from the snapshot to the version.
func checkState(t tb, n channel.Name, st journal.State) {
	t.Helper()
	next := st.At
	at := st.Start
	for _, k := range st.Commands {
		next++
		if k.Version != next || k.Command.Channel != n || k.Head.Offset < at.Offset || k.Head.Epoch != st.Head.Epoch {
			t.Fatalf("%s: command %+v after version %d, head %+v", n, k, next-1, at)
		}
		at = k.Head
	}
	if next != st.Version || at != st.Head {
		t.Fatalf("%s: the commands lead to %d and %+v, not to %d and %+v", n, next, at, st.Version, st.Head)
	}
}

// known asks for one command that may have come before.
func (w *stage) known(c channel.Command) journal.Known {
	w.t.Helper()
	c.Age = max(c.Age, time.Millisecond)
	ks, err := w.s.Seen(context.Background(), []channel.Command{c})
	if err != nil || len(ks) != 1 {
		w.t.Fatalf("seen: %v, %v", ks, err)
	}
	return ks[0]
}

func sameReply(a, b channel.Reply) bool {
	return a.ID == b.ID && a.At == b.At && a.Code == b.Code && string(a.Body) == string(b.Body)
}

// neighbours are names of a service in one shard.
func (w *stage) neighbours(service string, count int) (ns []channel.Name) {
	for i := 0; len(ns) < count; i++ {
		n := channel.Name(fmt.Sprintf("%s:%d", service, i))
		if len(ns) == 0 || n.Shard(w.s.Shards()) == ns[0].Shard(w.s.Shards()) {
			ns = append(ns, n)
		}
	}
	return ns
}

func checkStageReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enterStage(t, open, dir)
	const n = channel.Name("svc:again")
	f := w.claim(n)
	cs := w.steps(n, 0, 5)
	cs[2].Snapshot = []byte("state 3")
	cs[4].WakeAt = w.begun.Add(time.Minute)
	cs[4].Sends = []channel.Command{{Channel: "svc:other", Body: []byte("1")}}
	cs[4].Access = []channel.Access{{User: "ann", Rights: channel.Read}}
	cs[4].Events = append(cs[4].Events, channel.Record{Class: channel.Latest, Key: "k", Body: []byte("2")})
	results := w.commit(t, f, cs...)
	shards := w.s.Shards()
	before := w.load(t, n)
	w.reopen(open, dir)
	if w.s.Tier() != journal.TierDurable {
		if st := w.load(t, n); st.Version != 0 || st.Head.Epoch == before.Head.Epoch {
			t.Fatalf("a journal that forgot says %+v", st)
		}
		return
	}
	if w.s.Shards() != shards {
		t.Fatalf("%d shards, before %d", w.s.Shards(), shards)
	}
	if after := w.load(t, n); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Fatalf("state %+v, before %+v", after, before)
	}
	for i, c := range cs {
		want := c.Reply
		want.ID, want.At = c.Command.ID, results[i].At
		if k := w.known(c.Command); k.Err != nil || k.Reply == nil || !sameReply(*k.Reply, want) {
			t.Fatalf("command %d: %+v", i, k)
		}
	}
	// The fence of before still holds, until somebody claims.
	w.commit(t, f, w.step(n, 5))
	if now := w.claim(n); now.N <= f.N {
		t.Fatalf("fence %d after %d", now.N, f.N)
	}
	if table := w.table(t, n); words(table.Records) != "/k=2" {
		t.Fatalf("table %q", words(table.Records))
	}
	w.rights("svc:again", "ann", channel.Read, 5)
	if steps, err := w.s.Follow(context.Background(), nil, 100); err != nil || len(steps) != 6 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
}

func checkStageClose(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	ctx := context.Background()
	const n = channel.Name("svc:x")
	f := w.claim(n)
	w.commit(t, f, w.step(n, 0))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	calls := func(ctx context.Context) map[string]error {
		errs := map[string]error{}
		_, errs["Load"] = w.s.Load(ctx, n)
		_, errs["Past"] = w.s.Past(ctx, n)
		_, errs["Seen"] = w.s.Seen(ctx, []channel.Command{{ID: "1", Channel: n}})
		_, _, errs["Due"] = w.s.Due(ctx, f, 0, 10)
		_, errs["Ends"] = w.s.Ends(ctx)
		_, errs["Follow"] = w.s.Follow(ctx, nil, 10)
		_, errs["Rights"] = w.s.Rights(ctx, []journal.Grant{{Channel: n, User: "ann"}})
		return errs
	}
	for call, err := range calls(ended) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: %v", call, err)
		}
	}
	// A commit heeds no context: its outcome must be known.
	if rs, err := w.s.Commit(ended, f, []journal.Change{w.step(n, 1)}); err != nil || rs[0].Err != nil {
		t.Fatalf("commit with a context that has ended: %v, %v", rs, err)
	}
	w.end()
	errs := calls(ctx)
	_, errs["Commit"] = w.s.Commit(ctx, f, []journal.Change{w.step(n, 2)})
	_, errs["Claim"] = w.s.Claim(ctx, "svc", 0)
	errs["Sent"] = w.s.Sent(ctx, f, []uint64{1})
	for call, err := range errs {
		if !errors.Is(err, journal.ErrClosed) {
			t.Errorf("%s of a closed journal: %v", call, err)
		}
	}
}
