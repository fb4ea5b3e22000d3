package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"

	"pgregory.net/rapid"
)

// modelMachine is what a channel of a service comes to, in the plainest way.
type modelMachine struct {
	version  journal.Version
	log      []string
	commands []string // from the beginning on
	snapshot journal.Version
	wake     time.Time
	sends    []string
	rights   map[string]channel.Rights
	steps    int
}

// checkAnyChanges compares with the model, over commits of any kind under fences of which some are void.
func checkAnyChanges(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		ns := w.neighbours(fmt.Sprintf("any%d", run), 3)
		model := map[channel.Name]*modelMachine{}
		for _, n := range ns {
			model[n] = &modelMachine{rights: map[string]channel.Rights{}}
		}
		f := w.claim(ns[0])
		id := 0
		for range rapid.IntRange(1, 8).Draw(t, "commits") {
			var cs []journal.Change
			for range rapid.IntRange(0, 6).Draw(t, "changes") {
				id++
				cs = append(cs, drawChange(t, rapid.SampledFrom(ns).Draw(t, "channel"), id, model, w.begun))
			}
			fixVersions(t, cs, model)
			void := rapid.IntRange(0, 9).Draw(t, "void") == 0
			use := f
			if void {
				use.N--
			}
			rs, err := w.s.Commit(context.Background(), use, cs)
			if void {
				if !errors.Is(err, journal.ErrFenced) {
					t.Fatalf("under a void fence: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%v", err)
			}
			stale := map[channel.Name]bool{}
			for i, c := range cs {
				m := model[c.Channel]
				fits := !stale[c.Channel] && m.version == c.Prev
				stale[c.Channel] = !fits
				if fits != (rs[i].Err == nil) {
					t.Fatalf("change %d of %s: %+v, the model is at %d", i, c.Channel, rs[i], m.version)
				}
				if fits {
					m.apply(c)
				}
				if rs[i].Version != m.version || rs[i].At.Offset != uint64(len(m.log)) {
					t.Fatalf("change %d of %s: %+v, the model is at %d, offset %d", i, c.Channel, rs[i], m.version, len(m.log))
				}
			}
		}
		w.compare(t, f, ns, model)
	})
}

func drawChange(t *rapid.T, n channel.Name, id int, model map[channel.Name]*modelMachine, begun time.Time) journal.Change {
	c := journal.Change{Channel: n, Snapshot: []byte("s")}
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if kind == 0 {
		return c
	}
	c.Snapshot = nil
	c.Command = channel.Command{ID: fmt.Sprint(id), Channel: n, User: "ann", Time: begun, Body: fmt.Appendf(nil, "%d", id)}
	if kind == 1 {
		c.Reply.Code = 4
		return c
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "events") {
		c.Events = append(c.Events, channel.Record{Body: fmt.Appendf(nil, "%d.%d", id, i)})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "sends") {
		c.Sends = append(c.Sends, channel.Command{Channel: "any:x", Body: fmt.Appendf(nil, "%s %d.%d", n, id, i)})
	}
	for range rapid.IntRange(0, 2).Draw(t, "access") {
		c.Access = append(c.Access, channel.Access{
			User: rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(t, "user"), Rights: channel.Rights(rapid.IntRange(0, 3).Draw(t, "rights")),
		})
	}
	if rapid.Bool().Draw(t, "wakes") {
		c.WakeAt = begun.Add(time.Duration(rapid.IntRange(-9, -1).Draw(t, "when")) * time.Second)
	}
	if rapid.IntRange(0, 4).Draw(t, "snapshot") == 0 {
		c.Snapshot = []byte("s")
	}
	if log := model[n].log; len(log) > 0 && rapid.IntRange(0, 6).Draw(t, "erase") == 0 {
		c.Snapshot, c.Erase = []byte("s"), []uint64{uint64(rapid.IntRange(1, len(log)).Draw(t, "offset"))}
	}
	return c
}

// fixVersions gives changes the versions that they find, but a few.
func fixVersions(t *rapid.T, cs []journal.Change, model map[channel.Name]*modelMachine) {
	next := map[channel.Name]journal.Version{}
	for i := range cs {
		c := &cs[i]
		if _, ok := next[c.Channel]; !ok {
			next[c.Channel] = model[c.Channel].version
		}
		c.Prev = next[c.Channel]
		if rapid.IntRange(0, 11).Draw(t, "stale") == 0 {
			c.Prev += 3
		} else if c.Command.Channel != "" && c.Reply.Code == 0 {
			next[c.Channel]++
		}
	}
}

func (m *modelMachine) apply(c journal.Change) {
	if c.Command.Channel == "" {
		m.snapshot = m.version
		return
	}
	if c.Reply.Code != 0 {
		return
	}
	m.version++
	m.steps++
	m.commands = append(m.commands, c.Command.ID)
	for _, e := range c.Events {
		m.log = append(m.log, string(e.Body))
	}
	for _, o := range c.Erase {
		m.log[o-1] = ""
	}
	for _, s := range c.Sends {
		m.sends = append(m.sends, string(s.Body))
	}
	for _, a := range c.Access {
		m.rights[a.User] = a.Rights
	}
	m.wake = c.WakeAt
	if c.Snapshot != nil {
		m.snapshot = m.version
	}
}

func (w *stage) compare(t *rapid.T, f journal.Fence, ns []channel.Name, model map[channel.Name]*modelMachine) {
	steps, timers := 0, 0
	var sends []string
	for _, n := range ns {
		m := model[n]
		steps += m.steps
		sends = append(sends, m.sends...)
		if !m.wake.IsZero() {
			timers++
		}
		st := w.load(t, n)
		if st.Version != m.version || st.At != m.snapshot || !st.WakeAt.Equal(m.wake) {
			t.Fatalf("%s is %+v, the model at %d, snapshot at %d", n, st, m.version, m.snapshot)
		}
		for _, k := range append(w.past(t, n).Commands, st.Commands...) {
			if id := m.commands[k.Version-1]; k.Command.ID != id || !bytes.Equal(k.Command.Body, []byte(id)) {
				t.Fatalf("%s: command %d is %+v, want %s", n, k.Version, k.Command, id)
			}
		}
		page, err := w.s.Read(context.Background(), n, journal.Query{})
		if err != nil || len(page.Records) != len(m.log) {
			t.Fatalf("%s: %d records, want %d, %v", n, len(page.Records), len(m.log), err)
		}
		for i, r := range page.Records {
			if string(r.Body) != m.log[i] {
				t.Fatalf("%s, offset %d: %q, want %q", n, i+1, r.Body, m.log[i])
			}
		}
		for _, user := range []string{"", "ann", "bob", "eve"} {
			want, ok := m.rights[user]
			if !ok {
				want = m.rights[""]
			}
			as, err := w.s.Rights(context.Background(), []journal.Grant{{Channel: n, User: user}})
			if err != nil || as[0].Rights != want {
				t.Fatalf("%s: rights of %q are %+v, want %b, %v", n, user, as, want, err)
			}
		}
	}
	due, next, err := w.s.Due(context.Background(), f, 0, 10_000)
	if err != nil || !next.IsZero() {
		t.Fatalf("due: next %v, %v", next, err)
	}
	var got []string
	for _, d := range due {
		if d.Ticket != 0 {
			got = append(got, string(d.Command.Body))
		}
	}
	slices.Sort(got)
	slices.Sort(sends)
	if !slices.Equal(got, sends) || len(due)-len(got) != timers {
		t.Fatalf("sends %q and %d timers, want %q and %d", got, len(due)-len(got), sends, timers)
	}
	all, err := w.s.Follow(context.Background(), nil, 1_000_000)
	mine := 0
	for _, s := range all {
		if s.Service == f.Service {
			mine++
		}
	}
	if err != nil || mine != steps {
		t.Fatalf("%d steps, want %d, %v", mine, steps, err)
	}
}
