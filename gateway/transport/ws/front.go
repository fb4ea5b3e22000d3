package ws

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Front stands between a listener and an http.Server, which accepts from it. Connections that begin with a plain
// WebSocket handshake for its path, all of it in the first bytes that arrive, it answers itself: the handler sees the
// request as net/http would show it, and a line that it opens goes on in the same goroutine, which saves most of what
// a connection costs. All others net/http gets with every byte they sent, and with StrictLines around them.
type Front struct {
	l        net.Listener
	path     string
	h        http.Handler
	patience time.Duration
	passed   chan net.Conn
	failed   chan error
	ctx      context.Context // of the handshakes; ends with Close
	stop     context.CancelFunc
	all      sync.WaitGroup

	mu     sync.Mutex
	looked map[net.Conn]struct{} // at; without those whose line is open
}

// NewFront accepts from l, which it owns, until Close. Handshakes for path go to h, whose ResponseWriter is known to
// Handler.Upgrade; patience is how long a connection may take to send its head, in all.
func NewFront(l net.Listener, path string, h http.Handler, patience time.Duration) *Front {
	f := &Front{
		l: l, path: path, h: h, patience: patience,
		passed: make(chan net.Conn), failed: make(chan error), looked: make(map[net.Conn]struct{}),
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.all.Go(f.run)
	return f
}

// Addr implements net.Listener.
func (f *Front) Addr() net.Addr { return f.l.Addr() }

// Accept returns the next connection that is not for the Front itself.
func (f *Front) Accept() (net.Conn, error) {
	select {
	case nc := <-f.passed:
		return nc, nil
	case err := <-f.failed:
		return nil, err
	case <-f.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends handshakes under way and returns when none is left. Lines that are open stay. It may be called twice.
func (f *Front) Close() error {
	f.stop()
	err := f.l.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	f.mu.Lock()
	for nc := range f.looked {
		_ = nc.SetDeadline(time.Unix(1, 0)) // it may be gone
	}
	f.mu.Unlock()
	f.all.Wait()
	return err
}

// run accepts. After an error it waits until the http.Server, which knows what to do about it, has heard of it.
func (f *Front) run() {
	for {
		nc, err := f.l.Accept()
		if err != nil {
			select {
			case f.failed <- err:
				continue
			case <-f.ctx.Done():
				return
			}
		}
		if f.enter(nc) {
			go f.look(nc)
		}
	}
}

// enter counts a connection in, unless the Front is closed.
func (f *Front) enter(nc net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		_ = nc.Close() // nothing was said yet
		return false
	}
	f.looked[nc] = struct{}{}
	f.all.Add(1)
	return true
}

// leave counts a connection out: the goroutine that looks at it ends, or has another owner.
func (f *Front) leave(nc net.Conn) {
	f.mu.Lock()
	delete(f.looked, nc)
	f.mu.Unlock()
	f.all.Done()
}

const frontBytes = 4 << 10 // of a head that is looked at; a longer one is for net/http

var frontBuffers = sync.Pool{New: func() any { return new([frontBytes]byte) }}

// look reads the first bytes of a connection and decides whose it is.
func (f *Front) look(nc net.Conn) {
	by := time.Now().Add(f.patience)
	buf := frontBuffers.Get().(*[frontBytes]byte)
	n, err := 0, nc.SetReadDeadline(by)
	if err == nil && f.ctx.Err() == nil { // Close moves the deadline after it has ended ctx
		n, err = nc.Read(buf[:])
	}
	var line *conn
	var glued []byte
	switch r, rest := parseHandshake(buf[:n], f.path); {
	case n == 0 || err != nil:
		_ = nc.Close() // nothing was said
	case r == nil:
		f.pass(&strictConn{Conn: nc, early: append([]byte(nil), buf[:n]...), by: by})
	default:
		glued = append(glued, rest...)
		line = f.answer(nc, r)
	}
	frontBuffers.Put(buf)
	f.leave(nc)
	if line != nil {
		line.serve(glued)
	}
}

// pass gives a connection to the http.Server.
func (f *Front) pass(c *strictConn) {
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		_ = c.Close() // dead already
		return
	}
	select {
	case f.passed <- c:
	case <-f.ctx.Done():
		_ = c.Close() // nothing was answered
	}
}

// answer has the handler answer a handshake. It returns the line that came of it, nil if it was refused.
func (f *Front) answer(nc net.Conn, r *http.Request) *conn {
	w := &handshake{nc: nc}
	ctx := &presence{Context: f.ctx, nc: nc}
	r.RemoteAddr = nc.RemoteAddr().String()
	w.aborted = true
	func() {
		defer func() { _ = recover() }() // the handler has told of it; as in net/http the connection ends
		f.h.ServeHTTP(w, r.WithContext(ctx))
		w.aborted = false
	}()
	ctx.release()
	switch {
	case w.line != nil:
		return w.line
	case w.aborted || w.lost:
		_ = nc.Close() // there is nobody to tell
	default:
		w.refuse(r)
	}
	return nil
}

// presence is the context of a handshake: it ends with the peer's line, but looks at that only where somebody waits.
type presence struct {
	context.Context
	nc   net.Conn
	once sync.Once
	gone context.Context
	end  context.CancelFunc
	done sync.WaitGroup
}

// Done implements context.Context.
func (p *presence) Done() <-chan struct{} {
	p.once.Do(func() {
		p.gone, p.end = context.WithCancel(p.Context)
		_ = p.nc.SetReadDeadline(time.Time{}) // that of the head; release sets the last
		p.done.Go(func() {
			if hasEnded(p.nc) {
				p.end()
			}
		})
	})
	return p.gone.Done()
}

// Err implements context.Context.
func (p *presence) Err() error {
	if p.end != nil {
		return p.gone.Err()
	}
	return p.Context.Err()
}

// release ends the look at the line; the handler has returned.
func (p *presence) release() {
	if p.end != nil {
		_ = p.nc.SetReadDeadline(time.Unix(1, 0)) // fails only if the line is gone, and then nobody looks
		p.done.Wait()
		_ = p.nc.SetReadDeadline(time.Time{}) // the same
		p.end()
	}
}
