//go:build !race

package ws

import (
	"io"
	"testing"
)

// The race detector makes pools forget at random, so that allocations are counted without it.

func TestWriteAllocatesNothing(t *testing.T) {
	c := openLine(t)
	frame := Framing{}.AppendMessage(nil, make([]byte, 130), true)
	for _, bufs := range [][][]byte{{frame}, {frame, frame, frame}} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := c.Write(bufs); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%d buffers: %v allocations a write", len(bufs), n)
		}
	}
}

func TestTLSWriteAllocatesNothing(t *testing.T) {
	p, c, _ := openTLSLine(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, p.br) // ends with the line
	}()
	t.Cleanup(func() {
		p.cutTCP()
		<-done
	})
	frame := Framing{}.AppendMessage(nil, make([]byte, 130), true)
	for _, bufs := range [][][]byte{{frame}, {frame, frame, frame}} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := c.Write(bufs); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%d buffers: %v allocations a write", len(bufs), n)
		}
	}
}
