package chess

import (
	"encoding/binary"
	"encoding/json"

	"carillon/app/chess/rules"
	"carillon/channel"
)

// Snapshot appends the state of the channel of a user.
func (p *player) Snapshot(dst []byte) []byte {
	dst = text(append(dst, version), p.user)
	for s := range p.tallies {
		t := &p.tallies[s]
		if dst = flags(dst, t.played(), t.was2400); t.played() {
			dst = t.standing.snapshot(dst)
			dst = number(number(number(dst, t.volatility), t.best), t.last)
			dst = number(number(number(dst, t.games), t.wins), t.draws)
		}
	}
	dst = binary.AppendUvarint(number(dst, p.casual), uint64(len(p.games)))
	for i := range p.games {
		g := &p.games[i]
		dst = text(append(text(dst, g.id), byte(g.color)), g.other)
		dst = g.offer.snapshot(number(dst, g.rating))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.seeks)))
	for i := range p.seeks {
		w := &p.seeks[i]
		dst = w.offer.snapshot(text(text(dst, w.id), w.of))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.challenges)))
	for i := range p.challenges {
		h := &p.challenges[i]
		dst = h.standing.snapshot(flags(text(text(dst, h.id), h.other), h.sent))
		dst = number(h.offer.snapshot(dst), h.ends)
	}
	return dst
}

func readPlayer(n channel.Name, r *reader) *player {
	p := newPlayer(n)
	p.user = r.text()
	for s := range p.tallies {
		t := &p.tallies[s]
		told := r.byte()
		t.was2400 = bit(told, 1)
		if bit(told, 0) {
			t.standing = r.standing()
			t.volatility, t.best, t.last = r.number(), r.number(), r.number()
			t.games, t.wins, t.draws = r.number(), r.number(), r.number()
			r.must(t.games > 0)
		}
	}
	p.casual = r.number()
	for range r.count() {
		g := listed{id: r.text(), color: rules.Color(r.below(2)), other: r.text(), rating: r.number()}
		g.offer = r.offer()
		p.games = append(p.games, g)
	}
	for range r.count() {
		p.seeks = append(p.seeks, wish{id: r.text(), of: r.text(), offer: r.offer()})
	}
	for range r.count() {
		h := challenge{id: r.text(), other: r.text(), sent: bit(r.byte(), 0), standing: r.standing()}
		h.offer, h.ends = r.offer(), r.number()
		p.challenges = append(p.challenges, h)
	}
	return p
}

// Snapshot appends the state of the lobby.
func (l *lobby) Snapshot(dst []byte) []byte {
	dst = flags(append(dst, version), l.open)
	dst = binary.AppendUvarint(dst, uint64(len(l.seeks)))
	for i := range l.seeks {
		s := &l.seeks[i]
		dst = s.standing.snapshot(text(text(dst, s.id), s.user))
		dst = number(s.offer.snapshot(dst), s.since)
	}
	return dst
}

func readLobby(n channel.Name, r *reader) *lobby {
	l := newLobby(n)
	l.open = bit(r.byte(), 0)
	for range r.count() {
		s := seek{id: r.text(), user: r.text(), standing: r.standing()}
		s.offer, s.since = r.offer(), r.number()
		l.seeks = append(l.seeks, s)
	}
	return l
}

// Snapshot appends the state of the relay.
func (w *watch) Snapshot(dst []byte) []byte {
	dst = text(number(append(dst, version), w.delay), w.shown)
	dst = binary.AppendUvarint(dst, uint64(len(w.held)))
	for i := range w.held {
		s := &w.held[i]
		dst = binary.AppendUvarint(text(number(dst, s.due), s.summary), uint64(len(s.events)))
		for _, e := range s.events {
			dst = text(dst, e)
		}
	}
	return dst
}

func readWatch(n channel.Name, r *reader) *watch {
	w := newWatch(n)
	w.delay = r.number()
	w.shown = r.json()
	for range r.count() {
		s := heldStep{due: r.number(), summary: r.json()}
		for range r.count() {
			s.events = append(s.events, r.json())
		}
		w.held = append(w.held, s)
	}
	return w
}

// json is a text of JSON, or nothing.
func (r *reader) json() []byte {
	b := append([]byte(nil), r.bytes()...)
	r.must(len(b) == 0 || json.Valid(b))
	return b
}
