// Package transport is the contract between a client's line and the conversation on it. A transport owns the socket:
// it parses what comes in, frames what goes out and never blocks a writer. It knows no session and no channel.
// Outlet, the write state of a connection, is shared by all transports. Implementations are gateway/transport/ws and,
// later, its neighbours; transporttest is the law they obey. Start with Conn and Inbox.
package transport

import "errors"

// Conn is one client's line, as the conversation on it sees it.
type Conn interface {
	// Write writes as much of bufs as the socket takes now, without ever blocking; the bytes are framed already.
	// n less than their sum with a nil error means that the socket is full: Inbox.Writable is then called once, when
	// there is room, and nobody calls Write before that. Calls never overlap. bufs is not kept; the bytes are not changed.
	Write(bufs [][]byte) (n int, err error)
	// Close ends the line: no message is handed to the Inbox after it returns to its reader, and Closed follows. A frame
	// that tells code and reason must have been sent through the Outlet before (see Info.AppendClose). Safe to call twice and from anywhere.
	Close()
	// Info tells facts that do not change.
	Info() Info
}

// Info is what a conversation may know about its line.
type Info struct {
	Kind     string // "ws"
	Protocol string // negotiated subprotocol, "" for none
	Token    string // credential brought in the handshake, "" for none; never logged
	Remote   string // address of the peer
	Framing  Framing
}

// Framing wraps messages for the wire. It has no state, so framed bytes are shared by all connections of a kind.
type Framing interface {
	// AppendMessage appends one framed message.
	AppendMessage(dst, payload []byte, binary bool) []byte
	// AppendClose appends the frame that tells the peer why the line ends; nothing may follow it.
	AppendClose(dst []byte, code int, reason string) []byte
}

// Inbox receives what happens on a line. The transport calls Message, Control and Closed from one goroutine, its reader.
type Inbox interface {
	// Message hands over one whole message; b is valid only during the call. While it does not return, nothing more is
	// read. An error ends the line: a CloseError is told to the peer, any other closes with 1011.
	Message(b []byte, binary bool) error
	// Control asks for framed bytes of the transport itself (a pong, a close) to be sent at the next frame boundary.
	// last means that nothing may follow them, and that the line is closed once they are out.
	Control(frame []byte, last bool)
	// Alive tells that the peer gave a sign of life that is no message (a pong).
	Alive()
	// Writable tells once, after a short Write, that there is room again. Called from a goroutine of its own.
	Writable()
	// Closed is the last call, made once: the line is gone. err is nil for an orderly end, a CloseError where the peer or a rule gave a code.
	Closed(err error)
}

// CloseError is a reason to end a line that its peer is told.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string { return e.Reason }

// ErrClosed is returned by Write after the end of the line.
var ErrClosed = errors.New("connection is closed")
