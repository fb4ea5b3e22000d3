package app

import (
	"strconv"
	"unicode/utf8"
)

// Object is a JSON object that is being written: a reply, the body of a record. Its methods are called in the order of the
// fields and end with End; keys are literals of the program, which need no escape. What it writes is one JSON text whatever
// the values are, and equal values give equal bytes.
type Object []byte

// NewObject begins an object of about so many bytes, which is room and no bound.
func NewObject(size int) Object { return append(make(Object, 0, size), '{') }

// Key writes a key. The caller appends the value, as JSON.
func (o Object) Key(key string) Object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	return append(append(append(o, '"'), key...), '"', ':')
}

// Text writes any string.
func (o Object) Text(key, val string) Object { return AppendString(o.Key(key), val) }

// Texts writes an array of any strings.
func (o Object) Texts(key string, vals []string) Object {
	o = o.List(key)
	for _, v := range vals {
		o = AppendString(o.Item(), v)
	}
	return o.Close(']')
}

// Plain writes what is known to need no escape: printable ASCII without quotes and backslashes.
func (o Object) Plain(key string, val []byte) Object {
	return append(append(append(o.Key(key), '"'), val...), '"')
}

// Number writes a whole number.
func (o Object) Number(key string, val int64) Object { return strconv.AppendInt(o.Key(key), val, 10) }

// Count writes a whole number from 0 on.
func (o Object) Count(key string, val uint64) Object { return strconv.AppendUint(o.Key(key), val, 10) }

// Flag writes true or false.
func (o Object) Flag(key string, val bool) Object { return strconv.AppendBool(o.Key(key), val) }

// Raw writes a value that is JSON already.
func (o Object) Raw(key string, val []byte) Object { return append(o.Key(key), val...) }

// Open begins an object within, List an array; Close ends either.
func (o Object) Open(key string) Object { return append(o.Key(key), '{') }

// List begins an array; Next and Item begin its elements.
func (o Object) List(key string) Object { return append(o.Key(key), '[') }

// Next begins an object of an array, which Close ends.
func (o Object) Next() Object { return append(o.Item(), '{') }

// Item begins any other element of an array. The caller appends it, as JSON.
func (o Object) Item() Object {
	if o[len(o)-1] != '[' {
		o = append(o, ',')
	}
	return o
}

// Close ends what Open, List or Next began, with its brace or bracket.
func (o Object) Close(b byte) Object { return append(o, b) }

// End is the whole object, closed.
func (o Object) End() []byte { return append(o, '}') }

const hexDigits = "0123456789abcdef"

// AppendString appends any string as a JSON string: as encoding/json does where it does not escape for HTML. Bytes that are
// no UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = appendEscape(append(dst, s[from:i]...), c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(append(dst, s[from:i]...), `\ufffd`...)
			from = i + n
		case r == '\u2028' || r == '\u2029': // where JavaScript would see the end of a line
			dst = append(append(dst, s[from:i]...), '\\', 'u', '2', '0', '2', hexDigits[r&15])
			from = i + n
		}
		i += n
	}
	return append(append(dst, s[from:]...), '"')
}

// appendEscape appends an ASCII character that JSON does not take as it is.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
