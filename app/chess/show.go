package chess

import (
	"encoding/json"
	"strconv"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// clocks are what both sides have left, where there is a clock.
func (g *game) clocks(o app.Object, now int64) app.Object {
	if !g.agreed.control.timed() {
		return o
	}
	turn := rules.White
	if g.play != nil {
		turn = g.turn()
	}
	return o.Number("white", g.clock.at(rules.White, turn, now)).Number("black", g.clock.at(rules.Black, turn, now))
}

// status is how far the game got.
func (g *game) status(o app.Object) app.Object {
	o = o.Text("status", g.phase.String())
	if g.phase != playing {
		o = o.Text("result", g.result.String()).Text("reason", g.reason.String())
	}
	return o
}

// brief is the answer to a player's command.
func (g *game) brief(now int64) []byte {
	ply := len(g.moves)
	if g.play != nil {
		ply = g.play.Ply()
	}
	o := g.clocks(app.NewObject(80).Number("ply", int64(ply)), now)
	return g.status(o).End()
}

// position is where the game stands, for who looks in now.
func (g *game) position(o app.Object, r *rules.Game) app.Object {
	p := r.Position()
	var fen [128]byte
	o = o.Plain("fen", p.AppendFEN(fen[:0])).Text("turn", p.Turn().String()).Number("ply", int64(r.Ply()))
	if len(g.last) > 0 {
		o = o.Plain("last", g.last)
	}
	return o.Number("updated", g.moved)
}

// summary is the record from which the game can be shown. It is that of a game that is still in memory whole.
func (g *game) summary(now int64) channel.Record {
	o := g.position(app.NewObject(256), g.play)
	o = g.clocks(g.status(o), now)
	return channel.Record{Class: channel.Latest, Key: "summary", From: g.self, Body: o.End()}
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
	o := app.NewObject(64)
	for c, at := range g.absent {
		if at != 0 {
			o = o.Number(rules.Color(c).String(), at)
		}
	}
	return channel.Record{Class: channel.Latest, Key: "absence", From: g.self, Body: o.End()}
}

// terms are what the game was begun with.
func (g *game) terms(o app.Object) app.Object {
	a := &g.agreed
	o = o.Open("players")
	for c := range a.players {
		o = a.players[c].Standing.fields(o.Open(rules.Color(c).String()).Text("user", a.players[c].User)).Close('}')
	}
	o = o.Close('}').Number("base", a.control.base).Number("inc", a.control.inc).Flag("rated", a.rated).Text("speed", a.control.speed().String())
	if a.fen != "" {
		o = o.Text("start", a.fen)
	}
	if a.delay > 0 {
		o = o.Number("delay", a.delay/second).Text("watch", string(Watch(idOf(g.name))))
	}
	if a.control.timed() {
		o = o.Number("first", a.control.speed().firstMove())
	}
	if a.of != "" {
		o = o.Text("of", string(Game(a.of)))
	}
	return o
}

// state is everything about the game.
func (g *game) state(now int64) []byte {
	r := g.replayed()
	o := g.position(app.NewObject(1024+32*r.Ply()).Text("game", string(g.name)), r)
	o = g.terms(g.clocks(g.status(o), now)).Number("created", g.agreed.created).Number("now", now)
	if g.phase == playing && g.clock.running {
		o = o.Text("running", g.turn().String())
	}
	o = g.movesTo(o, r)
	o = o.Open("offers")
	for i, f := range g.offers {
		if f != nobodys && (i != playingAgain || g.again == "") {
			o = o.Text([topics]string{"draw", "takeback", "rematch"}[i], f.String())
		}
	}
	o = o.Close('}').Raw("absent", g.absence().Body)
	o = o.Open("ratings")
	for c := range g.changes {
		if g.changes[c].told {
			o = g.changes[c].fields(o.Open(rules.Color(c).String())).Close('}')
		}
	}
	o = o.Close('}')
	if g.again != "" && g.offers[playingAgain] == nobodys {
		o = o.Text("rematch", string(Game(g.again)))
	}
	return o.End()
}

// movesTo writes the moves, each as UCI and SAN, and what clocks they left.
func (g *game) movesTo(o app.Object, r *rules.Game) app.Object {
	moves := r.Moves()
	o = o.List("moves")
	var buf [16]byte
	p := g.start()
	for _, m := range moves {
		o = append(append(append(o.Item(), '"'), p.AppendUCI(buf[:0], m)...), '"')
		p = p.Play(m)
	}
	o = o.Close(']').List("sans")
	p = g.start()
	for _, m := range moves {
		o = append(append(append(o.Item(), '"'), p.AppendSAN(buf[:0], m)...), '"')
		p = p.Play(m)
	}
	o = o.Close(']')
	if g.agreed.control.timed() {
		o = o.List("left")
		for _, ms := range g.left {
			o = strconv.AppendUint(o.Item(), uint64(ms), 10)
		}
		o = o.Close(']')
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
