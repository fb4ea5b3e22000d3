package session

import (
	"slices"
	"sync"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/gateway/hub"
	"carillon/wire"
)

// herald attaches what clients need not ask for: the channel of their user, and announcements. To subscribe every
// connection to both from its beginning would cost each a place in two rooms, of which one is its user's alone; nearly
// all of them never hear anything. So a connection is attached by the first record that concerns it, right before that
// record: the journal has it, and a ring reaches back to it.
type herald struct {
	mu      sync.Mutex
	pending map[channel.Name]channel.Position // before the first record not yet told; one entry a channel
	stale   bool                              // this node lost its line to the others
	restale bool                              // somebody has not been told
	wake    chan struct{}
	stop    chan struct{}
	done    sync.WaitGroup
}

func (h *herald) start(sv *Server) {
	h.pending, h.wake, h.stop = make(map[channel.Name]channel.Position), make(chan struct{}, 1), make(chan struct{})
	h.done.Go(func() { h.run(sv) })
}

func (h *herald) close() {
	close(h.stop)
	h.done.Wait()
}

// Heard tells of a record in a channel that somebody listens to; it only enqueues.
func (sv *Server) Heard(r *channel.Record) {
	sv.Missed(r.Channel, channel.Position{Epoch: r.At.Epoch, Offset: r.At.Offset - 1, Tag: r.Prev})
}

// Missed is Heard of records that come after a position, and may have passed by.
func (sv *Server) Missed(n channel.Name, before channel.Position) {
	h := &sv.herald
	h.mu.Lock()
	if known, any := h.pending[n]; !any || known.Epoch == before.Epoch && before.Offset < known.Offset {
		h.pending[n] = before
	}
	h.mu.Unlock()
	h.kick()
}

// Stale tells all clients that records may be late, since this node lost its line to the others, or that it has it back
// and nothing is missing. Who connects meanwhile is told too. It only enqueues.
func (sv *Server) Stale(stale bool) {
	h := &sv.herald
	h.mu.Lock()
	h.stale, h.restale = stale, true
	h.mu.Unlock()
	h.kick()
}

// greet has a conversation that just opened told, if there is something to tell.
func (h *herald) greet() {
	h.mu.Lock()
	h.restale = h.restale || h.stale
	tell := h.stale
	h.mu.Unlock()
	if tell {
		h.kick()
	}
}

func (h *herald) kick() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *herald) run(sv *Server) {
	for {
		select {
		case <-h.stop:
			return
		case <-h.wake:
		}
		h.mu.Lock()
		pending, stale, restale := h.pending, h.stale, h.restale
		h.pending, h.restale = make(map[channel.Name]channel.Position), false
		h.mu.Unlock()
		if restale {
			for _, s := range sv.all() {
				s.tellStale(stale)
			}
		}
		for n, before := range pending {
			for _, s := range sv.concerned(n) {
				s.hear(n, before)
			}
		}
	}
}

// concerned are those whom a channel concerns without their asking.
func (sv *Server) concerned(n channel.Name) []*Session {
	if n == channel.All {
		return sv.all()
	}
	sv.mu.Lock()
	defer sv.mu.Unlock()
	return slices.Clone(sv.users[n])
}

// hear attaches a channel behind a position, unless it is attached, or the client does not want it.
func (s *Session) hear(n channel.Name, before channel.Position) {
	b := &sub{s: s, channel: n, own: true}
	s.mu.Lock()
	wanted := (s.phase == open || s.phase == draining) && !slices.Contains(s.declined, n)
	s.mu.Unlock()
	if !wanted {
		return
	}
	if known, _ := s.enlist(b); known == nil {
		s.attach(want{sub: b, from: hub.From{After: before}})
	}
}

// tellStale tells the client, unless it knows; only the herald calls it, so that the last word stands.
func (s *Session) tellStale(stale bool) {
	s.mu.Lock()
	news := s.greeted && s.stale != stale && (s.phase == open || s.phase == draining)
	s.stale = s.stale != news // turned over if it is news
	s.mu.Unlock()
	if news {
		s.send(&wire.Message{Type: wire.MsgStale, Stale: stale})
	}
}

// decline notes that the client unsubscribed from a channel it never asked for; s.mu is held.
func (s *Session) decline(n channel.Name) {
	if (n == channel.All || n == auth.UserChannel(s.who.User)) && !slices.Contains(s.declined, n) {
		s.declined = append(s.declined, n)
	}
}

// welcome takes that back when the client subscribes; s.mu is held.
func (s *Session) welcome(n channel.Name) {
	s.declined = slices.DeleteFunc(s.declined, func(d channel.Name) bool { return d == n })
}

// tellGap tells of records that an attached channel had lost before it was attached.
func (s *Session) tellGap(b *sub, gap wire.Gap, at channel.Position) {
	s.send(&wire.Message{Type: wire.MsgGap, Channel: b.channel, Gap: gap, At: at})
}
