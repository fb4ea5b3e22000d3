package rules

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what is read from one game.
const (
	maxDepth    = 32  // variations within variations
	maxProblems = 100 // more are not told one by one
)

// Problem is something in a text that could not be read, and what was dropped for it. Lines count from 1.
type Problem struct {
	Line int
	Text string
}

func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Text) }

// Reader reads the games of a text, one after the other, however damaged. Make one with ReadPGN.
type Reader struct {
	lex      lexer
	ahead    token
	problems []Problem
	more     int // problems beyond the bound
}

// ReadPGN makes a reader of a text. A byte order mark is passed over; text that is no UTF-8 is taken for Latin-1.
func ReadPGN(text string) *Reader {
	r := &Reader{lex: lexer{text: strings.TrimPrefix(text, "\ufeff"), line: 1}}
	r.lex.say = r.say
	r.advance()
	return r
}

func (r *Reader) advance() token {
	t := r.ahead
	r.ahead = r.lex.next()
	return t
}

func (r *Reader) say(line int, format string, args ...any) {
	if len(r.problems) >= maxProblems {
		r.more++
		return
	}
	r.problems = append(r.problems, Problem{line, fmt.Sprintf(format, args...)})
}

// Next reads the next game and says what of it could not be read. All that can be made sense of is kept: of a line with
// an illegal move the moves before it. The error is io.EOF when there are no more games, and never another one; then
// problems may still tell of what was left at the end of the text.
func (r *Reader) Next() (*PGN, []Problem, error) {
	defer func() { r.problems, r.more = nil, 0 }()
	for r.ahead.kind != endOfText {
		first := r.ahead.line
		if g := r.game(); len(g.Tags)+len(g.Main.Comments)+len(g.Main.Plies) > 0 {
			return g, r.told(), nil
		}
		r.say(first, "no game begins here: what stands before line %d was dropped", r.ahead.line+1)
	}
	return nil, r.told(), io.EOF
}

func (r *Reader) game() *PGN {
	g, first := &PGN{Start: Start()}, r.ahead.line
	for r.ahead.kind == commentToken { // some files begin with one
		g.Main.Comments = append(g.Main.Comments, r.advance().text)
	}
	for r.ahead.kind == tagToken {
		r.readTag(g)
	}
	l := lineReader{r: r, line: &g.Main}
	if err := r.begin(g, first); err != nil {
		l.die(first, fmt.Sprintf("the tag FEN is of no use (%v)", err))
	}
	l.now = g.Start
	l.read()
	r.readResult(g, first)
	return g
}

// told is the problems since the last game, by line.
func (r *Reader) told() []Problem {
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	if r.more > 0 {
		r.problems = append(r.problems, Problem{r.ahead.line, fmt.Sprintf("and %d problems more up to here", r.more)})
	}
	return r.problems
}

func (r *Reader) readTag(g *PGN) {
	t := r.advance()
	if g.Tag(t.text) != "" {
		r.say(t.line, "the tag %s is there twice: the second one was dropped", t.text)
		return
	}
	g.Tags = append(g.Tags, Tag{t.text, t.value})
}

// begin sets the board up. After an error nobody knows from where the moves go.
func (r *Reader) begin(g *PGN, line int) error {
	switch strings.ToLower(g.Tag("Variant")) {
	case "", "standard", "chess", "normal", "from position", "chess960", "chess 960", "fischerandom", "fischer random":
	default:
		r.say(line, "the variant %.40q is not known: the game is read by the rules of chess", g.Tag("Variant"))
	}
	fen := g.Tag("FEN")
	if fen == "" {
		return nil
	}
	p, err := ParseFEN(fen)
	if err == nil {
		g.Start = p
	}
	return err
}

func (r *Reader) readResult(g *PGN, first int) {
	tag, known := resultOf(g.Tag("Result"))
	if tagged := g.Tag("Result"); tagged != "" && !known {
		r.say(first, "the tag Result says %.20q, which is no result", tagged)
	}
	if r.ahead.kind != resultToken {
		g.Result = tag
		r.say(r.ahead.line, "the game has no result at its end: %s is taken", tag)
		return
	}
	t := r.advance()
	g.Result, _ = resultOf(t.text)
	if known && g.Result != tag {
		r.say(t.line, "the game ends with %s, but its tag says %s: the tag was dropped", g.Result, tag)
	}
}

// lineReader reads a line of moves up to what ends it, which it leaves.
type lineReader struct {
	r      *Reader
	line   *Line
	now    Position
	before Position // the last move, for variations
	depth  int
	dead   string // why no move can be placed any more, "" as long as they can
	since  int    // line of the text
	lost   int    // moves dropped
}

func (l *lineReader) read() {
	for {
		switch t := l.r.ahead; t.kind {
		case endOfText, tagToken, resultToken:
			l.finish()
			return
		case closeToken:
			if l.depth > 0 {
				l.finish()
				return
			}
			l.r.advance()
			l.r.say(t.line, "this ) closes nothing and was dropped")
		case openToken:
			l.r.advance()
			l.variation(t)
		case commentToken:
			l.r.advance()
			l.comment(t)
		case nagToken:
			l.r.advance()
			l.nag(t)
		case symbolToken:
			l.r.advance()
			l.move(t)
		}
	}
}

// die drops the rest of the line. It is told by finish, which knows how much that was.
func (l *lineReader) die(line int, why string) { l.since, l.dead = line, why }

func (l *lineReader) finish() {
	if l.dead != "" {
		l.r.say(l.since, "%s: the rest of this line was dropped, %d moves with all that is said about them", l.dead, l.lost)
	}
}

func (l *lineReader) last() *Ply {
	if n := len(l.line.Plies); n > 0 {
		return &l.line.Plies[n-1]
	}
	return nil
}

func (l *lineReader) comment(t token) {
	switch ply := l.last(); {
	case l.dead != "":
	case ply != nil:
		ply.Comments = append(ply.Comments, t.text)
	default:
		l.line.Comments = append(l.line.Comments, t.text)
	}
}

func (l *lineReader) nag(t token) {
	n, err := strconv.ParseUint(t.text, 10, 8)
	switch ply := l.last(); {
	case l.dead != "":
	case err != nil:
		l.r.say(t.line, "$%.10s is no annotation ($0 to $255) and was dropped", t.text)
	case ply == nil:
		l.r.say(t.line, "$%d stands before any move and was dropped", n)
	default:
		ply.NAGs = append(ply.NAGs, uint8(n))
	}
}

func (l *lineReader) variation(t token) {
	ply := l.last()
	switch {
	case l.dead != "":
		l.r.skipVariation(t.line)
	case l.depth == maxDepth:
		l.r.say(t.line, "a variation nests more than %d deep and was dropped", maxDepth)
		l.r.skipVariation(t.line)
	case ply == nil:
		l.r.say(t.line, "a variation stands before any move and was dropped")
		l.r.skipVariation(t.line)
	default:
		ply.Variations = append(ply.Variations, Line{})
		inner := lineReader{r: l.r, line: &ply.Variations[len(ply.Variations)-1], now: l.before, depth: l.depth + 1}
		inner.read()
		l.r.close(t.line)
	}
}

func (r *Reader) close(from int) {
	if r.ahead.kind != closeToken {
		r.say(from, "this variation has no closing ): it was read up to line %d", r.ahead.line)
		return
	}
	r.advance()
}

// skipVariation passes over everything up to the parenthesis that closes what was just opened.
func (r *Reader) skipVariation(from int) {
	for open := 1; open > 0; {
		switch r.ahead.kind {
		case endOfText, tagToken, resultToken:
			r.close(from)
			return
		case openToken:
			open++
		case closeToken:
			open--
		}
		r.advance()
	}
}

// glyphs are the annotations that have a number of their own.
var glyphs = map[string]uint8{"!": 1, "?": 2, "!!": 3, "??": 4, "!?": 5, "?!": 6}

func (l *lineReader) move(t token) {
	text := strings.TrimRight(t.text, "!?")
	glyph := t.text[len(text):]
	switch {
	case text == "e.p." || text == "ep" || text == "+" || text == "#" || text == "++":
		return
	case l.dead != "" && text != "":
		l.lost++
		return
	case text != "":
		m, err := l.now.ParseSAN(text)
		if err != nil {
			l.die(t.line, fmt.Sprintf("move %d of %s, %v", l.now.full, l.now.turn, err))
			l.lost = 1
			return
		}
		l.line.Plies = append(l.line.Plies, Ply{Move: m})
		l.before = l.now
		l.now.make(m)
	}
	if glyph != "" {
		l.glyph(t.line, glyph)
	}
}

func (l *lineReader) glyph(line int, s string) {
	switch ply, n := l.last(), glyphs[s]; {
	case l.dead != "":
	case ply != nil && n != 0:
		ply.NAGs = append(ply.NAGs, n)
	default:
		l.r.say(line, "the annotation %.10s was dropped", s)
	}
}
