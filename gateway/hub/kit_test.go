package hub

import (
	"encoding/binary"
	"fmt"
	"testing"

	"carillon/channel"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The frames of these tests: length of the whole frame, format, class, offset, tag, then the body.
const frameHead = 4 + 1 + 1 + 8 + 8

func frameFormat(format byte) Encode {
	return func(dst []byte, r *channel.Record) []byte {
		dst = binary.BigEndian.AppendUint32(dst, uint32(frameHead+len(r.Body)))
		dst = append(dst, format, byte(r.Class))
		dst = binary.BigEndian.AppendUint64(dst, r.At.Offset)
		dst = binary.BigEndian.AppendUint64(dst, r.At.Tag)
		return append(dst, r.Body...)
	}
}

type frame struct {
	format      byte
	class       channel.Class
	offset, tag uint64
	body        string
}

// deframe takes all whole frames off b.
func deframe(b []byte) (fs []frame, rest []byte) {
	for len(b) >= frameHead {
		n := int(binary.BigEndian.Uint32(b))
		if len(b) < n {
			break
		}
		fs = append(fs, frame{b[4], channel.Class(b[5]), binary.BigEndian.Uint64(b[6:]), binary.BigEndian.Uint64(b[14:]), string(b[frameHead:n])})
		b = b[n:]
	}
	return fs, b
}

// truth is a log as a journal would keep it.
type truth struct {
	base channel.Position
	rs   []channel.Record
}

func newTruth(epoch, seed uint64) *truth {
	return &truth{base: channel.Position{Epoch: epoch, Tag: seed}}
}

func (l *truth) head() channel.Position { return end(l.base, l.rs) }

func (l *truth) at(offset uint64) channel.Position {
	if offset == l.base.Offset {
		return l.base
	}
	return l.rs[offset-l.base.Offset-1].At
}

func (l *truth) record(offset uint64) channel.Record { return l.rs[offset-l.base.Offset-1] }

// grow appends a record with this body.
func (l *truth) grow(n channel.Name, body []byte, origin uint64, noEcho bool) channel.Record {
	head := l.head()
	r := channel.Record{Channel: n, At: head.Next(body), Prev: head.Tag, Class: channel.Logged, Origin: origin, NoEcho: noEcho, Body: body}
	l.rs = append(l.rs, r)
	return r
}

// rollBack loses everything above offset.
func (l *truth) rollBack(offset uint64) { l.rs = l.rs[: offset-l.base.Offset : offset-l.base.Offset] }

type nobody struct{}

func (nobody) Wake(*Cursor) {}
func (nobody) Resume()      {}

func newHub(t testing.TB, o Options, formats ...Encode) *Hub {
	if len(formats) == 0 {
		formats = []Encode{frameFormat(0), frameFormat(1)}
	}
	h := New(formats, o)
	t.Cleanup(h.Close)
	return h
}

func ringPolicy(records, bytes int) func(channel.Name) channel.Policy {
	return func(channel.Name) channel.Policy {
		return channel.Policy{Ring: channel.Keep{Records: records, Bytes: bytes}}
	}
}

// drain reads a cursor to its end and returns its frames and losses.
func drain(t testing.TB, c *Cursor) (fs []frame, losses []Loss) {
	t.Helper()
	var stream []byte
	for more := true; more; {
		var bufs [][]byte
		var loss Loss
		bufs, more, loss = c.Ready(nil, 64<<10)
		if loss != (Loss{}) {
			losses = append(losses, loss)
		}
		n := 0
		for _, b := range bufs {
			stream = append(stream, b...)
			n += len(b)
		}
		if cut := c.Wrote(n); cut != nil {
			t.Fatalf("a whole write left %d bytes", len(cut))
		}
	}
	fs, rest := deframe(stream)
	if len(rest) > 0 {
		t.Fatalf("stream ends within a frame: %d bytes", len(rest))
	}
	return fs, losses
}

func mustAttach(t testing.TB, h *Hub, n channel.Name, from From) *Cursor {
	t.Helper()
	c, _, err := h.Attach(n, from, 0, 0, nobody{})
	if err != nil {
		t.Fatalf("attach: %v", err)
	}
	return c
}

func bodyOf(i int) []byte { return fmt.Appendf(nil, `{"n":%d}`, i) }
