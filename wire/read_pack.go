package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// packHead is the head of one MessagePack value.
type packHead struct {
	kind kind
	neg  bool
	num  uint64 // integer: magnitude
	n    int    // text, bytes, extension: bytes that follow; array, object: elements or pairs that follow
}

func (r *reader) packBegin() bool {
	c := r.b[0]
	if c&0xF0 == 0x90 || c == 0xDC || c == 0xDD {
		h, ok := r.packHead()
		r.array, r.left = true, h.n
		return ok
	}
	return true
}

// packMessage reads the map of one message.
func (r *reader) packMessage(f *fields, lookup func([]byte) key) bool {
	h, ok := r.packHead()
	if !ok {
		return false
	}
	if h.kind != object {
		return r.fail("a message is a map")
	}
	base := r.keys
	for range h.n {
		start := r.i
		name, ok := r.packKey()
		if !ok {
			return false
		}
		k := lookup(name)
		switch {
		case k == noKey:
			ok = r.addKey(base, start) && r.packValue(0)
		case f.v[k].kind != absent:
			ok = r.fail("a key stands twice in one map")
		default:
			ok = r.packField(&f.v[k], k)
		}
		if !ok {
			return false
		}
	}
	return r.closeKeys(base)
}

func (r *reader) packKey() ([]byte, bool) {
	h, ok := r.packHead()
	if !ok {
		return nil, false
	}
	if h.kind != text {
		return nil, r.fail("a key is not a string")
	}
	return r.packText(h.n)
}

// packText passes over the bytes of a string.
func (r *reader) packText(n int) ([]byte, bool) {
	s := r.b[r.i : r.i+n]
	if !utf8.Valid(s) {
		return nil, r.fail("a string is not valid UTF-8")
	}
	r.i += n
	return s, true
}

// packField notes a value while passing over it.
func (r *reader) packField(v *value, k key) bool {
	start := r.i
	h, ok := r.packHead()
	if !ok {
		return false
	}
	v.kind, v.neg, v.num = h.kind, h.neg, h.num
	if h.kind == text || h.kind == octets {
		start = r.i
	}
	ok = r.packRest(h, depthBefore(k))
	v.start, v.end = uint32(start), uint32(r.i)
	return ok
}

// packValue passes over one value that stands inside depth arrays and maps.
func (r *reader) packValue(depth int) bool {
	h, ok := r.packHead()
	return ok && r.packRest(h, depth)
}

// packRest passes over what follows the head h.
func (r *reader) packRest(h packHead, depth int) bool {
	switch h.kind {
	case text:
		_, ok := r.packText(h.n)
		return ok
	case octets, extension:
		r.i += h.n
		return true
	case array, object:
		if depth+1 > MaxDepth {
			return r.fail("it is nested too deep")
		}
		if h.kind == object {
			return r.packMap(h.n, depth+1)
		}
		for range h.n {
			if !r.packValue(depth + 1) {
				return false
			}
		}
	}
	return true
}

func (r *reader) packMap(n, depth int) bool {
	base := r.keys
	for range n {
		start := r.i
		if _, ok := r.packKey(); !ok {
			return false
		}
		if !r.addKey(base, start) || !r.packValue(depth) {
			return false
		}
	}
	return r.closeKeys(base)
}

// packHead reads a head and checks its length against the bytes that are left.
func (r *reader) packHead() (packHead, bool) {
	if r.i >= len(r.b) {
		return packHead{}, r.fail("it ends too early")
	}
	h, size := readHead(r.b[r.i:])
	if size == 0 {
		return h, r.fail("it ends too early, or holds a byte, NaN or infinity that has no place in it")
	}
	rest := len(r.b) - r.i - size
	switch h.kind {
	case text, octets, extension, array:
		if h.n > rest {
			return h, r.fail("a length is larger than what follows")
		}
	case object:
		if h.n > rest/2 {
			return h, r.fail("a length is larger than what follows")
		}
	}
	r.i += size
	return h, true
}

// readHead reads the head at the beginning of b; size 0 means that there is none.
func readHead(b []byte) (h packHead, size int) {
	switch c := b[0]; {
	case c < 0x80:
		return packHead{kind: integer, num: uint64(c)}, 1
	case c < 0x90:
		return packHead{kind: object, n: int(c & 0x0F)}, 1
	case c < 0xA0:
		return packHead{kind: array, n: int(c & 0x0F)}, 1
	case c < 0xC0:
		return packHead{kind: text, n: int(c & 0x1F)}, 1
	case c >= 0xE0:
		return packHead{kind: integer, neg: true, num: uint64(-int64(int8(c)))}, 1
	case c == 0xC1:
		return h, 0
	}
	shape := packShapes[b[0]-0xC0]
	size = 1 + int(shape.width) + int(shape.extra)
	if len(b) < size {
		return h, 0
	}
	h.kind = shape.kind
	n := bigEndian(b[1 : 1+shape.width])
	switch h.kind {
	case integer:
		h.num = n
		if shape.signed {
			h.neg, h.num = signed(n, uint(shape.width)*8)
		}
	case fraction:
		if !finite(n, shape.width) {
			return h, 0
		}
	case boolean:
		h.neg = b[0] == 0xC2
	case extension:
		h.n = int(n)
		if shape.width == 0 {
			h.n = 1 << (b[0] - 0xD4)
		}
	default:
		h.n = int(n)
	}
	return h, size
}

// packShape is how a head from 0xC0 to 0xDF goes on: a number of width bytes, then extra bytes (the type of an extension).
type packShape struct {
	kind         kind
	width, extra uint8
	signed       bool
}

var packShapes = [32]packShape{
	{kind: null}, {}, {kind: boolean}, {kind: boolean},
	{kind: octets, width: 1}, {kind: octets, width: 2}, {kind: octets, width: 4},
	{kind: extension, width: 1, extra: 1}, {kind: extension, width: 2, extra: 1}, {kind: extension, width: 4, extra: 1},
	{kind: fraction, width: 4}, {kind: fraction, width: 8},
	{kind: integer, width: 1}, {kind: integer, width: 2}, {kind: integer, width: 4}, {kind: integer, width: 8},
	{kind: integer, width: 1, signed: true}, {kind: integer, width: 2, signed: true},
	{kind: integer, width: 4, signed: true}, {kind: integer, width: 8, signed: true},
	{kind: extension, extra: 1}, {kind: extension, extra: 1}, {kind: extension, extra: 1},
	{kind: extension, extra: 1}, {kind: extension, extra: 1},
	{kind: text, width: 1}, {kind: text, width: 2}, {kind: text, width: 4},
	{kind: array, width: 2}, {kind: array, width: 4},
	{kind: object, width: 2}, {kind: object, width: 4},
}

func bigEndian(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// signed splits a two's complement number of so many bits into sign and magnitude.
func signed(n uint64, bits uint) (neg bool, magnitude uint64) {
	v := int64(n<<(64-bits)) >> (64 - bits)
	if v < 0 {
		return true, -uint64(v)
	}
	return false, uint64(v)
}

// finite refuses what JSON has no text for.
func finite(bits uint64, width uint8) bool {
	f := math.Float64frombits(bits)
	if width == 4 {
		f = float64(math.Float32frombits(uint32(bits)))
	}
	return !math.IsNaN(f) && !math.IsInf(f, 0)
}

// comparePackKeys orders the keys whose heads are at x and y.
func comparePackKeys(b []byte, x, y int) int {
	hx, sx := readHead(b[x:])
	hy, sy := readHead(b[y:])
	return bytes.Compare(b[x+sx:x+sx+hx.n], b[y+sy:y+sy+hy.n])
}
