package chess

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"carillon/app/chess/rules"
	"carillon/channel"
)

// longGame is a game without an end: by moves that are drawn, of which those that cannot be taken back wait until they must.
func longGame(plies int) (ucis []string) {
	g := rules.NewGame(rules.Start())
	next := uint64(1)
	for len(ucis) < plies {
		p := g.Position()
		var keep, reset []rules.Move
		for _, m := range p.LegalMoves(nil) {
			after := p.Play(m)
			switch {
			case !after.HasMove() || after.InsufficientMaterial():
			case after.HalfMoves() == 0:
				reset = append(reset, m)
			default:
				keep = append(keep, m)
			}
		}
		if len(keep) == 0 || p.HalfMoves() >= 40 && len(reset) > 0 {
			keep = reset
		}
		next = next*6364136223846793005 + 1442695040888963407
		m := keep[int(next>>33)%len(keep)]
		ucis = append(ucis, string(p.AppendUCI(nil, m)))
		if _, err := g.Apply(nil, m); err != nil {
			panic(err)
		}
	}
	return ucis
}

// created is a game of ann and bob that has just begun.
func created(tb testing.TB) *game {
	tb.Helper()
	g := newGame("chess:game:bench")
	m := message{
		Type: "create", White: &party{User: "ann", Standing: newTally().standing}, Black: &party{User: "bob", Standing: newTally().standing},
		offer: offer{Base: 180, Inc: 2, Rated: true},
	}
	c := m.to(g.name)
	c.User, c.Time = "@chess:lobby", time.UnixMilli(1_790_000_000_000)
	if o := g.Apply(c); o.Refused != 0 {
		tb.Fatalf("%s", o.Reply)
	}
	return g
}

// commands are the moves of a game as they come in, a second after each other.
func commands(g *game, ucis []string) []channel.Command {
	cs := make([]channel.Command, len(ucis))
	for i, uci := range ucis {
		cs[i] = channel.Command{
			Channel: g.name, User: []string{"ann", "bob"}[i%2], Time: time.UnixMilli(1_790_000_000_000 + 1000*int64(i+1)),
			Body: fmt.Appendf(nil, `{"type":"move","ply":%d,"uci":%q,"lag":30}`, i, uci),
		}
	}
	return cs
}

// BenchmarkMove is what a move costs from its JSON to its records, at each length of a game alike.
func BenchmarkMove(b *testing.B) {
	for _, plies := range []int{80, 400} {
		b.Run(fmt.Sprintf("plies=%d", plies), func(b *testing.B) {
			g := created(b)
			cs := commands(g, longGame(plies))
			fresh := g.Snapshot(nil)
			at := 0
			b.ReportAllocs()
			for b.Loop() {
				if at == len(cs) {
					b.StopTimer()
					m, err := Service().Restore(g.name, fresh)
					if err != nil {
						b.Fatal(err)
					}
					g, at = m.(*game), 0
					b.StartTimer()
				}
				if o := g.Apply(cs[at]); o.Refused != 0 {
					b.Fatalf("%s", o.Reply)
				}
				at++
			}
		})
	}
}

// TestMoveAllocations: a move leaves little behind. What it must is the command that was read, with two of its fields, and
// what comes of it: the list of records, two bodies and the reply.
func TestMoveAllocations(t *testing.T) {
	g := created(t)
	cs, at := commands(g, longGame(100)), 0
	if n := testing.AllocsPerRun(len(cs)-1, func() {
		if o := g.Apply(cs[at]); o.Refused != 0 {
			t.Fatalf("%s", o.Reply)
		}
		at++
	}); n > 8 {
		t.Errorf("a move takes %v allocations", n)
	}
}

// BenchmarkMoves is what a move costs where many games are played at once, as a node has it: each machine waits until all
// others have moved. The games are those that the load generator plays.
func BenchmarkMoves(b *testing.B) {
	raw, err := os.ReadFile("../../bench/games.txt")
	if err != nil {
		b.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	cs := make([][]channel.Command, len(lines))
	for i := range cs {
		cs[i] = commands(newGame("chess:game:bench"), strings.Fields(lines[i]))
	}
	for _, games := range []int{1, 1000} {
		b.Run(fmt.Sprintf("games=%d", games), func(b *testing.B) {
			gs := make([]*game, games)
			fresh := created(b).Snapshot(nil)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += games * len(cs[0]) {
				b.StopTimer()
				for j := range gs {
					m, err := Service().Restore("chess:game:bench", fresh)
					if err != nil {
						b.Fatal(err)
					}
					gs[j] = m.(*game)
				}
				b.StartTimer()
				for n := range min(b.N-i, games*len(cs[0])) {
					if o := gs[n%games].Apply(cs[n%games%len(cs)][n/games]); o.Refused != 0 {
						b.Fatalf("%s", o.Reply)
					}
				}
			}
		})
	}
}

// BenchmarkEnd is the move that ends a game of 80 plies: archive, ratings and all.
func BenchmarkEnd(b *testing.B) {
	g := created(b)
	for _, c := range commands(g, longGame(80)) {
		g.Apply(c)
	}
	s := g.Snapshot(nil)
	b.ReportAllocs()
	for b.Loop() {
		m, err := Service().Restore(g.name, s)
		if err != nil {
			b.Fatal(err)
		}
		o := m.Apply(channel.Command{Channel: g.name, User: "ann", Time: time.UnixMilli(1_790_000_081_000), Body: []byte(`{"type":"resign"}`)})
		if o.Refused != 0 || len(o.Rows) != 2 {
			b.Fatalf("%s", o.Reply)
		}
	}
}

// BenchmarkSnapshot is that of a game of 80 plies, and coming back from it.
func BenchmarkSnapshot(b *testing.B) {
	g := created(b)
	for _, c := range commands(g, longGame(80)) {
		g.Apply(c)
	}
	var s []byte
	b.ReportAllocs()
	for b.Loop() {
		s = g.Snapshot(s[:0])
	}
	b.ReportMetric(float64(len(s)), "bytes")
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Service().Restore(g.name, s); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPair is a seek that finds its opponent in a lobby of 999 whom it does not suit.
func BenchmarkPair(b *testing.B) {
	l := newLobby(Lobby)
	standing := newTally().standing
	say := func(m message, user string, at int64) {
		m.User, m.Standing = user, &standing
		c := m.to(Lobby)
		c.User, c.Time = "@"+string(Player(user)), time.UnixMilli(at)
		if o := l.Apply(c); o.Refused != 0 {
			b.Fatalf("%s", o.Reply)
		}
	}
	for i := range MaxOpen - 1 {
		say(message{Type: "seek", ID: fmt.Sprint(i), offer: offer{Base: int64(100 + i), Inc: 2}}, fmt.Sprint("user", i), 1)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		say(message{Type: "seek", ID: fmt.Sprint("x", n), offer: offer{Base: 60}}, []string{"ann", "bob"}[n%2], 2)
	}
}
