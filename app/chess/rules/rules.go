// Package rules owns the rules of chess: positions, legal moves, notation (FEN, UCI, SAN, PGN) and when a game is over.
// It is pure: no clock, no chance, no state of its own beyond constant tables, and nothing else of this module.
// Positions are values of a few words, copied to make a move; chess from any starting array of Chess960 is the general
// case and the ordinary array one of them.
// Start with Game for a game that is played, Position for one moment of it, PGN for a game on paper.
package rules

// Color is a side.
type Color uint8

// The sides.
const (
	White Color = iota
	Black
)

// Other is the opponent.
func (c Color) Other() Color { return c ^ 1 }

func (c Color) String() string { return [...]string{"white", "black"}[c&1] }

// Role is what a piece is, whatever its color. The zero value is no piece.
type Role uint8

// The roles, by rising worth.
const (
	NoRole Role = iota
	Pawn
	Knight
	Bishop
	Rook
	Queen
	King
)

// letters are the roles as SAN writes them; a pawn has none there, FEN has.
const letters = " PNBRQK"

func (r Role) String() string {
	return [...]string{"none", "pawn", "knight", "bishop", "rook", "queen", "king", "none"}[r&7]
}

// roleOf reads a letter of SAN or, for pawns, of FEN; small letters count too.
func roleOf(c byte) Role {
	switch c | 0x20 {
	case 'p':
		return Pawn
	case 'n':
		return Knight
	case 'b':
		return Bishop
	case 'r':
		return Rook
	case 'q':
		return Queen
	case 'k':
		return King
	}
	return NoRole
}

// Square counts from a1 = 0 along the ranks to h8 = 63.
type Square uint8

// File is 0 for a to 7 for h.
func (s Square) File() int { return int(s & 7) }

// Rank is 0 for the first to 7 for the eighth.
func (s Square) Rank() int { return int(s >> 3) }

func (s Square) String() string { return string([]byte{'a' + byte(s&7), '1' + byte(s>>3&7)}) }

func (s Square) set() set { return 1 << (s & 63) }

func squareAt(file, rank int) Square { return Square(rank<<3 | file) }

// parseSquare reads two characters.
func parseSquare(file, rank byte) (Square, bool) {
	if file < 'a' || file > 'h' || rank < '1' || rank > '8' {
		return 0, false
	}
	return squareAt(int(file-'a'), int(rank-'1')), true
}
