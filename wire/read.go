package wire

import (
	"fmt"
	"math"
	"slices"
)

// linearKeys is how many keys of one object are compared pair by pair; with more they are sorted when it closes, so
// that no object, however hostile, costs more than n log n.
const linearKeys = 16

// nearKeys is how many keys of open objects are remembered without allocating.
const nearKeys = 32

// reader walks over the payload of one frame. Its grammar is read_json.go or read_pack.go; both are strict: whatever
// it passes over is well formed, within MaxDepth, and has no key twice in one object.
type reader struct {
	b       []byte
	i       int
	json    bool
	left    int    // MessagePack: messages in the array
	array   bool   // the frame is an array
	fault   string // what was wrong first, "" so far nothing
	faultAt int
	keys    int      // how many keys the objects now open have: one stack for all levels
	far     []uint32 // where they begin, once they are more than fit into near
	near    [nearKeys]uint32
}

// fail notes the first fault and returns false, so that callers can end with it.
func (r *reader) fail(what string) bool {
	if r.fault == "" {
		r.fault, r.faultAt = what, r.i
	}
	return false
}

func (r *reader) err() *Error {
	format := "MessagePack"
	if r.json {
		format = "JSON"
	}
	return bad("This is no valid %s: %s (at byte %d).", format, r.fault, r.faultAt)
}

func bad(format string, args ...any) *Error {
	return &Error{Code: CodeBadRequest, Text: fmt.Sprintf(format, args...)}
}

// begin enters the frame. A frame longer than a key's place can tell was never read whole.
func (r *reader) begin() bool {
	if len(r.b) > math.MaxInt32 {
		return r.fail("the frame is too long")
	}
	if len(r.b) == 0 {
		return r.fail("the frame is empty")
	}
	if r.json {
		return r.jsonBegin()
	}
	return r.packBegin()
}

// more tells if another message follows the first k of a frame.
func (r *reader) more(k int) bool {
	if !r.array {
		return k == 0
	}
	if r.json {
		return r.jsonMore(k)
	}
	return k < r.left
}

// message reads one map and notes in f the values of the keys that lookup knows.
func (r *reader) message(f *fields, lookup func([]byte) key) bool {
	if f.b != nil { // not the first one
		clear(f.v[:f.n])
	}
	f.b = r.b
	if r.json {
		return r.jsonMessage(f, lookup)
	}
	return r.packMessage(f, lookup)
}

// field notes in v one value, that of k, and passes over it.
func (r *reader) field(v *value, k key) bool {
	if r.json {
		return r.jsonField(v, k)
	}
	return r.packField(v, k)
}

// end is true if nothing is left behind the last message.
func (r *reader) end() bool {
	if r.fault != "" {
		return false
	}
	if r.json {
		r.space()
	}
	if r.i < len(r.b) {
		return r.fail("something follows the end")
	}
	return true
}

// requests reads a frame from a client; see Codec.DecodeRequests.
func (r *reader) requests(into []Request) ([]Request, error) {
	f := fields{json: r.json, n: requestKeys}
	var first *Error
	keep := func(e *Error) {
		if first == nil {
			first = e
		}
	}
	n, broken := 0, uint64(0)
	for ok := r.begin(); ok && r.more(n); n++ {
		if n == MaxBatch {
			keep(bad("A frame holds at most %d messages.", MaxBatch))
			return into, first
		}
		if ok = r.message(&f, requestKey); !ok {
			broken = f.peekID()
			break
		}
		into = append(into, Request{})
		q := &into[len(into)-1]
		if e := f.request(q); e != nil {
			keep(e)
			if *q = (Request{ID: e.ID}); e.ID == 0 {
				into = into[:len(into)-1]
			}
		}
	}
	if !r.end() {
		e := r.err()
		e.ID = broken
		keep(e)
	} else if n == 0 {
		keep(bad("An array without a message says nothing."))
	}
	if first != nil {
		return into, first
	}
	return into, nil
}

// messages reads a frame from a server; see Codec.DecodeMessages.
func (r *reader) messages(into []Message) ([]Message, error) {
	f := fields{json: r.json, n: allKeys}
	n := 0
	for ok := r.begin(); ok && r.more(n); n++ {
		if n == MaxBatch {
			return into, bad("A frame holds at most %d messages.", MaxBatch)
		}
		if ok = r.message(&f, messageKey); !ok {
			break
		}
		into = append(into, Message{})
		if e := f.message(&into[len(into)-1]); e != nil {
			return into[:len(into)-1], e
		}
	}
	if !r.end() {
		return into, r.err()
	}
	if n == 0 {
		return into, bad("An array without a message says nothing.")
	}
	return into, nil
}

// addKey remembers the key that begins at off; base is where the keys of its object begin on the stack.
func (r *reader) addKey(base, off int) bool {
	if open := r.open(base); len(open) < linearKeys {
		for _, other := range open {
			if r.compareKeys(other, uint32(off)) == 0 {
				return r.fail("a key stands twice in one object")
			}
		}
	}
	switch {
	case r.far == nil && r.keys < nearKeys:
		r.near[r.keys] = uint32(off)
	default:
		r.growKeys()
		r.far = append(r.far[:r.keys], uint32(off))
	}
	r.keys++
	return true
}

// open is what the stack holds from base on.
func (r *reader) open(base int) []uint32 {
	if r.far != nil {
		return r.far[base:r.keys]
	}
	return r.near[base:r.keys]
}

// growKeys makes room for one more key. It doubles the stack, but to no more than the rest of the frame can hold: a key
// and its value take three bytes.
func (r *reader) growKeys() {
	if r.keys < cap(r.far) {
		return
	}
	room := min(2*r.keys, r.keys+(len(r.b)-r.i)/3+1)
	r.far = append(make([]uint32, 0, room), r.open(0)...)
}

// closeKeys forgets the keys of an object that ends.
func (r *reader) closeKeys(base int) bool {
	if open := r.open(base); len(open) > linearKeys {
		slices.SortFunc(open, r.compareKeys)
		for i := 1; i < len(open); i++ {
			if r.compareKeys(open[i-1], open[i]) == 0 {
				return r.fail("a key stands twice in one object")
			}
		}
	}
	r.keys = base
	return true
}

// compareKeys orders two keys by what they mean: in JSON "a" and "\u0061" are the same.
func (r *reader) compareKeys(x, y uint32) int {
	if r.json {
		return compareJSONKeys(r.b, int(x), int(y))
	}
	return comparePackKeys(r.b, int(x), int(y))
}

// CheckBody checks that text is one JSON value as strictly as a decoder does, and returns it without the white space
// around it. The error is an *Error.
func CheckBody(text []byte) ([]byte, error) {
	value, e := checkBody(text)
	if e != nil {
		return nil, e
	}
	return value, nil
}

func checkBody(text []byte) ([]byte, *Error) {
	r := reader{b: text, json: true}
	if len(text) > math.MaxInt32 {
		r.fail("it is too long")
		return nil, r.err()
	}
	r.space()
	start := r.i
	if !r.jsonValue(0) {
		return nil, r.err()
	}
	value := text[start:r.i]
	if !r.end() {
		return nil, r.err()
	}
	return value, nil
}
