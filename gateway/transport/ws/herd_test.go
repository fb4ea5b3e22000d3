package ws

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestF26_HerdWithTLS: all clients of a server that is gone come back to its successor at once. All are served, and no
// more handshakes than configured are computed at a time.
func TestF26_HerdWithTLS(t *testing.T) {
	const clients, atOnce, queue = 300, 2, 128
	certs := loaded(t)
	var computing, most atomic.Int32
	serve := func(addr string) (string, func(), *TLSListener) {
		l, err := net.Listen("tcp", addr)
		must(t, err)
		tl := ListenTLS(l, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			n := computing.Add(1)
			defer computing.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			for range 3 { // whoever may, comes in meanwhile
				runtime.Gosched()
			}
			return certs.GetCertificate(hello)
		}}, TLSOptions{MaxHandshakes: atOnce, MaxWaiting: queue, HandshakeTimeout: 4 * testPatience})
		h := NewEcho(Options{}, 1<<20)
		s := &http.Server{Handler: h}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Serve(tl) // ends with Close
		}()
		return l.Addr().String(), func() {
			h.Close()
			s.Close()
			<-done
		}, tl
	}
	addr, stop, _ := serve("127.0.0.1:0")
	var there, back sync.WaitGroup
	there.Add(clients)
	gate := make(chan struct{})
	for i := range clients {
		back.Go(func() {
			p := comeBack(t, addr)
			there.Done()
			<-gate
			if p == nil {
				return
			}
			_, err := p.frame()
			for err == nil {
				_, err = p.frame()
			}
			p.cutTCP()
			if p = comeBack(t, addr); p == nil {
				return
			}
			defer p.cutTCP()
			text := fmt.Sprint("client ", i)
			if _, err := p.nc.Write(fin(opText, text)); err != nil {
				t.Error(err)
			} else if got, err := p.frame(); err != nil || got != "text:"+text {
				t.Errorf("client %d: %q, %v", i, got, err)
			}
		})
	}
	there.Wait()
	stop()
	_, stop, tl := serve(addr)
	defer stop()
	close(gate)
	back.Wait()
	s := tl.Stats()
	t.Logf("%d handshakes, %d at once at most, %d refused", s.Done, most.Load(), s.Refused)
	if n := most.Load(); n < 1 || n > atOnce {
		t.Errorf("%d handshakes were computed at once", n)
	}
	if s.Done != clients || s.Waiting != 0 {
		t.Errorf("stats %+v", s)
	}
}

// comeBack opens a line as a client does: again and again, with growing pauses, until it is open. nil has told the test.
func comeBack(t *testing.T, addr string) *peer {
	patience := time.Now().Add(4 * testPatience)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		p, err := tryTLS(t, addr, patience)
		if err == nil {
			return p
		}
		if time.Now().After(patience) {
			t.Errorf("a client did not come back: %v", err)
			return nil
		}
		<-time.After(pause/2 + rand.N(pause))
	}
}

func tryTLS(t *testing.T, addr string, deadline time.Time) (*peer, error) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	nc := tls.Client(raw, trusting())
	p := newPeer(t, nc)
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if _, err := fmt.Fprintf(nc, handshakeHead, addr); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	resp, err := http.ReadResponse(p.br, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return p, nil
}
