package rules

import (
	"errors"
	"strings"
	"testing"
)

// TestSANWritten: as short as legal moves allow.
func TestSANWritten(t *testing.T) {
	for _, c := range []struct{ why, fen, uci, san string }{
		{"a pawn", "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1", "e2e4", "e4"},
		{"a pawn takes", "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "e4d5", "exd5"},
		{"en passant", "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e5d6", "exd6"},
		{"promotion with check", "4k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7a8q", "a8=Q+"},
		{"promotion that takes", "1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7b8n", "axb8=N"},
		{"by file", "4k3/8/8/8/8/8/4K3/R6R w - - 0 1", "a1d1", "Rad1"},
		{"by rank", "4k3/8/8/R7/8/8/4K3/R7 w - - 0 1", "a5a3", "R5a3"},
		{"by file though ranks differ too", "4k3/8/8/8/2N5/8/4K3/6N1 w - - 0 1", "c4e3", "Ne3"},
		{"by file first", "k7/8/8/8/8/2N5/4K3/6N1 w - - 0 1", "g1e2", ""},
		{"knights on other ranks and files", "k7/8/8/2N5/8/8/3N2K1/8 w - - 0 1", "c5e4", "Nce4"},
		{"by both", "1k6/8/8/8/4Q2Q/8/6K1/7Q w - - 0 1", "h4e1", "Qh4e1"},
		{"by rank, two share files", "k7/8/8/8/7Q/8/6K1/7Q w - - 0 1", "h4e1", "Q4e1"},
		{"not counting a pinned one", "3rk3/8/8/8/3N4/8/8/3K2N1 w - - 0 1", "g1e2", "Ne2"},
		{"check", "4k3/8/8/8/8/8/R7/4K3 w - - 0 1", "a2a8", "Ra8+"},
		{"mate", "4k3/R7/8/8/8/8/1R6/4K3 w - - 0 1", "b2b8", "Rb8#"},
		{"castling", "4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "e1g1", "O-O"},
		{"castling long", "4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "e1c1", "O-O-O"},
		{"castling with check", "5k2/8/8/8/8/8/8/R3K2R w KQ - 0 1", "e1g1", "O-O+"},
		{"castling from elsewhere", "4k3/8/8/8/8/8/8/1R3K1R w HB - 0 1", "f1h1", "O-O"},
		{"stalemate says nothing", "k7/8/8/1Q6/8/8/8/4K3 w - - 0 1", "b5b6", "Qb6"},
	} {
		p := parse(t, c.fen)
		m, err := p.ParseUCI(c.uci)
		if (err != nil) != (c.san == "") {
			t.Errorf("%s: %v", c.why, err)
		}
		if err != nil {
			continue
		}
		if got := string(p.AppendSAN(nil, m)); got != c.san {
			t.Errorf("%s: %s, want %s", c.why, got, c.san)
		}
		if got := string(p.AppendUCI(nil, m)); got != c.uci {
			t.Errorf("%s: %s, want %s", c.why, got, c.uci)
		}
	}
}

// TestSANTolerant: ways to write a move that leave no doubt.
func TestSANTolerant(t *testing.T) {
	const fen = "r3k2r/pPppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/P1PBBPPP/R3K2R w KQkq - 0 1"
	for want, ways := range map[string]string{
		"O-O":    "O-O 0-0 O-O! 0-0+ e1g1 e1-g1 e1h1",
		"O-O-O":  "O-O-O 0-0-0 e1c1",
		"dxe6":   "dxe6 de6 d5e6 d5xe6 dxe6+ dxe6!? pdxe6",
		"Nxd7":   "Nxd7 Nd7 Nexd7 N5xd7 Ne5xd7 e5d7 nxd7 Ne5-d7 Nxd7#",
		"bxa8=Q": "bxa8=Q bxa8Q ba8q b7a8q b7xa8=Q+",
		"bxa8=N": "bxa8=N bxa8n",
		"Bxa6":   "Bxa6 Ba6 e2a6",
		"a4":     "a4 a2a4 a2-a4 Pa4",
	} {
		p := parse(t, fen)
		for _, text := range strings.Fields(ways) {
			if text == "e1h1" {
				continue // UCI alone
			}
			m, err := p.ParseSAN(text)
			if err != nil {
				t.Errorf("%s: %v", text, err)
			} else if got := strings.TrimRight(string(p.AppendSAN(nil, m)), "+#"); got != want {
				t.Errorf("%s is %s, want %s", text, got, want)
			}
		}
	}
	p := parse(t, fen)
	if m, err := p.ParseUCI("e1h1"); err != nil || !m.Castles() {
		t.Errorf("the king takes its rook: %v", err)
	}
}

func TestMovesRefused(t *testing.T) {
	const fen = "r3k2r/pPppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/P1PBBPPP/R3K2R w KQkq - 0 1"
	p := parse(t, fen)
	for _, c := range []struct {
		text string
		san  error
		uci  error
	}{
		{"", ErrSyntax, ErrSyntax},
		{"e2m3", ErrSyntax, ErrSyntax},
		{"e7e9", ErrSyntax, ErrSyntax},
		{"E2E4", ErrSyntax, ErrSyntax},
		{"0000", ErrSyntax, ErrSyntax},
		{"--", ErrSyntax, ErrSyntax},
		{"Nd3d4d5", ErrSyntax, ErrSyntax},
		{"e2e5", ErrIllegal, ErrIllegal},
		{"b7a8", ErrIllegal, ErrIllegal}, // what does it become?
		{"bxa8", ErrIllegal, ErrSyntax},
		{"b7a8k", ErrSyntax, ErrSyntax},
		{"b7a8p", ErrSyntax, ErrSyntax},
		{"b7a8Q", nil, ErrSyntax},
		{"a2a4q", ErrIllegal, ErrIllegal},
		{"e1g1q", ErrIllegal, ErrIllegal},
		{"e1e8", ErrIllegal, ErrIllegal},
		{"Kg1", ErrIllegal, ErrSyntax},
		{"Nc4", nil, ErrSyntax},
		{"Nd3", nil, ErrSyntax},
		{"Nb5", nil, ErrSyntax},
		{"exd5", ErrIllegal, ErrSyntax},
		{"O-O-O-O", ErrSyntax, ErrSyntax},
		{strings.Repeat("e", 100_000), ErrSyntax, ErrSyntax},
	} {
		if _, err := p.ParseSAN(c.text); !errors.Is(err, c.san) {
			t.Errorf("SAN %.20q: %v, want %v", c.text, err, c.san)
		}
		if _, err := p.ParseUCI(c.text); !errors.Is(err, c.uci) || err != nil && len(err.Error()) > 120 {
			t.Errorf("UCI %.20q: %v, want %v", c.text, err, c.uci)
		}
	}
	two := parse(t, "4k3/8/8/8/8/8/4K3/R6R w - - 0 1")
	if _, err := two.ParseSAN("Rd1"); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("two rooks: %v", err)
	}
}

func FuzzSAN(f *testing.F) {
	for _, fen := range positions {
		f.Add(fen, "Nbd7+")
	}
	f.Add(kiwipete, "0-0-0!?")
	f.Add(kiwipete, "e5xg6e.p.")
	f.Fuzz(func(t *testing.T, fen, text string) {
		p, err := ParseFEN(fen)
		if err != nil {
			return
		}
		for _, read := range []func(string) (Move, error){p.ParseSAN, p.ParseUCI} {
			m, err := read(text)
			if err != nil {
				continue
			}
			if !p.Legal(m) {
				t.Fatalf("%s: %q reads as a move that is not legal", fen, text)
			}
			if back, err := p.ParseSAN(string(p.AppendSAN(nil, m))); err != nil || back != m {
				t.Fatalf("%s: %q is %s, which reads otherwise: %v", fen, text, p.AppendSAN(nil, m), err)
			}
			if back, err := p.ParseUCI(string(p.AppendUCI(nil, m))); err != nil || back != m {
				t.Fatalf("%s: %q is %s, which reads otherwise: %v", fen, text, p.AppendUCI(nil, m), err)
			}
		}
	})
}
