package ws

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"carillon/gateway/transport"
	"carillon/observe"
)

// Accept makes the Inbox of a new line. It may write to the Conn already; nil refuses the line.
type Accept func(transport.Conn) transport.Inbox

// Handler upgrades requests and owns the connections that come of them.
type Handler struct {
	o      Options
	accept Accept
	born   time.Time

	origins atomic.Pointer[[]string] // replaces those of o; nil: it does not

	opened  atomic.Uint64
	refused [refusals]atomic.Uint64
	panics  atomic.Uint64
	in, out observe.Counter // bytes after the handshake

	mu    sync.Mutex // guards the fields below
	left  sync.Cond  // on mu: a waiter of a dead connection is done, or a connection is
	first *conn
	open  int
	ended bool // no new connections
}

// Stats are counters of a Handler since it was made; Open is the present number of connections.
type Stats struct {
	Open    int
	Opened  uint64
	Refused uint64           // handshakes
	Why     [refusals]uint64 // they were refused, by Refusal
	Panics  uint64           // of an Inbox; each ended its connection
	In, Out uint64           // bytes of frames
}

// New returns a Handler whose lines are served by what accept makes of them.
func New(o Options, accept Accept) *Handler {
	h := &Handler{o: o.withDefaults(), accept: accept, born: time.Now()}
	h.left.L = &h.mu
	return h
}

// ServeHTTP upgrades the request, or refuses it with a status and a sentence.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.Upgrade(w, r, h.accept) }

// Upgrade is ServeHTTP with an Accept of its own. It returns once the line is open; the line outlives it.
func (h *Handler) Upgrade(w http.ResponseWriter, r *http.Request, accept Accept) {
	off, no := h.negotiate(r)
	if no != nil {
		h.refused[no.why()].Add(1)
		for k, v := range no.header {
			w.Header()[k] = v
		}
		http.Error(w, no.text, no.status)
		return
	}
	if own, ok := w.(*handshake); ok {
		own.line = h.openNow(own.nc, off, r.RemoteAddr, accept)
		own.lost = own.line == nil
		return
	}
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		h.refused[RefusedOther].Add(1)
		http.Error(w, "this connection cannot be upgraded", http.StatusInternalServerError)
		return
	}
	_ = h.open101(bare(nc), rw.Reader, off, r.RemoteAddr, accept) // there is nobody to tell
}

// negotiate checks the handshake, and whether it is welcome.
func (h *Handler) negotiate(r *http.Request) (offer, *refusal) {
	h.mu.Lock()
	ended := h.ended
	h.mu.Unlock()
	if ended {
		return offer{}, refuse(http.StatusServiceUnavailable, "this server is shutting down")
	}
	o := h.options()
	return o.negotiate(r)
}

// ServeConn does the whole handshake on nc, which it owns from now on, and returns once the line is open or refused.
func (h *Handler) ServeConn(nc net.Conn) error {
	if secure, ok := nc.(*tlsConn); ok {
		if err := secure.handshake(); err != nil {
			h.refused[RefusedOther].Add(1)
			return err
		}
	}
	if err := nc.SetDeadline(time.Now().Add(h.o.HandshakeTimeout)); err != nil {
		return err
	}
	br := bufio.NewReaderSize(nc, maxHeadBytes)
	r, no := readRequest(br)
	var off offer
	if no == nil {
		off, no = h.negotiate(r)
	}
	if no != nil {
		h.refused[no.why()].Add(1)
		no.writeTo(nc)
		hangUp(nc, h.o.CloseTimeout)
		return no
	}
	return h.open101(nc, br, off, nc.RemoteAddr().String(), h.accept)
}

// hangUp closes a connection so that the peer gets to read what was written: bytes that it sent and nobody read would
// make the kernel throw that away.
func hangUp(nc net.Conn, patience time.Duration) {
	defer nc.Close()
	w, ok := nc.(interface{ CloseWrite() error })
	if !ok || w.CloseWrite() != nil || nc.SetDeadline(time.Now().Add(patience)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, nc, 16*maxHeadBytes) // ends with the peer's end, the deadline or the bound
}

// open101 answers the handshake and starts the line. What br holds is read first.
func (h *Handler) open101(nc net.Conn, br *bufio.Reader, off offer, remote string, accept Accept) error {
	if err := nc.SetDeadline(time.Now().Add(h.o.HandshakeTimeout)); err != nil {
		_ = nc.Close() // dead already
		return err
	}
	_, err := nc.Write(off.answer())
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = nc.Close() // the same
		return err
	}
	var glued []byte
	if n := br.Buffered(); n > 0 {
		held, _ := br.Peek(n) // cannot fail: n bytes are there
		glued = append(glued, held...)
	}
	return h.adopt(nc, glued, off, remote, accept)
}

// openNow is open101 for a Front, whose goroutine goes on as the line's reader; nil: the connection is of no use.
func (h *Handler) openNow(nc net.Conn, off offer, remote string, accept Accept) *conn {
	_, err := nc.Write(off.answer()) // never waits, for it is the first
	if err == nil {
		err = nc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil
	}
	c, err := h.begin(nc, off, remote, accept)
	if err != nil {
		return nil
	}
	return c
}

// Adopt serves a connection whose handshake is done already. It owns nc from now on.
func (h *Handler) Adopt(nc net.Conn, protocol, token string) error {
	return h.adopt(nc, nil, offer{protocol: protocol, token: token}, nc.RemoteAddr().String(), h.accept)
}

func (h *Handler) adopt(nc net.Conn, glued []byte, off offer, remote string, accept Accept) error {
	c, err := h.begin(nc, off, remote, accept)
	if err == nil {
		go c.serve(glued)
	}
	return err
}

// begin makes a line whose serve is to be called.
func (h *Handler) begin(nc net.Conn, off offer, remote string, accept Accept) (*conn, error) {
	secure, _ := nc.(*tlsConn)
	if secure != nil {
		nc = secure.carrier.Conn
	}
	c := &conn{h: h, nc: nc, since: h.clock(), protocol: off.protocol, token: off.token, remote: remote}
	if err := c.socket.tune(nc); err != nil {
		_ = nc.Close() // dead already
		return nil, err
	}
	if c.socket.plain() {
		c.out = &c.socket
	} else {
		c.out = newSpill(c)
	}
	if secure != nil {
		c.sealer = secure.seal(c, c.out)
		c.out = c.sealer
	}
	c.openReader()
	if !h.add(c) {
		c.kill() // we are leaving
		return nil, transport.ErrClosed
	}
	var in transport.Inbox
	c.guard(func() { in = accept(c) })
	if in == nil {
		c.setFlag(gone)
		c.cut()
		h.awaitWaiters(c)
		h.remove(c)
		return nil, transport.ErrClosed
	}
	c.start(in)
	return c, nil
}

// clock returns ns since the Handler was made.
func (h *Handler) clock() int64 { return int64(time.Since(h.born)) }

func (h *Handler) add(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	if c.next = h.first; c.next != nil {
		c.next.prev = c
	}
	h.first = c
	h.open++
	h.opened.Add(1)
	return true
}

func (h *Handler) remove(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		h.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	if h.open--; h.open == 0 {
		h.left.Broadcast()
	}
}

// awaitWaiters returns when no goroutine but the reader runs for c any more.
func (h *Handler) awaitWaiters(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c.waiters.Load() > 0 {
		h.left.Wait()
	}
}

// Stats returns the counters.
func (h *Handler) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Stats{Open: h.open, Opened: h.opened.Load(), Panics: h.panics.Load(), In: h.in.Load(), Out: h.out.Load()}
	for i := range h.refused {
		s.Why[i] = h.refused[i].Load()
		s.Refused += s.Why[i]
	}
	return s
}

// Shutdown refuses new connections and returns when all have ended; those that have not when ctx does are cut.
func (h *Handler) Shutdown(ctx context.Context) error {
	stop := context.AfterFunc(ctx, h.cutAll)
	defer stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for h.open > 0 {
		h.left.Wait()
	}
	return ctx.Err()
}

// Close cuts all connections, refuses new ones and returns when the last has told its Inbox.
func (h *Handler) Close() {
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	h.cutAll()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.open > 0 {
		h.left.Wait()
	}
}

func (h *Handler) cutAll() {
	h.mu.Lock()
	all := make([]*conn, 0, h.open)
	for c := h.first; c != nil; c = c.next {
		all = append(all, c)
	}
	h.ended = true
	h.mu.Unlock()
	for _, c := range all {
		c.cut()
	}
}
