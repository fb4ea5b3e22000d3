package ws

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// serveMux serves what leads to h among other things.
func serveMux(t testing.TB, h *Handler, mux http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(mux)
	s.Listener = StrictLines(s.Listener)
	s.Start()
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return strings.TrimPrefix(s.URL, "http://")
}

// inBubble runs f in a bubble with an echo Handler that must have no goroutine left in the end.
func inBubble(t *testing.T, f func(t *testing.T, h *Handler)) {
	synctest.Test(t, func(t *testing.T) {
		h := NewEcho(Options{}, 1<<20)
		f(t, h)
		h.Close()
	})
}

// pipePeer opens a line over an in-memory pipe.
func pipePeer(t testing.TB, h *Handler) *peer {
	t.Helper()
	near, far := net.Pipe()
	opened := make(chan error, 1)
	go func() { opened <- h.ServeConn(far) }()
	p := &peer{t: t, nc: near, br: bufio.NewReader(near)}
	p.send([]byte(strings.Replace(handshakeHead, "%s", "x", 1)))
	if resp, err := http.ReadResponse(p.br, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("handshake: %v, %v", resp, err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	return p
}

// testCloseTimeOut: a peer that reads nothing, not even the close frame, loses its line after the time-out.
func testCloseTimeOut(t *testing.T, h *Handler) {
	p := pipePeer(t, h)
	begin := time.Now()
	p.send([]byte{0xff, 0xff})
	synctest.Wait()
	time.Sleep(time.Second - 1)
	synctest.Wait()
	if h.Stats().Open != 1 {
		t.Fatal("cut before the time-out")
	}
	time.Sleep(time.Nanosecond)
	synctest.Wait()
	if h.Stats().Open != 0 {
		t.Fatalf("still there after %v", time.Since(begin))
	}
	if _, err := p.frame(); !errors.Is(err, io.EOF) {
		t.Fatalf("read %v", err)
	}
}

// testSlowHandshake: a byte every two seconds is too slow.
func testSlowHandshake(t *testing.T, h *Handler) {
	near, far := net.Pipe()
	opened := make(chan error, 1)
	begin := time.Now()
	go func() { opened <- h.ServeConn(far) }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			if _, err := near.Write([]byte("G")); err != nil {
				return
			}
			<-tick.C
		}
	}()
	if err := <-opened; err == nil {
		t.Fatal("the handshake went through")
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Fatalf("refused after %v", d)
	}
	near.Close()
	<-done
}

// TestPipeEcho shows that all of it works over an in-memory connection, big messages and a slow reader included.
func TestPipeEcho(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Handler) {
		p := pipePeer(t, h)
		big := strings.Repeat("x", 60<<10)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 5 {
				p.send(fin(opText, big))
			}
		}()
		<-done // 300 KiB are owed by now
		for range 5 {
			p.want("text:" + big)
		}
		p.send(closeFrame(1000, ""))
		p.want("close:1000")
		p.wantGone()
	})
}
