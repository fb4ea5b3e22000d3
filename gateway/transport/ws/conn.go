package ws

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"carillon/gateway/transport"
)

// Flags of a connection's life; none is ever taken back.
const (
	accepted uint32 = 1 << iota // the Inbox is there
	owing                       // a write was short before the Inbox was there
	ending                      // nothing is handed to the Inbox any more, the close time-out runs
	finished                    // everything is written, the peer's end is awaited
	gone                        // the reader is done, the socket closed
	panicked                    // the Inbox panicked
	broken                      // a write failed
)

// conn is one line. Its reader is the goroutine in serve; writers come from anywhere, one at a time. What a write needs
// stands at the beginning, in one cache line: with thousands of connections none of it is in the cache when their turn comes.
type conn struct {
	out     writer
	h       *Handler
	flags   atomic.Uint32
	waiters atomic.Int32 // goroutines that wait for room or flush
	socket  socket       // what out writes to in the end, if it is plain TCP

	inbox      transport.Inbox
	nc         net.Conn
	sealer     *sealer // which out is, nil without TLS
	timer      atomic.Pointer[time.Timer]
	prev, next *conn // list of the Handler, under its mu

	protocol, token, remote string

	reader
	grown     bool  // something was handled since the reader's goroutine began
	parks     uint8 // after the first messages, up to shedLast
	spokeAt   int64 // when the reader last came to park after a message, ns of the Handler's clock
	parser    parser
	controls  int32 // control frames since the last message
	since     int64 // ns of the Handler's clock when counting began
	peerCause error // what the peer said in its close frame
}

// writer is a way to write without blocking.
type writer interface {
	// write is Conn.Write; full says that resume shall be called.
	write(bufs [][]byte) (n int, full bool, err error)
	// await returns when there is room, nil, or when the line is gone.
	await() error
	// finish closes the line for writing once all is written.
	finish()
}

// Write implements transport.Conn.
func (c *conn) Write(bufs [][]byte) (int, error) {
	n, full, err := c.out.write(bufs)
	c.h.out.Add(uint64(n))
	if err != nil {
		c.setFlag(broken)
		return n, transport.ErrClosed
	}
	if full && c.setFlag(owing)&accepted != 0 {
		c.wait()
	}
	return n, nil
}

// Near reads what a write will need first, see Outlet.Near.
func (c *conn) Near() uint32 { return c.flags.Load() }

// setFlag sets a flag and returns what was set before.
func (c *conn) setFlag(f uint32) uint32 { return c.flags.Or(f) }

func (c *conn) is(f uint32) bool { return c.flags.Load()&f != 0 }

// wait starts the goroutine that calls Writable, unless the line is gone.
func (c *conn) wait() {
	c.waiters.Add(1)
	if c.is(gone) {
		c.leave()
		return
	}
	go c.waitWritable()
}

func (c *conn) waitWritable() {
	defer c.leave()
	if c.out.await() == nil {
		c.guard(c.inbox.Writable)
	}
}

// leave counts a waiter out and wakes a reader that waits for the last one.
func (c *conn) leave() {
	if c.waiters.Add(-1) == 0 && c.is(gone) {
		c.h.mu.Lock()
		c.h.left.Broadcast()
		c.h.mu.Unlock()
	}
}

// guard keeps a panic of the Inbox at this connection.
func (c *conn) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			c.h.panicked(v)
			c.setFlag(panicked)
			c.cut()
		}
	}()
	f()
}

// panicked counts a panic, and tells of it while its stack is still there.
func (h *Handler) panicked(v any) {
	h.panics.Add(1)
	if h.o.Panicked != nil {
		h.o.Panicked(v)
	}
}

// Info implements transport.Conn.
func (c *conn) Info() transport.Info {
	return transport.Info{Kind: "ws", Protocol: c.protocol, Token: c.token, Remote: c.remote, Framing: Framing{}}
}

// Ending implements transport.Ender: the close frame is queued.
func (c *conn) Ending() {
	if c.setFlag(ending)&ending == 0 {
		t := time.AfterFunc(c.h.o.CloseTimeout, c.cut)
		c.timer.Store(t)
		if c.is(gone) {
			t.Stop()
		}
	}
}

// Close implements transport.Conn. The peer gets the time-out to read what was written and to hang up; it is heard
// no more.
func (c *conn) Close() {
	c.Ending()
	if c.setFlag(finished)&(finished|gone) == 0 {
		c.out.finish()
	}
}

// cut ends the TCP connection at once and makes the kernel forget what a peer that does not read left in it.
func (c *conn) cut() {
	if l, ok := c.nc.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // fails only if the socket is gone already
	}
	c.kill()
}

// kill closes the TCP connection, of which nothing is expected any more.
func (c *conn) kill() {
	if c.socket.plain() {
		c.socket.shut()
		return
	}
	_ = c.nc.Close()
}

// start makes in the Inbox of the connection.
func (c *conn) start(in transport.Inbox) {
	c.inbox = in
	if c.setFlag(accepted)&owing != 0 {
		c.wait()
	}
}

// serve reads until the end. glued are bytes that came with the handshake.
func (c *conn) serve(glued []byte) {
	err := c.read(glued)
	if err == errShed {
		go c.serve(nil)
		return
	}
	c.setFlag(gone)
	if t := c.timer.Load(); t != nil {
		t.Stop()
	}
	c.kill()
	c.parser.release()
	if c.sealer != nil {
		c.sealer.release()
	}
	c.h.awaitWaiters(c)
	c.guard(func() { c.inbox.Closed(err) })
	c.h.remove(c)
}

const (
	shedFirst = 1               // messages after which the stack is kept: connect is followed by subscribe
	shedLast  = 3               // messages after which it was shed at once: then comes a long silence
	shedQuiet = 5 * time.Second // of a peer, before a message after which the stack is shed: it speaks seldom
)

// errShed says that the reader is to go on in a new goroutine. A stack that a message has grown never shrinks below
// 4 KiB; a reader that has nothing to do waits in a new one of 2 KiB.
var errShed = errors.New("reader sheds its stack")

// shed tells whether the reader, which is about to park, is to shed its stack. To grow it again costs as much as a
// handful of messages, so it stays with a peer that speaks often.
func (c *conn) shed() bool {
	if !c.grown {
		return false
	}
	now := c.h.clock()
	quiet := now-c.spokeAt >= int64(shedQuiet)
	c.spokeAt = now
	switch {
	case c.parks < shedFirst:
		c.parks++
		return false
	case c.parks < shedLast:
		c.parks++
	case !quiet:
		return false
	}
	c.grown = false
	return true
}

// read feeds the parser until the line ends and returns the cause as Inbox.Closed wants it.
func (c *conn) read(glued []byte) error {
	c.h.in.Add(uint64(len(glued)))
	cause := c.take(glued)
	for cause == nil {
		if cause = c.receive(); cause == nil {
			c.grown = true
			c.h.in.Add(uint64(len(c.got())))
			cause = c.take(c.got())
			c.give()
		}
	}
	if cause == errShed {
		return cause
	}
	c.grown = false
	c.end(cause)
	for c.receive() == nil { // what comes after the end is heard by nobody
		c.give()
	}
	var told *transport.CloseError
	switch {
	case errors.Is(cause, errStopped):
		return c.peerCause
	case errors.As(cause, &told):
		return told
	case c.is(panicked):
		return violation(codeInternal, "internal error")
	case !c.is(ending):
		return cause
	case c.is(broken):
		return io.ErrUnexpectedEOF
	}
	return nil
}

// receive waits for bytes; got returns them and give ends their use.
func (c *conn) receive() error {
	if c.sealer == nil {
		return c.receiveRaw()
	}
	err := c.sealer.receive()
	if err != nil && err != errShed && c.is(ending) {
		_ = c.sealer.await() // what counts as written still goes out, to a peer that has closed only its own side
	}
	return err
}

// take parses b. A panic of the Inbox ends the line.
func (c *conn) take(b []byte) (cause error) {
	defer func() {
		if v := recover(); v != nil {
			c.h.panicked(v)
			c.setFlag(panicked)
			cause = violation(codeInternal, "internal error")
		}
	}()
	if c.is(ending) {
		return errEnded
	}
	return c.parser.feed(b, &c.h.o, c)
}

// errEnded says that our own side ends the line.
var errEnded = errors.New("line is ended here")

// end tells the peer why the line ends, if it is still there and was not told already.
func (c *conn) end(cause error) {
	var told *transport.CloseError
	switch {
	case errors.Is(cause, errStopped), errors.Is(cause, errEnded):
		return // the answer is queued
	case errors.As(cause, &told):
		c.Ending()
		c.guard(func() { c.inbox.Control(Framing{}.AppendClose(nil, told.Code, told.Reason), true) })
	default: // the socket failed
		c.kill()
	}
}

// message implements events.
func (c *conn) message(b []byte, bin bool) error {
	if c.is(ending) {
		return errEnded
	}
	c.controls = 0
	err := c.inbox.Message(b, bin)
	if c.is(ending) {
		return errEnded
	}
	if err == nil {
		return nil
	}
	var told *transport.CloseError
	if errors.As(err, &told) {
		return told
	}
	return violation(codeInternal, "internal error")
}

// ping implements events.
func (c *conn) ping(payload []byte) error {
	if err := c.count(); err != nil {
		return err
	}
	c.inbox.Alive()
	c.inbox.Control(append(appendHeader(make([]byte, 0, 2+len(payload)), finBit|opPong, len(payload)), payload...), false)
	return nil
}

// pong implements events.
func (c *conn) pong() error {
	if err := c.count(); err != nil {
		return err
	}
	c.inbox.Alive()
	return nil
}

// count bounds control frames. The clock is asked only once per MaxControl frames.
func (c *conn) count() error {
	if c.is(ending) {
		return errEnded
	}
	if c.controls++; int(c.controls) < c.h.o.MaxControl {
		return nil
	}
	now := c.h.clock()
	if now-c.since < int64(time.Second) {
		return violation(codePolicy, "too many control frames")
	}
	c.controls, c.since = 0, now
	return nil
}

// closing implements events: the peer's close frame is answered with its own code.
func (c *conn) closing(payload []byte) error {
	if c.is(ending) {
		return errStopped
	}
	code := codeNone
	switch {
	case len(payload) == 1:
		return violation(codeProtocol, "close frame of one byte")
	case len(payload) > 1:
		code = int(binary.BigEndian.Uint16(payload))
		if !mayBeSent(code) {
			return violation(codeProtocol, "invalid close code")
		}
		if !utf8.Valid(payload[2:]) {
			return violation(codeInvalid, "close reason is not UTF-8")
		}
	}
	answer := code
	switch code {
	case codeNormal, codeGoingAway:
	case codeNone:
		answer = 0
	default:
		c.peerCause = &transport.CloseError{Code: code, Reason: string(payload[2:])}
	}
	c.Ending()
	c.inbox.Control(Framing{}.AppendClose(nil, answer, ""), true)
	return errStopped
}

// hangup is the cause of an end without a close frame.
func hangup(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
