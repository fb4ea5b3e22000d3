package journaltest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	"carillon/channel"
	"carillon/journal"

	"pgregory.net/rapid"
)

func (w *stage) find(t tb, s journal.Search) journal.Found {
	t.Helper()
	found, err := w.s.Find(context.Background(), s)
	if err != nil {
		t.Fatalf("find %+v: %v", s, err)
	}
	return found
}

// listed is an answer in short: keys in order, what comes before them, and "+" where there are more.
func listed(f journal.Found) string {
	text := ""
	for _, r := range f.Rows {
		text += r.Key + " "
	}
	if f.Before > 0 {
		text = fmt.Sprintf("(%d) %s", f.Before, text)
	}
	if f.More {
		text += "+"
	}
	return text
}

func row(key string, rank int64, terms ...string) channel.Row {
	return channel.Row{Kind: "game", Key: key, Rank: rank, Terms: terms, Body: fmt.Appendf(nil, `{"key":"%s","rank":%d}`, key, rank)}
}

// checkRows: what changes state is found, in order, and the newest of each key alone.
func checkRows(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enterStage(t, open, dir)
	ns := w.neighbours("svc", 2)
	f := w.claim(ns[0])
	versions := map[channel.Name]journal.Version{}
	state := func(n channel.Name, rows ...channel.Row) {
		t.Helper()
		c := w.step(n, versions[n])
		c.Rows = rows
		w.commit(t, f, c)
		versions[n]++
	}
	check := func(want string, s journal.Search) {
		t.Helper()
		s.Service, s.Kind = "svc", cmp.Or(s.Kind, "game")
		if got := listed(w.find(t, s)); got != want {
			t.Fatalf("find %+v: %q, want %q", s, got, want)
		}
	}
	after := func(key string, rank int64) *channel.Row { return &channel.Row{Key: key, Rank: rank} }
	check("", journal.Search{})
	check("", journal.Search{Key: "g1"})
	state(ns[0], row("g1", 10, "player:ann", "player:bob"), row("g2", 30, "player:ann"), row("g3", 20), row("a3", 20, "player:ann"))
	state(ns[1], row("g4", -5, "player:ann", "won"))
	check("g2 a3 g3 g1 g4 ", journal.Search{})
	check("g4 g1 g3 a3 g2 ", journal.Search{Ascending: true})
	check("g2 a3 +", journal.Search{Limit: 2})
	check("(2) g3 g1 +", journal.Search{Limit: 2, After: after("a3", 20)})
	check("(4) g4 ", journal.Search{Limit: 2, After: after("g1", 10)})
	check("", journal.Search{After: after("g4", -5)})
	check("(3) a3 g2 ", journal.Search{Ascending: true, After: after("g3", 20)})
	check("(1) a3 g3 g1 g4 ", journal.Search{After: after("gone", 25)})
	check("g2 a3 g1 g4 ", journal.Search{Terms: []string{"player:ann"}})
	check("g1 ", journal.Search{Terms: []string{"player:ann", "player:bob"}})
	check("", journal.Search{Terms: []string{"player:bob", "won"}})
	check("(2) g1 +", journal.Search{Terms: []string{"player:ann"}, After: after("a3", 20), Limit: 1})
	check("(3) g1 ", journal.Search{Key: "g1"})
	check("(1) g1 ", journal.Search{Key: "g1", Ascending: true})
	check("(3) g4 ", journal.Search{Key: "g4", Terms: []string{"player:ann"}})
	check("", journal.Search{Key: "g3", Terms: []string{"player:ann"}})
	check("", journal.Search{Kind: "rating"})
	if found := w.find(t, journal.Search{Service: "svc2", Kind: "game"}); len(found.Rows) != 0 {
		t.Fatalf("another service has %+v", found)
	}

	// Each key has the newest row alone, its terms too, whoever stated it; in one change the last one counts.
	state(ns[1], row("g1", 40, "player:bob", "won"), row("g3", 1, "lost"), row("g3", 2, "player:eve"))
	check("g1 g2 a3 g3 g4 ", journal.Search{})
	check("g2 a3 g4 ", journal.Search{Terms: []string{"player:ann"}})
	check("g1 g4 ", journal.Search{Terms: []string{"won"}})
	check("", journal.Search{Terms: []string{"lost"}})
	gone := row("g2", 0)
	gone.Body = nil
	state(ns[0], gone, channel.Row{Kind: "game", Key: "never"})
	check("g1 a3 g3 g4 ", journal.Search{})
	check("", journal.Search{Key: "g2"})
	check("a3 g4 ", journal.Search{Terms: []string{"player:ann"}})

	// What was not committed is not found.
	refused, stale := w.step(ns[0], versions[ns[0]]), w.step(ns[0], 77)
	refused.Reply.Code, refused.Events, refused.Rows = 3, nil, []channel.Row{row("no", 1)}
	stale.Rows = []channel.Row{row("no", 1)}
	if _, err := w.s.Commit(context.Background(), f, []journal.Change{refused, stale}); err != nil {
		t.Fatal(err)
	}
	check("", journal.Search{Key: "no"})
	found := w.find(t, journal.Search{Service: "svc", Kind: "game", Limit: 1})
	want := row("g1", 40, "player:bob", "won")
	if r := found.Rows[0]; r.Kind != "game" || r.Rank != 40 || !slices.Equal(slices.Sorted(slices.Values(r.Terms)), want.Terms) || !bytes.Equal(r.Body, want.Body) {
		t.Fatalf("%+v, want %+v", r, want)
	}
	if _, err := w.s.Find(context.Background(), journal.Search{Service: "svc", Kind: "game", Limit: journal.MaxFound + 1}); err == nil {
		t.Fatal("found more than is allowed")
	}

	// A page is no larger than an answer may be, and the next goes on from there.
	for i := range 4 {
		large := row(fmt.Sprint("l", i), int64(-i), "large")
		large.Kind = "large"
		large.Body = fmt.Appendf(nil, `"%s"`, bytes.Repeat([]byte("x"), journal.MaxFoundBytes/2-100))
		state(ns[1], large)
	}
	check("l0 l1 +", journal.Search{Kind: "large"})
	check("l0 l1 +", journal.Search{Kind: "large", Terms: []string{"large"}})
	check("(2) l2 l3 ", journal.Search{Kind: "large", After: after("l1", -1)})
	if w.s.Tier() == journal.TierDurable {
		w.reopen(open, dir)
		check("g1 a3 g3 g4 ", journal.Search{})
	}
}

// checkAnySearch compares searches of any kind with a model, over rows that come, move and go.
func checkAnySearch(t *testing.T, open Open) {
	w := enterStage(t, open, t.TempDir())
	const n = channel.Name("svc:rows")
	f := w.claim(n)
	var version journal.Version
	model := map[string]channel.Row{}
	run := 0
	keys, terms := []string{"a", "b", "c", "dd", "e'", "F"}, []string{"x", "y", "z:1"}
	rapid.Check(t, func(t *rapid.T) {
		run++
		kind := fmt.Sprintf("kind%d", run)
		clear(model)
		var cs []journal.Change
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			c := w.step(n, version)
			c.Command.ID = "" // ids are another matter
			version++
			for range rapid.IntRange(0, 4).Draw(t, "rows") {
				r := row(rapid.SampledFrom(keys).Draw(t, "key"), int64(rapid.IntRange(-2, 2).Draw(t, "rank")),
					rapid.SliceOfNDistinct(rapid.SampledFrom(terms), 0, 3, rapid.ID).Draw(t, "terms")...)
				r.Kind = kind
				if rapid.IntRange(0, 3).Draw(t, "gone") == 0 {
					r.Body = nil
					delete(model, r.Key)
				} else {
					model[r.Key] = r
				}
				c.Rows = append(c.Rows, r)
			}
			cs = append(cs, c)
			if rapid.Bool().Draw(t, "commit") {
				w.commit(t, f, cs...)
				cs = nil
			}
		}
		w.commit(t, f, cs...)
		for range 4 {
			s := journal.Search{Service: "svc", Kind: kind, Limit: rapid.IntRange(1, 7).Draw(t, "limit"), Ascending: rapid.Bool().Draw(t, "ascending"),
				Terms: rapid.SliceOfNDistinct(rapid.SampledFrom(terms), 0, 3, rapid.ID).Draw(t, "of")}
			if rapid.Bool().Draw(t, "by key") {
				s.Key = rapid.SampledFrom(keys).Draw(t, "which")
			} else if rapid.Bool().Draw(t, "from a place") {
				s.After = &channel.Row{Key: rapid.SampledFrom(keys).Draw(t, "behind"), Rank: int64(rapid.IntRange(-2, 2).Draw(t, "at"))}
			}
			if got, want := listed(w.find(t, s)), listed(searched(model, s)); got != want {
				t.Fatalf("find %+v after %v: %q, want %q", s, s.After, got, want)
			}
		}
	})
}

// searched is what Find means, in the plainest way.
func searched(model map[string]channel.Row, s journal.Search) (found journal.Found) {
	order := func(a, b channel.Row) int {
		c := cmp.Or(-cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Key, b.Key))
		if s.Ascending {
			return -c
		}
		return c
	}
	var all []channel.Row
	for _, r := range model {
		if !slices.ContainsFunc(s.Terms, func(t string) bool { return !slices.Contains(r.Terms, t) }) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, order)
	for i, r := range all {
		switch {
		case s.Key != "" && r.Key != s.Key, s.Key == "" && s.After != nil && order(r, *s.After) <= 0:
			continue
		case len(found.Rows) == s.Limit:
			found.More = true
			return found
		case len(found.Rows) == 0:
			found.Before = i
		}
		found.Rows = append(found.Rows, r)
	}
	return found
}
