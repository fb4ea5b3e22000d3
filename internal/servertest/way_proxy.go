package servertest

import (
	"context"
	"net"
	"sync"
)

// holder is a proxy that holds back what goes in a direction that is cut, ends of lines included, and hands it on once it
// is healed. Meanwhile the buffers of the kernel fill, as they do with packets that are lost.
type holder struct {
	server string
	listen net.Listener
	done   sync.WaitGroup
	up     gate // of requests
	down   gate // of replies

	mu     sync.Mutex
	closed bool
	lines  map[net.Conn]struct{}
}

// gate holds up whoever passes while it is shut.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open != nil {
		close(g.open)
		g.open = nil
	}
}

// pass returns once the gate is open.
func (g *gate) pass() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open != nil {
		<-open
	}
}

func newHolder(server string) (*holder, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &holder{server: server, listen: l, lines: map[net.Conn]struct{}{}}
	h.done.Go(h.accept)
	return h, nil
}

func (h *holder) address() string { return h.listen.Addr().String() }

func (h *holder) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", h.address())
}

func (h *holder) cut(d Direction) error {
	if d&Requests != 0 {
		h.up.shut()
	}
	if d&Replies != 0 {
		h.down.shut()
	}
	return nil
}

func (h *holder) heal() error {
	h.up.lift()
	h.down.lift()
	return nil
}

func (h *holder) close() {
	_ = h.listen.Close()
	h.mu.Lock()
	h.closed = true
	for c := range h.lines {
		_ = c.Close()
	}
	h.mu.Unlock()
	_ = h.heal()
	h.done.Wait()
}

func (h *holder) accept() {
	for {
		near, err := h.listen.Accept()
		if err != nil {
			return
		}
		h.done.Go(func() { h.carry(near) })
	}
}

// carry takes a line to the server. A handshake needs both directions.
func (h *holder) carry(near net.Conn) {
	defer h.forget(near)
	if !h.keep(near) {
		return
	}
	h.up.pass()
	h.down.pass()
	far, err := fromHost().Dial("tcp4", h.server)
	if err != nil {
		return
	}
	defer h.forget(far)
	if !h.keep(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { transfer(far, near, &h.up) })
	both.Go(func() { transfer(near, far, &h.down) })
	both.Wait()
}

// transfer carries one direction to its end.
func transfer(dst, src net.Conn, g *gate) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		g.pass()
		if n > 0 {
			if _, failed := dst.Write(buf[:n]); failed != nil {
				_ = src.Close() // for whoever sends what nobody takes any more
				return
			}
		}
		if err != nil {
			_ = dst.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

// keep has close end a connection; false if it is over already.
func (h *holder) keep(c net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines[c] = struct{}{}
	return !h.closed
}

func (h *holder) forget(c net.Conn) {
	h.mu.Lock()
	delete(h.lines, c)
	h.mu.Unlock()
	_ = c.Close()
}
