package ws

import (
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

func (p *peer) Cut() { p.nc.Close() }

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
