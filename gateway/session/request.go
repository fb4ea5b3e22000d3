package session

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/gateway/limit"
	"carillon/gateway/transport"
	"carillon/observe"
	"carillon/wire"
)

// RFC 6455 close numbers that the conversation itself uses.
const closeUnsupportedData = 1003

// errorBudget counts malformed requests within a minute.
type errorBudget struct {
	since int64 // Unix nanoseconds
	n     int
}

var requests = sync.Pool{New: func() any { r := make([]wire.Request, 0, 4); return &r }}

// Message implements transport.Inbox: one frame from the client, with one request or several.
func (s *Session) Message(b []byte, binary bool) error {
	now := time.Now()
	s.heard.Store(now.UnixNano())
	if bytes.Equal(b, s.format.pong) {
		s.ponged(now)
		return nil
	}
	if binary != s.format.Protocol.Binary {
		return &transport.CloseError{Code: closeUnsupportedData, Reason: "text frames for " + wire.SubprotocolJSON + ", binary frames for " + wire.SubprotocolMessagePack}
	}
	pooled := requests.Get().(*[]wire.Request)
	s.reading.Store(true)
	rs, err := s.format.Protocol.Codec.DecodeRequests(b, (*pooled)[:0])
	s.sv.counts.asked(rs)
	refused, wait := s.pace(now, charge(rs, len(b)))
	switch {
	case refused != limit.Passed:
		s.tooFast(refused, rs, wait)
	case err != nil:
		s.refuseFrame(wire.AsError(err), rs, now)
	default:
		for i := range rs {
			s.handle(&rs[i])
		}
	}
	s.reading.Store(false)
	s.flush()
	clear(rs)
	*pooled = rs[:0]
	requests.Put(pooled)
	return nil
}

// maxPause is how long a reader is held up for the sake of its rate; a frame that would have to wait longer is refused.
const maxPause = 5 * time.Second

// pace holds the reader while its client is ahead of its rate, so that what is sent in order is done in order: like a
// full socket, it slows the sender down. Only what would have to wait too long is refused.
func (s *Session) pace(now time.Time, f limit.Frame) (refused limit.Refused, wait time.Duration) {
	refused, wait = s.traffic.Take(now, f)
	if refused == limit.Passed {
		return refused, 0
	}
	s.reading.Store(false)
	s.flush()
	for until := now.Add(maxPause); refused != limit.Passed && now.Add(wait).Before(until); {
		if !s.pause(wait) {
			return limit.Passed, 0 // the conversation is over: nothing of the frame is done
		}
		now = time.Now()
		refused, wait = s.traffic.Take(now, f)
	}
	s.Alive() // silence while we did not read is not the client's
	s.reading.Store(true)
	return refused, wait
}

// charge is what a frame costs its connection.
func charge(rs []wire.Request, bytes int) limit.Frame {
	f := limit.Frame{Requests: max(len(rs), 1), Bytes: bytes}
	for i := range rs {
		if t := rs[i].Type; t == wire.ReqPublish || t == wire.ReqCommand {
			f.Publishes++
		}
	}
	return f
}

// narrow holds the connection to what its token says. Only the reader connects and refreshes, and the reader's are the
// rates.
func (s *Session) narrow(l auth.Limits) {
	s.traffic.Narrow(int(l.Requests), int(l.Publish), int(l.Bytes))
}

// pause waits, or until something of this conversation changes; false when it is over.
func (s *Session) pause(wait time.Duration) bool {
	s.mu.Lock()
	if s.phase >= draining {
		s.mu.Unlock()
		return false
	}
	changed := s.changes()
	s.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	}
	return true
}

// refuseFrame answers a frame of which nothing is done. Too many of those end the conversation.
func (s *Session) refuseFrame(e *wire.Error, rs []wire.Request, now time.Time) {
	var room [4]wire.Message
	for _, m := range e.Answers(room[:0], rs) {
		s.erred(m.Code)
		s.send(&m)
	}
	s.mu.Lock()
	if now.UnixNano()-s.errors.since > int64(time.Minute) {
		s.errors = errorBudget{since: now.UnixNano()}
	}
	s.errors.n++
	over := s.errors.n >= s.sv.settings.Load().MaxErrors
	s.mu.Unlock()
	if over {
		s.end(wire.CodeTooManyErrors)
	}
}

// tooFast answers a frame that exceeds the rate: nothing of it is done, all of it may come again.
func (s *Session) tooFast(refused limit.Refused, rs []wire.Request, wait time.Duration) {
	s.sv.counts.limited(rateNames[refused])
	answered := false
	for i := range rs {
		if rs[i].ID != 0 {
			answered = true
			s.fail(rs[i].ID, &wire.Error{Code: wire.CodeRateLimited, RetryAfter: wait})
		}
	}
	if !answered {
		s.fail(0, &wire.Error{Code: wire.CodeRateLimited, RetryAfter: wait})
	}
}

// handle does one request. What cannot be answered at once is answered later, by id.
func (s *Session) handle(r *wire.Request) {
	s.mu.Lock()
	if r.Type == wire.ReqPublish || r.Type == wire.ReqCommand { // what follows a subscribe is to reach that subscription
		s.hold(func() bool { return s.joining(r.Channel) })
	}
	phase, busy := s.phase, s.calling(r.ID)
	s.mu.Unlock()
	switch {
	case phase >= draining: // the client sends it again, to whoever takes over
	case r.Type == wire.ReqPong:
		s.ponged(time.Now())
	case phase == waiting && r.Type != wire.ReqConnect:
		s.fail(r.ID, &wire.Error{Code: wire.CodeUnauthorized, Text: "Send connect first, and wait for connected."})
	case busy:
		s.fail(r.ID, &wire.Error{Code: wire.CodeBadRequest, Text: "This id belongs to a request that is still open; use another."})
	default:
		s.dispatch(r)
	}
}

func (s *Session) dispatch(r *wire.Request) {
	switch r.Type {
	case wire.ReqConnect:
		s.connect(r)
	case wire.ReqRefresh:
		s.refresh(r)
	case wire.ReqSubscribe:
		s.subscribe(r)
	case wire.ReqUnsubscribe:
		s.unsubscribe(r)
	case wire.ReqPublish:
		s.publish(r)
	case wire.ReqCommand:
		s.command(r)
	case wire.ReqHistory:
		s.history(r)
	case wire.ReqPresence:
		s.presence(r)
	case wire.ReqLeave:
		s.goodbye(r)
	case wire.ReqPing:
		s.send(&wire.Message{Type: wire.MsgReply, ID: r.ID, Time: time.Now()})
	default:
		s.fail(r.ID, &wire.Error{Code: wire.CodeBadRequest, Text: "This version does not know that type of request."})
	}
}

// fail answers a request with an error.
func (s *Session) fail(id uint64, err error) {
	e := *wire.AsError(err)
	if known := (*wire.Error)(nil); !errors.As(err, &known) {
		s.sv.o.Log.Error("request failed", "conn", s.name(), "error", err)
	}
	s.erred(e.Code)
	e.ID = id
	m := e.Message()
	s.send(&m)
}

// erred counts an error.
func (s *Session) erred(code wire.Code) {
	s.sv.counts.Errors.Add(1, observe.LabelCode.Value(string(code)))
}

// rateNames are the rates as the label of limits has them.
var rateNames = [...]string{limit.TooManyRequests: "requests", limit.TooManyBytes: "bytes", limit.TooManyPublishes: "publish"}

// may judges a request and answers it if the token does not allow it.
func (s *Session) may(a auth.Action, r *wire.Request) bool {
	s.mu.Lock()
	who := s.who
	s.mu.Unlock()
	return s.judge(who, a, r)
}

func (s *Session) judge(who *auth.Identity, a auth.Action, r *wire.Request) bool {
	if auth.Decide(who, a, r.Channel) == nil {
		return true
	}
	s.fail(r.ID, &wire.Error{Code: wire.CodeForbidden, Text: "The token does not allow " + r.Type.String() + " in channel " + string(r.Channel) + "."})
	return false
}

// calling tells whether a request is open; s.mu is held.
func (s *Session) calling(id uint64) bool {
	for i := range s.calls {
		if s.calls[i].id == id {
			return true
		}
	}
	return false
}

// joining tells whether a subscribe of a channel is open; s.mu is held.
func (s *Session) joining(n channel.Name) bool {
	for i := range s.calls {
		if s.calls[i].joins == n {
			return true
		}
	}
	return false
}

// begin opens a request. At the bound it waits, and with it the reader, until one of them ends, which all do in time.
func (s *Session) begin(r *wire.Request) bool {
	s.mu.Lock()
	settings := s.sv.settings.Load()
	full := func() bool { return len(s.calls) >= settings.MaxInFlight }
	if full() {
		s.sv.counts.limited("in_flight")
		s.hold(full)
	}
	if s.phase != open {
		s.mu.Unlock()
		return false
	}
	now := time.Now()
	first := len(s.calls) == 0
	c := call{id: r.ID, since: now.UnixNano()}
	if r.Type == wire.ReqSubscribe {
		c.joins = r.Channel
	}
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	if first {
		s.sv.wheel.soon(&s.spoke, now.Add(settings.RequestTimeout))
	}
	return true
}

// finish closes a request; false if it was answered already, or the conversation is over.
func (s *Session) finish(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.calls {
		if s.calls[i].id == id {
			last := len(s.calls) - 1
			s.calls[i] = s.calls[last]
			s.calls = s.calls[:last]
			if last == 0 {
				s.calls = nil
			}
			s.makeRoom()
			return true
		}
	}
	return false
}

// drained tells whether a draining conversation has nothing under way any more.
func (s *Session) drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == draining && len(s.calls) == 0
}

// hold has the reader wait while a request cannot be begun, which ends when an open one does. s.mu is held, but not meanwhile.
func (s *Session) hold(blocked func() bool) {
	for blocked() && s.phase == open {
		changed := s.changes()
		s.mu.Unlock()
		s.reading.Store(false)
		s.flush()
		<-changed
		s.Alive() // silence while we did not read is not the client's
		s.reading.Store(true)
		s.mu.Lock()
	}
}

// changes is closed by the next makeRoom; s.mu is held.
func (s *Session) changes() <-chan struct{} {
	if s.room == nil {
		s.room = make(chan struct{})
	}
	return s.room
}

// makeRoom lets a reader look again whether it may go on; s.mu is held.
func (s *Session) makeRoom() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// answer closes a request and sends its reply, or the error instead.
func (s *Session) answer(id uint64, m *wire.Message, err error) {
	if !s.finish(id) {
		return
	}
	if err != nil {
		s.fail(id, err)
	} else {
		m.ID = id
		s.send(m)
	}
	if s.drained() {
		s.end(wire.CodeDrain)
	}
}

// connect opens the conversation.
func (s *Session) connect(r *wire.Request) {
	token := r.Token
	if token == "" {
		token = s.conn.Info().Token
	}
	who, err := s.identify(token)
	if err != nil {
		s.refuseToken(r.ID, err)
		return
	}
	s.mu.Lock()
	if s.phase != waiting {
		s.mu.Unlock()
		s.fail(r.ID, &wire.Error{Code: wire.CodeForbidden, Text: "This connection is connected already; use refresh for a new token."})
		s.end(wire.CodeForbidden)
		return
	}
	if !s.sv.admit(s, who) {
		s.mu.Unlock()
		s.sv.counts.limited("user_open")
		s.fail(r.ID, &wire.Error{Code: wire.CodeTooManyConnections})
		s.end(wire.CodeTooManyConnections)
		return
	}
	s.phase, s.who = open, who
	s.mu.Unlock()
	s.narrow(who.Limits)
	if s.door != nil {
		s.door.Known()
	}
	if err := s.sv.o.Ears.Listen(auth.UserChannel(who.User)); err != nil {
		s.end(wire.CodeOverloaded)
		return
	}
	if !s.sv.o.Judge.Stands(who, s.name()) { // revoked while the token was looked at
		s.end(wire.CodeRevoked)
		return
	}
	o, settings := &s.sv.o, s.sv.settings.Load()
	s.send(&wire.Message{
		Type: wire.MsgConnected, ID: r.ID, Time: time.Now(), Expires: untilExpiry(who),
		Hello: wire.Hello{
			Conn: s.name(), User: who.User, Server: o.Name,
			Heartbeat: wire.Heartbeat{Interval: settings.Heartbeat, Timeout: settings.Timeout},
			Limits: wire.Limits{
				Body: least(channel.DefaultPolicy().MaxBody, who.Limits.Body), Channels: least(settings.MaxChannels, who.Limits.Channels),
				InFlight: settings.MaxInFlight, Batch: wire.MaxBatch, Frame: settings.MaxFrame,
			},
		},
	})
	s.mu.Lock()
	s.greeted = true
	s.mu.Unlock()
	s.sv.herald.greet()
	s.arrive()
	s.sv.wheel.soon(&s.spoke, s.nextDue(time.Now()))
	info := s.conn.Info()
	o.Log.Info("connected", "conn", s.name(), "user", who.User, "client", r.Name, "remote", info.Remote,
		"transport", info.Kind, "protocol", s.format.Protocol.Name)
}

// identify judges the token of a connect. A guess is paid for before the token is looked at, so that many lines that
// guess at the same moment get no further than one that does so again and again.
func (s *Session) identify(token string) (*auth.Identity, error) {
	if s.door != nil {
		if wait := s.door.Guess(); wait > 0 {
			return nil, &wire.Error{Code: wire.CodeRateLimited, Text: "Too many wrong tokens came from this address.", RetryAfter: wait}
		}
	}
	who, err := s.sv.o.Judge.Identify(token)
	if s.door != nil && (err == nil || errors.Is(err, auth.ErrRetry)) {
		s.door.Forgive()
	}
	return who, err
}

// refuseToken answers a connect that brought no good token, and ends the conversation.
func (s *Session) refuseToken(id uint64, err error) {
	e := tokenError(err)
	s.fail(id, e)
	s.end(e.Code)
}

// tokenError gives an error of auth its code: for good, or come again when the key is there.
func tokenError(err error) *wire.Error {
	code := wire.CodeUnauthorized
	var known *wire.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, auth.ErrRetry):
		code = wire.CodeOverloaded
	case errors.Is(err, auth.ErrRevoked):
		code = wire.CodeRevoked
	}
	return &wire.Error{Code: code, Text: err.Error()}
}

// refresh replaces the token of an open conversation by a later one of the same user. Subscriptions that the new token
// does not allow end.
func (s *Session) refresh(r *wire.Request) {
	who, err := s.sv.o.Judge.Identify(r.Token)
	if err != nil {
		s.fail(r.ID, tokenError(err))
		return
	}
	s.mu.Lock()
	same := who.Same(s.who)
	var lost []*sub
	if same {
		s.who, s.told = who, false
		for _, b := range s.subs {
			if !b.allowed(who) {
				lost = append(lost, b)
			}
		}
	}
	s.mu.Unlock()
	if !same {
		s.fail(r.ID, &wire.Error{Code: wire.CodeForbidden, Text: "The new token is of another user."})
		s.end(wire.CodeForbidden)
		return
	}
	s.narrow(who.Limits)
	s.send(&wire.Message{Type: wire.MsgReply, ID: r.ID, Expires: untilExpiry(who)})
	for _, b := range lost {
		s.expel(b, wire.CodeForbidden)
	}
	s.sv.wheel.soon(&s.spoke, s.nextDue(time.Now()))
}

func untilExpiry(who *auth.Identity) time.Duration {
	if who.Expires.IsZero() {
		return 0
	}
	return max(time.Until(who.Expires), time.Millisecond)
}
