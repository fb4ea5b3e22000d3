package ws

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/gateway/transport"
)

// heap returns the live heap in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // the second empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// flat runs f and fails if the heap grew by more than 1 MiB, or if less than a healthy server is left.
func flat(t *testing.T, addr string, f func()) {
	t.Helper()
	healthy(t, addr)
	before := heap()
	f()
	after := heap()
	for tries := 0; after > before+1<<20 && tries < 500; tries++ { // both ends may still be letting go of a line
		<-time.After(10 * time.Millisecond)
		after = heap()
	}
	if after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	healthy(t, addr)
}

// refused sends bytes to a fresh line and wants it closed with code.
func refused(t *testing.T, addr string, code int, in []byte) {
	t.Helper()
	p := dial(t, addr)
	writeChopped(p.nc, in, 0)
	p.wantClose(code)
}

func TestW01_Unmasked(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	refused(t, addr, 1002, []byte{0x81, 2, 'h', 'i'})
	refused(t, addr, 1002, []byte{0x88, 0})
	healthy(t, addr)
}

func TestW02_ReservedBits(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	for _, bits := range []byte{0x10, 0x20, 0x40, 0x70} {
		refused(t, addr, 1002, raw(finBit|bits|opText, "x"))
	}
	healthy(t, addr)
}

func TestW03_Opcodes(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		refused(t, addr, 1002, fin(op, ""))
	}
	healthy(t, addr)
}

func TestW04_ControlFrames(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	refused(t, addr, 1002, fin(opPing, strings.Repeat("x", 126)))
	refused(t, addr, 1002, part(opPing, "x"))
	refused(t, addr, 1002, part(opClose, ""))
	healthy(t, addr)
}

func TestW05_Continuations(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	refused(t, addr, 1002, fin(opContinuation, "x"))
	refused(t, addr, 1002, cat(part(opText, "x"), fin(opText, "y")))
	healthy(t, addr)
}

func lengthFrame(n uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, n), testKey[:]...)
}

func TestW06_HugeLengths(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	flat(t, addr, func() {
		refused(t, addr, 1002, lengthFrame(1<<63))
		refused(t, addr, 1002, lengthFrame(1<<64-1))
		refused(t, addr, 1009, lengthFrame(1<<63-1))
		refused(t, addr, 1009, lengthFrame(1<<32+5))
		var m0, m1 runtime.MemStats
		p := dial(t, addr)
		runtime.ReadMemStats(&m0)
		p.send(lengthFrame(1<<63 - 1))
		p.want("close:1009")
		runtime.ReadMemStats(&m1)
		if n := m1.TotalAlloc - m0.TotalAlloc; n > 64<<10 {
			t.Errorf("%d bytes were allocated", n)
		}
	})
}

func TestW07_TooBig(t *testing.T) {
	_, addr := serveEcho(t, Options{MaxMessage: 1000})
	flat(t, addr, func() {
		refused(t, addr, 1009, part(opBinary, strings.Repeat("x", 1001))[:8]) // the header is enough
		refused(t, addr, 1009, cat(part(opText, strings.Repeat("x", 999)), part(opContinuation, "x"), part(opContinuation, "x")))
		p := dial(t, addr)
		most := strings.Repeat("x", 1000)
		p.send(cat(fin(opText, most), part(opText, most), fin(opContinuation, "")))
		p.want("text:"+most, "text:"+most)
	})
}

func TestW08_Fragments(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	for _, payload := range []string{"", "x"} {
		flat(t, addr, func() {
			flood := cat(part(opText, "a"), []byte(strings.Repeat(string(part(opContinuation, payload)), 1<<16)))
			p := dial(t, addr)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 16 { // a million, unless the line ends before
					writeChopped(p.nc, flood, 0)
				}
			}()
			p.wantClose(1008)
			p.nc.Close()
			<-done
		})
	}
	most := fragmented(opText, strings.Repeat("x", 1024), 1)
	p := dial(t, addr)
	p.send(most)
	p.want("text:" + strings.Repeat("x", 1024))
}

func TestW09_LengthsAreMinimal(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	refused(t, addr, 1002, []byte{0x81, 0x80 | 126, 0, 125, 1, 2, 3, 4})
	refused(t, addr, 1002, lengthFrame(65535))
	healthy(t, addr)
}

func TestW10_InvalidUTF8(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	for _, v := range invalidUTF8 {
		refused(t, addr, 1007, part(opText, v.s))
	}
	p := dial(t, addr)
	p.send(cat(part(opText, "\xf0\x9f"), fin(opContinuation, "\x98\x80")))
	p.want("text:\U0001f600")
	healthy(t, addr)
}

func TestW11_CloseFrames(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	refused(t, addr, 1002, fin(opClose, "x"))
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000} {
		refused(t, addr, 1002, closeFrame(code, ""))
	}
	refused(t, addr, 1007, closeFrame(1000, "\xff"))
	healthy(t, addr)
}

func TestW12_NothingAfterClose(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	for _, in := range [][]byte{
		cat(closeFrame(1000, ""), fin(opText, "x"), fin(opPing, "y")),
		[]byte(strings.Repeat(string(closeFrame(1000, "")), 1000)),
	} {
		p := dial(t, addr)
		p.send(in)
		p.want("close:1000")
		p.wantGone()
	}
	// A peer that answers nothing and does not hang up loses its line all the same.
	p := dial(t, addr)
	p.send([]byte{0xff, 0xff})
	p.want("close:1002")
	p.wantGone()
	healthy(t, addr)
}

// TestW12_TimeOut looks at the time a silent peer is given: in a bubble's clock, over a line that nobody closes.
func TestW12_TimeOut(t *testing.T) { inBubble(t, testCloseTimeOut) }

func TestW13_ControlFloods(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	for _, op := range []byte{opPing, opPong} {
		flat(t, addr, func() {
			p := dial(t, addr)
			done := make(chan struct{})
			go func() {
				defer close(done)
				writeChopped(p.nc, []byte(strings.Repeat(string(fin(op, "x")), 100_000)), 0)
			}()
			p.wantClose(1008)
			p.nc.Close()
			<-done
		})
	}
}

func TestW14_DeflateIsDeclined(t *testing.T) {
	_, addr := serveEcho(t, Options{})
	for _, ext := range []string{"permessage-deflate", "permessage-deflate; client_max_window_bits=99", "permessage-deflate; __proto__", "__proto__"} {
		nc, resp := request(t, addr, baseHandshake(addr)+"Sec-WebSocket-Extensions: "+ext+"\r\n\r\n")
		if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("%s: %v", ext, resp)
		}
		nc.Close()
	}
	refused(t, addr, 1002, raw(finBit|0x40|opText, "\x00"))
	healthy(t, addr)
}

// picky is an Inbox that wants binary messages only.
type picky struct{ echo }

func (p *picky) Message(b []byte, bin bool) error {
	if !bin {
		return &transport.CloseError{Code: 1003, Reason: "binary messages only"}
	}
	return p.echo.Message(b, bin)
}

func TestW15_TextOrBinaryIsTheInboxesAffair(t *testing.T) {
	addr := serveHandler(t, New(Options{}, func(c transport.Conn) transport.Inbox {
		p := &picky{echo: echo{c: c}}
		p.out.Init(c, &p.echo, 1<<20)
		return p
	}))
	refused(t, addr, 1003, fin(opText, "x"))
	p := dial(t, addr)
	p.send(fin(opBinary, ""))
	p.want("binary:")
}

// ledgerInbox tells which messages came and how the line ended.
type ledgerInbox struct {
	echo
	mu     sync.Mutex
	got    []string
	closed chan error
}

func (l *ledgerInbox) Message(b []byte, bin bool) error {
	l.mu.Lock()
	l.got = append(l.got, string(b))
	l.mu.Unlock()
	return l.echo.Message(b, bin)
}

func (l *ledgerInbox) Closed(err error) {
	l.echo.Closed(err)
	l.closed <- err
}

func serveLedger(t testing.TB) (string, chan *ledgerInbox) {
	lines := make(chan *ledgerInbox, 10)
	return serveHandler(t, New(Options{}, func(c transport.Conn) transport.Inbox {
		l := &ledgerInbox{echo: echo{c: c}, closed: make(chan error, 2)}
		l.out.Init(c, &l.echo, 1<<20)
		lines <- l
		return l
	})), lines
}

func TestW16_PipelineThenReset(t *testing.T) {
	addr, lines := serveLedger(t)
	p := dial(t, addr)
	var in []byte
	for i := range 100 {
		in = append(in, fin(opText, fmt.Sprint(i))...)
	}
	p.send(append(in, fin(opText, "cut")[:7]...))
	if err := p.nc.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	p.nc.Close()
	l := <-lines
	if err := <-l.closed; err == nil {
		t.Error("a reset is no orderly end")
	}
	for i, m := range l.got { // a reset may overtake bytes, but what is handed over is whole and in order
		if m != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, m)
		}
	}
}

func TestW17_PeerNeverReads(t *testing.T) {
	h, addr := serveEcho(t, Options{MaxMessage: 1 << 20})
	p := dial(t, addr)
	big := fin(opBinary, strings.Repeat("x", 1<<20))
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		for range 10 {
			writeChopped(p.nc, big, 0)
		}
	}()
	<-flood // the server reads on although nobody takes its echoes
	for range 20 {
		healthy(t, addr)
	}
	p.nc.Close()
	if err := h.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestW17_OverflowClosesOnlyTheStalled(t *testing.T) {
	h := NewEcho(Options{MaxMessage: 1 << 20}, 4<<20)
	addr := serveHandler(t, h)
	p := dial(t, addr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			writeChopped(p.nc, fin(opBinary, strings.Repeat("x", 1<<20)), 0)
		}
	}()
	<-done // ends because the server cuts the line
	healthy(t, addr)
	if err := h.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// bomb is an Inbox that panics.
type bomb struct{ echo }

func (b *bomb) Message(m []byte, bin bool) error {
	if string(m) == "bomb" {
		panic("in the inbox")
	}
	return b.echo.Message(m, bin)
}

func TestPanicEndsOneLine(t *testing.T) {
	h := New(Options{}, func(c transport.Conn) transport.Inbox {
		b := &bomb{echo: echo{c: c}}
		b.out.Init(c, &b.echo, 1<<20)
		return b
	})
	addr := serveHandler(t, h)
	other := dial(t, addr)
	refused(t, addr, 1011, fin(opText, "bomb"))
	other.send(fin(opText, "still here"))
	other.want("text:still here")
	healthy(t, addr)
	if n := h.Stats().Panics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

func TestClosedTellsTheCause(t *testing.T) {
	addr, lines := serveLedger(t)
	for _, c := range []struct {
		in   []byte
		code int // 0 for an orderly end, -1 for an error of the socket
	}{
		{closeFrame(1000, ""), 0}, {closeFrame(1001, "tab closed"), 0}, {fin(opClose, ""), 0},
		{closeFrame(4000, "mine"), 4000}, {[]byte{0xff, 0xff}, 1002}, {nil, -1},
	} {
		p := dial(t, addr)
		l := <-lines
		p.send(c.in)
		if c.in != nil {
			if _, err := p.frame(); err != nil {
				t.Fatal(err)
			}
		}
		p.nc.Close()
		var told *transport.CloseError
		err := <-l.closed
		switch {
		case c.code == 0 && err != nil, c.code != 0 && err == nil:
			t.Errorf("% x: %v", c.in, err)
		case c.code > 0 && (!errors.As(err, &told) || told.Code != c.code):
			t.Errorf("% x: %v", c.in, err)
		}
	}
}
