package bustest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"carillon/bus"
	"carillon/channel"

	"pgregory.net/rapid"
)

// rosterModel is a roster in its simplest words: who is where by which connections, and since when he is away.
type rosterModel struct {
	conns map[string]map[uint64]bool // by "channel user"
	lost  map[string]time.Time       // of those without a connection
}

// checkModel compares a roster with the model through any sequence of calls. Names begin anew with each sequence.
func checkModel(t *testing.T, g *register) {
	sequence := 0
	rapid.Check(t, func(t *rapid.T) {
		sequence++
		m := rosterModel{conns: map[string]map[uint64]bool{}, lost: map[string]time.Time{}}
		g := &register{t: t, w: g.w}
		g.w.Pass(g.w.Debounce * 2)
		g.sweep(1 << 20) // what the sequence before left behind
		name := func() channel.Name {
			return channel.Name(fmt.Sprintf("s%d:%d", sequence, rapid.IntRange(0, 1).Draw(t, "channel")))
		}
		user := func() string { return fmt.Sprintf("u%d", rapid.IntRange(0, 3).Draw(t, "user")) }
		conn := func() uint64 { return rapid.Uint64Range(1, 3).Draw(t, "conn") }
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(*rapid.T) { m.enter(g, name(), user(), conn()) },
			"leave": func(t *rapid.T) { m.leave(g, name(), user(), conn(), rapid.Bool().Draw(t, "sure")) },
			"pass": func(t *rapid.T) {
				g.w.Pass(g.w.Debounce * time.Duration(rapid.IntRange(1, 11).Draw(t, "tenths")) / 10)
			},
			"sweep": func(*rapid.T) { m.sweep(g) },
			"": func(*rapid.T) {
				for i := range 2 {
					n := channel.Name(fmt.Sprintf("s%d:%d", sequence, i))
					g.holds(n, m.members(n)...)
				}
			},
		})
	})
}

func (m *rosterModel) enter(g *register, n channel.Name, user string, conn uint64) {
	key := string(n) + " " + user
	_, known := m.conns[key]
	g.enter(n, user, conn, !known)
	if !known {
		m.conns[key] = map[uint64]bool{}
	}
	m.conns[key][conn] = true
	delete(m.lost, key)
}

func (m *rosterModel) leave(g *register, n channel.Name, user string, conn uint64, sure bool) {
	key := string(n) + " " + user
	last := m.conns[key][conn] && len(m.conns[key]) == 1
	g.leave(n, user, conn, sure, last && sure)
	delete(m.conns[key], conn)
	switch {
	case last && sure:
		delete(m.conns, key)
	case last:
		m.lost[key] = g.w.Now()
	}
}

// sweep expects those who are away for longer than the debounce, and leaves open what lies within a hundredth of it.
func (m *rosterModel) sweep(g *register) {
	g.t.Helper()
	told := map[string]bool{}
	if err := g.w.Roster.Sweep(1<<20, func(ms []bus.Member) {
		for _, who := range ms {
			told[string(who.Channel)+" "+who.User] = true
		}
	}); err != nil {
		g.t.Fatalf("sweep: %v", err)
	}
	margin := g.w.Debounce / 100
	for key := range told {
		if lost, away := m.lost[key]; !away || g.w.Now().Sub(lost) < g.w.Debounce-margin {
			g.t.Fatalf("%s was told to be gone (away: %v)", key, away)
		}
		delete(m.conns, key)
		delete(m.lost, key)
	}
	for key, lost := range m.lost {
		if g.w.Now().Sub(lost) > g.w.Debounce+margin {
			g.t.Fatalf("%s is away since %v and was not told", key, lost)
		}
	}
}

func (m *rosterModel) members(n channel.Name) []string {
	us := []string{}
	for i := range 4 {
		user := fmt.Sprintf("u%d", i)
		if _, in := m.conns[string(n)+" "+user]; in {
			us = append(us, user)
		}
	}
	slices.Sort(us)
	return us
}
