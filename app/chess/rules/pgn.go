package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PGN is a game on paper: tags, moves with what was said about them, and the result. ReadPGN reads many, Append writes
// one. What was read and is written again reads as the same game.
type PGN struct {
	Tags   []Tag // FEN, SetUp and Result are written from the fields below, whatever is said here
	Start  Position
	Main   Line
	Result Result
}

// Tag is a pair of the header. A name is letters, digits and underscores; a value is one line.
type Tag struct{ Name, Value string }

// Line is moves in sequence, the main one or a variation, with what was said before the first of them.
type Line struct {
	Comments []string
	Plies    []Ply
}

// Ply is a move of a line with its numeric annotation glyphs, the comments on it, and what could have been played
// instead of it. White space within a comment is one blank.
type Ply struct {
	Move       Move
	NAGs       []uint8
	Comments   []string
	Variations []Line
}

// Result is how a game ended; the zero value is not known, or not ended.
type Result uint8

// The results.
const (
	NoResult Result = iota
	WhiteWins
	BlackWins
	Draw
)

func (r Result) String() string {
	return [...]string{"*", "1-0", "0-1", "1/2-1/2"}[r&3]
}

func resultOf(s string) (Result, bool) {
	switch s {
	case "*":
		return NoResult, true
	case "1-0":
		return WhiteWins, true
	case "0-1":
		return BlackWins, true
	case "1/2-1/2", "1/2", "½-½":
		return Draw, true
	}
	return NoResult, false
}

// roster is the seven tags that every game has, in this order, and what they say where nothing is known.
var roster = [...]Tag{{"Event", "?"}, {"Site", "?"}, {"Date", "????.??.??"}, {"Round", "?"}, {"White", "?"}, {"Black", "?"}, {"Result", "*"}}

// Tag is the value of a tag, "" if there is none.
func (g *PGN) Tag(name string) string {
	i := slices.IndexFunc(g.Tags, func(t Tag) bool { return t.Name == name })
	if i < 0 {
		return ""
	}
	return g.Tags[i].Value
}

// PGN puts a game on paper. The result is the rules' own; give it the players' where they agreed, resigned or ran out
// of time.
func (g *Game) PGN(tags ...Tag) *PGN {
	paper := &PGN{Tags: tags, Start: g.start, Main: Line{Plies: make([]Ply, len(g.moves))}}
	for i, m := range g.moves {
		paper.Main.Plies[i].Move = m
	}
	switch {
	case g.end == Checkmate && g.now.turn == Black:
		paper.Result = WhiteWins
	case g.end == Checkmate:
		paper.Result = BlackWins
	case g.end != Ongoing:
		paper.Result = Draw
	}
	return paper
}

// Append appends the game as text in the standard's export format: the seven tags first, the others in their order,
// moves in lines of at most 80 columns, an empty line behind it. It fails on a move that is not legal where it stands.
func (g *PGN) Append(dst []byte) ([]byte, error) {
	dst = g.appendTags(dst)
	w := writer{out: append(dst, '\n')}
	if err := w.line(&g.Main, g.Start, 0); err != nil {
		return dst, err
	}
	w.word(g.Result.String())
	return append(w.out, "\n\n"...), nil
}

func (g *PGN) appendTags(dst []byte) []byte {
	value := func(name string) string {
		if name == "Result" {
			return g.Result.String()
		}
		return g.Tag(name)
	}
	for _, t := range roster {
		if v := value(t.Name); v != "" {
			t.Value = v
		}
		dst = appendTag(dst, t)
	}
	if g.Start != Start() {
		dst = appendTag(appendTag(dst, Tag{"SetUp", "1"}), Tag{"FEN", g.Start.FEN()})
	}
	written := []string{"FEN", "SetUp"}
	for _, t := range roster {
		written = append(written, t.Name)
	}
	for _, t := range g.Tags {
		if !slices.Contains(written, t.Name) && tagName(t.Name) {
			dst = appendTag(dst, t)
			written = append(written, t.Name)
		}
	}
	return dst
}

func tagName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool { return c > 127 || !nameByte(byte(c)) }) < 0
}

func nameByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func appendTag(dst []byte, t Tag) []byte {
	dst = append(append(append(dst, '['), t.Name...), ` "`...)
	for _, c := range []byte(oneLine(t.Value)) {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, "\"]\n"...)
}

// oneLine makes white space one blank and leaves out what is no character.
func oneLine(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "�"))
	return strings.Join(strings.Fields(s), " ")
}

// columns is the longest line that is written where words let it, in bytes.
const columns = 80

// writer puts words into lines.
type writer struct {
	out    []byte
	column int
	glue   bool // the next word follows without a blank
}

func (w *writer) word(s string) { w.bound(s, true) }

// bound writes a word; mayBreak is false where a line must not begin with it.
func (w *writer) bound(s string, mayBreak bool) {
	switch {
	case w.column == 0 || w.glue:
	case mayBreak && w.column+1+len(s) > columns:
		w.out, w.column = append(w.out, '\n'), 0
	default:
		w.out, w.column = append(w.out, ' '), w.column+1
	}
	w.out, w.column, w.glue = append(w.out, s...), w.column+len(s), false
}

// line writes moves; before a black move its number is repeated where something came between.
func (w *writer) line(l *Line, p Position, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("variations nest more than %d deep: take some out", maxDepth)
	}
	w.comments(l.Comments)
	numbered := false
	for i := range l.Plies {
		ply := &l.Plies[i]
		if !p.Legal(ply.Move) {
			return fmt.Errorf("move %d of %s is not legal where it stands: it was not made for this position", p.full, p.turn)
		}
		switch number := strconv.Itoa(int(p.full)); {
		case p.turn == White:
			w.word(number + ".")
		case !numbered:
			w.word(number + "...")
		}
		w.word(string(p.AppendSAN(nil, ply.Move)))
		for _, n := range ply.NAGs {
			w.word("$" + strconv.Itoa(int(n)))
		}
		w.comments(ply.Comments)
		for j := range ply.Variations {
			w.word("(")
			w.glue = true
			if err := w.line(&ply.Variations[j], p, depth+1); err != nil {
				return err
			}
			w.glue = true
			w.word(")")
		}
		numbered = len(ply.Comments)+len(ply.Variations) == 0
		p = p.Play(ply.Move)
	}
	return nil
}

// comments go into braces. One that has a closing brace in it goes to the end of a line instead, behind a semicolon.
func (w *writer) comments(all []string) {
	for _, text := range all {
		text = oneLine(text)
		if strings.Contains(text, "}") {
			w.word(";" + text)
			w.out, w.column, w.glue = append(w.out, '\n'), 0, false
			continue
		}
		w.word("{")
		w.glue = true
		for word := range strings.FieldsSeq(text) {
			// At the start of a line % hides it, and a reader of damaged files takes a tag for the next game.
			w.bound(word, word[0] != '%' && word[0] != '[')
		}
		w.glue = true
		w.word("}")
	}
}
