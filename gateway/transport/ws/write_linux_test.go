package ws

import (
	"io"
	"testing"
	"time"

	"carillon/gateway/transport"

	"golang.org/x/sys/unix"
)

// BenchmarkWrite compares a write through a Conn with the bare system call, by turns on the same socket. The far end
// is read between the turns, off the clock.
func BenchmarkWrite(b *testing.B) {
	const turn = 16
	conns := make(chan transport.Conn, 1)
	addr := serveHandler(b, New(Options{}, func(c transport.Conn) transport.Inbox {
		conns <- c
		return &quiet{}
	}))
	p := dial(b, addr)
	c := (<-conns).(*conn)
	frame := Framing{}.AppendMessage(nil, make([]byte, 130), true)
	bufs, sink := [][]byte{frame}, make([]byte, turn*len(frame))
	var ours, bare time.Duration
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		for range turn {
			if n, err := c.Write(bufs); err != nil || n < len(frame) {
				b.Fatal(n, err)
			}
		}
		ours += time.Since(begin)
		if _, err := io.ReadFull(p.br, sink); err != nil {
			b.Fatal(err)
		}
		if err := c.socket.raw.Control(func(fd uintptr) {
			begin := time.Now()
			for range turn {
				if n, err := unix.Write(int(fd), frame); err != nil || n < len(frame) {
					b.Fatal(n, err)
				}
			}
			bare += time.Since(begin)
		}); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(p.br, sink); err != nil {
			b.Fatal(err)
		}
		n += turn
	}
	b.ReportMetric(float64(ours)/float64(n), "ns/conn")
	b.ReportMetric(float64(bare)/float64(n), "ns/bare")
	b.ReportMetric(float64(ours)/float64(bare), "ratio")
}
