package rules

import "slices"

// maxMoves is more than any position has that ParseFEN lets in: 218 is the most that is known with 16 men a side.
const maxMoves = 256

// list is what generate fills: on the caller's stack, or within a game.
type list struct {
	n int
	m [maxMoves]Move
}

func (l *list) add(m Move) {
	l.m[l.n] = m
	l.n++
}

func (l *list) moves() []Move { return l.m[:l.n] }

// addAll adds a move from one square to each of a set.
func (l *list) addAll(from Square, to set) {
	for ; to != 0; to = to.rest() {
		l.add(newMove(from, to.first(), plain))
	}
}

// LegalMoves appends all legal moves to dst, in an order that is always the same, and returns it. There are at most 218.
func (p *Position) LegalMoves(dst []Move) []Move {
	var l list
	p.generate(&l)
	return append(dst, l.moves()...)
}

// Legal tells whether a move is legal, whatever its bits are.
func (p *Position) Legal(m Move) bool {
	var l list
	p.generate(&l)
	return slices.Contains(l.moves(), m)
}

// threats are the pieces that give check, and ours that stand alone between our king and a slider.
func (p *Position) threats(king Square) (checkers, pinned set) {
	us, them := p.colors[p.turn], p.colors[p.turn.Other()]
	r := &p.roles
	checkers = (knightReach[king&63]&r[Knight] | pawnTakes[p.turn&1][king&63]&r[Pawn]) & them
	sliders := (rookReach(king, them)&(r[Rook]|r[Queen]) | bishopReach(king, them)&(r[Bishop]|r[Queen])) & them
	for ; sliders != 0; sliders = sliders.rest() {
		switch shield := between[king&63][sliders.first()] & us; {
		case shield == 0:
			checkers |= sliders & -sliders
		case shield.rest() == 0:
			pinned |= shield
		}
	}
	return checkers, pinned
}

// generate makes legal moves only: pinned pieces stay on their line, and in check all but the king's moves end where
// they take the checker or stand in its way.
func (p *Position) generate(l *list) {
	us := p.colors[p.turn]
	king := p.king(p.turn)
	checkers, pinned := p.threats(king)
	p.kingMoves(l, king)
	if p.ep != 0 {
		p.enPassantMoves(l)
	}
	target := all
	switch {
	case checkers == 0:
		p.castlingMoves(l, king)
	case checkers.rest() == 0:
		target = checkers | between[king&63][checkers.first()]
	default:
		return // two checkers: the king must go
	}
	p.pawnMoves(l, target, pinned)
	occupied := p.occupied()
	target &^= us
	for from := p.roles[Knight] & us &^ pinned; from != 0; from = from.rest() {
		l.addAll(from.first(), knightReach[from.first()]&target)
	}
	for from := (p.roles[Bishop] | p.roles[Queen]) & us; from != 0; from = from.rest() {
		s := from.first()
		l.addAll(s, bishopReach(s, occupied)&target&free(s, king, pinned))
	}
	for from := (p.roles[Rook] | p.roles[Queen]) & us; from != 0; from = from.rest() {
		s := from.first()
		l.addAll(s, rookReach(s, occupied)&target&free(s, king, pinned))
	}
}

// free is where a piece may go as far as a pin is concerned.
func free(s, king Square, pinned set) set {
	if pinned.has(s) {
		return aligned[king&63][s&63]
	}
	return all
}

func (p *Position) kingMoves(l *list, king Square) {
	them := p.turn.Other()
	without := p.occupied() &^ king.set() // it does not hide behind itself
	for to := kingReach[king&63] &^ p.colors[p.turn]; to != 0; to = to.rest() {
		if s := to.first(); !p.attacked(s, them, without) {
			l.add(newMove(king, s, plain))
		}
	}
}

func (p *Position) castlingMoves(l *list, king Square) {
	home := king &^ 7
	for rooks := p.castles & p.colorsHome(p.turn); rooks != 0; rooks = rooks.rest() {
		to := home + 2
		if rooks.first() > king {
			to = home + 6
		}
		m := newMove(king, to, castle)
		if p.mayCastle(m, rooks.first()) {
			l.add(m)
		}
	}
}

// mayCastle: nothing but the two stands where they pass or end, and the king neither passes nor ends in an attack.
func (p *Position) mayCastle(m Move, rook Square) bool {
	king, them := m.From(), p.turn.Other()
	c := p.castlingOf(m)
	walk := between[king&63][c.kingTo&63] | c.kingTo.set()
	others := p.occupied() &^ (king.set() | rook.set())
	if (walk|between[rook&63][c.rookTo&63]|c.rookTo.set())&others != 0 {
		return false
	}
	for ; walk != 0; walk = walk.rest() {
		if p.attacked(walk.first(), them, others|rook.set()) {
			return false
		}
	}
	return !p.attacked(c.kingTo, them, others|c.rookTo.set()) // the rook may have been a shield
}

func (p *Position) pawnMoves(l *list, target, pinned set) {
	us, them := p.turn, p.turn.Other()
	pawns, empty := p.roles[Pawn]&p.colors[us], ^p.occupied()
	ahead, third := Square(8), rankOf(2)
	steps, left, right := pawns<<8, pawns&^fileA<<7, pawns&^fileH<<9
	if us == Black {
		ahead, third = 256-8, rankOf(5) // backwards, as Square wraps
		steps, left, right = pawns>>8, pawns&^fileA>>9, pawns&^fileH>>7
	}
	steps &= empty
	jumps := steps & third
	if us == White {
		jumps <<= 8
	} else {
		jumps >>= 8
	}
	king, prey := p.king(us), p.colors[them]&target
	for to := steps & target; to != 0; to = to.rest() {
		l.addPawn(to.first()-ahead, to.first(), king, pinned)
	}
	for to := jumps & empty & target; to != 0; to = to.rest() {
		if s := to.first(); free(s-2*ahead, king, pinned).has(s) {
			l.add(newMove(s-2*ahead, s, advance))
		}
	}
	for to := left & prey; to != 0; to = to.rest() {
		l.addPawn(to.first()-ahead+1, to.first(), king, pinned)
	}
	for to := right & prey; to != 0; to = to.rest() {
		l.addPawn(to.first()-ahead-1, to.first(), king, pinned)
	}
}

func (p *Position) enPassantMoves(l *list) {
	takers := pawnTakes[p.turn.Other()&1][p.ep&63] & p.roles[Pawn] & p.colors[p.turn]
	for ; takers != 0; takers = takers.rest() {
		if p.canTakeEnPassant(takers.first(), p.ep) {
			l.add(newMove(takers.first(), p.ep, enPass))
		}
	}
}

// addPawn adds a single step or a capture, as four moves where the pawn promotes.
func (l *list) addPawn(from, to, king Square, pinned set) {
	switch {
	case !free(from, king, pinned).has(to):
	case to.set()&(rankOf(0)|rankOf(7)) == 0:
		l.add(newMove(from, to, plain))
	default:
		for r := Queen; r >= Knight; r-- {
			l.add(newMove(from, to, uint16(r)))
		}
	}
}

// Perft counts the sequences of legal moves that are depth plies long. The last ply is counted, not played, as is usual.
func Perft(p Position, depth int) uint64 {
	if depth <= 0 {
		return 1
	}
	var l list
	p.generate(&l)
	if depth == 1 {
		return uint64(l.n)
	}
	n := uint64(0)
	for _, m := range l.moves() {
		n += Perft(p.Play(m), depth-1)
	}
	return n
}
