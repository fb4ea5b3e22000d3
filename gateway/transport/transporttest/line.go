package transporttest

import (
	"errors"
	"sync/atomic"
	"testing"

	"carillon/gateway/transport"
)

// message is one that a line received.
type message struct {
	b      []byte
	binary bool
}

// line is the near end: an Inbox that notes what it is told and checks that it is told properly.
type line struct {
	t         testing.TB
	conn      transport.Conn
	out       transport.Outlet
	onMessage func(b []byte) error // set within accept

	messages chan message
	alive    chan struct{}
	writable chan struct{}
	closed   chan error
	reading  atomic.Bool // the reader's goroutine is in a call
	over     atomic.Bool
}

const (
	outletBytes = 64 << 20
	kept        = 1000 // events that wait to be looked at
)

func newLine(t *testing.T, open Open) (*line, Peer) {
	return newLineWith(t, open, func(*line) {})
}

// newLineWith calls first within accept.
func newLineWith(t *testing.T, open Open, first func(*line)) (*line, Peer) {
	t.Helper()
	l := &line{
		t: t, messages: make(chan message, kept), alive: make(chan struct{}, kept),
		writable: make(chan struct{}, kept), closed: make(chan error, 1),
	}
	accepted := make(chan struct{})
	p := open(t, func(c transport.Conn) transport.Inbox {
		defer close(accepted)
		l.conn = c
		l.out.Init(c, l, outletBytes)
		first(l)
		return l
	})
	<-accepted
	return l, p
}

func (l *line) framing() transport.Framing { return l.conn.Info().Framing }

func (l *line) frame(payload []byte, binary bool) []byte {
	return l.framing().AppendMessage(nil, payload, binary)
}

// enter notes a call of the reader's goroutine.
func (l *line) enter(call string) func() {
	if l.over.Load() {
		l.t.Errorf("%s after Closed", call)
	}
	if l.reading.Swap(true) {
		l.t.Errorf("%s overlaps another call of the reader", call)
	}
	return func() { l.reading.Store(false) }
}

func (l *line) Message(b []byte, binary bool) error {
	defer l.enter("Message")()
	l.messages <- message{append([]byte(nil), b...), binary}
	clear(b) // valid only during the call: the transport must not count on it
	if l.onMessage != nil {
		return l.onMessage(b)
	}
	return nil
}

func (l *line) Control(frame []byte, last bool) {
	defer l.enter("Control")()
	l.out.Control(frame, last)
}

func (l *line) Alive() { l.alive <- struct{}{} }

func (l *line) Writable() {
	if l.over.Load() {
		l.t.Error("Writable after Closed")
	}
	l.writable <- struct{}{}
	l.out.Writable()
}

func (l *line) Closed(err error) {
	defer l.enter("Closed")()
	l.over.Store(true)
	l.out.Shut()
	l.closed <- err
}

// Begin, Gather, Wrote and Again make the line a Source that has nothing to say; who came to Again goes on.
func (l *line) Begin()                                      {}
func (l *line) Gather(dst [][]byte, _ int) ([][]byte, bool) { return dst, false }
func (l *line) Wrote(int) []byte                            { return nil }
func (l *line) Again()                                      { l.out.Resume() }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code int, reason string) {
	t.Helper()
	var told *transport.CloseError
	if !errors.As(err, &told) || told.Code != code || told.Reason != reason {
		t.Fatalf("got %v, want code %d, %q", err, code, reason)
	}
}
