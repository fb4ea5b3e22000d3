package rules

import (
	"fmt"
	"strconv"
	"strings"
)

// maxFEN is in bytes; the longest that says anything has 92.
const maxFEN = 128

// ParseFEN reads a position from its six fields, each separated by one space. It is strict: what comes back can be
// played on. Refused are boards that no game reaches by count (kings, pawns on the last ranks, more pieces than pawns
// could become), a side to move that could take the king, castling rights without their rook, an en passant square no
// pawn has just jumped. An en passant square where nobody can legally take is read as none.
// Castling is read as KQkq (the outermost rook, so X-FEN works) or by the rook's file, as Chess960 writes it.
func ParseFEN(text string) (Position, error) {
	if len(text) > maxFEN {
		return Position{}, fmt.Errorf("a FEN has at most %d characters, this text has %d: send one position", maxFEN, len(text))
	}
	field := strings.Split(text, " ")
	if len(field) != 6 {
		return Position{}, fmt.Errorf("a FEN has 6 fields separated by one space (board, turn, castling, en passant, half-moves, move), this one has %d", len(field))
	}
	p, err := parseBoard(field[0])
	if err != nil {
		return Position{}, err
	}
	switch field[1] {
	case "w":
	case "b":
		p.turn = Black
	default:
		return Position{}, fmt.Errorf("FEN: the turn is %q: write w or b", field[1])
	}
	if err := p.checkMen(); err != nil {
		return Position{}, err
	}
	if err := p.parseCastling(field[2]); err != nil {
		return Position{}, err
	}
	if err := p.parseEnPassant(field[3]); err != nil {
		return Position{}, err
	}
	half, err := parseCount(field[4], 0, maxHalf)
	if err != nil {
		return Position{}, fmt.Errorf("FEN: half-moves since a capture or pawn move: %w", err)
	}
	full, err := parseCount(field[5], 1, maxFullMove)
	if err != nil {
		return Position{}, fmt.Errorf("FEN: number of the move: %w", err)
	}
	p.half, p.full = uint8(half), uint16(full)
	p.key = p.freshKey()
	return p, nil
}

// maxFullMove is beyond any game that the 75-move rule lets go on.
const maxFullMove = 9999

func parseCount(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("%q: write a number from %d to %d", s, low, high)
	}
	return n, nil
}

func parseBoard(s string) (p Position, err error) {
	ranks := strings.Split(s, "/")
	if len(ranks) != 8 {
		return p, fmt.Errorf("FEN: the board has %d ranks: write 8, separated by /", len(ranks))
	}
	for i, rank := range ranks {
		file, digit := 0, false
		for _, c := range []byte(rank) {
			role := roleOf(c)
			switch {
			case c >= '1' && c <= '8' && !digit:
				file, digit = file+int(c-'0'), true
				continue
			case role == NoRole:
				return p, fmt.Errorf("FEN: rank %d has %q: write pieces as PNBRQKpnbrqk and gaps as one digit", 8-i, c)
			case file < 8:
				p.put(Color(c>>5&1), role, squareAt(file, 7-i))
			}
			file, digit = file+1, false
		}
		if file != 8 {
			return p, fmt.Errorf("FEN: rank %d has %d squares: write 8", 8-i, file)
		}
	}
	return p, nil
}

// checkMen refuses what no sequence of captures and promotions leaves on the board.
func (p *Position) checkMen() error {
	if p.roles[Pawn]&(rankOf(0)|rankOf(7)) != 0 {
		return fmt.Errorf("FEN: a pawn stands on the first or last rank, where none can be")
	}
	for c := White; c <= Black; c++ {
		count := func(r Role) int { return (p.roles[r] & p.colors[c]).count() }
		if n := count(King); n != 1 {
			return fmt.Errorf("FEN: %s has %d kings: each side has one", c, n)
		}
		promoted := max(0, count(Knight)-2) + max(0, count(Bishop)-2) + max(0, count(Rook)-2) + max(0, count(Queen)-1)
		if pawns := count(Pawn); pawns+promoted > 8 {
			return fmt.Errorf("FEN: %s has %d pawns and %d pieces that only pawns can have become: together at most 8", c, pawns, promoted)
		}
	}
	if p.attacked(p.king(p.turn.Other()), p.turn, p.occupied()) {
		return fmt.Errorf("FEN: %s is to move and could take the king: no legal move leads here", p.turn)
	}
	return nil
}

func (p *Position) parseCastling(s string) error {
	if s == "-" {
		return nil
	}
	for _, c := range []byte(s) {
		us := Color(c >> 5 & 1)
		king := p.king(us)
		rooks := p.roles[Rook] & p.colors[us] & p.colorsHome(us)
		var rook set
		switch upper := c &^ 0x20; {
		case rooks == 0:
		case upper == 'K':
			rook = rooks.last().set() & above(king)
		case upper == 'Q':
			rook = rooks.first().set() & below(king)
		case upper >= 'A' && upper <= 'H':
			rook = rooks & (fileA << (upper - 'A'))
		}
		if rook == 0 || !p.colorsHome(us).has(king) || p.castles&rook != 0 || p.rivals(rook, king, us) {
			return fmt.Errorf("FEN: castling right %q of %q has no king and rook to it, or is there twice: write - where there is none", c, s)
		}
		p.castles |= rook
	}
	if s == "" {
		return fmt.Errorf("FEN: the castling field is empty: write - where there is none")
	}
	return nil
}

func above(s Square) set { return ^set(0) << s << 1 }
func below(s Square) set { return s.set() - 1 }

// rivals: another rook on the same side of the king has the right already.
func (p *Position) rivals(rook set, king Square, us Color) bool {
	side := below(king)
	if rook&side == 0 {
		side = above(king)
	}
	return p.castles&side&p.colorsHome(us) != 0
}

func (p *Position) parseEnPassant(s string) error {
	if s == "-" {
		return nil
	}
	at, ok := Square(0), false
	if len(s) == 2 {
		at, ok = parseSquare(s[0], s[1])
	}
	them, rank := p.turn.Other(), 5
	if p.turn == Black {
		rank = 2
	}
	// The pawn stands behind the square as they see it, and came from before it.
	if !ok || at.Rank() != rank || !(p.roles[Pawn] & p.colors[them]).has(at^8) || (at.set()|(at^24).set())&p.occupied() != 0 {
		return fmt.Errorf("FEN: en passant on %q, but no pawn of %s has just jumped over it: write -", s, them)
	}
	if p.legalEnPassant(at) {
		p.ep = at
	}
	return nil
}

// FEN is AppendFEN as a string.
func (p *Position) FEN() string { return string(p.AppendFEN(make([]byte, 0, maxFEN))) }

// AppendFEN appends what ParseFEN reads as the same position.
func (p *Position) AppendFEN(dst []byte) []byte {
	board := p.letters()
	for rank := 7; rank >= 0; rank-- {
		gap := byte(0)
		for _, letter := range board[rank<<3 : rank<<3+8] {
			if letter == 0 {
				gap++
				continue
			}
			if gap > 0 {
				dst, gap = append(dst, '0'+gap), 0
			}
			dst = append(dst, letter)
		}
		if gap > 0 {
			dst = append(dst, '0'+gap)
		}
		if rank > 0 {
			dst = append(dst, '/')
		}
	}
	dst = append(dst, ' ', "wb"[p.turn], ' ')
	dst = append(p.appendCastling(dst), ' ')
	if p.ep == 0 {
		dst = append(dst, '-')
	} else {
		dst = appendSquare(dst, p.ep)
	}
	dst = strconv.AppendUint(append(dst, ' '), uint64(p.half), 10)
	return strconv.AppendUint(append(dst, ' '), uint64(p.full), 10)
}

// letters are the pieces on their squares, as FEN writes them.
func (p *Position) letters() (board [64]byte) {
	for r := Pawn; r <= King; r++ {
		for men := p.roles[r]; men != 0; men = men.rest() {
			s := men.first()
			board[s&63] = letters[r] | byte(p.colors[Black]>>s&1)<<5
		}
	}
	return board
}

func (p *Position) appendCastling(dst []byte) []byte {
	if p.castles == 0 {
		return append(dst, '-')
	}
	for c := White; c <= Black; c++ {
		king := p.king(c)
		home := p.colorsHome(c)
		rooks := p.roles[Rook] & p.colors[c] & home
		if right := p.castles & home & above(king); right != 0 {
			dst = append(dst, castlingLetter('K', rooks.last() == right.first(), right)|byte(c)<<5)
		}
		if left := p.castles & home & below(king); left != 0 {
			dst = append(dst, castlingLetter('Q', rooks.first() == left.first(), left)|byte(c)<<5)
		}
	}
	return dst
}

func castlingLetter(usual byte, outermost bool, rook set) byte {
	if outermost {
		return usual
	}
	return 'A' + byte(rook.first().File())
}

func appendSquare(dst []byte, s Square) []byte {
	return append(dst, 'a'+byte(s&7), '1'+byte(s>>3&7))
}
