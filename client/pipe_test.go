package client

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// pipes is a network in memory: what a client dials, a test accepts. It works in a synctest bubble.
type pipes struct {
	accepted chan net.Conn
	refuse   func() error // asked before each dial, if not nil
	plan     func() plan  // of the next line, if not nil

	mu    sync.Mutex
	dials int
	lines []*pipe
}

// plan is what becomes of a line.
type plan struct {
	rnd   *rand.Rand    // of partial reads; nil: reads take what is there
	delay time.Duration // at most so long before what is written arrives
	cut   [2]int        // bytes after which the line breaks, up and down; 0: never
	rst   bool          // what is on its way is lost with it
	hush  bool          // instead of breaking, it carries nothing any more
}

func newPipes() *pipes { return &pipes{accepted: make(chan net.Conn)} }

func (n *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	n.mu.Unlock()
	if n.refuse != nil {
		if err := n.refuse(); err != nil {
			return nil, err
		}
	}
	var p plan
	if n.plan != nil {
		p = n.plan()
	}
	line := newPipe(p)
	select {
	case n.accepted <- line.end(1):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	n.lines = append(n.lines, line)
	n.mu.Unlock()
	return line.end(0), nil
}

func (n *pipes) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

// pipe is a line with a buffer in each direction. Direction 0 is up, from the client.
type pipe struct {
	plan plan

	mu     sync.Mutex
	moved  sync.Cond
	buf    [2][]byte
	passed [2]int
	closed [2]bool // by the writing end
	broken bool
	hushed bool
}

// pipeBuffer is what a direction takes before its writer waits, in bytes.
const pipeBuffer = 64 << 10

var errBroken = errors.New("connection reset by the test")

func newPipe(p plan) *pipe {
	x := &pipe{plan: p}
	x.moved.L = &x.mu
	return x
}

func (x *pipe) end(side int) *pipeEnd { return &pipeEnd{x, side} }

// pipeEnd is one end of a pipe: side 0 is the client's.
type pipeEnd struct {
	*pipe
	side int
}

func (e *pipeEnd) Read(b []byte) (int, error) {
	from := 1 - e.side
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.buf[from]) == 0 {
		switch {
		case e.broken, e.closed[e.side]:
			return 0, errBroken
		case e.closed[from]:
			return 0, io.EOF
		}
		e.moved.Wait()
	}
	n := len(b)
	if e.plan.rnd != nil {
		n = min(n, 1+e.plan.rnd.IntN(700))
	}
	n = copy(b[:n], e.buf[from])
	e.buf[from] = e.buf[from][n:]
	e.moved.Broadcast()
	return n, nil
}

func (e *pipeEnd) Write(b []byte) (int, error) {
	if d := e.pause(); d > 0 {
		time.Sleep(d)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for n := 0; ; {
		switch {
		case e.broken, e.closed[e.side], e.closed[1-e.side]:
			return n, errBroken
		case n == len(b):
			return n, nil
		case e.hushed:
			return len(b), nil
		}
		room := min(pipeBuffer-len(e.buf[e.side]), len(b)-n)
		if limit := e.plan.cut[e.side]; limit > 0 {
			room = min(room, limit-e.passed[e.side])
		}
		e.buf[e.side] = append(e.buf[e.side], b[n:n+room]...)
		e.passed[e.side] += room
		n += room
		e.moved.Broadcast()
		switch {
		case e.plan.cut[e.side] > 0 && e.passed[e.side] >= e.plan.cut[e.side]:
			e.snap()
		case room == 0:
			e.moved.Wait()
		}
	}
}

func (e *pipeEnd) pause() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.plan.rnd == nil || e.plan.delay == 0 {
		return 0
	}
	return time.Duration(e.plan.rnd.Int64N(int64(e.plan.delay)))
}

// snap breaks the line as planned; mu is held.
func (x *pipe) snap() {
	if x.plan.hush {
		x.hushed = true
		return
	}
	x.broken = true
	if x.plan.rst {
		x.buf = [2][]byte{}
	}
	x.moved.Broadcast()
}

// cut breaks the line now.
func (x *pipe) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.broken = true
	x.moved.Broadcast()
}

// hush lets the line carry nothing any more, without telling.
func (x *pipe) hush() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hushed = true
}

func (e *pipeEnd) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed[e.side] = true
	e.moved.Broadcast()
	return nil
}

func (e *pipeEnd) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (e *pipeEnd) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (e *pipeEnd) SetDeadline(time.Time) error      { return nil }
func (e *pipeEnd) SetReadDeadline(time.Time) error  { return nil }
func (e *pipeEnd) SetWriteDeadline(time.Time) error { return nil }
