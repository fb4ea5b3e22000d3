package chess

import (
	"encoding/binary"
	"encoding/json"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// Snapshot appends the state of the channel of a user.
func (p *player) Snapshot(dst []byte) []byte {
	dst = app.AppendText(append(dst, version), p.user)
	for s := range p.tallies {
		t := &p.tallies[s]
		if dst = app.AppendFlags(dst, t.played(), t.was2400); t.played() {
			dst = t.standing.snapshot(dst)
			dst = number(number(number(dst, t.volatility), t.best), t.last)
			dst = number(number(number(dst, t.games), t.wins), t.draws)
		}
	}
	dst = binary.AppendUvarint(number(dst, p.casual), uint64(len(p.games)))
	for i := range p.games {
		g := &p.games[i]
		dst = app.AppendText(append(app.AppendText(dst, g.id), byte(g.color)), g.other)
		dst = g.offer.snapshot(number(dst, g.rating))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.seeks)))
	for i := range p.seeks {
		w := &p.seeks[i]
		dst = w.offer.snapshot(app.AppendText(app.AppendText(dst, w.id), w.of))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.challenges)))
	for i := range p.challenges {
		h := &p.challenges[i]
		dst = h.standing.snapshot(app.AppendFlags(app.AppendText(app.AppendText(dst, h.id), h.other), h.sent))
		dst = number(h.offer.snapshot(dst), h.ends)
	}
	return dst
}

func readPlayer(n channel.Name, r *reader) *player {
	p := newPlayer(n)
	p.user = r.Text()
	for s := range p.tallies {
		t := &p.tallies[s]
		told := r.Byte()
		t.was2400 = bit(told, 1)
		if bit(told, 0) {
			t.standing = r.standing()
			t.volatility, t.best, t.last = r.Int(), r.Int(), r.Int()
			t.games, t.wins, t.draws = r.Int(), r.Int(), r.Int()
			r.Must(t.games > 0)
		}
	}
	p.casual = r.Int()
	for range r.Count() {
		g := listed{id: r.Text(), color: rules.Color(r.Below(2)), other: r.Text(), rating: r.Int()}
		g.offer = r.offer()
		p.games = append(p.games, g)
	}
	for range r.Count() {
		p.seeks = append(p.seeks, wish{id: r.Text(), of: r.Text(), offer: r.offer()})
	}
	for range r.Count() {
		h := challenge{id: r.Text(), other: r.Text(), sent: bit(r.Byte(), 0), standing: r.standing()}
		h.offer, h.ends = r.offer(), r.Int()
		p.challenges = append(p.challenges, h)
	}
	return p
}

// Snapshot appends the state of the lobby.
func (l *lobby) Snapshot(dst []byte) []byte {
	dst = app.AppendFlags(append(dst, version), l.open)
	dst = binary.AppendUvarint(dst, uint64(len(l.seeks)))
	for i := range l.seeks {
		s := &l.seeks[i]
		dst = s.standing.snapshot(app.AppendText(app.AppendText(dst, s.id), s.user))
		dst = number(s.offer.snapshot(dst), s.since)
	}
	return dst
}

func readLobby(n channel.Name, r *reader) *lobby {
	l := newLobby(n)
	l.open = bit(r.Byte(), 0)
	for range r.Count() {
		s := seek{id: r.Text(), user: r.Text(), standing: r.standing()}
		s.offer, s.since = r.offer(), r.Int()
		l.seeks = append(l.seeks, s)
	}
	return l
}

// Snapshot appends the state of the relay.
func (w *watch) Snapshot(dst []byte) []byte {
	dst = app.AppendText(number(append(dst, version), w.delay), w.shown)
	dst = binary.AppendUvarint(dst, uint64(len(w.held)))
	for i := range w.held {
		s := &w.held[i]
		dst = binary.AppendUvarint(app.AppendText(number(dst, s.due), s.summary), uint64(len(s.events)))
		for _, e := range s.events {
			dst = app.AppendText(dst, e)
		}
	}
	return dst
}

func readWatch(n channel.Name, r *reader) *watch {
	w := newWatch(n)
	w.delay = r.Int()
	w.shown = r.json()
	for range r.Count() {
		s := heldStep{due: r.Int(), summary: r.json()}
		for range r.Count() {
			s.events = append(s.events, r.json())
		}
		w.held = append(w.held, s)
	}
	return w
}

// json is a text of JSON, or nothing.
func (r *reader) json() []byte {
	b := append([]byte(nil), r.Bytes()...)
	r.Must(len(b) == 0 || json.Valid(b))
	return b
}
