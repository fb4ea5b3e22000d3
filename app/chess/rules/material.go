package rules

// dark squares are those of a1's color.
const dark = ^light

// InsufficientMaterial tells dead positions (FIDE 5.2.2) that the material alone decides: neither side can mate by any
// sequence of legal moves. Those are bare kings, one knight more, and any number of bishops on squares of one color.
// Positions that are dead because pawns are locked are not told.
func (p *Position) InsufficientMaterial() bool {
	minor := p.roles[Knight] | p.roles[Bishop]
	switch {
	case p.occupied() != p.roles[King]|minor:
		return false
	case p.roles[Knight] != 0:
		return minor.rest() == 0
	}
	return oneShade(p.roles[Bishop])
}

func oneShade(s set) bool { return s&dark == 0 || s&light == 0 }

// CanMate tells whether any sequence of legal moves, however foolish the opponent's, lets a side mate, as far as the
// material decides it. If not, the opponent cannot lose by running out of time (FIDE 6.9).
func (p *Position) CanMate(c Color) bool {
	us, them := p.colors[c&1], p.colors[c.Other()&1]
	switch r := &p.roles; {
	case us&(r[Pawn]|r[Rook]|r[Queen]) != 0:
		return true
	case us&r[Knight] == 0:
		// A mating bishop needs somebody on squares of the other color who stands in the king's way: a bishop there, a
		// knight, or a pawn that becomes one. A rook or a queen could always take or come between.
		return us&r[Bishop] != 0 && (!oneShade(r[Bishop]) || r[Knight]|r[Pawn] != 0)
	case us.count() > 2:
		return true
	}
	// One knight alone needs somebody in the king's way who cannot help it: all but a queen.
	return them&^(p.roles[King]|p.roles[Queen]) != 0
}
