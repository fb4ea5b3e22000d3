// Package session is one client's conversation: hello, subscribe, publish, command, history, heartbeat, farewell. A
// Session stands between a transport.Conn and the hub; requests that concern other clients go through Backend. It knows no
// journal, no bus and no other session, never blocks a writer, and holds no goroutine of its own.
// Start with Server.Accept, then Session.Message (up) and Session.Gather (down).
package session

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/gateway/hub"
	"carillon/gateway/limit"
	"carillon/gateway/transport"
	"carillon/observe"
	"carillon/wire"
)

// phase is where a conversation stands.
type phase uint8

const (
	waiting phase = iota // for connect
	open
	draining // nothing more is read; what is under way is finished
	ending   // the close frame is queued: nothing more is read or said
	gone
)

// Session is one client's conversation. The transport calls its Inbox methods, the Outlet its Source methods, the wheel due.
//
// What a delivery needs stands at the beginning, in the first and third cache line.
type Session struct {
	out transport.Outlet
	dues
	sv      *Server
	conn    transport.Conn
	format  *format
	id      [16]byte // unguessable; the first half is the Origin of what it publishes
	spoke   spoke
	heard   atomic.Int64 // last sign of life, Unix nanoseconds
	reading atomic.Bool  // the reader is in Message and will kick the Outlet when it leaves
	asked   atomic.Bool  // a fan-out worker will call Resume
	door    Door         // nil: nobody counts who comes and goes
	traffic limit.Traffic

	mu sync.Mutex
	standing
	who    *auth.Identity
	born   int64 // Unix nanoseconds
	pinged int64 // last ping, Unix nanoseconds
	told   bool  // that the token expires
	awaits bool  // the answer to the last ping
	trip   trip
	subs   []*sub
	calls  []call // requests without their reply
	room   chan struct{}
	errors errorBudget

	declined []channel.Name // of those that the server attaches by itself
}

// dues are the subscriptions that have something to send. All but ready belong to the writer.
type dues struct {
	turn  subList             // have their turn in this round; see Begin
	given subList             // have bytes in the write under way
	ready atomic.Pointer[sub] // wait for the next round, the newest first
}

// standing is where a conversation stands, and how it came to its end.
type standing struct {
	phase phase
	code  wire.Code // with which the server ended it; "": it did not
	here  bool      // it has entered the presence of being connected
	bye   bool      // the client said goodbye
	seats uint64    // numbers given to subscriptions that entered presence

	greeted bool // connected was said
	stale   bool // the client was told that records may be late
}

// call is a request under way.
type call struct {
	id    uint64
	since int64 // Unix nanoseconds

	joins  channel.Name // of a subscribe
	accept int64        // of a command: when it is told as accepted, Unix nanoseconds; 0: not, or not any more
}

// Door counts who comes and goes.
type Door interface {
	// Known is called at most once, when a line has shown a good token.
	Known()
	// Guess is called before a token is looked at, and says for how long none of this line shall be; 0: go on.
	Guess() time.Duration
	// Forgive is called when what was looked at was no guess.
	Forgive()
	// Left is called once, when the line is gone.
	Left()
}

// Accept begins a conversation on a new line: it is what a transport calls to get the line's Inbox. door may be nil. A line
// that speaks no known protocol is refused with nil; its door is the caller's.
func (sv *Server) Accept(conn transport.Conn, door Door) transport.Inbox {
	info := conn.Info()
	s := &Session{sv: sv, conn: conn, door: door}
	s.traffic.Use(sv.o.Traffic)
	p, _ := wire.Lookup(info.Protocol)
	if s.format = sv.find(p, info.Framing); s.format == nil {
		return nil
	}
	_, _ = rand.Read(s.id[:]) // never fails
	settings := sv.settings.Load()
	s.out.Init(conn, s, settings.MaxOutbox)
	now := time.Now()
	s.born = now.UnixNano()
	s.heard.Store(s.born)
	draining := sv.enter(s)
	sv.wheel.set(&s.spoke, s, now.Add(settings.ConnectTimeout))
	if draining {
		s.drain(turnedAway)
	}
	return s
}

// turnedAway is when a client that comes during a drain shall come again.
const turnedAway = time.Second

// Origin is the number under which this connection publishes; never 0.
func (s *Session) origin() uint64 { return binary.BigEndian.Uint64(s.id[:8]) | 1 }

func (s *Session) name() string { return hex.EncodeToString(s.id[:]) }

// Alive implements transport.Inbox.
func (s *Session) Alive() { s.heard.Store(time.Now().UnixNano()) }

// Control implements transport.Inbox.
func (s *Session) Control(frame []byte, last bool) {
	if last {
		s.leave(ending, "")
	}
	s.out.Control(frame, last)
}

// Writable implements transport.Inbox.
func (s *Session) Writable() { s.out.Writable() }

// Resume goes on with a write, or begins one for replies that wait; a fan-out worker calls it after Hub.Again.
func (s *Session) Resume() {
	s.asked.Store(false)
	s.flush()
}

func (s *Session) flush() {
	s.out.Resume()
	s.out.Kick()
}

// Wake does nothing: a Session is handed to the hub only to be resumed.
func (s *Session) Wake(*hub.Cursor) {}

// Closed implements transport.Inbox: everything the conversation held is given back.
func (s *Session) Closed(err error) {
	s.leave(gone, "")
	s.sv.wheel.remove(&s.spoke)
	s.out.Shut()
	user := s.user()
	s.sv.forget(s, user)
	if s.door != nil {
		s.door.Left()
	}
	s.parted(user, err)
}

// parted counts and logs the end of a line. What a peer gave as its reason is its own text and stays unsaid.
func (s *Session) parted(user string, err error) {
	s.mu.Lock()
	reason := endedBy(s.code, err)
	s.mu.Unlock()
	s.sv.counts.Ended.Add(1, observe.LabelEnd.Value(reason))
	attrs := []any{
		"conn", s.name(), "user", user, "remote", s.conn.Info().Remote, "reason", reason,
		"after", time.Since(time.Unix(0, s.born)).Round(time.Millisecond),
	}
	var told *transport.CloseError
	switch {
	case errors.As(err, &told):
		attrs = append(attrs, "number", told.Code)
	case err != nil:
		attrs = append(attrs, "error", err)
	}
	s.sv.o.Log.Info("disconnected", attrs...)
}

func (s *Session) user() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.who == nil {
		return ""
	}
	return s.who.User
}

// leave moves on to a later phase and lets go of all subscriptions; false if the conversation was there already. code is
// why the server ends it, "" if it does not.
func (s *Session) leave(to phase, code wire.Code) bool {
	s.mu.Lock()
	if s.phase >= to {
		s.mu.Unlock()
		return false
	}
	s.phase = to
	if code != "" {
		s.code = code
	}
	subs := s.subs
	s.subs, s.calls = nil, nil
	sure := s.farewell()
	for _, b := range subs {
		b.state, b.sure = subGone, sure
	}
	here := s.here
	s.here = false
	s.makeRoom()
	s.mu.Unlock()
	for _, b := range subs {
		b.detach()
	}
	if here {
		s.depart(sure)
	}
	return true
}

// end tells the peer a code and ends the conversation with it. Replies queued before still go out.
func (s *Session) end(code wire.Code) {
	if !s.leave(ending, code) {
		return
	}
	s.out.Control(s.format.Framing.AppendClose(nil, code.Number(), string(code)), true)
}

// drain tells the client to come back after a moment, lets the requests under way finish, and ends the conversation.
func (s *Session) drain(after time.Duration) {
	s.mu.Lock()
	if s.phase >= draining {
		s.mu.Unlock()
		return
	}
	s.phase = draining
	done := len(s.calls) == 0
	s.makeRoom()
	s.mu.Unlock()
	s.send(&wire.Message{Type: wire.MsgDrain, After: after, Text: wire.CodeDrain.Info().Sentence})
	if done {
		s.end(wire.CodeDrain)
	}
}

// frame encodes a message as one frame of this connection. It encodes a copy: messages are large, and those of callers stay on
// their stacks.
func (s *Session) frame(m *wire.Message) []byte {
	e := encodings.Get().(*encoding)
	e.message = *m
	payload := s.format.Protocol.Codec.AppendMessage(e.buf[:0], &e.message)
	f := s.format.Framing.AppendMessage(make([]byte, 0, len(payload)+frameOverhead), payload, s.format.Protocol.Binary)
	if cap(payload) <= keptScratch {
		*e = encoding{buf: payload}
		encodings.Put(e)
	}
	return f
}

// encoding is what it takes to encode a message.
type encoding struct {
	message wire.Message
	buf     []byte
}

const (
	frameOverhead = 14       // bytes of the largest frame header
	keptScratch   = 64 << 10 // larger buffers are not kept
)

var encodings = sync.Pool{New: func() any { return &encoding{buf: make([]byte, 0, 512)} }}

// send queues a message. The socket is touched by the reader when it leaves Message, or else by a fan-out worker: so
// whoever answers (a journal's committer, for one) is never held up by a line.
func (s *Session) send(m *wire.Message) {
	if s.out.Queue(s.frame(m)) == transport.ErrOverflow {
		s.sv.counts.limited("outbox")
		s.end(wire.CodeSlow)
		return
	}
	s.Again()
}

// Again implements transport.Source: a fan-out worker takes over, unless the reader does.
func (s *Session) Again() {
	if !s.reading.Load() && s.asked.CompareAndSwap(false, true) {
		s.sv.o.Hub.Again(s)
	}
}
