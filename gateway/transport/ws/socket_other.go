//go:build !linux

package ws

import "net"

// socket is a way to write that only Linux has here; elsewhere every connection writes through a spill.
type socket struct{ spill }

func (s *socket) tune(net.Conn) error { return nil }
func (s *socket) plain() bool         { return false }
func (s *socket) shut()               {}

// reader reads a connection.
type reader struct {
	buf *[]byte
	n   int
}

func (c *conn) openReader() {}

// receiveRaw waits for bytes of the socket.
func (c *conn) receiveRaw() error { return c.receiveAny() }

// hasEnded cannot tell here: only a handshake's wait for its turn lasts longer for it.
func hasEnded(net.Conn) bool { return false }
