package chess

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/app/chess/rules"
)

// realGames is a file of games with clocks: in CARILLON_TESTDATA, or in a folder beside the repository.
func realGames(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "data")
	if set := os.Getenv("CARILLON_TESTDATA"); set != "" {
		dir = set
	}
	f, err := os.Open(filepath.Join(dir, "games", "lichess-blitz-1k-clk.pgn.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("skipped: the games are not in %s; set CARILLON_TESTDATA to the folder that holds games", dir)
	} else if err != nil {
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

// TestRealGames plays games that people played, at their pace: each move is accepted, clocks agree with those that were
// written down, ends and results are the same.
func TestRealGames(t *testing.T) {
	pace := 25
	if os.Getenv("CARILLON_LONG") != "" {
		pace = 1
	}
	reader := rules.ReadPGN(realGames(t))
	clocks, drifted := 0, 0
	for i := 0; ; i++ {
		paper, _, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%pace != 0 || len(paper.Main.Plies) < 2 || paper.Start != rules.Start() {
			continue
		}
		right := replayReal(t, i, paper)
		clocks += right
		if right < len(paper.Main.Plies)-2 {
			drifted++
		}
	}
	t.Logf("%d clocks agree, %d games were given time", clocks, drifted)
	if clocks < 1500 {
		t.Errorf("only %d clocks agree", clocks)
	}
}

// replayReal plays a game and tells how many clocks were as written.
func replayReal(t *testing.T, i int, paper *rules.PGN) (right int) {
	w := newWorld(t)
	w.restarts = 50
	var base, inc int64
	if _, err := fmt.Sscanf(paper.Tag("TimeControl"), "%d+%d", &base, &inc); err != nil {
		t.Fatal(err)
	}
	n := w.match(fmt.Sprintf(`"base":%d,"inc":%d,"rated":true`, base, inc))
	drift := false
	p := paper.Start
	for ply, m := range paper.Main.Plies {
		g := w.game(n)
		side := g.turn()
		var h, min, s int64
		for _, c := range m.Comments {
			if at := strings.Index(c, "[%clk "); at >= 0 {
				if _, err := fmt.Sscanf(c[at:], "[%%clk %d:%d:%d]", &h, &min, &s); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := (h*3600 + min*60 + s) * second
		if ply >= 2 {
			spent := g.clock.left[side] + inc*second - want
			if spent < 0 || spent >= g.clock.left[side] { // time was given, or the clock was cut to whole seconds
				drift, spent = true, 0
			}
			w.pass(time.Duration(spent) * time.Millisecond)
		}
		w.move(n, string(p.AppendUCI(nil, m.Move)), 0)
		p = p.Play(m.Move)
		if ply >= 2 && !drift {
			if got := w.game(n).clock.left[side]; got != want {
				t.Fatalf("game %d ply %d: %d ms are left, want %d", i+1, ply+1, got, want)
			}
			right++
		}
	}
	g := w.game(n)
	if g.phase == playing {
		switch {
		case paper.Tag("Termination") == "Time forfeit":
			w.pass(time.Hour * 2)
		case paper.Result == rules.Draw:
			w.must(0, "ann", n, `{"type":"draw_offer"}`)
			w.must(0, "bob", n, `{"type":"draw_accept"}`)
		case paper.Result == rules.WhiteWins:
			w.must(0, "bob", n, `{"type":"resign"}`)
		default:
			w.must(0, "ann", n, `{"type":"resign"}`)
		}
	}
	g = w.game(n) // a restart has made it anew
	row := w.rows["game "+idOf(n)]
	if g.phase != over || g.result != paper.Result || field(string(row.Body), "result") != paper.Result.String() {
		t.Fatalf("game %d is %s %s by %s, want %s by %s", i+1, g.phase, g.result, g.reason, paper.Result, paper.Tag("Termination"))
	}
	pgn, _ := field(string(row.Body), "pgn").(string)
	back, problems, err := rules.ReadPGN(pgn).Next()
	if err != nil || len(problems) > 0 || len(back.Main.Plies) != len(paper.Main.Plies) || back.Result != paper.Result {
		t.Fatalf("game %d: the archive has %d plies and %s: %v %v", i+1, len(back.Main.Plies), back.Result, problems, err)
	}
	w.replay()
	return right
}
