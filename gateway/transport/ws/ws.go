// Package ws carries conversations over WebSocket: RFC 6455 in full and strict, extensions declined. It owns the
// handshake, TLS, the socket, frames and the closing handshake; it must never look into a message, nor let one slow peer
// hold up whoever writes to it. An idle connection is one parked goroutine that holds no buffer. Start with Handler and
// ListenTLS; front.go is the short way in, conn.go a connection's life, parse.go what a peer may send, socket_linux.go
// and spill.go the two ways to write, seal.go TLS on top of either.
package ws

import (
	"net/http"
	"time"
)

// Options are the limits and manners of a Handler. The zero value of a field means its default.
type Options struct {
	MaxMessage       int                      // bytes of one message, default 64 KiB and 4 KiB for its envelope; beyond it 1009
	MaxFragments     int                      // frames of one message, default 1,024; beyond it 1008
	MaxControl       int                      // control frames within a second with no message between them, default 1,000; beyond it 1008
	Protocols        []string                 // subprotocols; with none here, what clients offer is ignored
	Origins          []string                 // exact origins ("https://example.org"), or "*"; with none, the request's own host only
	CheckOrigin      func(*http.Request) bool // replaces Origins
	HandshakeTimeout time.Duration            // for writing the answer, and for all of the handshake in ServeConn; default 5 s
	CloseTimeout     time.Duration            // from the decision to close to the end of the TCP connection, default 1 s
	Panicked         func(v any)              // called where an Inbox panicked with v, on the goroutine and above the stack of that; may be nil
}

const (
	defaultMaxMessage   = 68 << 10
	defaultMaxFragments = 1024
	defaultMaxControl   = 1000
	maxOfferBytes       = 8 << 10 // of Sec-WebSocket-Protocol
	maxHeadBytes        = 16 << 10
)

func (o Options) withDefaults() Options {
	if o.MaxMessage <= 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.MaxFragments <= 0 {
		o.MaxFragments = defaultMaxFragments
	}
	if o.MaxControl <= 0 {
		o.MaxControl = defaultMaxControl
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 5 * time.Second
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = time.Second
	}
	return o
}

// Close codes of RFC 6455, section 7.4.1, that this package sends or understands.
const (
	codeNormal    = 1000
	codeGoingAway = 1001
	codeProtocol  = 1002
	codeNone      = 1005
	codeInvalid   = 1007
	codePolicy    = 1008
	codeTooBig    = 1009
	codeInternal  = 1011
)

// mayBeSent tells whether a peer may put code into a close frame.
func mayBeSent(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}
