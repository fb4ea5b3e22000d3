package rules

import (
	"errors"
	"fmt"
)

// What ParseUCI, ParseSAN and Game.Apply refuse a move for; their errors wrap one of these.
var (
	ErrSyntax    = errors.New("not a move")
	ErrIllegal   = errors.New("not a legal move here")
	ErrAmbiguous = errors.New("fits several legal moves")
)

// ParseUCI reads a legal move as engines and boards write it: e2e4, e7e8q. A promotion needs its letter, no other move
// may have one. Castling is e1g1, or the king's square and its rook's, as Chess960 needs it. Errors wrap ErrSyntax or
// ErrIllegal.
func (p *Position) ParseUCI(text string) (Move, error) {
	var l list
	p.generate(&l)
	return p.parseUCI(text, l.moves())
}

// parseUCI finds a move among the legal ones.
func (p *Position) parseUCI(text string, legal []Move) (Move, error) {
	if len(text) != 4 && len(text) != 5 {
		return 0, fmt.Errorf("%.12q: %w: write two squares, like e2e4, and what a pawn becomes, like e7e8q", text, ErrSyntax)
	}
	from, ok := parseSquare(text[0], text[1])
	to, ok2 := parseSquare(text[2], text[3])
	promotion := NoRole
	if len(text) == 5 {
		promotion = roleOf(text[4])
		ok = ok && text[4] >= 'a' && promotion >= Knight && promotion <= Queen
	}
	if !ok || !ok2 {
		return 0, fmt.Errorf("%q: %w: write two squares, like e2e4, and what a pawn becomes, like e7e8q", text, ErrSyntax)
	}
	unsaid := false
	for _, m := range legal {
		switch {
		case m.From() != from:
		case m.Castles():
			if promotion == NoRole && (to == p.castlingOf(m).rook || to == m.To() && p.usualCastling(m)) {
				return m, nil
			}
		case m.To() == to && m.Promotion() == promotion:
			return m, nil
		case m.To() == to && promotion == NoRole:
			unsaid = true
		}
	}
	if unsaid {
		return 0, fmt.Errorf("%s: %w: say what the pawn becomes, like %sq", text, ErrIllegal, text)
	}
	return 0, fmt.Errorf("%s: %w", text, ErrIllegal)
}

// usualCastling: from the e file with a rook in the corner, where nobody writes the rook's square.
func (p *Position) usualCastling(m Move) bool {
	rook := p.castlingOf(m).rook.File()
	return m.From().File() == 4 && (rook == 0 || rook == 7)
}

// AppendUCI appends a legal move of p as ParseUCI reads it.
func (p *Position) AppendUCI(dst []byte, m Move) []byte {
	dst = appendSquare(dst, m.From())
	if m.Castles() && !p.usualCastling(m) {
		return appendSquare(dst, p.castlingOf(m).rook)
	}
	dst = appendSquare(dst, m.To())
	if r := m.Promotion(); r != NoRole {
		dst = append(dst, letters[r]|0x20)
	}
	return dst
}
