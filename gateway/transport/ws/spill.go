package ws

import (
	"net"
	"sync"
)

const (
	readBytes  = 16 << 10 // of a read buffer
	spillBytes = 64 << 10 // a spill holds, and takes only while it is empty
)

var (
	readBuffers = sync.Pool{New: func() any { b := make([]byte, readBytes); return &b }}
	spills      = sync.Pool{New: func() any { b := make([]byte, 0, spillBytes); return &b }}
)

// spill writes to a connection that cannot be asked to write without blocking (an in-memory pipe): bytes are copied
// into a buffer that a goroutine of their own carries out.
type spill struct {
	c *conn

	mu    sync.Mutex
	empty sync.Cond // on mu
	buf   *[]byte   // nil while empty
	done  bool      // finish was called
	err   error
}

func newSpill(c *conn) *spill {
	s := &spill{c: c}
	s.empty.L = &s.mu
	return s
}

func (s *spill) write(bufs [][]byte) (n int, full bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buf != nil {
		return 0, true, nil
	}
	s.c.waiters.Add(1)
	if s.err != nil || s.c.is(gone) {
		s.c.leave()
		return 0, false, net.ErrClosed
	}
	s.buf = spills.Get().(*[]byte)
	b := *s.buf
	for _, p := range bufs {
		k := min(len(p), spillBytes-len(b))
		b = append(b, p[:k]...)
		n += k
		full = full || k < len(p)
	}
	*s.buf = b
	go s.flush(b)
	return n, full, nil
}

func (s *spill) flush(b []byte) {
	defer s.c.leave()
	_, err := s.c.nc.Write(b)
	s.mu.Lock()
	*s.buf = b[:0]
	spills.Put(s.buf)
	s.buf, s.err = nil, err
	done := s.done
	s.empty.Broadcast()
	s.mu.Unlock()
	if err != nil || done {
		s.hangUp(err)
	}
}

func (s *spill) await() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.buf != nil {
		s.empty.Wait()
	}
	return s.err
}

func (s *spill) finish() {
	s.mu.Lock()
	s.done = true
	now, err := s.buf == nil, s.err
	s.mu.Unlock()
	if !now {
		return // flush does it
	}
	s.c.waiters.Add(1)
	if s.c.is(gone) {
		s.c.leave()
		return
	}
	go func() { // a connection may have a goodbye of its own to write
		defer s.c.leave()
		s.hangUp(err)
	}()
}

// hangUp closes for writing where the line can do that, else all of it.
func (s *spill) hangUp(err error) {
	if h, ok := s.c.nc.(interface{ CloseWrite() error }); ok && err == nil {
		_ = h.CloseWrite() // fails only if the line is gone
		return
	}
	_ = s.c.nc.Close() // the same
}

// receiveAny reads a connection that does not tell when it is readable.
func (c *conn) receiveAny() error {
	c.buf = readBuffers.Get().(*[]byte)
	n, err := c.nc.Read(*c.buf)
	if c.n = n; n > 0 {
		return nil // err comes again with the next read
	}
	c.give()
	return hangup(err)
}

func (c *conn) got() []byte { return (*c.buf)[:c.n] }

func (c *conn) give() {
	if c.buf != nil {
		readBuffers.Put(c.buf)
		c.buf = nil
	}
}
