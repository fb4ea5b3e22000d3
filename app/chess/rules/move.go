package rules

// Move is a move in two bytes: 6 bits from, 6 bits to, 4 bits what is special about it. It means something only in the
// position it was generated in; the zero value is no move. Its value is stable between versions of this package.
// Castling goes from the king's square to the square where the king ends, on file c or g.
type Move uint16

// What is special about a move: promotion to a Role has that role's number.
const (
	plain   = 0
	castle  = 1
	enPass  = 6
	advance = 7 // a pawn's double step; 2 to 5 are promotions
)

func newMove(from, to Square, kind uint16) Move {
	return Move(from) | Move(to)<<6 | Move(kind)<<12
}

// From is the square the piece leaves.
func (m Move) From() Square { return Square(m & 63) }

// To is the square the piece goes to; of castling, where the king goes.
func (m Move) To() Square { return Square(m >> 6 & 63) }

// Promotion is what a pawn becomes, or NoRole.
func (m Move) Promotion() Role {
	if k := Role(m.kind()); k >= Knight && k <= Queen {
		return k
	}
	return NoRole
}

// Castles tells castling.
func (m Move) Castles() bool { return m.kind() == castle }

// EnPassant tells a capture en passant.
func (m Move) EnPassant() bool { return m.kind() == enPass }

func (m Move) kind() uint16 { return uint16(m >> 12) }

// castling is where the pieces of a castling move end, and which rook moves.
type castling struct{ kingTo, rookTo, rook Square }

// castlingOf needs the rook's right to be there still.
func (p *Position) castlingOf(m Move) castling {
	rooks := p.castles & rankOf(m.From().Rank())
	if m.To().File() == 6 {
		return castling{m.To(), m.To() - 1, rooks.last()}
	}
	return castling{m.To(), m.To() + 1, rooks.first()}
}

// Play is the position after a move, which must be legal in p: what comes of any other is nonsense.
func (p *Position) Play(m Move) Position {
	next := *p
	next.make(m)
	return next
}

// make changes the position itself; the key follows step by step.
func (p *Position) make(m Move) {
	us, from, to := p.turn, m.From(), m.To()
	if p.ep != 0 {
		p.key ^= keys.ep[p.ep&7]
		p.ep = 0
	}
	p.half = min(p.half+1, maxHalf)
	if m.kind() == castle {
		c := p.castlingOf(m)
		p.put(us, King, from)
		p.put(us, Rook, c.rook)
		p.put(us, King, c.kingTo)
		p.put(us, Rook, c.rookTo)
		p.loseCastling(p.castles & p.colorsHome(us))
	} else {
		p.move(m)
	}
	if us == Black {
		p.full++
	}
	p.turn = us.Other()
	p.key ^= keys.black
	if m.kind() == advance && p.legalEnPassant((from+to)/2) {
		p.ep = (from + to) / 2
		p.key ^= keys.ep[p.ep&7]
	}
}

// move is make for whatever does not castle.
func (p *Position) move(m Move) {
	us, from, to := p.turn, m.From(), m.To()
	role := p.roleAt(from)
	p.put(us, role, from)
	if p.colors[us.Other()].has(to) {
		p.put(us.Other(), p.roleAt(to), to)
		p.half = 0
	}
	switch {
	case role == Pawn:
		p.half = 0
		if r := m.Promotion(); r != NoRole {
			role = r
		} else if m.kind() == enPass {
			p.put(us.Other(), Pawn, to^8)
		}
	case role == King:
		p.loseCastling(p.castles & p.colorsHome(us))
	}
	p.put(us, role, to)
	p.loseCastling(p.castles & (from.set() | to.set()))
}

// colorsHome is the rank on which a side castles.
func (p *Position) colorsHome(c Color) set { return rankOf(7 * int(c)) }

func (p *Position) loseCastling(lost set) {
	p.castles &^= lost
	for ; lost != 0; lost = lost.rest() {
		p.key ^= keys.castle[lost.first()]
	}
}
