package chess

import (
	"carillon/app"
	"carillon/app/chess/rating"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// reason is why a game is no longer played.
type reason uint8

const (
	ongoing reason = iota
	checkmate
	resignation
	timeOut
	stalemate
	material
	fivefold
	seventyFive
	tooLong
	agreement
	threefold
	fiftyMoves
	timeMaterial
	abandoned
	abort
	firstMove
)

func (r reason) String() string {
	return [...]string{
		"", "checkmate", "resignation", "time", "stalemate", "material", "fivefold", "seventy_five_moves", "too_long",
		"agreement", "threefold", "fifty_moves", "time_material", "abandoned", "abort", "first_move",
	}[r]
}

// leave is to resign, or to abort a game that has hardly begun.
func (g *game) leave(k *call, side rules.Color) (o app.Outcome) {
	switch {
	case k.Type == "abort" && !g.early():
		return because(NotNow, "both sides have moved: resign, or offer a draw").outcome()
	case k.Type == "resign" && g.early():
		return because(NotNow, "the game has hardly begun: abort it").outcome()
	case k.Type == "abort":
		g.finish(&o, rules.NoResult, abort, k.now)
	default:
		g.finish(&o, wins(side.Other()), resignation, k.now)
	}
	o.Reply = g.brief(k.now)
	return o
}

// claimDraw is for either player, while the position stands: FIDE has it claimed by who is on turn, or by the mover
// together with the move.
func (g *game) claimDraw(k *call) (o app.Outcome) {
	why := threefold
	switch c := g.play.Claims(); {
	case c == 0:
		return because(NoClaim, "this position was not there three times, nor were there 50 moves without capture or pawn move: offer a draw").outcome()
	case c&rules.ThreefoldRepetition == 0:
		why = fiftyMoves
	}
	g.finish(&o, rules.Draw, why, k.now)
	o.Reply = g.brief(k.now)
	return o
}

// flag ends the game by time: nobody loses to a side that could not mate by any moves.
func (g *game) flag(o *app.Outcome, now int64) {
	late := g.turn()
	g.clock.left[late], g.clock.running = 0, false
	if p := g.play.Position(); !p.CanMate(late.Other()) {
		g.finish(o, rules.Draw, timeMaterial, now)
		return
	}
	g.finish(o, wins(late.Other()), timeOut, now)
}

// finish ends the game: what is only needed to play is let go, the players' channels rate it, and the archive has it.
func (g *game) finish(o *app.Outcome, result rules.Result, why reason, now int64) {
	g.clock.stop(g.turn(), now)
	g.moves = append([]rules.Move(nil), g.play.Moves()...)
	g.phase, g.result, g.reason, g.ended = over, result, why, now
	if result == rules.NoResult {
		g.phase = aborted
	}
	g.offers, g.absent = [topics]offerer{}, [2]int64{}
	end := g.status(app.NewObject(160).Text("type", "end")).Number("ply", int64(len(g.moves)))
	o.Events = append(o.Events, g.logged(g.clocks(end, now)), g.summary(now))
	g.play = nil
	o.Rows = append(o.Rows, channel.Row{Kind: kindLive, Key: idOf(g.name)})
	if g.phase == over {
		o.Rows = append(o.Rows, g.archive())
	}
	for c := range g.agreed.players {
		own, other := &g.agreed.players[c], &g.agreed.players[1-c]
		told := message{
			Type: "result", To: own.User, Result: result.String(), Reason: why.String(), offer: offer{
				Base: g.agreed.control.base, Inc: g.agreed.control.inc, Rated: g.agreed.rated, Color: rules.Color(c).String(),
			},
			Before: &own.Standing, Standing: &other.Standing,
		}
		o.Sends = append(o.Sends, told.to(Player(own.User)))
	}
}

// scoreOf is what a side got of a result; false where there is none.
func scoreOf(result, color string) (rating.Score, bool) {
	switch {
	case result == rules.Draw.String():
		return rating.Half, true
	case result == rules.WhiteWins.String() && color == "white", result == rules.BlackWins.String() && color == "black":
		return rating.Win, true
	case result == rules.WhiteWins.String(), result == rules.BlackWins.String():
		return rating.Loss, true
	}
	return rating.Loss, false
}

// rated takes up what the game did to a player's rating, once for each side.
func (g *game) rated(m *message, from channel.Name) (o app.Outcome) {
	side, ok := g.side(m.User)
	switch {
	case !ok || Player(m.User) != from || m.Before == nil || m.Standing == nil:
		return refuse(BadRequest).outcome()
	case g.phase != over || !g.agreed.rated || g.changes[side].told:
		return answer(nil)
	}
	g.changes[side] = change{told: true, before: *m.Before, after: *m.Standing}
	e := app.NewObject(128).Text("type", "rating").Text("color", side.String()).Text("user", m.User)
	o.Events = []channel.Record{g.logged(g.changes[side].fields(e))}
	if g.changes[side.Other()].told {
		o.Rows = []channel.Row{g.archive()}
	}
	return o
}

// crowded ends a game of a player who plays too many: it would not count for him.
func (g *game) crowded(m *message, from channel.Name, now int64) (o app.Outcome) {
	if _, ok := g.side(m.User); !ok || Player(m.User) != from {
		return refuse(BadRequest).outcome()
	}
	if g.phase != playing {
		return answer(nil)
	}
	g.finish(&o, rules.NoResult, abort, now)
	return o
}

// fields are what people are told of a change: whole points, of which one is the difference of the others.
func (c *change) fields(o app.Object) app.Object {
	before, after := points(c.before.Rating), points(c.after.Rating)
	return o.Number("before", before).Number("after", after).Number("change", after-before)
}

// presence hears who came to the game's channel or left it. Only the players' absence is of account, and only where time
// runs out for them anyway.
func (g *game) presence(c channel.Command, now int64) app.Outcome {
	user, here := readPresence(c)
	side, ok := g.side(user)
	if !ok || g.phase != playing || !g.agreed.control.timed() || here == (g.absent[side] == 0) {
		return answer(nil)
	}
	g.absent[side] = 0
	if !here {
		g.absent[side] = now + g.agreed.control.speed().grace()
	}
	return app.Outcome{Events: []channel.Record{g.absence()}}
}

// claim ends a game that the other has left.
func (g *game) claim(k *call, side rules.Color) (o app.Outcome) {
	gone := g.absent[side.Other()]
	switch {
	case k.As != "win" && k.As != "draw":
		return because(BadRequest, "as says what you claim: set it to win or draw").outcome()
	case g.early():
		return because(NotNow, "the game has hardly begun: abort it").outcome()
	case gone == 0:
		return because(NoClaim, "the other is there: play on").outcome()
	case k.now < gone:
		no := because(TooSoon, "the other has just left: wait until he has had time to come back")
		no.wait = gone - k.now
		return no.outcome()
	}
	result := wins(side)
	if p := g.play.Position(); k.As == "draw" || !p.CanMate(side) {
		result = rules.Draw
	}
	g.finish(&o, result, abandoned, k.now)
	o.Reply = g.brief(k.now)
	return o
}
