package ws

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// slowLimits are the settings of an http.Server that protect it before an upgrade, short for the test. A node sets all
// of them: of a line that is open already they end nothing.
func slowLimits(s *http.Server) {
	s.ReadHeaderTimeout = 400 * time.Millisecond
	s.ReadTimeout = 600 * time.Millisecond
	s.WriteTimeout = 900 * time.Millisecond
	s.IdleTimeout = 400 * time.Millisecond
	s.MaxHeaderBytes = 16 << 10
}

// slowServer has a line, a page that reads what is sent to it and a page that is too big for the buffers on the way.
// Its listener hasty gives little time for a TLS handshake.
func slowServer(t *testing.T) (plain, secure, hasty string, states *connStates) {
	t.Helper()
	big := bytes.Repeat([]byte("x"), 16<<20)
	h := NewEcho(Options{}, 1<<20)
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // cut by the limit
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(big) // the same
	})
	states = &connStates{}
	edit := func(s *http.Server) {
		slowLimits(s)
		s.ConnState = states.note
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	serveOn(t, StrictLines(l), h, mux, edit)
	_, secure = serveTLS(t, h, mux, TLSOptions{}, edit)
	_, hasty = serveTLS(t, h, mux, TLSOptions{HandshakeTimeout: 200 * time.Millisecond}, edit)
	return l.Addr().String(), secure, hasty, states
}

// connStates counts the connections that an http.Server holds.
type connStates struct{ held atomic.Int32 }

func (s *connStates) note(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.held.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.held.Add(-1)
	}
}

// drip sends a byte at a time, slowly and for ever, until the server has hung up. Were the limit one for each byte, the
// connection's own patience would end the test.
func drip(t *testing.T, nc net.Conn, in []byte) {
	t.Helper()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if _, err := nc.Write(in[i%len(in):][:1]); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	hungUp(t, nc)
	close(stop)
	nc.Close()
	<-done
}

// hungUp wants the server to end the connection.
func hungUp(t *testing.T, nc net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, nc); isTimeout(err) {
		t.Fatal("the connection is still there")
	}
	nc.Close()
}

// TestH07_SlowPeers: whoever dawdles before the upgrade loses the connection, with TLS and without.
func TestH07_SlowPeers(t *testing.T) {
	plain, secure, hasty, states := slowServer(t)
	overTCP := func(t *testing.T) net.Conn { return connectTCP(t, plain) }
	overTLS := func(t *testing.T) net.Conn { return connectTLS(t, secure, trusting()).nc }
	// Lines that are open all the time outlive all of these limits.
	open := []*peer{dial(t, plain), dialTLS(t, secure, trusting())}
	t.Run("all", func(t *testing.T) {
		for name, connect := range map[string]func(*testing.T) net.Conn{"plain": overTCP, "TLS": overTLS} {
			for dawdle, run := range slowRequests(states) {
				t.Run(name+" "+dawdle, func(t *testing.T) {
					t.Parallel()
					run(t, connect(t))
				})
			}
		}
		for dawdle, run := range slowHandshakes(t) {
			t.Run("before TLS is done "+dawdle, func(t *testing.T) {
				t.Parallel()
				run(t, connectTCP(t, hasty))
			})
		}
	})
	for _, p := range open {
		p.send(fin(opText, "still here"))
		p.want("text:still here")
	}
}

func connectTCP(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	must(t, nc.SetDeadline(time.Now().Add(testPatience)))
	return nc
}

// sendThen sends in, whole, and goes on with next.
func sendThen(in string, next func(*testing.T, net.Conn)) func(*testing.T, net.Conn) {
	return func(t *testing.T, nc net.Conn) {
		_, err := nc.Write([]byte(in))
		must(t, err)
		next(t, nc)
	}
}

// dripping is drip of a text.
func dripping(in string) func(*testing.T, net.Conn) {
	return func(t *testing.T, nc net.Conn) { drip(t, nc, []byte(in)) }
}

func slowRequests(states *connStates) map[string]func(*testing.T, net.Conn) {
	return map[string]func(*testing.T, net.Conn){
		"idle":                 hungUp,
		"slow head":            dripping("GET / HTTP/1.1\r\nHost: x\r\nX: xxxxxxxxxxx"),
		"slow body":            sendThen("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", dripping("x")),
		"idle after a request": sendThen("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", hungUp),
		"slow reader": sendThen("GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", func(t *testing.T, nc net.Conn) {
			states.awaitNone(t) // without reading
			nc.Close()
		}),
	}
}

func slowHandshakes(t *testing.T) map[string]func(*testing.T, net.Conn) {
	hello := string(clientHello(t))
	return map[string]func(*testing.T, net.Conn){
		"idle":                    hungUp,
		"slow hello":              dripping(hello),
		"idle after half a hello": sendThen(hello[:len(hello)/2], hungUp),
		"idle after the hello":    sendThen(hello, hungUp),
	}
}

// awaitNone waits until the server holds no connection.
func (s *connStates) awaitNone(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	patience := time.NewTimer(testPatience)
	defer patience.Stop()
	for s.held.Load() > 0 {
		select {
		case <-tick.C:
		case <-patience.C:
			t.Fatalf("the server still holds %d connections", s.held.Load())
		}
	}
}

// clientHello returns the first flight of a TLS client.
func clientHello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- tls.Client(near, trusting()).Handshake() }()
	head := make([]byte, 5)
	_, err := io.ReadFull(far, head)
	must(t, err)
	body := make([]byte, int(head[3])<<8|int(head[4]))
	_, err = io.ReadFull(far, body)
	must(t, err)
	far.Close()
	if err := <-done; err == nil {
		t.Fatal("a handshake without a server")
	}
	return append(head, body...)
}

// TestH07_SlowBeforeTLSInServeConn: the handshake of ServeConn has its limits too.
func TestH07_SlowBeforeTLSInServeConn(t *testing.T) {
	for name, first := range map[string]func(net.Conn) error{
		"idle": func(net.Conn) error { return nil },
		"head": func(nc net.Conn) error {
			c := tls.Client(nc, trusting())
			if err := c.Handshake(); err != nil {
				return err
			}
			_, err := fmt.Fprint(c, "GET / HTTP/1.1\r\n")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer l.Close()
			tl := ListenTLS(l, &tls.Config{GetCertificate: loaded(t).GetCertificate}, TLSOptions{HandshakeTimeout: 100 * time.Millisecond})
			h := NewEcho(Options{HandshakeTimeout: 100 * time.Millisecond, CloseTimeout: 100 * time.Millisecond}, 1<<20)
			raw, err := net.Dial("tcp", l.Addr().String())
			must(t, err)
			must(t, raw.SetDeadline(time.Now().Add(testPatience)))
			nc, err := tl.Accept()
			must(t, err)
			served := make(chan error, 1)
			go func() { served <- h.ServeConn(nc) }()
			must(t, first(raw))
			hungUp(t, raw)
			if err := <-served; err == nil {
				t.Error("the handshake went through")
			}
			h.Close()
		})
	}
}
