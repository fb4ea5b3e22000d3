package ws

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// StrictLines wraps a listener for net/http, which takes header lines that end in a bare LF; a proxy in front that reads
// them otherwise can be made to smuggle requests. The head of a connection's first request must end its lines in CR LF,
// and is answered 400 if it does not. Connections that a Handler upgrades lose the wrapping. A TLSListener looks itself.
func StrictLines(l net.Listener) net.Listener {
	if t, ok := l.(*TLSListener); ok {
		return t
	}
	return strictListener{l}
}

type strictListener struct{ net.Listener }

func (l strictListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &strictConn{Conn: nc}, nil
}

type strictConn struct {
	net.Conn
	head  headWatch
	early []byte    // was read before, and comes first; at most frontBytes
	by    time.Time // when the head must be there, whatever deadline is set; zero: any time
}

func (c *strictConn) Read(b []byte) (n int, err error) {
	if len(c.early) > 0 {
		n = copy(b, c.early)
		c.early = c.early[n:]
	} else {
		n, err = c.Conn.Read(b)
	}
	if !c.head.see(b[:n]) {
		return n, err
	}
	refuseHead(c.Conn)
	return 0, io.EOF
}

// SetReadDeadline implements net.Conn: who took his time to send the first bytes has that much less for the rest of the head.
func (c *strictConn) SetReadDeadline(t time.Time) error {
	if !c.by.IsZero() && (t.IsZero() || t.After(c.by)) && !c.head.over() {
		t = c.by
	}
	return c.Conn.SetReadDeadline(t)
}

func refuseHead(w io.Writer) {
	refuse(http.StatusBadRequest, "a line of the head does not end in CR LF").writeTo(w)
}

// headWatch watches the bytes of the first head go by.
type headWatch struct {
	mu   sync.Mutex // net/http reads in the background too
	last [4]byte    // newest bytes, oldest first
	done bool       // the head is over
	bad  bool
}

// see tells whether the head is bad, b included.
func (w *headWatch) see(b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range b {
		if w.done || w.bad {
			break
		}
		w.bad = x == '\n' && w.last[3] != '\r' || x != '\n' && w.last[3] == '\r'
		copy(w.last[:], w.last[1:])
		w.last[3] = x
		w.done = bytes.Equal(w.last[:], []byte("\r\n\r\n"))
	}
	return w.bad
}

// over tells whether the head went by.
func (w *headWatch) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done || w.bad
}

// bare returns the connection that a Handler serves.
func bare(nc net.Conn) net.Conn {
	if c, ok := nc.(*strictConn); ok {
		return c.Conn
	}
	return nc
}
