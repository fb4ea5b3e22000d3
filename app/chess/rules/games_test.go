package rules

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

func readGames(t testing.TB) string {
	t.Helper()
	f, err := os.Open(testData(t, "games/lichess-blitz-1k-clk.pgn.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// played is a game as its text has it, found without the reader under test.
type played struct {
	start, result, last string // FEN or "", result, last comment
	sans                []string
}

var (
	braces   = regexp.MustCompile(`\{[^}]*\}`)
	brackets = regexp.MustCompile(`\([^()]*\)`)
	tagFEN   = regexp.MustCompile(`(?m)^\[FEN "(.*)"\]`)
	glyphEnd = regexp.MustCompile(`[!?]+$`)
)

func cutGames(text string) (all []played) {
	for _, one := range strings.Split(text, `[Event "`)[1:] {
		var g played
		if m := tagFEN.FindStringSubmatch(one); m != nil {
			g.start = m[1]
		}
		moves := one[strings.LastIndex(one, "\"]\n")+3:]
		if said := braces.FindAllString(moves, -1); len(said) > 0 {
			g.last = strings.Trim(said[len(said)-1], "{} ")
		}
		moves = braces.ReplaceAllString(moves, " ")
		for brackets.MatchString(moves) {
			moves = brackets.ReplaceAllString(moves, " ")
		}
		words := strings.Fields(moves)
		g.result, words = words[len(words)-1], words[:len(words)-1]
		for _, w := range words {
			if !strings.HasSuffix(w, ".") {
				g.sans = append(g.sans, glyphEnd.ReplaceAllString(w, ""))
			}
		}
		all = append(all, g)
	}
	return all
}

// TestGames plays 1,000 real games: every move is found, written as it was, and the end is what the text says.
func TestGames(t *testing.T) {
	games := cutGames(readGames(t))
	if len(games) != 1000 {
		t.Fatalf("%d games, want 1000", len(games))
	}
	plies, ends := 0, map[string]int{}
	for i, p := range games {
		if i%pace != 0 {
			continue
		}
		start := Start()
		if p.start != "" {
			start = parse(t, p.start)
		}
		g := NewGame(start)
		for ply, want := range p.sans {
			now := g.Position()
			m, err := now.ParseSAN(want)
			if err != nil {
				t.Fatalf("game %d ply %d: %v", i+1, ply+1, err)
			}
			if back, err := now.ParseUCI(string(now.AppendUCI(nil, m))); back != m || err != nil {
				t.Fatalf("game %d ply %d: %s is not itself as UCI: %v", i+1, ply+1, want, err)
			}
			san, err := g.Apply(nil, m)
			if err != nil || string(san) != want {
				t.Fatalf("game %d ply %d: %q, %v, want %q", i+1, ply+1, san, err, want)
			}
		}
		plies += len(p.sans)
		ends[g.End().String()]++
		if err := consistent(g, p); err != nil {
			t.Errorf("game %d: %v", i+1, err)
		}
	}
	t.Logf("%d plies, ends: %v", plies, ends)
	if plies != 74721 && pace == 1 {
		t.Errorf("%d plies, want 74721", plies)
	}
}

// consistent holds what the text says of the end against what we say.
func consistent(g *Game, p played) error {
	now := g.Position()
	winner, loser := White, Black
	if p.result == "0-1" {
		winner, loser = Black, White
	}
	want := Ongoing
	switch {
	case strings.HasSuffix(p.last, "wins by checkmate."):
		want = Checkmate
		if now.Turn() != loser {
			return fmt.Errorf("mated %s, but the result is %s", now.Turn(), p.result)
		}
	case p.last == "Draw by stalemate.":
		want = Stalemate
	case strings.HasSuffix(p.last, "wins on time.") && !now.CanMate(winner):
		return fmt.Errorf("%s wins on time in %s, but cannot mate", winner, now.FEN())
	case p.last == "Draw by time and insufficient material." && now.CanMate(White) && now.CanMate(Black):
		return fmt.Errorf("both can mate in %s, but time ran out for a draw", now.FEN())
	case p.last == "The game is a draw.": // by material, claim or agreement
		want = g.End()
	}
	if g.End() != want {
		return fmt.Errorf("%s in %s, but the text says %q", g.End(), now.FEN(), p.last)
	}
	drawn := p.result == "1/2-1/2"
	if over := g.End(); over != Ongoing && (over == Checkmate) == drawn {
		return fmt.Errorf("%s, but the result is %s", over, p.result)
	}
	return nil
}

// TestGamesRoundTrip reads all games as PGN without a problem, writes them and reads them again.
func TestGamesRoundTrip(t *testing.T) {
	text := readGames(t)
	cut := cutGames(text)
	if pace > 1 {
		cut = cut[:len(cut)/pace]
		text = text[:nth(text, `[Event "`, len(cut)+1)]
	}
	first := readAll(t, text)
	if len(first) != len(cut) {
		t.Fatalf("%d games, want %d", len(first), len(cut))
	}
	var out []byte
	said, varied := 0, 0
	for i, g := range first {
		if len(g.Main.Plies) != len(cut[i].sans) || g.Result.String() != cut[i].result {
			t.Errorf("game %d: %d plies and %s, want %d and %s", i+1, len(g.Main.Plies), g.Result, len(cut[i].sans), cut[i].result)
		}
		for _, p := range g.Main.Plies {
			said += len(p.Comments)
			varied += len(p.Variations)
		}
		var err error
		if out, err = g.Append(out); err != nil {
			t.Fatalf("game %d: %v", i+1, err)
		}
	}
	if outside := strings.Count(text, "{") - said; varied == 0 || outside < 0 || outside > varied {
		t.Errorf("%d comments and %d variations were read of %d comments", said, varied, strings.Count(text, "{"))
	}
	sameGames(t, first, readAll(t, string(out)))
}

// nth is where a part of a text is found for the nth time.
func nth(text, part string, n int) int {
	at := strings.Index(text, part)
	for ; n > 1; n-- {
		at += len(part) + strings.Index(text[at+len(part):], part)
	}
	return at
}
