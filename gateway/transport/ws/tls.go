package ws

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// TLSOptions are the limits of a TLS listener. The zero value of a field means its default.
type TLSOptions struct {
	HandshakeTimeout time.Duration // for all of the TLS handshake, default 5 s
	MaxHandshakes    int           // handshakes computed at once, default GOMAXPROCS - 1 and at least 1
	MaxWaiting       int           // handshakes that wait for their turn, default 4,096; beyond it the connection is closed
}

const defaultMaxWaiting = 4096

func (o TLSOptions) withDefaults() TLSOptions {
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 5 * time.Second
	}
	if o.MaxHandshakes <= 0 {
		o.MaxHandshakes = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = defaultMaxWaiting
	}
	return o
}

// TLSListener makes an http.Server speak HTTPS (HTTP/1.1, TLS 1.2 or later) and a Handler secure WebSocket. It checks
// heads as StrictLines does, and needs the TCP listener itself beneath it: a Handler writes to a TLS line without ever
// blocking only where it finds the socket.
type TLSListener struct {
	net.Listener
	config *tls.Config
	o      TLSOptions
	slots  chan struct{}

	waiting atomic.Int32
	done    atomic.Uint64
	failed  atomic.Uint64
	refused atomic.Uint64
}

// TLSStats are counters of a TLSListener since it was made; Waiting is the present number.
type TLSStats struct {
	Done    uint64 // handshakes
	Failed  uint64 // handshakes that ended in an error or too late, the refused ones included
	Refused uint64 // handshakes for which there was no place in the queue
	Waiting int    // handshakes that wait for their turn
}

// ListenTLS accepts from l, which it owns. Of config it uses a copy; one of Certificates, GetCertificate and
// GetConfigForClient must be set.
func ListenTLS(l net.Listener, config *tls.Config, o TLSOptions) *TLSListener {
	t := &TLSListener{Listener: l, config: config.Clone(), o: o.withDefaults()}
	t.slots = make(chan struct{}, t.o.MaxHandshakes)
	t.config.MinVersion = max(t.config.MinVersion, tls.VersionTLS12)
	t.config.NextProtos = []string{"http/1.1"}
	t.config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if err := t.enter(hello.Conn.(*carrier)); err != nil {
			return nil, err
		}
		if config.GetConfigForClient == nil {
			return nil, nil
		}
		return config.GetConfigForClient(hello)
	}
	return t
}

// Accept returns a connection whose handshake is still to come: net/http asks it for its ConnectionState first, in the
// connection's own goroutine, and ServeConn begins with it too.
func (t *TLSListener) Accept() (net.Conn, error) {
	nc, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &carrier{Conn: nc, listener: t}
	return &tlsConn{Conn: tls.Server(c, t.config), carrier: c}, nil
}

// Stats returns the counters.
func (t *TLSListener) Stats() TLSStats {
	return TLSStats{
		Done: t.done.Load(), Failed: t.failed.Load(), Refused: t.refused.Load(), Waiting: int(t.waiting.Load()),
	}
}

var errHandshakeQueue = errors.New("too many TLS handshakes are waiting, or this one waited too long")

// enter takes a slot for the costly part of a handshake: from its client hello, which has come whole, to the server's
// answer. Who holds a slot never waits for the network, so slow peers cannot use them up.
func (t *TLSListener) enter(c *carrier) error {
	select {
	case t.slots <- struct{}{}:
		c.holds = true
		return nil
	default:
	}
	defer t.waiting.Add(-1)
	if int(t.waiting.Add(1)) > t.o.MaxWaiting {
		t.refused.Add(1)
		return errHandshakeQueue
	}
	patience := time.NewTimer(t.o.HandshakeTimeout)
	defer patience.Stop()
	select {
	case t.slots <- struct{}{}:
		c.holds = true
		return nil
	case <-patience.C:
		t.refused.Add(1)
		return errHandshakeQueue
	}
}

// carrier is what a tls.Conn runs on: the TCP connection, until a Handler puts a sealer in between.
type carrier struct {
	net.Conn
	listener *TLSListener
	sealer   *sealer
	holds    bool // a slot; belongs to the goroutine that makes the handshake
	dead     bool // a write failed; guarded by crypto/tls, which writes one record at a time
}

func (c *carrier) Read(b []byte) (int, error) {
	if c.sealer != nil {
		return c.sealer.feed(b)
	}
	return c.Conn.Read(b)
}

func (c *carrier) Write(b []byte) (int, error) {
	if c.sealer != nil {
		return c.sealer.take(b)
	}
	c.leave()
	if c.dead { // else Close would wait five more seconds for a peer that does not read
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(b)
	c.dead = err != nil
	return n, err
}

// leave gives the slot back.
func (c *carrier) leave() {
	if c.holds {
		c.holds = false
		<-c.listener.slots
	}
}

// SetDeadline and its like do nothing once the line is open: crypto/tls sets them for its last alert, and a write that
// a deadline ends would be the end of the tls.Conn.
func (c *carrier) SetDeadline(t time.Time) error {
	if c.sealer != nil {
		return nil
	}
	return c.Conn.SetDeadline(t)
}

func (c *carrier) SetReadDeadline(t time.Time) error {
	if c.sealer != nil {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *carrier) SetWriteDeadline(t time.Time) error {
	if c.sealer != nil {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// tlsConn is what the listener returns: an ordinary connection with deadlines until a Handler seals it.
type tlsConn struct {
	*tls.Conn
	carrier *carrier
	head    headWatch
	tried   bool // the handshake
	failed  bool
}

// ConnectionState makes the handshake, if it was not made yet, and tells what was agreed. net/http calls it before it
// reads and fills http.Request.TLS with it.
func (c *tlsConn) ConnectionState() tls.ConnectionState {
	_ = c.handshake() // Read tells
	return c.Conn.ConnectionState()
}

// handshake is called before anything else, by one goroutine. A connection whose handshake fails is closed.
func (c *tlsConn) handshake() error {
	if c.tried {
		return nil
	}
	c.tried = true
	t := c.carrier.listener
	err := c.SetDeadline(time.Now().Add(t.o.HandshakeTimeout))
	if err == nil {
		err = c.Conn.Handshake()
		c.carrier.leave()
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err == nil {
		t.done.Add(1)
		return nil
	}
	t.failed.Add(1)
	c.failed = true
	var foreign tls.RecordHeaderError
	if errors.As(err, &foreign) && foreign.Conn != nil && looksLikeHTTP(foreign.RecordHeader) {
		refuse(http.StatusBadRequest, "this port speaks HTTPS: use https:// or wss://").writeTo(foreign.Conn)
	}
	_ = c.carrier.Conn.Close() // it is of no use any more
	return err
}

// looksLikeHTTP tells whether what came in place of a TLS record is the start of a request.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return strings.HasPrefix(string(head[:]), "PRI *")
}

func (c *tlsConn) Read(b []byte) (int, error) {
	if c.failed {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b)
	if !c.head.see(b[:n]) {
		return n, err
	}
	refuseHead(c.Conn)
	return 0, io.EOF
}

// CloseWrite says goodbye by TLS and by TCP.
func (c *tlsConn) CloseWrite() error {
	if err := c.Conn.CloseWrite(); err != nil {
		return err
	}
	if w, ok := c.carrier.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
