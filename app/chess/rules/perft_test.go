package rules

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testData finds a file of real input: in CARILLON_TESTDATA, or in a folder beside the repository.
func testData(t testing.TB, name string) string {
	t.Helper()
	places := []string{filepath.Join("..", "..", "..", "..", "shared", "data")}
	if dir := os.Getenv("CARILLON_TESTDATA"); dir != "" {
		places = []string{dir}
	}
	for _, dir := range places {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
	t.Skipf("skipped: %s is in none of %v; set CARILLON_TESTDATA to the folder that holds it", name, places)
	return ""
}

func parse(t testing.TB, fen string) Position {
	t.Helper()
	p, err := ParseFEN(fen)
	if err != nil {
		t.Fatalf("%q: %v", fen, err)
	}
	return p
}

// budget is the number of leaves up to which a count is checked in an ordinary run.
func budget() uint64 {
	if os.Getenv("CARILLON_LONG") != "" {
		return 300_000_000
	}
	return 5_000_000
}

// standard positions with their published counts, from depth 1 on.
var standard = []struct {
	name, fen string
	counts    []uint64
}{
	{"start", "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", []uint64{20, 400, 8902, 197281, 4865609, 119060324}},
	{"kiwipete", kiwipete, []uint64{48, 2039, 97862, 4085603, 193690690}},
	{"rook endgame", "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1", []uint64{14, 191, 2812, 43238, 674624, 11030083, 178633661}},
	{"promotions", "r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1", []uint64{6, 264, 9467, 422333, 15833292}},
	{"castling", "rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ - 1 8", []uint64{44, 1486, 62379, 2103487, 89941194}},
	{"middle game", "r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - - 0 10", []uint64{46, 2079, 89890, 3894594, 164075551}},
}

const kiwipete = "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1"

func TestPerftStandard(t *testing.T) {
	begin, nodes := time.Now(), uint64(0)
	for _, c := range standard {
		p := parse(t, c.fen)
		for i, want := range c.counts {
			if want > budget() {
				break
			}
			got := Perft(p, i+1)
			nodes += got
			if got != want {
				t.Errorf("%s: perft %d is %d, want %d", c.name, i+1, got, want)
				break
			}
		}
	}
	t.Logf("%.1f million leaves in %v", float64(nodes)/1e6, time.Since(begin).Round(time.Millisecond))
}

// TestPerftTricky runs a file of positions that others found hard: "epd", then "perft depth count" lines.
func TestPerftTricky(t *testing.T) {
	f, err := os.Open(testData(t, "games/tricky.perft"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var p Position
	var id string
	checked := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		var depth int
		var want uint64
		switch kind, rest, _ := strings.Cut(s.Text(), " "); kind {
		case "id":
			id = rest
		case "epd":
			p = parse(t, rest+" 0 1")
		case "perft":
			if _, err := fmt.Sscan(rest, &depth, &want); err != nil {
				t.Fatalf("%q: %v", rest, err)
			}
			if want > budget() {
				continue
			}
			if got := Perft(p, depth); got != want {
				t.Errorf("%s: perft %d is %d, want %d", id, depth, got, want)
			}
			checked++
		}
	}
	if checked < 60 {
		t.Errorf("only %d counts were checked", checked)
	}
}

// BenchmarkPerft reports leaves, counted and not played at the last ply.
func BenchmarkPerft(b *testing.B) {
	for _, c := range standard {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			p := parse(b, c.fen)
			nodes := uint64(0)
			for b.Loop() {
				nodes += Perft(p, 4)
			}
			b.ReportMetric(float64(nodes)/b.Elapsed().Seconds()/1e6, "Mnodes/s")
		})
	}
}
