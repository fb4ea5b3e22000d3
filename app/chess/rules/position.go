package rules

// Position is one moment of a game: the board, whose turn it is, castling rights, en passant and the two counters of
// FEN. It is a value: copy it freely, compare with ==, share it between goroutines. Make one with Start or ParseFEN.
//
// An en passant square is kept only while somebody can legally take there, so that positions that differ only in a
// pawn's last step are the same one, as article 9.2 of the FIDE laws has it.
type Position struct {
	roles   [7]set // by Role; none at NoRole
	colors  [2]set
	castles set    // rooks that may still castle
	key     uint64 // see Key
	full    uint16 // number of the move, from 1
	half    uint8  // plies since a pawn moved or something was taken; stays at maxHalf
	ep      Square // 0 for none
	turn    Color
}

// maxHalf is the half-move clock at which a game is over, in plies.
const maxHalf = 150

// Start is the ordinary array.
func Start() Position {
	p, err := ParseFEN("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1")
	if err != nil {
		panic("rules: the starting position does not parse: " + err.Error())
	}
	return p
}

// Turn is the side to move.
func (p *Position) Turn() Color { return p.turn }

// HalfMoves is the number of plies since a pawn moved or something was taken, at most 150.
func (p *Position) HalfMoves() int { return int(p.half) }

// FullMove is the number of the move to be made, from 1; it grows after black's move.
func (p *Position) FullMove() int { return int(p.full) }

// Key is the same for positions that are the same by the rule of repetition (pieces, turn, castling rights, legal en
// passant) and for all practical purposes different for others. It is stable between versions of this package.
func (p *Position) Key() uint64 { return p.key }

// At tells what stands on a square; NoRole if nothing does.
func (p *Position) At(s Square) (Color, Role) {
	r := p.roleAt(s)
	if p.colors[Black].has(s) {
		return Black, r
	}
	return White, r
}

func (p *Position) roleAt(s Square) Role {
	b := s.set()
	if (p.colors[White]|p.colors[Black])&b == 0 {
		return NoRole
	}
	for r := Pawn; r < King; r++ {
		if p.roles[r]&b != 0 {
			return r
		}
	}
	return King
}

func (p *Position) occupied() set { return p.colors[White] | p.colors[Black] }

func (p *Position) king(c Color) Square { return (p.roles[King] & p.colors[c&1]).first() }

// put adds a piece, or takes it away: the board and the key alike.
func (p *Position) put(c Color, r Role, s Square) {
	b := s.set()
	p.roles[r&7] ^= b
	p.colors[c&1] ^= b
	p.key ^= keys.pieces[c&1][r&7][s&63]
}

// attackers are the pieces of both sides that attack a square, on a board occupied like this.
func (p *Position) attackers(s Square, occupied set) set {
	r := &p.roles
	return pawnTakes[White][s&63]&r[Pawn]&p.colors[Black] |
		pawnTakes[Black][s&63]&r[Pawn]&p.colors[White] |
		knightReach[s&63]&r[Knight] |
		kingReach[s&63]&r[King] |
		rookReach(s, occupied)&(r[Rook]|r[Queen]) |
		bishopReach(s, occupied)&(r[Bishop]|r[Queen])
}

// attacked tells whether a side attacks a square, on a board occupied like this. What stands where the board is not
// occupied does not attack along lines.
func (p *Position) attacked(s Square, by Color, occupied set) bool {
	them := p.colors[by&1]
	r := &p.roles
	return (knightReach[s&63]&r[Knight]|kingReach[s&63]&r[King]|pawnTakes[by.Other()&1][s&63]&r[Pawn])&them != 0 ||
		bishopReach(s, occupied)&(r[Bishop]|r[Queen])&them != 0 ||
		rookReach(s, occupied)&(r[Rook]|r[Queen])&them != 0
}

// InCheck tells whether the side to move is in check.
func (p *Position) InCheck() bool {
	return p.attacked(p.king(p.turn), p.turn.Other(), p.occupied())
}

// HasMove tells whether the side to move has a legal move. Without one it is checkmated or stalemated.
func (p *Position) HasMove() bool {
	var l list
	p.generate(&l)
	return l.n > 0
}

// Checkmate tells whether the side to move is checkmated.
func (p *Position) Checkmate() bool { return p.InCheck() && !p.HasMove() }

// Stalemate tells whether the side to move is not in check and has no legal move.
func (p *Position) Stalemate() bool { return !p.InCheck() && !p.HasMove() }

// canTakeEnPassant tells whether the pawn on from may legally take on the square s that a pawn has just jumped.
func (p *Position) canTakeEnPassant(from, s Square) bool {
	us, jumper := p.turn, s^8
	after := p.occupied()&^(from.set()|jumper.set()) | s.set()
	return p.attackers(p.king(us), after)&p.colors[us.Other()]&^jumper.set() == 0
}

// legalEnPassant tells whether anybody can.
func (p *Position) legalEnPassant(s Square) bool {
	takers := pawnTakes[p.turn.Other()][s&63] & p.roles[Pawn] & p.colors[p.turn]
	for ; takers != 0; takers = takers.rest() {
		if p.canTakeEnPassant(takers.first(), s) {
			return true
		}
	}
	return false
}
