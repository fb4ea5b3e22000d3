package ws

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"carillon/gateway/transport"
)

// journalOf notes events as text.
type journalOf struct{ got []string }

func (j *journalOf) message(b []byte, bin bool) error {
	j.got = append(j.got, fmt.Sprintf("message %v %q", bin, b))
	return nil
}

func (j *journalOf) ping(b []byte) error {
	j.got = append(j.got, fmt.Sprintf("ping %q", b))
	return nil
}

func (j *journalOf) pong() error {
	j.got = append(j.got, "pong")
	return nil
}

func (j *journalOf) closing(b []byte) error {
	j.got = append(j.got, fmt.Sprintf("closing %q", b))
	return errStopped
}

// parse feeds in pieces of n bytes and returns what was found, the verdict last.
func parse(in []byte, n int, o *Options) []string {
	var p parser
	var j journalOf
	in = bytes.Clone(in)
	for len(in) > 0 {
		k := min(n, len(in))
		piece := bytes.Clone(in[:k])
		in = in[k:]
		if err := p.feed(piece, o, &j); err != nil {
			var told *transport.CloseError
			if errors.As(err, &told) {
				j.got = append(j.got, fmt.Sprint("verdict ", told.Code))
			}
			break
		}
		if cap(p.msg) > 2*(len(p.msg)+leastAssembly) && cap(p.msg) > mostAssembly {
			j.got = append(j.got, "holds more than came")
		}
	}
	return j.got
}

// FuzzFrames feeds the same bytes whole, in pieces and byte by byte: the events and the verdict are the same, and every text is UTF-8.
func FuzzFrames(f *testing.F) {
	for _, c := range append(append(fragmentCases(), closeCases()...), pingCases()...) {
		f.Add(c.in, uint8(3))
	}
	for _, v := range invalidUTF8 {
		f.Add(cat(part(opText, "κόσμε"+v.s), fin(opContinuation, "x")), uint8(7))
	}
	f.Add(fin(opText, strings.Repeat("é", 70)), uint8(1))
	f.Add(lengthFrame(1<<63-1), uint8(2))
	o := Options{MaxMessage: 300, MaxFragments: 5}.withDefaults()
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		whole := parse(in, len(in)+1, &o)
		for _, n := range []int{1, int(piece) + 1} {
			if got := parse(in, n, &o); strings.Join(got, "\n") != strings.Join(whole, "\n") {
				t.Fatalf("whole:\n%q\nin pieces of %d:\n%q", whole, n, got)
			}
		}
		for _, e := range whole {
			if s, ok := strings.CutPrefix(e, "message false "); ok && strings.Contains(s, `\x`) {
				var text string
				if _, err := fmt.Sscanf(s, "%q", &text); err == nil && !utf8.ValidString(text) {
					t.Fatalf("text that is not UTF-8: %s", s)
				}
			}
		}
	})
}

func TestMaskIsTheSimpleLoop(t *testing.T) {
	for n := range 100 {
		for pos := range uint8(4) {
			got, want := make([]byte, n), make([]byte, n)
			for i := range want {
				got[i], want[i] = byte(i), byte(i)^testKey[(int(pos)+i)%4]
			}
			if end := mask(got, testKey, pos); !bytes.Equal(got, want) || int(end) != (int(pos)+n)%4 {
				t.Fatalf("%d bytes from %d: got %x, want %x, end %d", n, pos, got, want, end)
			}
		}
	}
}

func TestAppendClose(t *testing.T) {
	for reason, want := range map[string]int{"": 4, "why": 7, strings.Repeat("é", 62): 4 + 122, strings.Repeat("x", 200): 4 + 123} {
		b := Framing{}.AppendClose(nil, 1000, reason)
		if len(b) != want || !utf8.Valid(b[4:]) || int(b[1]) != len(b)-2 {
			t.Errorf("reason of %d bytes: % x", len(reason), b)
		}
	}
	if b := (Framing{}).AppendClose(nil, 0, "x"); !bytes.Equal(b, []byte{0x88, 0}) {
		t.Errorf("no code: % x", b)
	}
}
