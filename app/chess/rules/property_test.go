package rules

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRandomGames holds what is kept step by step against what can be computed from nothing.
func TestRandomGames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := NewGame(parse(t, rapid.SampledFrom(positions).Draw(rt, "start")))
		seen := map[string]int{identity(g.Position()): 1}
		states := []Game{*g}
		for range 50 {
			if g.End() != Ongoing {
				break
			}
			p := g.Position()
			m := rapid.SampledFrom(p.LegalMoves(nil)).Draw(rt, "move")
			if n := g.Ply(); n >= 2 && rapid.Bool().Draw(rt, "back") { // so that positions repeat
				last := g.Moves()[n-2]
				if home := newMove(last.To(), last.From(), plain); p.Legal(home) {
					m = home
				}
			}
			san, err := g.Apply(nil, m)
			if err != nil {
				rt.Fatal(err)
			}
			checkNotation(rt, &p, m, string(san))
			checkStep(rt, &p, m)
			next := g.Position()
			seen[identity(next)]++
			if g.Repetitions() != seen[identity(next)] {
				rt.Fatalf("%s is there for the %d. time, told as %d", next.FEN(), seen[identity(next)], g.Repetitions())
			}
			states = append(states, *g)
		}
		back := rapid.IntRange(0, g.Ply()+2).Draw(rt, "back")
		played := slices.Clone(g.Moves())
		g.Undo(back)
		left := max(0, len(played)-back)
		was := states[left]
		if g.now != was.now || g.reps != was.reps || g.end != was.end || g.Claims() != was.Claims() || !slices.Equal(g.Moves(), played[:left]) {
			rt.Fatalf("%d plies taken back from %d: %s, was %s", back, len(played), g.now.FEN(), was.now.FEN())
		}
		for i := left; i < len(played); i++ { // and they can be played again
			if _, err := g.Apply(nil, played[i]); err != nil || g.now != states[i+1].now || g.reps != states[i+1].reps || g.end != states[i+1].end {
				rt.Fatalf("ply %d played again: %s, %v", i+1, g.now.FEN(), err)
			}
		}
	})
}

// identity is what makes two positions the same: the first four fields of FEN.
func identity(p Position) string {
	return strings.Join(strings.Fields(p.FEN())[:4], " ")
}

func checkNotation(rt *rapid.T, p *Position, m Move, san string) {
	if again := string(p.AppendSAN(nil, m)); again != san {
		rt.Fatalf("%s: the game writes %s, the position %s", p.FEN(), san, again)
	}
	if back, err := p.ParseSAN(san); err != nil || back != m {
		rt.Fatalf("%s: %s reads as another move: %v", p.FEN(), san, err)
	}
	uci := string(p.AppendUCI(nil, m))
	if back, err := p.ParseUCI(uci); err != nil || back != m {
		rt.Fatalf("%s: %s reads as another move: %v", p.FEN(), uci, err)
	}
}

// checkStep: the position after a move is the one that its FEN describes, key included; no move leaves its king to be
// taken; what is not in the list is not legal.
func checkStep(rt *rapid.T, p *Position, m Move) {
	was := *p
	next := p.Play(m)
	if *p != was {
		rt.Fatalf("%s changed by playing on", was.FEN())
	}
	if next.key != next.freshKey() {
		rt.Fatalf("%s: the key went astray by %s", was.FEN(), p.AppendUCI(nil, m))
	}
	if fresh, err := ParseFEN(next.FEN()); err != nil || fresh != next {
		rt.Fatalf("%s after %s is not what %s says: %v", was.FEN(), p.AppendUCI(nil, m), next.FEN(), err)
	}
	legal := p.LegalMoves(nil)
	other := Move(rapid.Uint16().Draw(rt, "bits"))
	if p.Legal(other) != slices.Contains(legal, other) {
		rt.Fatalf("%s: %x is legal, or not", p.FEN(), other)
	}
	if slow := slowMoves(p); !slices.Equal(slow, destinations(legal)) {
		rt.Fatalf("%s: moves %v, want %v", p.FEN(), destinations(legal), slow)
	}
}

// destinations are from and to of all moves but castling, sorted, each once.
func destinations(moves []Move) (all []Move) {
	for _, m := range moves {
		if !m.Castles() {
			all = append(all, m&0xfff)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// slowMoves finds the same by moving every piece to every square it reaches and looking whether the king can be taken.
func slowMoves(p *Position) (all []Move) {
	us, them := p.turn, p.turn.Other()
	for from := range Square(64) {
		c, r := p.At(from)
		if r == NoRole || c != us {
			continue
		}
		to := reach(r, from, p.occupied())
		if r == Pawn {
			to = slowPawn(p, from)
		}
		for to &^= p.colors[us]; to != 0; to = to.rest() {
			next := *p
			s := to.first()
			if _, taken := next.At(s); taken != NoRole {
				next.put(them, taken, s)
			} else if r == Pawn && s == p.ep {
				next.put(them, Pawn, s^8)
			}
			next.put(us, r, from)
			next.put(us, r, s)
			if next.attackers(next.king(us), next.occupied())&next.colors[them] == 0 {
				all = append(all, newMove(from, s, plain))
			}
		}
	}
	slices.Sort(all)
	return all
}

func slowPawn(p *Position, from Square) (to set) {
	prey := p.colors[p.turn.Other()]
	if p.ep != 0 {
		prey |= p.ep.set()
	}
	to = pawnTakes[p.turn][from] & prey
	step, home := [2]int{0, 1}, 1
	if p.turn == Black {
		step, home = [2]int{0, -1}, 6
	}
	one, _ := walk(from, step)
	if p.occupied().has(one) {
		return to
	}
	to |= one.set()
	if two, _ := walk(one, step); from.Rank() == home && !p.occupied().has(two) {
		to |= two.set()
	}
	return to
}
