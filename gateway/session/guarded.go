package session

import (
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/wire"
)

// Where a namespace is guarded, a service decides who reads its channels. A subscription is noted first, then the service's
// word is read, then it is attached; what changes meanwhile or later raises a doubt, and whoever is in doubt is looked up
// again. So no answer that is older than a change can keep somebody in.

// guard attaches a subscription once it is clear that it may be.
func (s *Session) guard(w want) {
	if !s.sv.o.Backend.Policy(w.sub.channel).Guarded {
		s.watch(w)
		return
	}
	s.ask(w.sub, func(err error) {
		if err != nil {
			s.giveUp(w, err)
			return
		}
		s.watch(w)
	})
}

// ask reads what the service grants for a subscription, until the answer is younger than the last doubt. done gets nil
// where it may be read.
func (s *Session) ask(b *sub, done func(error)) {
	s.mu.Lock()
	doubts, user := b.doubts, s.who.User
	s.mu.Unlock()
	base, _ := b.channel.Part()
	s.sv.o.Guard.Rights(base, user, func(rights channel.Rights, err error) {
		s.mu.Lock()
		again := err == nil && b.doubts != doubts
		if err == nil {
			b.rights, b.settled = rights, doubts
		}
		s.mu.Unlock()
		switch {
		case again:
			s.ask(b, done)
		case err == nil && !rights.Has(channel.Read):
			done(refusedByService(b.channel))
		default:
			done(err)
		}
	})
}

func refusedByService(n channel.Name) *wire.Error {
	return &wire.Error{Code: wire.CodeForbidden, Text: "The service of channel " + string(n) + " does not let this user in."}
}

// granted asks the service whether this user may read a channel and then goes on; the request is open, and is answered
// here if he may not.
func (s *Session) granted(n channel.Name, id uint64, then func()) {
	if !s.sv.o.Backend.Policy(n).Guarded {
		then()
		return
	}
	base, _ := n.Part()
	s.sv.o.Guard.Rights(base, s.user(), func(rights channel.Rights, err error) {
		if err == nil && !rights.Has(channel.Read) {
			err = refusedByService(n)
		}
		if err != nil {
			s.answer(id, nil, err)
			return
		}
		then()
	})
}

// Granted hears that a service changed who may read a channel: user is whom it concerns, "" for many, and n the channel,
// "" for any. It only enqueues.
func (sv *Server) Granted(n channel.Name, user string) {
	if user == "" {
		for _, s := range sv.all() {
			s.doubt(n)
		}
		return
	}
	for _, s := range sv.concerned(auth.UserChannel(user)) {
		s.doubt(n)
	}
}

// doubt has every subscription of a channel, and of its parts, looked up again.
func (s *Session) doubt(n channel.Name) {
	var live []*sub
	s.mu.Lock()
	for _, b := range s.subs {
		if base, _ := b.channel.Part(); b.own || n != "" && base != n {
			continue
		}
		b.doubts++
		if b.state == subLive {
			live = append(live, b)
		}
	}
	s.mu.Unlock()
	for _, b := range live {
		s.settle(b)
	}
}

// settle looks up a live subscription again, and ends it unless it may go on. Where nobody can tell, it ends too: the
// client may come back when somebody can.
func (s *Session) settle(b *sub) {
	if !s.sv.o.Backend.Policy(b.channel).Guarded {
		return
	}
	s.ask(b, func(err error) {
		if err != nil {
			s.expel(b, wire.AsError(err).Code)
		}
	})
}

// signals tells whether a client may send Fleeting records to a channel whose service decides that: it has to be
// subscribed, so that the service's word is at hand.
func (s *Session) signals(n channel.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.find(n)
	return b != nil && b.rights.Has(channel.Signal)
}

// writes answers a publish that the channel's policy does not take from clients.
func (s *Session) writes(r *wire.Request) bool {
	p := s.sv.o.Backend.Policy(r.Channel)
	switch {
	case p.Service && r.Class != channel.Fleeting:
		s.fail(r.ID, &wire.Error{Code: wire.CodeForbidden, Text: "Channel " + string(r.Channel) + " is written by its service: send a command, or a record of class fleeting."})
	case p.Guarded && !s.signals(r.Channel):
		s.fail(r.ID, &wire.Error{Code: wire.CodeForbidden, Text: "Subscribe to channel " + string(r.Channel) + " first; its service decides who may send there."})
	default:
		return true
	}
	return false
}

// acceptAfter is how long a command may stay unanswered before its asker is told that it was taken.
const acceptAfter = time.Second

// promise has an open command told as accepted if it is not answered soon.
func (s *Session) promise(id uint64) {
	at := time.Now().Add(acceptAfter)
	s.mu.Lock()
	for i := range s.calls {
		if s.calls[i].id == id {
			s.calls[i].accept = at.UnixNano()
		}
	}
	s.mu.Unlock()
	s.sv.wheel.soon(&s.spoke, at)
}

// accept tells of commands that were taken and take their time.
func (s *Session) accept(now time.Time) {
	var ids []uint64
	s.mu.Lock()
	for i := range s.calls {
		if c := &s.calls[i]; c.accept != 0 && c.accept <= now.UnixNano() {
			c.accept = 0
			ids = append(ids, c.id)
		}
	}
	s.mu.Unlock()
	for _, id := range ids {
		s.send(&wire.Message{Type: wire.MsgAccepted, ID: id})
	}
}
