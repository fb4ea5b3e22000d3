package rules

import (
	"fmt"
	"strings"
)

// AppendSAN appends a legal move of p as the PGN standard writes it: as short as legal moves allow, with + or #.
func (p *Position) AppendSAN(dst []byte, m Move) []byte {
	var l list
	p.generate(&l)
	next := p.Play(m)
	return appendCheck(p.appendSAN(dst, m, l.moves()), next.InCheck(), next.HasMove())
}

func appendCheck(dst []byte, check, move bool) []byte {
	switch {
	case check && move:
		return append(dst, '+')
	case check:
		return append(dst, '#')
	}
	return dst
}

// appendSAN leaves out check and mate; legal is all moves of p.
func (p *Position) appendSAN(dst []byte, m Move, legal []Move) []byte {
	if m.Castles() {
		if m.To().File() == 6 {
			return append(dst, "O-O"...)
		}
		return append(dst, "O-O-O"...)
	}
	role := p.roleAt(m.From())
	takes := p.occupied().has(m.To()) || m.EnPassant()
	switch {
	case role != Pawn:
		dst = p.appendOrigin(append(dst, letters[role]), m, role, legal)
	case takes:
		dst = append(dst, 'a'+byte(m.From()&7))
	}
	if takes {
		dst = append(dst, 'x')
	}
	dst = appendSquare(dst, m.To())
	if r := m.Promotion(); r != NoRole {
		dst = append(dst, '=', letters[r])
	}
	return dst
}

// appendOrigin tells pieces apart that can legally go to the same square: by file, else by rank, else by both.
func (p *Position) appendOrigin(dst []byte, m Move, role Role, legal []Move) []byte {
	var others, column, row = false, false, false
	for _, o := range legal {
		if o.To() != m.To() || o.From() == m.From() || o.Castles() || !p.roles[role].has(o.From()) {
			continue
		}
		others = true
		column = column || o.From()&7 == m.From()&7
		row = row || o.From()>>3 == m.From()>>3
	}
	if others && (!column || row) {
		dst = append(dst, 'a'+byte(m.From()&7))
	}
	if column {
		dst = append(dst, '1'+byte(m.From()>>3))
	}
	return dst
}

// maxSAN is in bytes; the longest well-formed ones have 8, people add to them.
const maxSAN = 16

// ParseSAN reads a legal move as people write it. Beyond the standard it takes missing or needless x, = and check marks,
// ! and ?, more of the origin than is needed, long and UCI forms (Ng1-f3, e2e4), castling with zeros, small letters for
// pieces that are no files, and "e.p.". Errors wrap ErrSyntax, ErrIllegal or ErrAmbiguous.
func (p *Position) ParseSAN(text string) (Move, error) {
	if len(text) > maxSAN {
		return 0, fmt.Errorf("%.16q…: %w: it is too long", text, ErrSyntax)
	}
	w, ok := readSAN(text)
	if !ok {
		return 0, fmt.Errorf("%q: %w: write it like e4, Nbd7, exd8=Q or O-O", text, ErrSyntax)
	}
	var l list
	p.generate(&l)
	found, unsaid := Move(0), false
	for _, m := range l.moves() {
		if !w.fits(p, m) {
			continue
		}
		if m.Promotion() != w.promotion {
			unsaid = unsaid || w.promotion == NoRole
			continue
		}
		if found != 0 {
			return 0, fmt.Errorf("%s: %w: add the file or rank it comes from", text, ErrAmbiguous)
		}
		found = m
	}
	switch {
	case found != 0:
		return found, nil
	case unsaid:
		return 0, fmt.Errorf("%s: %w: say what the pawn becomes, like %s=Q", text, ErrIllegal, text)
	}
	return 0, fmt.Errorf("%s: %w", text, ErrIllegal)
}

// written is what a text says about a move.
type written struct {
	role, promotion Role // NoRole of role: any, both squares are given
	castleTo        int  // file of the king, or -1
	to              Square
	from            set // where it may come from
}

func (w *written) fits(p *Position, m Move) bool {
	if w.castleTo >= 0 {
		return m.Castles() && m.To().File() == w.castleTo
	}
	if m.Castles() { // e1g1 is clear, Kg1 and Kf1g1 are not castling
		return w.role == NoRole && p.usualCastling(m) && w.to == m.To() && w.from.has(m.From())
	}
	return m.To() == w.to && w.from.has(m.From()) && (w.role == NoRole || p.roles[w.role].has(m.From()))
}

func readSAN(s string) (w written, ok bool) {
	s = strings.TrimSuffix(strings.TrimRight(s, "+#!?"), "e.p.")
	s = strings.TrimSuffix(s, "ep")
	w = written{role: Pawn, castleTo: -1, from: all}
	switch strings.ReplaceAll(s, "0", "O") {
	case "O-O":
		w.castleTo = 6
		return w, true
	case "O-O-O":
		w.castleTo = 2
		return w, true
	}
	if s == "" {
		return w, false
	}
	if r := roleOf(s[0]); r != NoRole && s[0] != 'b' { // a small b is a file
		w.role, s = r, s[1:]
	}
	if n := len(s); n > 2 && roleOf(s[n-1]) >= Knight && roleOf(s[n-1]) <= Queen {
		w.promotion, s = roleOf(s[n-1]), strings.TrimSuffix(s[:n-1], "=")
	}
	if len(s) < 2 {
		return w, false
	}
	w.to, ok = parseSquare(s[len(s)-2], s[len(s)-1])
	return w, ok && w.readOrigin(strings.TrimRight(s[:len(s)-2], "x:-"))
}

func (w *written) readOrigin(s string) bool {
	if len(s) > 2 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'h' && w.from == all:
			w.from = fileA << (c - 'a')
		case c >= '1' && c <= '8':
			w.from &= rankOf(int(c - '1'))
		default:
			return false
		}
	}
	if len(s) == 2 && w.role == Pawn {
		w.role = NoRole // two squares say enough, as in UCI
	}
	return true
}
