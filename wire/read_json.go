package wire

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

func (r *reader) jsonBegin() bool {
	r.space()
	switch r.peek() {
	case '[':
		r.array = true
		r.i++
		return true
	case '{':
		return true
	case 0xEF:
		return r.fail("it begins with a byte order mark")
	}
	return r.fail("a frame is an object, or an array of objects")
}

// jsonMore steps to the next element of the frame's array, or over its end.
func (r *reader) jsonMore(k int) bool {
	r.space()
	if r.peek() == ']' {
		r.i++
		return false
	}
	if k > 0 {
		if r.peek() != ',' {
			return r.fail("a comma or ] is missing")
		}
		r.i++
		r.space()
	}
	return true
}

// peek is the next byte, 0 at the end; a 0 in the text is never legal, so the two need not be told apart.
func (r *reader) peek() byte {
	if r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

func (r *reader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\n', '\r', '\t':
			r.i++
		default:
			return
		}
	}
}

// jsonMessage reads the object of one message.
func (r *reader) jsonMessage(f *fields, lookup func([]byte) key) bool {
	if r.peek() != '{' {
		return r.fail("a message is an object")
	}
	base := r.keys
	r.i++
	r.space()
	if r.peek() == '}' {
		r.i++
		return true
	}
	for {
		start := r.i
		end, esc, ok := r.jsonKey()
		if !ok {
			return false
		}
		name := r.b[start+1 : end]
		if esc {
			name = unescape(name)
		}
		k := lookup(name)
		switch {
		case k == noKey:
			ok = r.addKey(base, start) && r.jsonValue(0)
		case f.v[k].kind != absent:
			ok = r.fail("a key stands twice in one object")
		default:
			ok = r.jsonField(&f.v[k], k)
		}
		if !ok {
			return false
		}
		if last, ok := r.jsonNext('}'); !ok || last {
			return ok && r.closeKeys(base)
		}
	}
}

// jsonField notes a value while passing over it.
func (r *reader) jsonField(v *value, k key) bool {
	start, ok := r.i, false
	switch r.peek() {
	case '"':
		var esc bool
		esc, ok = r.jsonString()
		v.kind = quoted
		if esc {
			v.kind = escaped
		}
	case 't', 'f':
		v.kind, v.neg = boolean, r.peek() == 'f'
		ok = r.jsonValue(0)
	case 'n':
		v.kind = null
		ok = r.jsonValue(0)
	case '[', '{':
		v.kind = array
		if r.peek() == '{' {
			v.kind = object
		}
		ok = r.jsonValue(depthBefore(k))
	default:
		ok = r.jsonNumber(v)
	}
	v.start, v.end = uint32(start), uint32(r.i)
	return ok
}

// depthBefore makes room for the two levels that a page of records stands around its bodies.
func depthBefore(k key) int {
	if k == keyRecords {
		return -2
	}
	return 0
}

// jsonKey passes over a key, its colon and the white space around that; end is where its closing quote stands.
func (r *reader) jsonKey() (end int, esc, ok bool) {
	if r.peek() != '"' {
		return 0, false, r.fail("a key in quotes is missing")
	}
	if esc, ok = r.jsonString(); !ok {
		return 0, esc, false
	}
	end = r.i - 1
	r.space()
	if r.peek() != ':' {
		return end, esc, r.fail("a colon is missing")
	}
	r.i++
	r.space()
	return end, esc, true
}

// jsonNext passes over a comma, or over the end of an array or object, which it reports as last.
func (r *reader) jsonNext(end byte) (last, ok bool) {
	r.space()
	switch r.peek() {
	case ',':
		r.i++
		r.space()
		return false, true
	case end:
		r.i++
		return true, true
	}
	return false, r.fail("a comma or " + string(rune(end)) + " is missing")
}

// jsonValue passes over one value that stands inside depth arrays and objects.
func (r *reader) jsonValue(depth int) bool {
	switch r.peek() {
	case '"':
		_, ok := r.jsonString()
		return ok
	case '{':
		return r.jsonObject(depth + 1)
	case '[':
		return r.jsonArray(depth + 1)
	case 't':
		return r.literal("true")
	case 'f':
		return r.literal("false")
	case 'n':
		return r.literal("null")
	}
	var v value
	return r.jsonNumber(&v)
}

func (r *reader) literal(word string) bool {
	if len(r.b)-r.i < len(word) || string(r.b[r.i:r.i+len(word)]) != word {
		return r.fail("a value is missing or not one that JSON knows")
	}
	r.i += len(word)
	return true
}

func (r *reader) jsonArray(depth int) bool {
	if depth > MaxDepth {
		return r.fail("it is nested too deep")
	}
	r.i++
	r.space()
	if r.peek() == ']' {
		r.i++
		return true
	}
	for {
		if !r.jsonValue(depth) {
			return false
		}
		if last, ok := r.jsonNext(']'); !ok || last {
			return ok
		}
	}
}

func (r *reader) jsonObject(depth int) bool {
	if depth > MaxDepth {
		return r.fail("it is nested too deep")
	}
	base := r.keys
	r.i++
	r.space()
	if r.peek() == '}' {
		r.i++
		return true
	}
	for {
		start := r.i
		if _, _, ok := r.jsonKey(); !ok {
			return false
		}
		if !r.addKey(base, start) || !r.jsonValue(depth) {
			return false
		}
		if last, ok := r.jsonNext('}'); !ok || last {
			return ok && r.closeKeys(base)
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain8 tells that none of eight bytes needs a closer look: no control, quote, backslash or non-ASCII byte. A byte x
// below 128 is below n exactly if x-n borrows from the top bit; a borrow from a lower byte only errs towards a look.
func plain8(x uint64) bool {
	quote := x ^ ones*'"'
	slash := x ^ ones*'\\'
	return (x|(x-ones*' ')|(quote-ones)|(slash-ones))&highs == 0
}

// jsonString passes over a string; esc tells that it holds escapes.
func (r *reader) jsonString() (esc, ok bool) {
	b, i := r.b, r.i+1
	for i < len(b) {
		for i+8 <= len(b) && plain8(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
		}
		if i == len(b) {
			break
		}
		switch c := b[i]; {
		case c == '"':
			r.i = i + 1
			return esc, true
		case c == '\\':
			esc = true
			n, what := escapeLen(b[i:])
			if what != "" {
				r.i = i
				return esc, r.fail(what)
			}
			i += n
		case c < ' ':
			r.i = i
			return esc, r.fail("a control character stands in a string; write it as an escape")
		case c < utf8.RuneSelf:
			i++
		default:
			_, n := utf8.DecodeRune(b[i:])
			if n == 1 {
				r.i = i
				return esc, r.fail("a string is not valid UTF-8")
			}
			i += n
		}
	}
	r.i = len(b)
	return esc, r.fail("a string has no end")
}

// escapeLen is the length of the escape at the beginning of b, that of a whole surrogate pair where it is one.
func escapeLen(b []byte) (n int, fault string) {
	if len(b) < 2 {
		return 0, "a string has no end"
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
		c, ok := hex4(b)
		switch {
		case !ok:
			return 0, "an escape \\u needs four hexadecimal digits"
		case c < 0xD800 || c > 0xDFFF:
			return 6, ""
		case c <= 0xDBFF:
			if low, ok := hex4(b[6:]); ok && low >= 0xDC00 && low <= 0xDFFF {
				return 12, ""
			}
		}
		return 0, "an escape is half of a surrogate pair"
	}
	return 0, "an escape is not one that JSON knows"
}

// hex4 reads the escape \uXXXX at the beginning of b.
func hex4(b []byte) (c rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, d := range b[2:6] {
		switch {
		case d >= '0' && d <= '9':
			d -= '0'
		case d >= 'a' && d <= 'f':
			d -= 'a' - 10
		case d >= 'A' && d <= 'F':
			d -= 'A' - 10
		default:
			return 0, false
		}
		c = c<<4 | rune(d)
	}
	return c, true
}

// nextRune reads one character of a string that was passed over before, escape or not.
func nextRune(b []byte) (c rune, n int) {
	if b[0] != '\\' {
		return utf8.DecodeRune(b)
	}
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		c, _ = hex4(b)
		if c < 0xD800 || c > 0xDFFF {
			return c, 6
		}
		low, _ := hex4(b[6:])
		return 0x10000 + (c-0xD800)<<10 + (low - 0xDC00), 12
	}
	return rune(b[1]), 2
}

// unescape is what the inside of a string means.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		c, n := nextRune(b)
		out = utf8.AppendRune(out, c)
		b = b[n:]
	}
	return out
}

// compareJSONKeys orders the keys whose opening quotes are at x and y by their characters. Where no escape is involved
// that is the order of their bytes.
func compareJSONKeys(b []byte, x, y int) int {
	for x, y = x+1, y+1; ; {
		cx, cy := b[x], b[y]
		switch {
		case cx == '\\' || cy == '\\':
			if cx == '"' || cy == '"' {
				return int(cx) - int(cy) // whichever goes on is the greater, and a backslash is above a quote
			}
			rx, nx := nextRune(b[x:])
			ry, ny := nextRune(b[y:])
			if rx != ry {
				return int(rx) - int(ry)
			}
			x, y = x+nx, y+ny
		case cx == cy && cx == '"':
			return 0
		case cx == '"':
			return -1
		case cy == '"':
			return 1
		case cx != cy:
			return int(cx) - int(cy)
		default:
			x, y = x+1, y+1
		}
	}
}

// maxExponent: ten to it is a float64, and no number below ten to it needs a closer look.
const maxExponent = 308

// jsonNumber passes over a number and notes it in v. One that a float64 cannot hold is refused.
func (r *reader) jsonNumber(v *value) bool {
	start := r.i
	if v.neg = r.peek() == '-'; v.neg {
		r.i++
	}
	first := r.peek()
	whole := r.digits(&v.num)
	if whole == 0 || first == '0' && whole > 1 {
		return r.fail("a value is missing or not one that JSON knows")
	}
	v.kind = integer
	if r.peek() == '.' {
		var ignored uint64
		r.i++
		v.kind = fraction
		if r.digits(&ignored) == 0 {
			return r.fail("a digit is missing in a number")
		}
	}
	size := whole
	if c := r.peek(); c == 'e' || c == 'E' {
		r.i++
		v.kind = fraction
		down := r.peek() == '-'
		if down || r.peek() == '+' {
			r.i++
		}
		var exponent uint64
		if r.digits(&exponent) == 0 {
			return r.fail("a digit is missing in a number")
		}
		if !down {
			size += int(min(exponent, 1<<20))
		}
	}
	if size > maxExponent {
		if _, err := strconv.ParseFloat(string(r.b[start:r.i]), 64); err != nil {
			return r.fail("a number is too large for a float64")
		}
	}
	return true
}

// digits passes over decimal digits, tells how many and adds them up into n, which stays at its largest value when it is full.
func (r *reader) digits(n *uint64) (count int) {
	const full = 1<<64 - 1
	for ; r.i < len(r.b); r.i++ {
		d := r.b[r.i] - '0'
		if d > 9 {
			break
		}
		if *n > (full-9)/10 {
			*n = full
		} else {
			*n = *n*10 + uint64(d)
		}
		count++
	}
	return count
}
