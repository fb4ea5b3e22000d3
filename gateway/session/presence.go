package session

import (
	"context"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/gateway/presence"
	"carillon/wire"
)

// Presence is entered by being connected, and by a subscription where the policy says so. Who enters and who takes the
// entry back may run at the same time, and neither holds a lock meanwhile: so the one notes an entry only after it was
// made, and takes it back itself if by then the subscription is gone. Each subscription enters under a number of its
// own; no entry is mistaken for that of the next subscription.

// place is what a subscription holds in the presence of its channel; it is guarded by the session's mu.
type place struct {
	seat     uint64 // number of its entry; 0: none was made
	present  bool   // it has entered
	watching bool   // it is one to the presence of another channel, and watches that
	sure     bool   // it ended on purpose
}

// member is how the user of this conversation is entered in a channel.
func (s *Session) member(n channel.Name, seat uint64) presence.Member {
	return presence.Member{Channel: n, User: s.user(), Conn: s.origin() + seat, Since: time.Now()}
}

// arrive enters the presence of being connected.
func (s *Session) arrive() {
	if s.sv.o.Presence == nil {
		return
	}
	s.sv.o.Presence.Enter(s.member("", 0))
	s.mu.Lock()
	s.here = s.phase < ending
	gone, sure := !s.here, s.farewell()
	s.mu.Unlock()
	if gone {
		s.depart(sure)
	}
}

// depart takes it back.
func (s *Session) depart(sure bool) { s.sv.o.Presence.Leave(s.member("", 0), sure) }

// farewell tells whether the end of this conversation is meant: the client said goodbye, or may not come back as it is.
// Everybody else is expected back in a moment. s.mu is held.
func (s *Session) farewell() bool {
	return s.bye || s.code == wire.CodeRevoked || s.code == wire.CodeForbidden
}

// appear enters the presence of a channel for a subscription that is about to become live.
func (s *Session) appear(b *sub) {
	k := s.sv.o.Presence
	if k == nil || b.own {
		return
	}
	if _, part := b.channel.Part(); part != "" || !s.sv.o.Backend.Policy(b.channel).Presence {
		return
	}
	s.mu.Lock()
	s.seats++
	seat := s.seats
	s.mu.Unlock()
	k.Enter(s.member(b.channel, seat))
	s.mu.Lock()
	b.seat, b.present = seat, b.state != subGone
	gone, sure := !b.present, b.sure
	s.mu.Unlock()
	if gone {
		k.Leave(s.member(b.channel, seat), sure)
	}
}

// vanish takes back what a subscription that is gone holds.
func (b *sub) vanish() {
	s := b.s
	s.mu.Lock()
	held := b.place
	b.present, b.watching = false, false
	s.mu.Unlock()
	if held.present {
		s.sv.o.Presence.Leave(s.member(b.channel, held.seat), held.sure)
	}
	if held.watching {
		base, _ := b.channel.Part()
		s.sv.o.Presence.Unwatch(base)
	}
}

// watch attaches a subscription: one to the presence of a channel once its value is there to be found.
func (s *Session) watch(w want) {
	b := w.sub
	base, part := b.channel.Part()
	k := s.sv.o.Presence
	if k == nil || part != presence.Part {
		s.attach(w)
		return
	}
	k.Watch(base, func() { s.attach(w) })
	s.mu.Lock()
	b.watching = b.state != subGone
	gone := !b.watching
	s.mu.Unlock()
	if gone {
		k.Unwatch(base)
	}
}

// watchable answers a subscribe to the presence of a channel that has none.
func (s *Session) watchable(r *wire.Request) bool {
	base, part := r.Channel.Part()
	return part != presence.Part || s.keepsPresence(base, r.ID)
}

// keepsPresence answers a request about the presence of a channel that has none.
func (s *Session) keepsPresence(n channel.Name, id uint64) bool {
	if s.sv.o.Presence != nil && s.sv.o.Backend.Policy(n).Presence {
		return true
	}
	s.fail(id, &wire.Error{Code: wire.CodeUnsupported, Text: "Presence is not kept in the namespace of channel " + string(n) + "; its setting presence turns it on."})
	return false
}

// presence answers who is in a channel, or what is known of users.
func (s *Session) presence(r *wire.Request) {
	if len(r.Users) > 0 {
		s.whereabouts(r)
		return
	}
	if !s.may(auth.Presence, r) || !s.keepsPresence(r.Channel, r.ID) || !s.begin(r) {
		return
	}
	id, n, after, limit := r.ID, r.Channel, r.After, r.Limit
	s.granted(n, id, func() {
		ctx, cancel := s.sv.presenceContext()
		defer cancel()
		p, err := s.sv.o.Presence.Members(ctx, n, after, limit)
		m := &wire.Message{Type: wire.MsgReply, Channel: n, Presence: &wire.Presence{Count: p.Count, More: p.More}}
		for _, who := range p.Members {
			m.Presence.Members = append(m.Presence.Members, wire.Member{User: who.User, Since: who.Since})
		}
		s.answer(id, m, err)
	})
}

// whereabouts answers whether users are connected, and when they last were. Of others it takes the right to presence in
// their own channels.
func (s *Session) whereabouts(r *wire.Request) {
	s.mu.Lock()
	who := s.who
	s.mu.Unlock()
	for _, user := range r.Users {
		if user != who.User && auth.Decide(who, auth.Presence, auth.UserChannel(user)) != nil {
			s.fail(r.ID, &wire.Error{Code: wire.CodeForbidden, Text: "The token does not allow presence in channel " + string(auth.UserChannel(user)) + "."})
			return
		}
	}
	if s.sv.o.Presence == nil {
		s.fail(r.ID, &wire.Error{Code: wire.CodeUnsupported, Text: "This server keeps no presence."})
		return
	}
	ctx, cancel := s.sv.presenceContext()
	defer cancel()
	seen, err := s.sv.o.Presence.Where(ctx, r.Users)
	if err != nil {
		s.fail(r.ID, err)
		return
	}
	m := &wire.Message{Type: wire.MsgReply, ID: r.ID, Presence: &wire.Presence{}}
	for _, u := range seen {
		one := wire.Seen{User: u.User, Online: u.Online}
		if !u.Online {
			one.Last = u.Last
		}
		m.Presence.Seen = append(m.Presence.Seen, one)
	}
	s.send(m)
}

// presenceContext bounds a question about presence; a roster in memory answers at once.
func (sv *Server) presenceContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), sv.settings.Load().RequestTimeout)
}

// closeNormal is the RFC 6455 number of an end that is meant.
const closeNormal = 1000

// goodbye ends the conversation at the client's word: he is out at once, and not expected back. Requests under way are
// done and get no answer.
func (s *Session) goodbye(r *wire.Request) {
	s.mu.Lock()
	s.bye = true
	s.mu.Unlock()
	s.send(&wire.Message{Type: wire.MsgReply, ID: r.ID})
	if s.leave(ending, "") {
		s.out.Control(s.format.Framing.AppendClose(nil, closeNormal, ""), true)
	}
}
