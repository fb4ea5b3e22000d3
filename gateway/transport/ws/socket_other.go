//go:build !linux

package ws

import "net"

// socket is a way to write that only Linux has here; elsewhere every connection writes through a spill.
type socket struct{ spill }

func tune(net.Conn) (*socket, error) { return nil, nil }

// reader reads a connection.
type reader struct {
	buf *[]byte
	n   int
}

func (c *conn) openReader(*socket) {}

// receiveRaw waits for bytes of the socket.
func (c *conn) receiveRaw() error { return c.receiveAny() }
