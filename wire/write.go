package wire

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"
	"unicode/utf8"

	"carillon/channel"
)

// writer appends maps in either format. Both formats go through the same calls, so that they cannot come to differ.
// What a peer would refuse is not checked again here: bodies and names come from a decoder or from CheckBody.
type writer struct {
	dst  []byte
	json bool
	n    int // fields so far in the open map
	head int // MessagePack: where the head of the open map stands
}

// open begins a map and returns what close needs to go on with the one around it.
func (w *writer) open() (outer writer) {
	outer = *w
	w.n, w.head = 0, len(w.dst)
	if w.json {
		w.dst = append(w.dst, '{')
	} else {
		w.dst = append(w.dst, 0x80)
	}
	return outer
}

func (w *writer) close(outer writer) {
	switch {
	case w.json:
		w.dst = append(w.dst, '}')
	case w.n < 16:
		w.dst[w.head] = 0x80 | byte(w.n)
	default:
		w.dst = append(w.dst, 0, 0)
		copy(w.dst[w.head+3:], w.dst[w.head+1:])
		w.dst[w.head] = 0xDE
		binary.BigEndian.PutUint16(w.dst[w.head+1:], uint16(w.n))
	}
	w.n, w.head = outer.n, outer.head
}

// key writes the name of the next field; names are ASCII and shorter than 32 bytes.
func (w *writer) key(k key) {
	name := keyNames[k]
	if w.json {
		if w.n > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, '"')
		w.dst = append(w.dst, name...)
		w.dst = append(w.dst, '"', ':')
	} else {
		w.dst = append(w.dst, 0xA0|byte(len(name)))
		w.dst = append(w.dst, name...)
	}
	w.n++
}

func (w *writer) str(k key, s string) {
	w.key(k)
	w.text(s)
}

func (w *writer) text(s string) {
	if w.json {
		w.dst = appendQuoted(w.dst, s)
		return
	}
	if !utf8.ValidString(s) {
		s = string([]rune(s)) // as appendQuoted does it
	}
	w.dst = appendTextLen(w.dst, len(s))
	w.dst = append(w.dst, s...)
}

// filled is str for a field that is absent when empty.
func (w *writer) filled(k key, s string) {
	if s != "" {
		w.str(k, s)
	}
}

func (w *writer) number(k key, n uint64) {
	w.key(k)
	w.dst = appendNumber(w.dst, n, w.json)
}

// count is a number that is never negative; one above MaxInteger, which no peer reads, becomes that.
func (w *writer) count(k key, n int) { w.number(k, min(uint64(max(n, 0)), MaxInteger)) }

func (w *writer) boolean(k key, b bool) {
	w.key(k)
	switch {
	case w.json:
		w.dst = strconv.AppendBool(w.dst, b)
	case b:
		w.dst = append(w.dst, 0xC3)
	default:
		w.dst = append(w.dst, 0xC2)
	}
}

// millis writes a duration, rounded up: a wait or an age must not come out shorter than it is.
func (w *writer) millis(k key, d time.Duration) {
	ms := max(d, 0) / time.Millisecond
	if d > 0 && d%time.Millisecond != 0 {
		ms++
	}
	w.number(k, uint64(ms))
}

// wait is millis for a field that is absent when zero.
func (w *writer) wait(k key, d time.Duration) {
	if d > 0 {
		w.millis(k, d)
	}
}

// moment writes a time, absent when zero.
func (w *writer) moment(k key, t time.Time) {
	if !t.IsZero() {
		w.number(k, min(uint64(max(t.UnixMilli(), 0)), MaxInteger))
	}
}

// place writes a position, absent when zero.
func (w *writer) place(k key, p channel.Position) {
	if p.IsZero() {
		return
	}
	w.key(k)
	var buf [40]byte
	s := p.AppendText(buf[:0])
	if w.json {
		w.dst = append(w.dst, '"')
		w.dst = append(w.dst, s...)
		w.dst = append(w.dst, '"')
		return
	}
	w.dst = appendTextLen(w.dst, len(s))
	w.dst = append(w.dst, s...)
}

// at writes a position and its offset beside it.
func (w *writer) at(p channel.Position) {
	if !p.IsZero() {
		w.place(keyAt, p)
		w.number(keyOffset, p.Offset)
	}
}

// list writes an array of n maps; item writes the fields of each.
func (w *writer) list(k key, n int, item func(i int)) {
	w.key(k)
	if w.json {
		w.dst = append(w.dst, '[')
	} else {
		w.dst = appendArrayLen(w.dst, n)
	}
	for i := range n {
		if i > 0 && w.json {
			w.dst = append(w.dst, ',')
		}
		outer := w.open()
		item(i)
		w.close(outer)
	}
	if w.json {
		w.dst = append(w.dst, ']')
	}
}

// texts writes an array of strings.
func (w *writer) texts(k key, ss []string) {
	w.key(k)
	if !w.json {
		w.dst = appendArrayLen(w.dst, len(ss))
		for _, s := range ss {
			w.text(s)
		}
		return
	}
	w.dst = append(w.dst, '[')
	for i, s := range ss {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.text(s)
	}
	w.dst = append(w.dst, ']')
}

// body writes data or data64, nothing when empty.
func (w *writer) body(b []byte, isBinary bool) {
	switch {
	case len(b) == 0:
	case w.json && isBinary:
		w.key(keyData64)
		w.dst = append(w.dst, '"')
		w.dst = base64.StdEncoding.AppendEncode(w.dst, b)
		w.dst = append(w.dst, '"')
	case w.json:
		w.key(keyData)
		w.dst = append(w.dst, b...)
	case isBinary:
		w.key(keyData)
		w.dst = appendBinLen(w.dst, len(b))
		w.dst = append(w.dst, b...)
	default:
		w.key(keyData)
		w.dst = appendTextLen(w.dst, len(b))
		w.dst = append(w.dst, b...)
	}
}

func appendNumber(dst []byte, n uint64, json bool) []byte {
	switch {
	case json:
		return strconv.AppendUint(dst, n, 10)
	case n < 0x80:
		return append(dst, byte(n))
	case n <= 0xFF:
		return append(dst, 0xCC, byte(n))
	case n <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, 0xCD), uint16(n))
	case n <= 0xFFFFFFFF:
		return binary.BigEndian.AppendUint32(append(dst, 0xCE), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xCF), n)
}

func appendTextLen(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, 0xA0|byte(n))
	case n <= 0xFF:
		return append(dst, 0xD9, byte(n))
	case n <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, 0xDA), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xDB), uint32(n))
}

func appendBinLen(dst []byte, n int) []byte {
	switch {
	case n <= 0xFF:
		return append(dst, 0xC4, byte(n))
	case n <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, 0xC5), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xC6), uint32(n))
}

func appendArrayLen(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, 0x90|byte(n))
	case n <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, 0xDC), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xDD), uint32(n))
}

// appendQuoted writes a JSON string. Only what JSON demands is escaped: neither HTML nor U+2028. Bytes that are no
// UTF-8 become U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\uFFFD"...)
				from = i + n
			}
			i += n
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
