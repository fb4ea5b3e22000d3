package ws

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"carillon/gateway/transport"
	"carillon/gateway/transport/transporttest"
)

// Send, Receive, Pong, Close and Cut make a peer a transporttest.Peer.
func (p *peer) Send(b []byte, bin bool) error {
	op := opText
	if bin {
		op = opBinary
	}
	_, err := p.nc.Write(fin(op, string(b)))
	return err
}

func (p *peer) Receive() ([]byte, bool, error) {
	s, err := p.frame()
	if err != nil {
		return nil, false, err
	}
	kind, payload, _ := strings.Cut(s, ":")
	switch kind {
	case "text", "binary":
		return []byte(payload), kind == "binary", nil
	case "close":
		return nil, false, &transport.CloseError{Code: p.code, Reason: p.reason}
	}
	return nil, false, errors.New("unexpected " + brief(s))
}

func (p *peer) Pong() error {
	_, err := p.nc.Write(fin(opPong, ""))
	return err
}

func (p *peer) Close(code int, reason string) error {
	defer p.nc.Close()
	if _, err := p.nc.Write(closeFrame(code, reason)); err != nil {
		return err
	}
	for {
		s, err := p.frame()
		if err != nil || strings.HasPrefix(s, "close:") {
			return err
		}
	}
}

func (p *peer) Cut() { p.cutTCP() }

// opened hands an Accept of the suite to a Handler that serves many lines.
func opened(accept func(transport.Conn) transport.Inbox) *Handler {
	return New(Options{CloseTimeout: 200 * time.Millisecond}, accept)
}

func TestSuiteTCP(t *testing.T) {
	transporttest.Run(t, func(t testing.TB, accept func(transport.Conn) transport.Inbox) transporttest.Peer {
		return dial(t, serveHandler(t, opened(accept)))
	})
}

// noTCP hides that a connection is a socket, so that it is written to through a spill.
type noTCP struct{ net.Conn }

func (c noTCP) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func TestSuiteSpill(t *testing.T) {
	transporttest.Run(t, func(t testing.TB, accept func(transport.Conn) transport.Inbox) transporttest.Peer {
		h := opened(accept)
		return dial(t, serveWrapped(t, h, func(nc net.Conn) net.Conn { return noTCP{nc} }))
	})
}

func TestSuitePipe(t *testing.T) {
	transporttest.Run(t, func(t testing.TB, accept func(transport.Conn) transport.Inbox) transporttest.Peer {
		h := opened(accept)
		p := pipePeer(t, h)
		t.Cleanup(func() {
			h.Close()
			p.nc.Close()
		})
		return p
	})
}

func TestSuiteTLS(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			transporttest.Run(t, func(t testing.TB, accept func(transport.Conn) transport.Inbox) transporttest.Peer {
				h := opened(accept)
				_, addr := serveTLS(t, h, h, TLSOptions{}, nil)
				config := trusting()
				config.MaxVersion = version
				return dialTLS(t, addr, config)
			})
		})
	}
}

// TestSuiteTLSPipe runs TLS over what is no socket: records go through a spill.
func TestSuiteTLSPipe(t *testing.T) {
	transporttest.Run(t, func(t testing.TB, accept func(transport.Conn) transport.Inbox) transporttest.Peer {
		h := opened(accept)
		l := &oneConn{conns: make(chan net.Conn, 1)}
		near, far := net.Pipe()
		l.conns <- far
		nc, err := ListenTLS(l, &tls.Config{GetCertificate: loaded(t).GetCertificate}, TLSOptions{}).Accept()
		must(t, err)
		served := make(chan error, 1)
		go func() { served <- h.ServeConn(nc) }()
		p := overTLS(t, near, trusting())
		t.Cleanup(h.Close)
		p.send([]byte(strings.Replace(handshakeHead, "%s", "x", 1)))
		p.open101()
		must(t, <-served)
		return p
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// oneConn is a listener of what is put in.
type oneConn struct {
	net.Listener
	conns chan net.Conn
}

func (l *oneConn) Accept() (net.Conn, error) { return <-l.conns, nil }
