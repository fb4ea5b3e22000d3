package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// play applies moves in SAN and gives the game.
func play(t testing.TB, g *Game, moves string) {
	t.Helper()
	for _, san := range strings.Fields(moves) {
		p := g.Position()
		m, err := p.ParseSAN(san)
		if err == nil {
			_, err = g.Apply(nil, m)
		}
		if err != nil {
			t.Fatalf("ply %d: %v", g.Ply()+1, err)
		}
	}
}

func TestDraws(t *testing.T) {
	const there, back = "Nf3 Nf6 ", "Ng1 Ng8 "
	shuffle := there + back
	for _, c := range []struct {
		name, fen, moves string
		reps             int
		claims           Claim
		end              End
	}{
		{"twice", "", shuffle, 2, 0, Ongoing},
		{"threefold", "", shuffle + shuffle, 3, ThreefoldRepetition, Ongoing},
		{"fourfold", "", strings.Repeat(shuffle, 3), 4, ThreefoldRepetition, Ongoing},
		{"fivefold", "", strings.Repeat(shuffle, 4), 5, 0, FivefoldRepetition},
		{"an en passant that nobody has is no difference", "", "e4 Nf6 Nf3 Ng8 Ng1 Nf6 Nf3 Ng8 Ng1", 3, ThreefoldRepetition, Ongoing},
		{"an en passant that is pinned is none", "3k4/8/8/8/3p4/8/4P3/3RK3 w - - 0 1", "e4 Kd7 Kf1 Kd8 Ke1 Kd7 Kf1 Kd8 Ke1", 3, ThreefoldRepetition, Ongoing},
		{"a legal en passant is one", "4k3/8/8/8/3p4/8/4P3/4K3 w - - 0 1", "e4 Kd7 Kd1 Ke8 Ke1 Kd7 Kd1 Ke8 Ke1", 2, 0, Ongoing},
		{"lost castling is a difference", "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1", "Kd1 Kd8 Ke1 Ke8 Kd1 Kd8 Ke1 Ke8", 2, 0, Ongoing},
		{"the other side to move is a difference", "8/8/8/8/8/4k3/R7/4K3 w - - 0 1", "Ra1 Kd3 Rb1 Kd4 Rb2 Ke3 Ra2", 1, 0, Ongoing},
		{"49 moves and a half", "8/8/8/8/8/4k3/R7/4K3 w - - 98 80", "Ra3", 1, 0, Ongoing},
		{"50 moves", "8/8/8/8/8/4k3/R7/4K3 w - - 98 80", "Ra3 Kd4", 1, FiftyMoves, Ongoing},
		{"75 moves", "8/8/8/8/8/4k3/R7/4K3 w - - 148 80", "Ra3 Kd4", 1, 0, SeventyFiveMoves},
		{"mate goes before 75 moves", "4k3/R7/8/8/8/8/1R6/4K3 w - - 149 80", "Rb8", 1, 0, Checkmate},
		{"taking starts anew", "8/8/8/8/8/4k3/R2p4/4K3 w - - 148 80", "Rxd2 Ke4", 1, 0, Ongoing},
		{"stalemate", "8/8/8/8/8/4k3/3p4/4K3 w - - 0 80", "Kd1 Kd3", 1, 0, Stalemate},
		{"the last piece is taken", "8/8/8/8/8/8/3pk3/1K1R4 w - - 0 80", "Rc1 dxc1=Q Kxc1", 1, 0, InsufficientMaterial},
		{"fool's mate", "", "f3 e5 g4 Qh4", 1, 0, Checkmate},
		{"from where all is over", "7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", "", 1, 0, Stalemate},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := Start()
			if c.fen != "" {
				start = parse(t, c.fen)
			}
			g := NewGame(start)
			play(t, g, c.moves)
			if g.Repetitions() != c.reps || g.Claims() != c.claims || g.End() != c.end {
				t.Errorf("%d times, claims %b, %s; want %d, %b, %s", g.Repetitions(), g.Claims(), g.End(), c.reps, c.claims, c.end)
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	g := NewGame(Start())
	p := g.Position()
	for bits := range 1 << 16 {
		m := Move(bits)
		if p.Legal(m) {
			continue
		}
		if san, err := g.Apply([]byte("x"), m); !errors.Is(err, ErrIllegal) || string(san) != "x" || g.Ply() != 0 || g.Position() != p {
			t.Fatalf("%x: %s, %v", bits, san, err)
		}
	}
	play(t, g, "f3 e5 g4 Qh4#")
	if _, err := g.Apply(nil, g.Moves()[0]); !errors.Is(err, ErrOver) {
		t.Errorf("after mate: %v", err)
	}
	g.Undo(1)
	if g.End() != Ongoing || g.Ply() != 3 {
		t.Errorf("taken back: %s at ply %d", g.End(), g.Ply())
	}
	if _, err := g.Apply(nil, 0); !errors.Is(err, ErrIllegal) {
		t.Errorf("no move: %v", err)
	}
	g.Undo(100)
	if g.Position() != Start() || g.Ply() != 0 {
		t.Errorf("all taken back: %s", g.now.FEN())
	}
}

func TestGamePGN(t *testing.T) {
	for moves, want := range map[string]string{
		"f3 e5 g4 Qh4":                        "1. f3 e5 2. g4 Qh4# 0-1",
		"e4":                                  "1. e4 *",
		"":                                    "*",
		strings.Repeat("Nf3 Nf6 Ng1 Ng8 ", 4): "1. Nf3 Nf6 2. Ng1 Ng8 3. Nf3 Nf6 4. Ng1 Ng8 5. Nf3 Nf6 6. Ng1 Ng8 7. Nf3 Nf6 8.\nNg1 Ng8 1/2-1/2",
	} {
		g := NewGame(Start())
		play(t, g, moves)
		text := write(t, g.PGN(Tag{"White", "Ann"}))
		if !strings.HasSuffix(text, "\n\n"+want+"\n\n") || !strings.Contains(text, `[White "Ann"]`) {
			t.Errorf("%s:\n%s\nwant\n%s", moves, text, want)
		}
	}
}

// longGame is a game of so many plies without an end: pieces wander, nothing is taken if anything else can be played, and
// a pawn steps when the half-move clock asks for it.
func longGame(t testing.TB, plies int) []Move {
	t.Helper()
	g := NewGame(Start())
	state := uint64(7)
	for g.Ply() < plies {
		p := g.Position()
		legal := p.LegalMoves(nil)
		quiet := slices.DeleteFunc(slices.Clone(legal), func(m Move) bool {
			return p.occupied().has(m.To()) || p.roles[Pawn].has(m.From()) != (p.half > 120) || m.EnPassant()
		})
		if len(quiet) > 0 {
			legal = quiet
		}
		state = state*6364136223846793005 + 1442695040888963407
		if _, err := g.Apply(nil, legal[state>>33%uint64(len(legal))]); err != nil {
			t.Fatal(err)
		}
		if g.End() != Ongoing {
			g.Undo(40)
		}
	}
	return slices.Clone(g.Moves())
}

// TestApplyAllocates: nothing, once there is room for the moves.
func TestApplyAllocates(t *testing.T) {
	moves := longGame(t, roomAtFirst)
	ucis := make([]string, len(moves))
	for i, p := 0, Start(); i < len(moves); i++ {
		ucis[i] = string(p.AppendUCI(nil, moves[i]))
		p = p.Play(moves[i])
	}
	san := make([]byte, 0, 16)
	games := []*Game{NewGame(Start()), NewGame(Start())} // AllocsPerRun warms up with one
	if n := testing.AllocsPerRun(1, func() {
		g := games[0]
		games = games[1:]
		for _, uci := range ucis {
			p := g.Position()
			m, err := p.ParseUCI(uci)
			if err == nil {
				_, err = g.Apply(san, m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations in %d plies", n, len(moves))
	}
}

// TestGameParsesUCI: a game reads moves as its position does, at every ply and after taking some back.
func TestGameParsesUCI(t *testing.T) {
	same := func(g *Game) {
		t.Helper()
		p := g.Position()
		texts := []string{"", "e2e4", "e1g1", "a7a8", "a7a8q", "e2e9", "zz"}
		for _, m := range p.LegalMoves(nil) {
			texts = append(texts, string(p.AppendUCI(nil, m)))
		}
		for _, text := range texts {
			want, wantErr := p.ParseUCI(text)
			if got, err := g.ParseUCI(text); got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("ply %d: %q is %v, %v; in the position %v, %v", g.Ply(), text, got, err, want, wantErr)
			}
		}
	}
	g := NewGame(parse(t, kiwipete))
	for ply := range 60 {
		same(g)
		moves := g.now.LegalMoves(nil)
		if len(moves) == 0 || g.End() != Ongoing {
			break
		}
		if _, err := g.Apply(nil, moves[ply*7%len(moves)]); err != nil {
			t.Fatal(err)
		}
	}
	for g.Ply() > 0 {
		g.Undo(7)
		same(g)
	}
}

// TestApplyIsFlat: a move costs the same early and after 3,000 plies. The best of several rounds each, in turn.
func TestApplyIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: measures")
	}
	moves := longGame(t, 3000+roomAtFirst)
	early, late := NewGame(Start()), NewGame(Start())
	for _, m := range moves[:3000] {
		if _, err := late.Apply(nil, m); err != nil {
			t.Fatal(err)
		}
	}
	san := make([]byte, 0, 16)
	run := func(from *Game) time.Duration {
		g := *from
		g.moves = slices.Clone(from.moves)
		part := moves[len(g.moves):][:roomAtFirst]
		begin := time.Now()
		for _, m := range part {
			if _, err := g.Apply(san, m); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(begin)
	}
	best := [2]time.Duration{time.Hour, time.Hour}
	for range 50 {
		best[0], best[1] = min(best[0], run(early)), min(best[1], run(late))
	}
	t.Logf("%v a ply at first, %v after 3,000", best[0]/roomAtFirst, best[1]/roomAtFirst)
	if best[1] > 4*best[0] {
		t.Errorf("%v a ply after 3,000, %v at first", best[1]/roomAtFirst, best[0]/roomAtFirst)
	}
}

// BenchmarkApply is a validated move with SAN and all draw tests, at a ply early, late and absurdly late. Shuffling
// makes the repetition look back as far as it ever does.
func BenchmarkApply(b *testing.B) {
	for _, ply := range []int{0, 100, 400, 3000} {
		b.Run(fmt.Sprintf("ply-%d", ply), func(b *testing.B) {
			moves := longGame(b, ply+roomAtFirst)
			g := NewGame(Start())
			for _, m := range moves[:ply] {
				if _, err := g.Apply(nil, m); err != nil {
					b.Fatal(err)
				}
			}
			base := *g
			san := make([]byte, 0, 16)
			b.ReportAllocs()
			i := ply
			for b.Loop() {
				if i == len(moves) {
					i = ply
					base.moves = g.moves[:ply]
					*g = base
				}
				if _, err := g.Apply(san, moves[i]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
	b.Run("look-back-145", func(b *testing.B) {
		g := NewGame(parse(b, kiwipete))
		g.now.half = 145
		for i := range g.past {
			g.past[i] = uint64(i) // nothing repeats
		}
		base := *g
		base.moves = append(base.moves, make([]Move, 150)...)
		m, err := g.now.ParseUCI("a1b1")
		if err != nil {
			b.Fatal(err)
		}
		san := make([]byte, 0, 16)
		b.ReportAllocs()
		for b.Loop() {
			*g = base
			if _, err := g.Apply(san, m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkGames replays real games: UCI text in, SAN out, all draw tests, per ply.
func BenchmarkGames(b *testing.B) {
	type line struct {
		start Position
		uci   []string
	}
	var lines []line
	plies := 0
	for _, g := range readAll(b, readGames(b)) {
		l, p := line{start: g.Start}, g.Start
		for _, ply := range g.Main.Plies {
			l.uci = append(l.uci, string(p.AppendUCI(nil, ply.Move)))
			p = p.Play(ply.Move)
		}
		lines, plies = append(lines, l), plies+len(l.uci)
	}
	san := make([]byte, 0, 16)
	for b.Loop() {
		for _, l := range lines {
			g := NewGame(l.start)
			for _, uci := range l.uci {
				m, err := g.now.ParseUCI(uci)
				if err == nil {
					_, err = g.Apply(san, m)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*plies), "ns/ply")
}

func BenchmarkReadPGN(b *testing.B) {
	text := readGames(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		readAll(b, text)
	}
}
