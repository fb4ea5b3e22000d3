package session

import (
	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/wire"
)

// subList is a list of subscriptions, linked through sub.next; a sub is in at most one.
type subList struct{ first, last *sub }

func (l *subList) push(b *sub) {
	b.next = nil
	if l.last == nil {
		l.first = b
	} else {
		l.last.next = b
	}
	l.last = b
}

func (l *subList) pop() *sub {
	b := l.first
	if b != nil {
		l.first, b.next = b.next, nil
		if l.first == nil {
			l.last = nil
		}
	}
	return b
}

// join moves all of m to the end of l.
func (l *subList) join(m *subList) {
	switch {
	case m.first == nil:
		return
	case l.last == nil:
		*l = *m
	default:
		l.last.next, l.last = m.first, m.last
	}
	*m = subList{}
}

// list notes that a live subscription has something to send; s.mu is held.
func (s *Session) list(b *sub) {
	switch {
	case b.state != subLive:
	case b.listed:
		b.again = true
	default:
		b.listed = true
		s.ready.push(b)
	}
}

// Begin implements transport.Source: what is ready now has its turn in this round. The reply to a subscribe is queued
// before its subscription is listed, and a round takes replies after Begin: so no record overtakes the reply.
func (s *Session) Begin() {
	s.mu.Lock()
	s.turn.join(&s.ready)
	s.mu.Unlock()
}

// Wake implements hub.Waker: a fan-out worker writes what the subscription is due, as far as the line takes it.
func (b *sub) Wake(*hub.Cursor) {
	b.s.mu.Lock()
	b.s.list(b)
	b.s.mu.Unlock()
	b.s.out.Kick()
}

// Resume implements hub.Waker; a subscription is never handed to Hub.Again.
func (b *sub) Resume() {}

// Gather implements transport.Source: the bytes that the ready subscriptions are due, each in turn.
func (s *Session) Gather(dst [][]byte, budget int) ([][]byte, bool) {
	for budget > 0 {
		s.mu.Lock()
		b := s.turn.pop()
		s.mu.Unlock()
		if b == nil {
			return dst, false
		}
		before := len(dst)
		var more bool
		var loss hub.Loss
		dst, more, loss = b.cursor.Ready(dst, budget)
		b.bytes = 0
		for _, p := range dst[before:] {
			b.bytes += len(p)
		}
		budget -= b.bytes
		lost := loss.Reason != channel.GapNone
		s.mu.Lock()
		switch {
		case b.bytes > 0:
			b.again = b.again || more
			s.given.push(b)
		default:
			s.unlist(b, more || lost)
		}
		s.mu.Unlock()
		if lost {
			s.lost(b, loss)
		}
		if lost || more {
			return dst, true
		}
	}
	return dst, true
}

// unlist takes a subscription that is in neither list off, and lists it anew if it was woken meanwhile or has more; s.mu is held.
func (s *Session) unlist(b *sub, more bool) {
	more = more || b.again
	b.listed, b.again = false, false
	if more {
		s.list(b)
	}
}

// Wrote implements transport.Source: n of the bytes given by the last Gather went out.
func (s *Session) Wrote(n int) (cut []byte) {
	for {
		s.mu.Lock()
		b := s.given.pop()
		s.mu.Unlock()
		if b == nil {
			return cut
		}
		k := min(n, b.bytes)
		n -= k
		if c := b.cursor.Wrote(k); c != nil {
			cut = c
		}
		s.mu.Lock()
		s.unlist(b, k < b.bytes)
		s.mu.Unlock()
	}
}

// lost tells the client what its cursor missed, or ends the conversation where the namespace wants that.
func (s *Session) lost(b *sub, loss hub.Loss) {
	if loss.Reason == channel.GapSlow && s.sv.o.Backend.Policy(b.channel).Slow == channel.SlowDisconnect {
		s.end(wire.CodeSlow)
		return
	}
	s.sv.counts.gap(loss.Reason)
	gap := wire.Gap{From: loss.From, To: loss.To, Reason: loss.Reason}
	if loss.Reason == channel.GapDiverged {
		gap.From, gap.To = 0, 0
	}
	m := wire.Message{Type: wire.MsgGap, Channel: b.channel, Gap: gap, At: loss.At}
	s.send(&m)
}
