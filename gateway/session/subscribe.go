package session

import (
	"errors"
	"sync/atomic"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/gateway/hub"
	"carillon/wire"
)

// subState is where a subscription stands. Until it is live the hub's wakes are ignored, so no record overtakes the reply.
type subState uint8

const (
	subPending subState = iota
	subLive
	subGone
)

// sub is one subscription of a session, and what the hub wakes. Its fields are guarded by the session's mu, but for mark,
// and for those that belong to who has the subscription in a list of his.
type sub struct {
	s       *Session
	cursor  *hub.Cursor
	next    *sub // in the list it is in
	mark    atomic.Uint32
	bytes   uint32 // given to the write under way
	left    bool   // there is more than those; both belong to the writer
	own     bool   // attached by the server: announcements, what is for this user alone
	state   subState
	channel channel.Name
	permit  *auth.Permit   // from a token of its own; nil: the connection's token has to do
	rights  channel.Rights // what the service of a guarded channel granted at the last look
	doubts  uint32         // changes heard of that may concern it
	settled uint32         // doubts at the last look
	place
}

// joinTries bounds how often a subscribe asks for the ring; more than one happens only when rings are closed meanwhile.
const joinTries = 4

// subscribe starts a subscription. One that exists is answered with its channel alone: nothing moves.
func (s *Session) subscribe(r *wire.Request) {
	b := &sub{s: s, channel: r.Channel}
	if r.Token != "" {
		var err error
		if b.permit, err = s.sv.o.Judge.Permit(r.Token); err != nil {
			s.fail(r.ID, tokenError(err))
			return
		}
	}
	from := hub.From{After: r.At}
	need := auth.Subscribe
	if r.At.IsZero() && r.Rewind > 0 {
		from.Rewind = r.Rewind
		need |= auth.History
	}
	if !s.mayWith(b.permit, need, r) || from.Rewind > 0 && !s.keeps(r) || !s.watchable(r) {
		return
	}
	s.disown(r.Channel)
	known, full := s.enlist(b)
	switch {
	case known != nil && known.state == subLive:
		s.send(&wire.Message{Type: wire.MsgReply, ID: r.ID, Channel: r.Channel})
	case known != nil:
		s.fail(r.ID, &wire.Error{Code: wire.CodeBusy, Text: "A subscribe for this channel is under way."})
	case full:
		s.sv.counts.limited("channels")
		s.fail(r.ID, &wire.Error{Code: wire.CodeLimit, Text: "This connection has as many subscriptions as it may have."})
	case s.begin(r):
		s.guard(want{sub: b, id: r.ID, from: from})
	}
}

// mayWith is may for a request that brought a token for its channel.
func (s *Session) mayWith(p *auth.Permit, a auth.Action, r *wire.Request) bool {
	if p == nil {
		return s.may(a, r)
	}
	s.mu.Lock()
	who := s.who
	s.mu.Unlock()
	wider, err := who.With(p)
	if err != nil {
		s.fail(r.ID, &wire.Error{Code: wire.CodeForbidden, Text: err.Error()})
		return false
	}
	return s.judge(wider, a, r)
}

// allowed tells whether a subscription may go on under an identity.
func (b *sub) allowed(who *auth.Identity) bool {
	if b.own {
		return true
	}
	if b.permit != nil {
		wider, err := who.With(b.permit)
		if err != nil {
			return false
		}
		who = wider
	}
	return auth.Decide(who, auth.Subscribe, b.channel) == nil
}

// enlist notes a pending subscription, unless there is one or there are too many.
func (s *Session) enlist(b *sub) (known *sub, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known = s.find(b.channel); known != nil {
		return known, false
	}
	if !b.own && s.chosen() >= least(s.sv.settings.Load().MaxChannels, s.who.Limits.Channels) {
		return nil, true
	}
	s.subs = append(s.subs, b)
	return nil, false
}

// find returns the subscription of a channel; s.mu is held.
func (s *Session) find(n channel.Name) *sub {
	for _, b := range s.subs {
		if b.channel == n {
			return b
		}
	}
	return nil
}

// want is a subscribe under way.
type want struct {
	sub    *sub
	id     uint64 // of the request
	from   hub.From
	tries  int
	oldest channel.Position // before the oldest record that history has, once that is known
}

// attach gets a cursor for a subscription. What the ring cannot prove is asked of the backend; once that has answered,
// the ring's word is final.
func (s *Session) attach(w want) {
	var cursor *hub.Cursor
	var start hub.Start
	err := error(hub.ErrPending)
	if w.tries > 0 || w.from.Rewind == 0 {
		cursor, start, err = s.sv.o.Hub.Attach(w.sub.channel, w.from, s.format.number, s.origin(), w.sub)
	}
	var miss *hub.Miss
	switch {
	case err == nil:
		s.subscribed(w, cursor, start, wire.Gap{})
	case errors.As(err, &miss) && w.tries > 0:
		s.attachAtHead(w, miss.Gap)
	case w.tries >= joinTries:
		s.giveUp(w, &wire.Error{Code: wire.CodeUnavailable})
	default:
		s.sv.o.Backend.Join(w.sub.channel, w.from, func(oldest channel.Position, err error) {
			if err != nil {
				s.giveUp(w, err)
				return
			}
			w.tries++
			w.oldest = oldest
			s.attach(w)
		})
	}
}

// attachAtHead subscribes where continuity is not to be had: records go on from the head, and the reply says what is missing.
func (s *Session) attachAtHead(w want, why channel.Gap) {
	cursor, start, err := s.sv.o.Hub.Attach(w.sub.channel, hub.From{}, s.format.number, s.origin(), w.sub)
	if err != nil {
		s.giveUp(w, &wire.Error{Code: wire.CodeUnavailable})
		return
	}
	if _, part := w.sub.channel.Part(); part != "" { // the server keeps its parts in Latest records, which come whole
		s.subscribed(w, cursor, start, wire.Gap{})
		return
	}
	after := w.from.After
	gap := wire.Gap{From: after.Offset + 1, To: start.At.Offset, Reason: channel.GapTrimmed}
	switch {
	case after.Epoch != start.At.Epoch:
		gap.From, gap.Reason = 1, channel.GapEpoch
	case why != channel.GapTrimmed:
		gap = wire.Gap{Reason: channel.GapDiverged}
	case w.oldest.Epoch == after.Epoch && w.oldest.Offset <= after.Offset:
		gap.Reason = channel.GapTooMany
	}
	s.subscribed(w, cursor, start, gap)
}

// subscribed answers a subscribe and lets the records flow, in this order. A fresh cursor that was unsubscribed
// meanwhile is given back.
func (s *Session) subscribed(w want, cursor *hub.Cursor, start hub.Start, gap wire.Gap) {
	b := w.sub
	s.mu.Lock()
	wanted := b.state == subPending
	if wanted {
		b.cursor = cursor
	}
	s.mu.Unlock()
	if !wanted {
		cursor.Detach()
		s.answer(w.id, nil, &wire.Error{Code: wire.CodeNotSubscribed, Text: "It was unsubscribed before it began."})
		return
	}
	s.sv.counts.gap(gap.Reason)
	if gap.Reason == channel.GapNone {
		s.sv.counts.resumed(&w, resumeContinued)
	} else {
		s.sv.counts.resumed(&w, resumeGap)
	}
	if b.permit != nil {
		s.sv.wheel.soon(&s.spoke, b.permit.Expires)
	}
	if b.own && gap.Reason != channel.GapNone {
		s.tellGap(b, gap, start.At)
	}
	s.appear(b)
	if !b.own {
		s.answer(w.id, &wire.Message{
			Type: wire.MsgReply, Channel: b.channel, At: start.At, Gap: gap,
			HasRecovered: !w.from.After.IsZero(), Recovered: gap.Reason == channel.GapNone,
		}, nil)
	}
	s.mu.Lock()
	if b.state == subPending {
		b.state = subLive
		b.mark.Or(live)
		s.list(b)
	}
	doubtful := b.doubts != b.settled
	s.mu.Unlock()
	s.Again()
	if doubtful {
		s.settle(b)
	}
}

// giveUp answers a subscribe that came to nothing.
func (s *Session) giveUp(w want, err error) {
	if s.remove(w.sub) {
		w.sub.detach()
	}
	s.sv.counts.resumed(&w, resumeFailed)
	if w.sub.own {
		s.end(wire.CodeStateLost) // what is for this client would pass it by in silence
		return
	}
	s.answer(w.id, nil, err)
}

// chosen counts the subscriptions that the client asked for; s.mu is held.
func (s *Session) chosen() (n int) {
	for _, b := range s.subs {
		if !b.own {
			n++
		}
	}
	return n
}

// disown lets a client's own subscribe take the place of the server's, so that it can resume.
func (s *Session) disown(n channel.Name) {
	s.mu.Lock()
	b := s.find(n)
	s.welcome(n)
	s.mu.Unlock()
	if b != nil && b.own && s.remove(b) {
		b.detach()
	}
}

// remove takes a subscription off the session; false if it is off already.
func (s *Session) remove(b *sub) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.state == subGone {
		return false
	}
	b.state, b.sure = subGone, true
	for i := range s.subs {
		if s.subs[i] == b {
			last := len(s.subs) - 1
			s.subs[i], s.subs[last] = s.subs[last], nil
			s.subs = s.subs[:last]
			break
		}
	}
	return true
}

// detach gives the cursor back to the hub, and what the subscription holds in presence. It is gone before that.
func (b *sub) detach() {
	b.vanish()
	b.s.mu.Lock()
	cursor := b.cursor
	b.s.mu.Unlock()
	if cursor != nil {
		cursor.Detach()
	}
}

// unsubscribe ends a subscription. No record of the channel follows the reply: what a write under way holds goes out before it.
func (s *Session) unsubscribe(r *wire.Request) {
	s.mu.Lock()
	b := s.find(r.Channel)
	s.decline(r.Channel)
	s.mu.Unlock()
	if b == nil || !s.remove(b) {
		s.fail(r.ID, &wire.Error{Code: wire.CodeNotSubscribed})
		return
	}
	b.detach()
	s.send(&wire.Message{Type: wire.MsgReply, ID: r.ID})
}

// expel ends a subscription from the server's side.
func (s *Session) expel(b *sub, why wire.Code) {
	if s.remove(b) {
		b.detach()
		s.send(&wire.Message{Type: wire.MsgUnsubscribed, Channel: b.channel, Code: why, Text: why.Info().Sentence})
	}
}
