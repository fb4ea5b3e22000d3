package ws

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
)

// StrictLines wraps a listener for net/http, which takes header lines that end in a bare LF; a proxy in front that reads
// them otherwise can be made to smuggle requests. The head of a connection's first request must end its lines in CR LF,
// and is answered 400 if it does not. Connections that a Handler upgrades lose the wrapping.
func StrictLines(l net.Listener) net.Listener { return strictListener{l} }

type strictListener struct{ net.Listener }

func (l strictListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &strictConn{Conn: nc}, nil
}

// strictConn watches the bytes of the first head go by.
type strictConn struct {
	net.Conn

	mu   sync.Mutex // net/http reads in the background too
	last [4]byte    // newest bytes, oldest first
	done bool       // the head is over
	bad  bool
}

func (c *strictConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.watch(b[:n]) {
		return n, err
	}
	refuse(http.StatusBadRequest, "a line of the head does not end in CR LF").writeTo(c.Conn)
	return 0, io.EOF
}

// watch tells whether b shows that the head is bad.
func (c *strictConn) watch(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range b {
		if c.done || c.bad {
			break
		}
		c.bad = x == '\n' && c.last[3] != '\r' || x != '\n' && c.last[3] == '\r'
		copy(c.last[:], c.last[1:])
		c.last[3] = x
		c.done = bytes.Equal(c.last[:], []byte("\r\n\r\n"))
	}
	return c.bad
}

// bare returns the connection that a Handler serves.
func bare(nc net.Conn) net.Conn {
	if c, ok := nc.(*strictConn); ok {
		return c.Conn
	}
	return nc
}
