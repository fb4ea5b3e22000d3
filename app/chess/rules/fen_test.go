package rules

import (
	"runtime"
	"strings"
	"testing"
)

// positions are the starts of random games: each has something special to it.
var positions = []string{
	"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
	kiwipete,
	"8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1",
	"r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1",
	"8/8/8/1k6/3Pp3/8/8/4KQ2 b - d3 0 1",
	"8/2P5/8/4k3/8/3rK2r/8/5R2 w - - 148 300",
	"r1k1r2q/p1ppp1pp/8/8/8/8/P1PPP1PP/R1K1R2Q w KQkq - 0 1",
	"1rr1k1rr/8/8/8/8/8/8/RR2K1RR w GBgc - 0 1",
	"8/8/8/8/8/8/6p1/k2K4 b - - 99 80",
}

func TestFENRoundTrip(t *testing.T) {
	for _, fen := range positions {
		if p := parse(t, fen); p.FEN() != fen {
			t.Errorf("%s came back as %s", fen, p.FEN())
		}
	}
}

func TestFENRefused(t *testing.T) {
	for _, c := range []struct{ fen, says string }{
		{"", "6 fields"},
		{"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq -", "6 fields"},
		{"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR  w KQkq - 0 1", "6 fields"},
		{"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP w KQkq - 0 1", "7 ranks"},
		{"rnbqkbnr/ppppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "9 squares"},
		{"rnbqkbnr/ppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "7 squares"},
		{"rnbqkbnr/pppppppp/44/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "one digit"},
		{"rnbqkbnr/pppppppp/9/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "PNBRQK"},
		{"rnbqkbnx/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "PNBRQK"},
		{"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR x KQkq - 0 1", "write w or b"},
		{"rnbqqbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQ - 0 1", "black has 0 kings"},
		{"rnbqkbnr/ppppkppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQ - 0 1", "black has 2 kings"},
		{"P3k3/8/8/8/8/8/8/4K3 w - - 0 1", "last rank"},
		{"rnbqkbnr/pppppppp/8/8/8/N7/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "at most 8"},
		{"4k3/pppppppp/p7/8/8/8/8/4K3 w - - 0 1", "at most 8"},
		{"4k3/8/8/8/8/8/8/4RK2 w - - 0 1", "could take the king"},
		{"8/8/8/3kK3/8/8/8/8 w - - 0 1", "could take the king"},
		{"4k3/8/8/8/8/8/8/4K2R w KQ - 0 1", "castling"},
		{"4k3/8/8/8/8/8/8/4K2R w KK - 0 1", "castling"},
		{"4k3/8/8/8/8/8/8/4K1RR w GH - 0 1", "castling"},
		{"4k3/8/8/8/8/8/4K3/7R w K - 0 1", "castling"},
		{"4k3/8/8/8/8/8/8/4K2R w  - 0 1", "castling"},
		{"4k3/8/8/8/8/8/8/4K2R w X - 0 1", "castling"},
		{"4k3/8/8/8/4P3/8/8/4K3 b - e4 0 1", "en passant"},
		{"4k3/8/8/8/4P3/8/8/4K3 w - e3 0 1", "en passant"},
		{"4k3/8/8/8/8/8/4P3/4K3 b - e3 0 1", "en passant"},
		{"4k3/8/8/8/4P3/8/4P3/4K3 b - e3 0 1", "en passant"},
		{"4k3/8/8/8/4P3/8/8/4K3 b - e33 0 1", "en passant"},
		{"4k3/8/8/8/8/8/8/4K3 w - - -1 1", "from 0 to 150"},
		{"4k3/8/8/8/8/8/8/4K3 w - - 151 1", "from 0 to 150"},
		{"4k3/8/8/8/8/8/8/4K3 w - - 00 1", "from 0 to 150"},
		{"4k3/8/8/8/8/8/8/4K3 w - - 0 0", "from 1 to 9999"},
		{"4k3/8/8/8/8/8/8/4K3 w - - 0 99999999999999999999", "from 1 to 9999"},
		{strings.Repeat("8/", 50_000), "at most 128 characters, this text has 100000"},
	} {
		p, err := ParseFEN(c.fen)
		if err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 400 {
			t.Errorf("%.80q: %v, want something with %q", c.fen, err, c.says)
		}
		if p != (Position{}) {
			t.Errorf("%.80q: a position came with the error", c.fen)
		}
	}
}

// TestFENHuge: a huge text is refused without a copy of it, or of its parts.
func TestFENHuge(t *testing.T) {
	const runs, bound = 100, 4096 // bytes a run
	huge := strings.Repeat(" /", 50_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		if _, err := ParseFEN(huge); err == nil {
			t.Fatal("it was read")
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / runs; n > bound {
		t.Errorf("%d bytes were allocated to refuse %d characters, at most %d are due", n, len(huge), bound)
	}
}

// TestEnPassantKept: only where somebody can legally take.
func TestEnPassantKept(t *testing.T) {
	for _, c := range []struct{ why, before, move, ep string }{
		{"nobody there", "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1", "e2e4", "-"},
		{"a pawn beside", "4k3/8/8/8/3p4/8/4P3/4K3 w - - 0 1", "e2e4", "e3"},
		{"pinned along the file", "3k4/8/8/8/3p4/8/4P3/3RK3 w - - 0 1", "e2e4", "-"},
		{"pinned along the diagonal", "6k1/8/8/8/3p4/8/1B2P3/4K3 w - - 0 1", "e2e4", "e3"},
		{"both pawns leave the rank", "8/8/8/8/k2p3R/8/4P3/4K3 w - - 0 1", "e2e4", "-"},
		{"it takes the checker", "8/8/8/5k2/3p4/8/4P3/4K3 w - - 0 1", "e2e4", "e3"},
		{"one of two is pinned", "3k4/8/8/8/3p1p2/8/4P3/3RK3 w - - 0 1", "e2e4", "e3"},
	} {
		p := parse(t, c.before)
		m, err := p.ParseUCI(c.move)
		if err != nil {
			t.Fatal(err)
		}
		next := p.Play(m)
		fen := next.FEN()
		if got := strings.Fields(fen)[3]; got != c.ep {
			t.Errorf("%s: en passant %s, want %s", c.why, got, c.ep)
		}
		// The same position, handed in with the square however useless it is.
		fields := strings.Fields(fen)
		fields[3] = "e3"
		if again := parse(t, strings.Join(fields, " ")); again != next {
			t.Errorf("%s: %s read with e3 differs", c.why, fen)
		}
	}
}

func FuzzFEN(f *testing.F) {
	for _, fen := range positions {
		f.Add(fen)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseFEN(text)
		if err != nil {
			return
		}
		again, err := ParseFEN(p.FEN())
		if err != nil || again != p {
			t.Fatalf("%q read and written is %q: %v", text, p.FEN(), err)
		}
		for _, m := range p.LegalMoves(nil) {
			next := p.Play(m)
			if _, err := ParseFEN(next.FEN()); err != nil && p.full < maxFullMove {
				t.Fatalf("%s after %s is %s: %v", p.FEN(), p.AppendUCI(nil, m), next.FEN(), err)
			}
		}
	})
}
