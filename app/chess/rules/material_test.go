package rules

import (
	"strings"
	"testing"
)

// TestInsufficientMaterial looks at every position of these men: where none of them is mate, nobody can mate.
func TestInsufficientMaterial(t *testing.T) {
	for _, c := range []struct {
		white, black       string // men besides the kings; b is a bishop on dark squares, B on light ones
		whiteMate, anyMate bool
	}{
		{"", "", false, false},
		{"N", "", false, false},
		{"B", "", false, false},
		{"Bb", "", true, true},
		{"NN", "", true, true},
		{"N", "Q", false, true},
		{"N", "R", true, true},
		{"N", "B", true, true},
		{"N", "N", true, true},
		{"N", "P", true, true},
		{"B", "Q", false, true},
		{"B", "R", false, true},
		{"B", "N", true, true},
		{"B", "P", true, true},
		{"B", "b", true, true},
		{"B", "B", false, false},
		{"P", "", true, true},
	} {
		t.Run(c.white+" against "+c.black, func(t *testing.T) {
			var any Position
			place(t, White, "K"+c.white, Black, "K"+c.black, func(p *Position) bool {
				any = *p
				return false
			})
			if got := any.CanMate(White); got != c.whiteMate {
				t.Errorf("white can mate: %t, want %t", got, c.whiteMate)
			}
			if got := any.InsufficientMaterial(); got == c.anyMate {
				t.Errorf("insufficient: %t, want %t", got, !c.anyMate)
			}
			if strings.Contains(c.white+c.black, "P") && c.black == "" {
				return // mates once it is promoted, which is another material
			}
			if pace > 1 && !c.whiteMate && c.black != "" {
				return // needs all positions, some millions
			}
			found := false
			place(t, White, "K"+c.white, Black, "K"+c.black, func(p *Position) bool {
				p.turn = Black
				found = p.InCheck() && !p.attacked(p.king(White), Black, p.occupied()) && !p.HasMove()
				return !found
			})
			if found != c.whiteMate {
				t.Errorf("a mate by white was found: %t, want %t", found, c.whiteMate)
			}
		})
	}
}

// place sets the men of both sides up in every way, the black king where symmetry leaves a difference, until each says false.
func place(t *testing.T, us Color, men string, them Color, other string, each func(*Position) bool) {
	t.Helper()
	var p Position
	var next func(us, them Color, men, other string) bool
	next = func(us, them Color, men, other string) bool {
		if men == "" && other == "" {
			q := p
			return each(&q)
		}
		if men == "" {
			return next(them, us, other, "")
		}
		squares := all
		switch {
		case men[0] == 'K' && us == Black:
			squares = 0x183c7eff // two triangles, which reflections take everywhere on either color
		case men[0] == 'B':
			squares = light
		case men[0] == 'b':
			squares = dark
		case men[0] == 'P':
			squares = all &^ (rankOf(0) | rankOf(7))
		}
		for squares &^= p.occupied(); squares != 0; squares = squares.rest() {
			r, s := roleOf(men[0]), squares.first()
			p.put(us, r, s)
			more := next(us, them, men[1:], other)
			p.put(us, r, s)
			if !more {
				return false
			}
		}
		return true
	}
	next(us, them, men, other)
}

// TestBishopsOfOneColor: however many.
func TestBishopsOfOneColor(t *testing.T) {
	for fen, want := range map[string]bool{
		"8/8/8/8/2k5/B1B1B3/8/B1b1b1K1 w - - 0 1": true,
		"8/8/8/8/2k5/B1B1B3/8/B1bb2K1 w - - 0 1":  false,
		"8/8/8/8/2k5/B1B1B3/8/B1bn2K1 w - - 0 1":  false,
		"8/8/8/2k5/8/8/8/2NN2K1 w - - 0 1":        false,
		"8/p1p5/P1P5/2k5/8/8/8/6K1 w - - 0 1":     false, // dead perhaps, but not by its material
		"k7/8/8/8/8/8/8/K7 w - - 0 1":             true,
		"8/8/8/8/2k5/B1B1B3/8/B1b1b1KR w - - 0 1": false,
		"8/8/8/2k5/8/8/8/1NK5 b - - 0 1":          true,
		"8/8/8/2k2n2/8/8/8/1NK5 b - - 0 1":        false,
	} {
		if p := parse(t, fen); p.InsufficientMaterial() != want {
			t.Errorf("%s: %t, want %t", fen, !want, want)
		}
	}
}
