package ws

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"unsafe"

	"carillon/gateway/transport"
)

// quiet is an Inbox that does nothing.
type quiet struct{ messages chan int }

func (q *quiet) Message(b []byte, _ bool) error {
	if q.messages != nil {
		q.messages <- len(b)
	}
	return nil
}
func (q *quiet) Control([]byte, bool) {}
func (q *quiet) Alive()               {}
func (q *quiet) Writable()            {}
func (q *quiet) Closed(error)         {}

// openLine opens a line over TCP whose far end is read away, and returns the near end.
func openLine(t testing.TB) transport.Conn {
	t.Helper()
	conns := make(chan transport.Conn, 1)
	addr := serveHandler(t, New(Options{}, func(c transport.Conn) transport.Inbox {
		conns <- c
		return &quiet{}
	}))
	p := dial(t, addr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, p.br) // ends with the line
	}()
	t.Cleanup(func() {
		p.nc.Close()
		<-done
	})
	return <-conns
}

func TestConnIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > 384 {
		t.Errorf("a connection takes %d bytes", n)
	}
}

func TestShutdownWaits(t *testing.T) {
	h, addr := serveEcho(t, Options{})
	p := dial(t, addr)
	p.send(fin(opText, "x"))
	p.want("text:x")
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := h.Shutdown(ctx); err == nil || h.Stats().Open != 0 {
		t.Fatalf("%v, %d lines left", err, h.Stats().Open)
	}
	p.wantGone()
	nc, resp := request(t, addr, baseHandshake(addr)+"\r\n")
	if resp.StatusCode != 503 {
		t.Errorf("after the end: %s", resp.Status)
	}
	nc.Close()
}

// counter counts events.
type counter struct{ n int }

func (c *counter) message([]byte, bool) error { c.n++; return nil }
func (c *counter) ping([]byte) error          { c.n++; return nil }
func (c *counter) pong() error                { c.n++; return nil }
func (c *counter) closing([]byte) error       { c.n++; return errStopped }

// BenchmarkParse parses a read buffer full of small frames.
func BenchmarkParse(b *testing.B) {
	const frames = 100
	in := []byte(strings.Repeat(string(fin(opBinary, strings.Repeat("x", 130))), frames))
	o := Options{}.withDefaults()
	var p parser
	ev := &counter{}
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.feed(in, &o, ev); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/frame")
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{16, 130, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			buf := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				mask(buf, testKey, 1)
			}
		})
	}
}

// BenchmarkRoundTrip is one echo over loopback.
func BenchmarkRoundTrip(b *testing.B) {
	_, addr := serveEcho(b, Options{})
	p := dial(b, addr)
	p.br = bufio.NewReader(p.nc)
	in := fin(opBinary, strings.Repeat("x", 130))
	out := make([]byte, len(in)-4)
	b.ReportAllocs()
	for b.Loop() {
		p.send(in)
		if _, err := io.ReadFull(p.br, out); err != nil {
			b.Fatal(err)
		}
	}
}
