package rules

import (
	"strings"
	"unicode/utf8"
)

// tokenKind is what the reader of PGN tells apart.
type tokenKind uint8

const (
	endOfText tokenKind = iota
	tagToken            // text is the name, value the value
	commentToken
	nagToken // text is the digits
	openToken
	closeToken
	resultToken
	symbolToken // a move, if it is anything
)

type token struct {
	kind        tokenKind
	text, value string
	line        int
}

// lexer cuts text into tokens. Move numbers, periods and escaped lines are passed over; what it has to drop it says.
type lexer struct {
	text string
	at   int
	line int
	say  func(line int, format string, args ...any)
}

func (x *lexer) next() token {
	for x.at < len(x.text) {
		c := x.text[x.at]
		t := token{line: x.line}
		switch {
		case c == '\n':
			x.at, x.line = x.at+1, x.line+1
		case c == '%' && x.lineStart():
			x.at += len(x.restOfLine())
		case c <= ' ' || c == '.' || c == 0x7f:
			x.at++
		case c == '{':
			return x.comment(t)
		case c == ';':
			t.kind, t.text = commentToken, oneLine(fromLatin(x.restOfLine()[1:]))
			x.at += len(x.restOfLine())
			return t
		case c == '(' || c == ')':
			x.at++
			t.kind = openToken + tokenKind(c-'(')
			return t
		case c == '$':
			t.kind, t.text = nagToken, x.run(1, func(c byte) bool { return c >= '0' && c <= '9' })[1:]
			return t
		case c == '[':
			if x.tag(&t) {
				return t
			}
		case c == '}' || c == ']' || c == '<' || c == '>' || c == '"':
			x.at++
			x.say(x.line, "%q stands alone and was dropped", c)
		default:
			if x.symbol(&t) {
				return t
			}
		}
	}
	return token{line: x.line}
}

func (x *lexer) lineStart() bool { return x.at == 0 || x.text[x.at-1] == '\n' }

func (x *lexer) restOfLine() string {
	rest := x.text[x.at:]
	if n := strings.IndexByte(rest, '\n'); n >= 0 {
		return rest[:n]
	}
	return rest
}

// run takes skip bytes and then as many as fit.
func (x *lexer) run(skip int, fits func(byte) bool) string {
	end := x.at + skip
	for end < len(x.text) && fits(x.text[end]) {
		end++
	}
	s := x.text[x.at:end]
	x.at = end
	return s
}

// symbol reads a move or a result; it says false to a move number.
func (x *lexer) symbol(t *token) bool {
	if x.text[x.at] == '*' {
		x.at++
		t.kind, t.text = resultToken, "*"
		return true
	}
	s := x.run(0, func(c byte) bool { return c > ' ' && c != 0x7f && !strings.ContainsRune("{}()[]<>;$*\"", rune(c)) })
	if rest := strings.TrimLeft(s, "0123456789"); len(rest) < len(s) && (rest == "" || rest[0] == '.') {
		x.at -= len(strings.TrimLeft(rest, ".")) // "12.e4": the move is read next
		return false
	}
	t.kind, t.text = symbolToken, s
	if _, ok := resultOf(s); ok {
		t.kind = resultToken
	}
	return true
}

// comment reads up to the closing brace. In a damaged file it may be missing: then the next game's tags end it.
func (x *lexer) comment(t token) token {
	body := x.text[x.at+1:]
	end, closed := len(body), 0
	for i := range len(body) {
		if body[i] == '}' {
			end, closed = i, 1
			break
		}
		if body[i] == '\n' && strings.HasPrefix(body[i+1:], `[Event "`) {
			end = i
			break
		}
	}
	x.at += 1 + end + closed
	x.line += strings.Count(body[:end], "\n")
	if closed == 0 {
		x.say(t.line, "this comment has no closing brace: it was read up to line %d", x.line)
	}
	t.kind, t.text = commentToken, oneLine(fromLatin(body[:end]))
	return t
}

// tag reads a pair, or says why it is none and passes over the line's rest.
func (x *lexer) tag(t *token) bool {
	line := x.restOfLine()
	name, rest, ok := cutTagName(line)
	if !ok {
		x.at += len(line)
		x.say(x.line, "%.40q is no tag, and was dropped", line)
		return false
	}
	var value strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			i++
			value.WriteByte(rest[i])
		case c == '"' && strings.HasPrefix(strings.TrimLeft(rest[i+1:], " \t"), "]"):
			x.at += len(line) - len(rest) + i + 1 + strings.IndexByte(rest[i+1:], ']') + 1
			t.kind, t.text, t.value = tagToken, name, oneLine(fromLatin(value.String()))
			return true
		default:
			value.WriteByte(c) // a quotation mark within the value too, as many files have it
		}
	}
	x.at += len(line)
	x.say(x.line, "the tag %.40s has no end, and was dropped", name)
	return false
}

// cutTagName takes [Name " from the start of a line.
func cutTagName(line string) (name, rest string, ok bool) {
	s := strings.TrimLeft(line[1:], " \t")
	n := 0
	for n < len(s) && nameByte(s[n]) {
		n++
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(s[n:], " \t"), `"`)
	return s[:n], rest, ok && n > 0
}

// fromLatin reads text that is no UTF-8 as Latin-1, which is what the standard once said.
func fromLatin(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	wide := make([]rune, len(s))
	for i := range len(s) {
		wide[i] = rune(s[i])
	}
	return string(wide)
}
