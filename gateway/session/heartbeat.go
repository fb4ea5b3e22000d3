package session

import (
	"time"

	"carillon/wire"
)

// due implements timed: heartbeat, the deadline of connect, requests that nobody answered, the end of the token. It
// runs on the wheel's goroutine, for all connections; nothing it calls waits for a line.
func (s *Session) due(now time.Time) time.Time {
	o := s.sv.settings.Load()
	s.mu.Lock()
	ph, born, who := s.phase, s.born, s.who
	late := s.overdue(now)
	s.mu.Unlock()
	if ph >= ending {
		return time.Time{}
	}
	if ph == waiting {
		deadline := time.Unix(0, born).Add(o.ConnectTimeout)
		if now.Before(deadline) {
			return deadline
		}
		s.end(wire.CodeConnectTimeout)
		return time.Time{}
	}
	for _, id := range late {
		s.answer(id, nil, &wire.Error{Code: wire.CodeUnconfirmed, Text: "The server did not get an answer in time; send it again with the same idem."})
	}
	if end := who.Expires; !end.IsZero() && !now.Before(end) {
		s.end(wire.CodeTokenExpired)
		return time.Time{}
	}
	if now.Sub(s.lastSign()) >= o.Heartbeat+o.Timeout {
		s.end(wire.CodeNoSignOfLife)
		return time.Time{}
	}
	for _, b := range s.outlived(now) {
		s.expel(b, wire.CodeTokenExpired)
	}
	s.accept(now)
	s.remind(now)
	return s.nextDue(now)
}

// outlived returns the subscriptions whose own token ended.
func (s *Session) outlived(now time.Time) (ended []*sub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.subs {
		if b.permit != nil && !now.Before(b.permit.Expires) {
			ended = append(ended, b)
		}
	}
	return ended
}

// lastSign is when the client was last heard, or when the machine came back from standing still: then it could not speak.
func (s *Session) lastSign() time.Time {
	heard := time.Unix(0, s.heard.Load())
	if stall := s.sv.wheel.lastStall(); stall.After(heard) {
		return stall
	}
	return heard
}

// remind sends what the time asks for: a ping, a word about the token. A line that is full has enough to carry.
func (s *Session) remind(now time.Time) {
	o := s.sv.settings.Load()
	blocked := s.out.Blocked()
	s.mu.Lock()
	due := now.UnixNano()-max(s.pinged, s.born) >= int64(o.Heartbeat)
	ping := due && !blocked
	if due {
		s.pinged, s.awaits = now.UnixNano(), ping
	}
	end := s.who.Expires
	in := end.Sub(now)
	expiring := !s.told && !end.IsZero() && in <= o.ExpiryNotice
	s.told = s.told || expiring
	s.mu.Unlock()
	if expiring {
		s.send(&wire.Message{Type: wire.MsgExpiring, In: max(in, time.Millisecond)})
	}
	if ping {
		s.send(&wire.Message{Type: wire.MsgPing})
	}
}

// overdue returns the requests that are older than the bound; s.mu is held.
func (s *Session) overdue(now time.Time) []uint64 {
	var ids []uint64
	bound := now.Add(-s.sv.settings.Load().RequestTimeout).UnixNano()
	for i := range s.calls {
		if s.calls[i].since <= bound {
			ids = append(ids, s.calls[i].id)
		}
	}
	return ids
}

// nextDue is the earliest of all deadlines of an open conversation.
func (s *Session) nextDue(now time.Time) time.Time {
	o := s.sv.settings.Load()
	dead := s.lastSign().Add(o.Heartbeat + o.Timeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	next := time.Unix(0, max(s.pinged, s.born)).Add(o.Heartbeat)
	if dead.Before(next) {
		next = dead
	}
	if len(s.calls) > 0 {
		oldest := s.calls[0].since
		for _, c := range s.calls {
			oldest = min(oldest, c.since)
			if at := time.Unix(0, c.accept); c.accept != 0 && at.Before(next) {
				next = at
			}
		}
		if at := time.Unix(0, oldest).Add(o.RequestTimeout); at.Before(next) {
			next = at
		}
	}
	if e := s.who.Expires; !e.IsZero() {
		if !s.told {
			e = e.Add(-o.ExpiryNotice)
		}
		if e.Before(next) {
			next = e
		}
	}
	for _, b := range s.subs {
		if b.permit != nil && b.permit.Expires.Before(next) {
			next = b.permit.Expires
		}
	}
	if floor := now.Add(wheelTick); next.Before(floor) {
		return floor
	}
	return next
}
