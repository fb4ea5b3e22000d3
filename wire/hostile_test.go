package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"carillon/channel"
)

// allocated is how many bytes f allocates; the least of three runs, since others may allocate meanwhile.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// allowance is what decoding may allocate beside the requests themselves, for which the caller makes room.
func allowance(input int) uint64 { return uint64(4*input + 4<<10) }

func refused(t *testing.T, p Protocol, frame []byte) *Error {
	t.Helper()
	_, err := p.Codec.DecodeRequests(frame, nil)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: %.80q was read", p.Name, frame)
	}
	return e
}

// TestP01 covers what is too large for a vector; the rest of the group is in testdata/refused.json.
func TestP01DeepAndWide(t *testing.T) {
	p, _ := Lookup("")
	for _, depth := range []int{33, 10_000, 1_000_000} {
		for _, open := range []string{"[", `{"a":`} {
			body := strings.Repeat(open, depth)
			for _, frame := range []string{
				`{"type":"publish","id":7,"channel":"a","data":` + body,
				`{"type":"ping","id":7,"x":` + body,
			} {
				if e := refused(t, p, []byte(frame)); e.Code != CodeBadRequest || e.ID != 7 || !strings.Contains(e.Text, "too deep") {
					t.Errorf("depth %d: %v (id %d)", depth, e, e.ID)
				}
			}
			if e := refused(t, p, []byte(body)); e.Code != CodeBadRequest {
				t.Errorf("depth %d: %v", depth, e)
			}
		}
	}
}

// wide is an object of n keys, all different but for the last if twice is set.
func wide(n int, twice bool) []byte {
	b := []byte("{")
	for i := range n {
		b = fmt.Appendf(b, `"k%d":%d,`, i, i)
	}
	if twice {
		return append(b, `"\u006b0":0}`...)
	}
	return append(b, `"last":0}`...)
}

// TestManyKeys would not end if keys were compared pair by pair: 300,000 of them make 4.5e10 pairs.
func TestManyKeys(t *testing.T) {
	for _, n := range []int{1, 14, 15, 16, 17, 31, 32, 33, 1000, 300_000} {
		if _, err := CheckBody(wide(n, false)); err != nil {
			t.Errorf("%d keys: %v", n, err)
		}
		if _, err := CheckBody(wide(n, true)); err == nil {
			t.Errorf("%d keys: the first one again, escaped, was not seen", n)
		}
	}
}

// TestKeysOfDifferentObjects: the same key in different objects is no repetition, however they are nested.
func TestKeysOfDifferentObjects(t *testing.T) {
	inner := string(wide(20, false))
	text := `{"k0":` + inner + `,"a":[` + inner + `,` + inner + `],"b":{"a":{"a":{"a":1},"b":` + inner + `}},"c":{},"d":{}}`
	if _, err := CheckBody([]byte(text)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`{"a":` + inner + `,"a":1}`, `[{"b":{"a":1,"c":` + inner + `,"a":2}}]`} {
		if _, err := CheckBody([]byte(bad)); err == nil {
			t.Errorf("%.40s…: a key that stands twice was not seen", bad)
		}
	}
}

// TestP02Claims: a length is believed only as far as bytes follow it.
func TestP02Claims(t *testing.T) {
	p, _ := Lookup(SubprotocolMessagePack)
	head := append([]byte{0x82, 0xA2}, "id\x07\xA1x"...)
	for _, claim := range []byte{0xC6, 0xC9, 0xDB, 0xDD, 0xDF} {
		for _, n := range []uint32{6, 1 << 16, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
			frame := append(binary.BigEndian.AppendUint32(append(bytes.Clone(head), claim), n), 1, 2, 3, 4, 5)
			var e *Error
			if got := allocated(func() { e = refused(t, p, frame) }); got > allowance(len(frame)) {
				t.Errorf("%x claims %d: %d bytes allocated for %d", claim, n, got, len(frame))
			}
			if e.Code != CodeBadRequest || e.ID != 7 {
				t.Errorf("%x claims %d: %v (id %d)", claim, n, e, e.ID)
			}
			if e := refused(t, p, frame[len(head):]); e.Code != CodeBadRequest {
				t.Errorf("%x claims %d: %v", claim, n, e)
			}
		}
	}
	for _, open := range []string{"\x91", "\x81\xA0"} {
		frame := append(bytes.Clone(head), strings.Repeat(open, 10_000)...)
		if e := refused(t, p, frame); e.Code != CodeBadRequest || e.ID != 7 {
			t.Errorf("depth 10,000: %v (id %d)", e, e.ID)
		}
	}
}

// TestAllocationBound: the frames that cost most for their size.
func TestAllocationBound(t *testing.T) {
	frames := [][]byte{
		[]byte(`{"type":"publish","id":7,"channel":"a","data":` + string(wide(20_000, false)) + `}`),
		[]byte(`{"type":"publish","id":7,"channel":"a","data64":"` + strings.Repeat("AAAA", 20_000) + `"}`),
		[]byte(`{"type":"connect","id":7,"token":"` + strings.Repeat(`\u0041`, 20_000) + `"}`),
		[]byte(`{"type":"ping","id":7,"x":[` + strings.Repeat("1e308,", 20_000) + `1]}`),
	}
	// The shortest keys, and a count that makes the stack of keys double at the worst moment.
	packed := []byte{0x82, 0xA2, 'i', 'd', 7, 0xA1, 'x', 0xDC, 0, 32}
	for range 32 {
		packed = append(packed, 0xDE, 0, 127)
		for c := range byte(127) {
			packed = append(packed, 0xA1, c, 0xC0)
		}
	}
	frames = append(frames, packed)
	into := make([]Request, 0, MaxBatch)
	for _, p := range Protocols() {
		for _, frame := range frames {
			got := allocated(func() { _, _ = p.Codec.DecodeRequests(frame, into) })
			if got > allowance(len(frame)) {
				t.Errorf("%s: %.60q…: %d bytes allocated for %d", p.Name, frame, got, len(frame))
			}
		}
	}
}

// TestAnswers: every request of a refused frame of which the id is known hears of it, once.
func TestAnswers(t *testing.T) {
	p, _ := Lookup("")
	frame := `[{"type":"ping","id":1},{"type":"subscribe","id":2,"channel":"no good"},{"type":"pong"},{"type":"dance"},{"type":"ping","id":3}]`
	rs, err := p.Codec.DecodeRequests([]byte(frame), nil)
	e := AsError(err)
	got := map[uint64]Code{}
	for _, m := range e.Answers(nil, rs) {
		if _, twice := got[m.ID]; twice || m.Type != MsgError || m.Text == "" || m.Retry {
			t.Errorf("answer %+v", m)
		}
		got[m.ID] = m.Code
	}
	want := map[uint64]Code{1: CodeBadRequest, 2: CodeBadChannel, 3: CodeBadRequest}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("answers %v, want %v", got, want)
	}
	if _, err := p.Codec.DecodeRequests([]byte(`[{"type":"ping","id":1},{"type":"ping","id":2} {"id":3}]`), nil); AsError(err).ID != 0 {
		t.Errorf("a fault between messages was put on id %d", AsError(err).ID)
	}
}

func TestAsError(t *testing.T) {
	inner := &Error{Code: CodeBusy, ID: 4}
	if AsError(fmt.Errorf("publish: %w", inner)) != inner {
		t.Error("the error within was not found")
	}
	hidden := AsError(errors.New("disk /dev/sda1 on fire")).Message()
	if hidden.Code != CodeInternal || strings.Contains(hidden.Text, "sda1") || !hidden.Retry {
		t.Errorf("%+v", hidden)
	}
}

// TestDurationsRoundUp: a wait or an age never comes out shorter than it is.
func TestDurationsRoundUp(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		1: time.Millisecond, time.Millisecond: time.Millisecond, time.Millisecond + 1: 2 * time.Millisecond, -5: 0, math.MaxInt64: longest,
	} {
		for _, p := range Protocols() {
			ms, err := p.Codec.DecodeMessages(p.Codec.AppendMessage(nil, &Message{Type: MsgDrain, After: d}), nil)
			if err != nil || ms[0].After != want {
				t.Errorf("%s: %v became %v, %v", p.Name, d, ms, err)
			}
		}
	}
}

// TestManyFields: more fields than a short MessagePack map has room for.
func TestManyFields(t *testing.T) {
	at := channel.Position{Epoch: 1, Offset: 2, Tag: 3}
	m := Message{
		Type: MsgReply, ID: 1, Channel: "a", At: at, Time: time.UnixMilli(5).UTC(), Ack: AckDurable, HasRecovered: true, Recovered: true,
		Gap:     Gap{From: 1, To: 2, Reason: channel.GapSlow},
		Page:    Page{Records: []Record{{Channel: "a", At: at, Body: []byte("1")}, {Channel: "a", At: at}}, More: true, Before: at, Head: at},
		Refused: 7, Expires: time.Second, Body: []byte(`{"a":1}`),
	}
	for _, p := range Protocols() {
		ms, err := p.Codec.DecodeMessages(p.Codec.AppendMessage(nil, &m), nil)
		if err != nil || len(ms) != 1 || !reflect.DeepEqual(ms[0], m) {
			t.Errorf("%s: %+v, %v", p.Name, ms, err)
		}
	}
}
