package chess

import (
	"encoding/json"
	"strconv"

	"carillon/app/chess/rules"
	"carillon/channel"
)

// clocks are what both sides have left, where there is a clock.
func (g *game) clocks(o object, now int64) object {
	if !g.agreed.control.timed() {
		return o
	}
	turn := rules.White
	if g.play != nil {
		turn = g.turn()
	}
	return o.number("white", g.clock.at(rules.White, turn, now)).number("black", g.clock.at(rules.Black, turn, now))
}

// status is how far the game got.
func (g *game) status(o object) object {
	o = o.text("status", g.phase.String())
	if g.phase != playing {
		o = o.text("result", g.result.String()).text("reason", g.reason.String())
	}
	return o
}

// brief is the answer to a player's command.
func (g *game) brief(now int64) []byte {
	ply := len(g.moves)
	if g.play != nil {
		ply = g.play.Ply()
	}
	o := g.clocks(newObject(128).number("ply", int64(ply)), now)
	return g.status(o).end()
}

// position is where the game stands, for who looks in now.
func (g *game) position(o object, r *rules.Game) object {
	p := r.Position()
	var fen [128]byte
	o = o.plain("fen", p.AppendFEN(fen[:0])).text("turn", p.Turn().String()).number("ply", int64(r.Ply()))
	if len(g.last) > 0 {
		o = o.plain("last", g.last)
	}
	return o.number("updated", g.moved)
}

// summary is the record from which the game can be shown. It is that of a game that is still in memory whole.
func (g *game) summary(now int64) channel.Record {
	o := g.position(newObject(320), g.play)
	o = g.clocks(g.status(o), now)
	return channel.Record{Class: channel.Latest, Key: "summary", From: g.self, Body: o.end()}
}

// findLast finds the last move as it is written, which takes the position before it.
func (g *game) findLast(r *rules.Game) {
	g.last = g.last[:0]
	moves := r.Moves()
	if len(moves) == 0 {
		return
	}
	p := g.start()
	for _, m := range moves[:len(moves)-1] {
		p = p.Play(m)
	}
	g.last = p.AppendUCI(g.last, moves[len(moves)-1])
}

// absence is the record that tells who is gone.
func (g *game) absence() channel.Record {
	o := newObject(64)
	for c, at := range g.absent {
		if at != 0 {
			o = o.number(rules.Color(c).String(), at)
		}
	}
	return channel.Record{Class: channel.Latest, Key: "absence", From: g.self, Body: o.end()}
}

// terms are what the game was begun with.
func (g *game) terms(o object) object {
	a := &g.agreed
	o = o.open("players")
	for c := range a.players {
		o = a.players[c].Standing.fields(o.open(rules.Color(c).String()).text("user", a.players[c].User)).close('}')
	}
	o = o.close('}').number("base", a.control.base).number("inc", a.control.inc).flag("rated", a.rated).text("speed", a.control.speed().String())
	if a.fen != "" {
		o = o.text("start", a.fen)
	}
	if a.delay > 0 {
		o = o.number("delay", a.delay/second).text("watch", string(Watch(idOf(g.name))))
	}
	if a.control.timed() {
		o = o.number("first", a.control.speed().firstMove())
	}
	if a.of != "" {
		o = o.text("of", string(Game(a.of)))
	}
	return o
}

// state is everything about the game.
func (g *game) state(now int64) []byte {
	r := g.replayed()
	o := g.position(newObject(1024+32*r.Ply()).text("game", string(g.name)), r)
	o = g.terms(g.clocks(g.status(o), now)).number("created", g.agreed.created).number("now", now)
	if g.phase == playing && g.clock.running {
		o = o.text("running", g.turn().String())
	}
	o = g.movesTo(o, r)
	o = o.open("offers")
	for i, f := range g.offers {
		if f != nobodys {
			o = o.text([topics]string{"draw", "takeback", "rematch"}[i], f.String())
		}
	}
	o = o.close('}').raw("absent", g.absence().Body)
	o = o.open("ratings")
	for c := range g.changes {
		if g.changes[c].told {
			o = g.changes[c].fields(o.open(rules.Color(c).String())).close('}')
		}
	}
	o = o.close('}')
	if g.again != "" {
		o = o.text("rematch", string(Game(g.again)))
	}
	return o.end()
}

// movesTo writes the moves, each as UCI and SAN, and what clocks they left.
func (g *game) movesTo(o object, r *rules.Game) object {
	moves := r.Moves()
	o = o.list("moves")
	var buf [16]byte
	p := g.start()
	for _, m := range moves {
		o = append(append(append(o.item(), '"'), p.AppendUCI(buf[:0], m)...), '"')
		p = p.Play(m)
	}
	o = o.close(']').list("sans")
	p = g.start()
	for _, m := range moves {
		o = append(append(append(o.item(), '"'), p.AppendSAN(buf[:0], m)...), '"')
		p = p.Play(m)
	}
	o = o.close(']')
	if g.agreed.control.timed() {
		o = o.list("left")
		for _, ms := range g.left {
			o = strconv.AppendUint(o.item(), uint64(ms), 10)
		}
		o = o.close(']')
	}
	return o
}

// stepRecord is what a relay shows of one step of a game, later.
type stepRecord struct {
	Delay   int64             `json:"delay"` // milliseconds
	Events  []json.RawMessage `json:"events,omitempty"`
	Summary json.RawMessage   `json:"summary,omitempty"`
}

// relay tells the channel of the spectators what they will see.
func (g *game) relay(events []channel.Record) channel.Command {
	s := stepRecord{Delay: g.agreed.delay}
	for _, e := range events {
		switch {
		case e.Class == channel.Logged:
			s.Events = append(s.Events, e.Body)
		case e.Key == "summary":
			s.Summary = e.Body
		}
	}
	m := message{Type: "relay", Step: &s}
	return m.to(Watch(idOf(g.name)))
}
