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

// Marks of a subscription, by which fan-out workers and the writer hand it to each other without a lock.
const (
	live   uint32 = 1 << iota // its reply is queued: records may follow
	listed                    // it is in ready, turn or given
	again                     // it was woken while listed
)

// list notes that a live subscription has something to send.
func (s *Session) list(b *sub) {
	for {
		m := b.mark.Load()
		switch {
		case m&live == 0 || m&again != 0:
			return
		case m&listed != 0:
			if b.mark.CompareAndSwap(m, m|again) {
				return
			}
		case b.mark.CompareAndSwap(m, m|listed):
			s.pushReady(b)
			return
		}
	}
}

// pushReady puts a subscription that is in no list on top of ready, from which all are taken at once.
func (s *Session) pushReady(b *sub) {
	for {
		b.next = s.ready.Load()
		if s.ready.CompareAndSwap(b.next, b) {
			return
		}
	}
}

// unlist takes a subscription that the writer took from its lists off, or lists it anew if it was woken meanwhile or has more.
func (s *Session) unlist(b *sub, more bool) {
	for {
		m := b.mark.Load()
		if more || m&again != 0 {
			if b.mark.CompareAndSwap(m, m&^again) {
				s.pushReady(b)
				return
			}
		} else if b.mark.CompareAndSwap(m, m&^listed) {
			return
		}
	}
}

// Begin implements transport.Source: what is ready now has its turn in this round. The reply to a subscribe is queued
// before its subscription is listed, and a round takes replies after Begin: so no record overtakes the reply.
func (s *Session) Begin() {
	if s.ready.Load() == nil {
		return
	}
	var oldest *sub
	for b := s.ready.Swap(nil); b != nil; { // the newest is on top
		next := b.next
		b.next, oldest = oldest, b
		b = next
	}
	for b := oldest; b != nil; {
		next := b.next
		s.turn.push(b)
		b = next
	}
}

// Wake implements hub.Waker: a fan-out worker writes what the subscription is due, as far as the line takes it.
func (b *sub) Wake(*hub.Cursor) {
	b.s.list(b)
	b.s.out.Kick()
}

// Near implements hub.Nearby.
func (b *sub) Near() uint32 {
	n := b.s.out.Near()
	if b.s.ready.Load() != nil {
		n++
	}
	return n
}

// Resume implements hub.Waker; a subscription is never handed to Hub.Again.
func (b *sub) Resume() {}

// Gather implements transport.Source: the bytes that the ready subscriptions are due, each in turn.
func (s *Session) Gather(dst [][]byte, budget int) ([][]byte, bool) {
	for budget > 0 {
		b := s.turn.pop()
		if b == nil {
			return dst, false
		}
		before := len(dst)
		var more bool
		var loss hub.Loss
		dst, more, loss = b.cursor.Ready(dst, budget)
		size := 0
		for _, p := range dst[before:] {
			size += len(p)
		}
		b.bytes = uint32(size)
		budget -= size
		lost := loss.Reason != channel.GapNone
		if size > 0 {
			b.left = more
			s.given.push(b)
		} else {
			s.unlist(b, more || lost)
		}
		if lost {
			s.lost(b, loss)
		}
		if lost || more {
			return dst, true
		}
	}
	return dst, true
}

// Wrote implements transport.Source: n of the bytes given by the last Gather went out.
func (s *Session) Wrote(n int) (cut []byte) {
	for b := s.given.pop(); b != nil; b = s.given.pop() {
		k := min(n, int(b.bytes))
		n -= k
		if c := b.cursor.Wrote(k); c != nil {
			cut = c
		}
		s.unlist(b, k < int(b.bytes) || b.left)
	}
	return cut
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
