package ws

import (
	"errors"

	"carillon/gateway/transport"
)

// echo answers every message with itself.
type echo struct {
	c   transport.Conn
	out transport.Outlet
}

// NewEcho returns a Handler that sends every message back: the production parser, for conformance tools. pending bounds
// the bytes a peer may leave unread.
func NewEcho(o Options, pending int) *Handler {
	return New(o, func(c transport.Conn) transport.Inbox {
		e := &echo{c: c}
		e.out.Init(c, e, pending)
		return e
	})
}

// Message implements transport.Inbox.
func (e *echo) Message(b []byte, bin bool) error {
	err := e.out.Send(Framing{}.AppendMessage(make([]byte, 0, len(b)+10), b, bin))
	if errors.Is(err, transport.ErrOverflow) {
		return violation(codePolicy, "the echo is not read")
	}
	return nil // or the line is gone
}

func (e *echo) Control(frame []byte, last bool) { e.out.Control(frame, last) }
func (e *echo) Alive()                          {}
func (e *echo) Writable()                       { e.out.Writable() }
func (e *echo) Closed(error)                    { e.out.Shut() }

// Begin implements transport.Source.
func (e *echo) Begin() {}

// Gather implements transport.Source: there is nothing but replies.
func (e *echo) Gather(dst [][]byte, _ int) ([][]byte, bool) { return dst, false }

// Wrote implements transport.Source.
func (e *echo) Wrote(int) []byte { return nil }

// Again implements transport.Source. There is no fan-out worker: who came here goes on.
func (e *echo) Again() { e.out.Resume() }
