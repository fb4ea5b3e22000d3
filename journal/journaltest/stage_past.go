package journaltest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

func (w *stage) past(t tb, n channel.Name) journal.Past {
	t.Helper()
	p, err := w.s.Past(context.Background(), n)
	if err != nil {
		t.Fatalf("past of %s: %v", n, err)
	}
	checkState(t, n, p.State)
	return p
}

// checkLoad: a command comes back as it was applied, and where the log stood after it.
func checkLoad(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:load")
	f := w.claim(n)
	first := w.head(t, n)
	cs := w.steps(n, 0, 6)
	cs[1].Command.Binary, cs[1].Command.Body = true, []byte{0, 255}
	cs[2].Command.ID, cs[2].Command.User, cs[2].Command.Body = "", "", nil
	cs[3].Events = nil
	cs[4].Command.Lost = 12_345 * time.Millisecond
	cs[5].WakeAt = w.begun.Add(time.Hour + 123)
	var rs []journal.Result
	rs = append(rs, w.commit(t, f, cs[:2]...)...)
	rs = append(rs, w.commit(t, f, cs[2:]...)...)
	st := w.load(t, n)
	if st.Version != 6 || st.Start != first || st.At != 0 || st.Snapshot != nil || len(st.Commands) != 6 {
		t.Fatalf("%+v", st)
	}
	if !st.Time.Equal(cs[5].Command.Time) || !st.WakeAt.Equal(cs[5].WakeAt) {
		t.Fatalf("time %v, wakes at %v", st.Time, st.WakeAt)
	}
	for i, k := range st.Commands {
		want := cs[i].Command
		got := k.Command
		if k.Head != rs[i].At || k.Erased || !got.Time.Equal(want.Time) || got.ID != want.ID || got.User != want.User || got.Origin != want.Origin ||
			got.Seed != want.Seed || got.Head != want.Head || got.Lost != want.Lost || got.Binary != want.Binary || !bytes.Equal(got.Body, want.Body) {
			t.Fatalf("command %d: %+v, applied was %+v", i, k, want)
		}
	}
}

// checkPast: of the snapshots two stay, and the commands between them and after.
func checkPast(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:past")
	f := w.claim(n)
	if p := w.past(t, n); p.Version != 0 || p.Snapshot != nil || p.Newer != nil || len(p.Commands) != 0 {
		t.Fatalf("past of an unknown channel: %+v", p)
	}
	state := func(v journal.Version) []byte { return fmt.Appendf(nil, "state %d", v) }
	type want struct{ from, newest journal.Version }
	check := func(version journal.Version, past want) {
		t.Helper()
		st, p := w.load(t, n), w.past(t, n)
		if st.Version != version || st.At != past.newest || p.At != past.from || p.Version != version {
			t.Fatalf("at %d: load from %d, past from %d, want %+v", st.Version, st.At, p.At, past)
		}
		newer := past.newest
		if newer == past.from {
			newer = 0
		}
		if p.NewerAt != newer || (newer == 0) != (p.Newer == nil) || newer > 0 && string(p.Newer) != string(state(newer)) {
			t.Fatalf("at %d: newer is %q at %d, want %d", version, p.Newer, p.NewerAt, newer)
		}
		for _, s := range []journal.State{st, p.State} {
			if s.At > 0 && string(s.Snapshot) != string(state(s.At)) || s.At == 0 && s.Snapshot != nil {
				t.Fatalf("snapshot %q at %d", s.Snapshot, s.At)
			}
		}
	}
	snap := func(cs []journal.Change, at ...int) []journal.Change {
		for _, i := range at {
			cs[i].Snapshot = state(cs[i].Prev + 1)
		}
		return cs
	}
	w.commit(t, f, w.steps(n, 0, 3)...)
	check(3, want{0, 0})
	w.commit(t, f, snap(w.steps(n, 3, 3), 1)...)
	check(6, want{0, 5})
	w.commit(t, f, journal.Change{Channel: n, Prev: 6, Snapshot: state(6)}) // on passivation
	check(6, want{5, 6})
	w.commit(t, f, journal.Change{Channel: n, Prev: 6, Snapshot: state(6)})
	check(6, want{5, 6})
	w.commit(t, f, w.steps(n, 6, 2)...)
	check(8, want{5, 6})
	w.commit(t, f, append(snap(w.steps(n, 8, 5), 0, 2, 3), journal.Change{Channel: n, Prev: 13, Snapshot: state(13)})...)
	check(13, want{12, 13})
	if steps, err := w.s.Follow(context.Background(), nil, 100); err != nil || len(steps) != 13 {
		t.Fatalf("%d steps of 13 changes, %v", len(steps), err)
	}
}

// erased reads a whole log and follows the chain, with hashes of those bodies that are gone.
func (w *stage) erased(n channel.Name, base channel.Position, hashes map[uint64][20]byte) (rs []channel.Record) {
	w.t.Helper()
	for _, back := range []bool{false, true} {
		p, err := w.s.Read(context.Background(), n, journal.Query{Back: back})
		if err != nil || p.Base != base || p.Gap != channel.GapNone {
			w.t.Fatalf("read %s: %+v, %v", n, p, err)
		}
		at := base
		for _, r := range p.Records {
			if hash, gone := hashes[r.At.Offset]; gone {
				at = at.NextHash(hash)
				if len(r.Body) != 0 {
					w.t.Fatalf("%s, offset %d: erased, but says %q", n, r.At.Offset, r.Body)
				}
			} else {
				at = at.Next(r.Body)
			}
			if r.At != at || r.From == "" || r.Time.IsZero() {
				w.t.Fatalf("%s: %+v, want it at %+v", n, r, at)
			}
		}
		if at != p.Head {
			w.t.Fatalf("%s ends at %+v, head %+v", n, at, p.Head)
		}
		rs = p.Records
	}
	return rs
}

func checkErase(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:erase")
	f := w.claim(n)
	base := w.head(t, n)
	cs := w.steps(n, 0, 8)
	cs[1].Snapshot, cs[4].Snapshot = []byte(`holds "v1"`), []byte(`holds "v3"`)
	w.commit(t, f, cs...)
	heads := w.all(t, n)
	hashes := map[uint64][20]byte{}
	erase := func(c journal.Change, offsets ...uint64) journal.Change {
		c.Erase, c.Snapshot = offsets, fmt.Appendf(nil, "clean at %d", c.Prev+1)
		for _, o := range offsets {
			hashes[o] = channel.BodyHash(fmt.Appendf(nil, `"v%d"`, o))
		}
		return c
	}
	w.commit(t, f, erase(w.step(n, 8), 1, 3, 3))
	if rs := w.erased(n, base, hashes); len(rs) != 9 || rs[7].At != heads[7].At {
		t.Fatalf("the chain changed: %d records", len(rs))
	}
	st, p := w.load(t, n), w.past(t, n)
	if st.At != 9 || len(st.Commands) != 0 || string(st.Snapshot) != "clean at 9" || p.At != 9 || p.Newer != nil || len(p.Commands) != 0 {
		t.Fatalf("kept from before the erasure: %+v, %+v", st, p)
	}
	// Pages and resumes across an erased record, in the same transaction too, and once more what is erased already.
	w.commit(t, f, w.step(n, 9), erase(w.step(n, 10), 1, 10, 99), w.step(n, 11))
	w.erased(n, base, hashes)
	if page := w.readRaw(n, journal.Query{After: heads[0].At, Limit: 3}); page.Gap != channel.GapNone || page.Base != heads[0].At {
		t.Fatalf("after an erased record: %+v", page)
	}
	if p := w.past(t, n); p.At != 11 || len(p.Commands) != 1 || p.Newer != nil {
		t.Fatalf("past %+v", p)
	}
	steps, err := w.s.Follow(context.Background(), nil, 100)
	if err != nil || len(steps) != 12 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	for i, s := range steps {
		if want := map[int][]uint64{8: {1, 3, 3}, 10: {1, 10, 99}}[i]; !slices.Equal(s.Erased, want) {
			t.Fatalf("step %d says erased: %v", i+1, s.Erased)
		}
	}
	w.commit(t, f, journal.Change{Channel: n, Prev: 12, Snapshot: []byte("later")})
	if p := w.past(t, n); p.At != 11 || string(p.Newer) != "later" || len(p.Commands) != 1 {
		t.Fatalf("past %+v", p)
	}
}

func (w *stage) readRaw(n channel.Name, q journal.Query) journal.Page {
	w.t.Helper()
	p, err := w.s.Read(context.Background(), n, q)
	if err != nil {
		w.t.Fatalf("read %s: %v", n, err)
	}
	return p
}

// checkEraseEverywhere: nothing that can be asked for holds the body any more.
func checkEraseEverywhere(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enterStage(t, open, dir)
	const n, secret = channel.Name("svc:secret"), "what nobody may read"
	f := w.claim(n)
	c := w.step(n, 0)
	c.Command.Body = []byte(secret)
	c.Events[0].Body = []byte(secret)
	c.Events = append(c.Events, channel.Record{Class: channel.Latest, Key: "last", Body: []byte(secret)})
	w.commit(t, f, c, journal.Change{Channel: n, Prev: 1, Snapshot: []byte("1: " + secret)})
	c = w.step(n, 1)
	c.Snapshot = []byte("2: " + secret)
	w.commit(t, f, c)
	c = w.step(n, 2)
	c.Erase, c.Snapshot = []uint64{1}, []byte("clean")
	c.Events = append(c.Events, channel.Record{Class: channel.Latest, Key: "last", Body: []byte(`"gone"`)})
	w.commit(t, f, c)
	for range 2 {
		table, err := w.s.Latest(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		for what, v := range map[string]any{"log": w.readRaw(n, journal.Query{}), "state": w.load(t, n), "past": w.past(t, n), "table": table} {
			if bytes.Contains(fmt.Appendf(nil, "%s", v), []byte(secret)) {
				t.Fatalf("the %s still holds it: %s", what, v)
			}
		}
		if w.s.Tier() != journal.TierDurable {
			return
		}
		w.reopen(open, dir)
	}
	// Nor does the disk.
	w.end()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s still holds it", filepath.Base(name))
		}
	}
}

// checkCrash opens a copy of the folder of a journal that was never closed: all that was acknowledged is there.
func checkCrash(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enterStage(t, open, dir)
	if w.s.Tier() != journal.TierDurable {
		t.Skip("only durable journals outlive their process")
	}
	const n = channel.Name("svc:crash")
	f := w.claim(n)
	for round := range 3 {
		cs := w.steps(n, journal.Version(round*10), 10)
		cs[4].Sends = []channel.Command{{Channel: "svc:b", Body: []byte("1")}}
		cs[5].Snapshot = []byte("s")
		rs := w.commit(t, f, cs...)
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		after := enterStage(t, open, copied)
		after.begun = w.begun
		st := after.load(t, n)
		if st.Version != cs[9].Prev+1 || st.Head != rs[9].At {
			t.Fatalf("round %d: %d changes survived", round, st.Version)
		}
		for i, c := range cs {
			if k := after.known(c.Command); k.Reply == nil || k.Reply.At != rs[i].At {
				t.Fatalf("round %d: a resend of command %d finds %+v", round, i, k)
			}
		}
		now := after.claim(n)
		if due, _, err := after.s.Due(context.Background(), now, 0, 10); err != nil || len(due) != round+1 {
			t.Fatalf("round %d: %d sends, %v", round, len(due), err)
		}
		after.commit(t, now, after.step(n, st.Version))
		checkSameRecords(t, w.all(t, n), after.all(t, n)[:st.Version])
		after.end()
	}
}
