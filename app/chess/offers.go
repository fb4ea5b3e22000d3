package chess

import (
	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// What can be offered.
const (
	drawing = iota
	takingBack
	playingAgain
	topics
)

// offerer is whose offer is open.
type offerer uint8

const nobodys offerer = 0

func of(side rules.Color) offerer { return offerer(side) + 1 }

func (f offerer) String() string { return [...]string{"", "white", "black"}[f] }

// verb is what stands behind the topic in the name of a command.
func verb(name string) string {
	for i := len(name) - 1; i > 0; i-- {
		if name[i] == '_' {
			return name[i+1:]
		}
	}
	return name
}

// offered is the record of an offer, or of what became of it.
func (g *game) offered(topic string, side rules.Color, state string) app.Object {
	return app.NewObject(128).Text("type", topic).Text("by", side.String()).Text("state", state)
}

func (g *game) told(now int64, records ...channel.Record) app.Outcome {
	return app.Outcome{Reply: g.brief(now), Events: records}
}

// decline takes an offer off the table, whoever made it.
func (g *game) decline(k *call, side rules.Color, topic int, name string) app.Outcome {
	if g.offers[topic] == nobodys {
		return because(NotNow, "nothing of the kind was offered: see the offers in the state").outcome()
	}
	g.offers[topic] = nobodys
	return g.told(k.now, channel.Record{Body: g.offered(name, side, "declined").End()})
}

// draw is offered, accepted or declined.
func (g *game) draw(k *call, side rules.Color) (o app.Outcome) {
	theirs := g.offers[drawing] == of(side.Other())
	switch v := verb(k.Type); {
	case v == "decline":
		return g.decline(k, side, drawing, "draw")
	case theirs:
		g.finish(&o, rules.Draw, agreement, k.now)
		o.Reply = g.brief(k.now)
		return o
	case v == "accept":
		return because(NotNow, "the other has not offered a draw: offer one").outcome()
	case g.early():
		return because(NotNow, "the game has hardly begun: abort it, or offer later").outcome()
	case g.offers[drawing] == of(side):
		return because(Exists, "you have offered a draw: wait for the answer").outcome()
	case g.limits[side].drawAt > 0 && g.made < g.limits[side].drawAt-1+drawEvery:
		no := because(TooSoon, "a draw can be offered once in 20 plies: play on")
		no.ply = g.play.Ply() + g.limits[side].drawAt - 1 + drawEvery - g.made
		return no.outcome()
	}
	g.offers[drawing] = of(side)
	g.limits[side].drawAt = g.made + 1
	return g.told(k.now, channel.Record{Body: g.offered("draw", side, "offered").End()})
}

// takeback is offered, accepted or declined. It undoes as many plies as give the turn to who asked.
func (g *game) takeback(k *call, side rules.Color) app.Outcome {
	switch v := verb(k.Type); {
	case v == "decline":
		return g.decline(k, side, takingBack, "takeback")
	case v == "accept" && g.offers[takingBack] == of(side.Other()):
		return g.takeBack(k, side)
	case v == "accept":
		return because(NotNow, "the other wants nothing back: play on").outcome()
	case g.offers[takingBack] != nobodys:
		return because(Exists, "a takeback is asked for already: wait for the answer, or answer it").outcome()
	case g.play.Ply() < g.undone(side):
		return because(NotNow, "you have not moved yet: play on").outcome()
	case g.limits[side].offers >= MaxTakebacks:
		return because(Full, "you have asked 50 times for a takeback: play on").outcome()
	}
	g.offers[takingBack] = of(side)
	g.limits[side].offers++
	return g.told(k.now, channel.Record{Body: g.offered("takeback", side, "offered").End()})
}

// undone is how many plies a takeback for a side undoes.
func (g *game) undone(side rules.Color) int {
	if g.turn() == side {
		return 2
	}
	return 1
}

// takeBack undoes. The clocks stay as they are, the side to move begins its turn anew.
func (g *game) takeBack(k *call, side rules.Color) app.Outcome {
	n := g.undone(side.Other())
	g.play.Undo(n)
	g.findLast(g.play)
	g.left = g.left[:len(g.left)-n]
	g.clock.since, g.moved = k.now, k.now
	g.offers[takingBack], g.offers[drawing] = nobodys, nobodys
	p := g.play.Position()
	o := g.offered("takeback", side, "accepted").Number("ply", int64(g.play.Ply())).Text("fen", p.FEN())
	return g.told(k.now, channel.Record{Body: g.clocks(o, k.now).End()}, g.summary(k.now))
}

// moreTime is a present for the other.
func (g *game) moreTime(k *call, side rules.Color) app.Outcome {
	other := side.Other()
	switch {
	case !g.agreed.control.timed():
		return because(NotNow, "this game has no clock: take your time").outcome()
	case g.clock.left[other] >= MaxClock*second:
		return because(Full, "the other has 2 hours or more: play on").outcome()
	case g.limits[side].moreTime >= MaxMoreTime:
		return because(Full, "you have given time 100 times: play on").outcome()
	}
	g.limits[side].moreTime++
	g.clock.left[other] = min(g.clock.left[other]+moreTime, MaxClock*second)
	o := app.NewObject(96).Text("type", "time").Text("to", other.String())
	return g.told(k.now, channel.Record{Body: g.clocks(o, k.now).End()}, g.summary(k.now))
}

// rematch begins the same game again with the colors swapped, once both want it. It is told of when the new game says that
// it has begun, so that whoever goes there finds it; an offer beside a name is an agreement that waits for this.
func (g *game) rematch(k *call, side rules.Color) app.Outcome {
	theirs := g.offers[playingAgain] == of(side.Other())
	switch v := verb(k.Type); {
	case g.phase == playing:
		return because(NotNow, "the game is not over: play on").outcome()
	case g.again != "":
		return because(Exists, "the rematch has begun: see rematch in the state").outcome()
	case k.now > g.ended+rematchWithin:
		return because(NotNow, "the game was over long ago: send a challenge").outcome()
	case v == "decline":
		return g.decline(k, side, playingAgain, "rematch")
	case !theirs && v == "accept":
		return because(NotNow, "the other has not offered a rematch: offer one").outcome()
	case !theirs && g.offers[playingAgain] == of(side):
		return because(Exists, "you have offered a rematch: wait for the answer").outcome()
	case !theirs && g.limits[side].offers >= MaxOffers:
		return because(Full, "you have offered 70 times: wait for the other's offer, or send a challenge").outcome()
	case !theirs:
		g.offers[playingAgain] = of(side)
		g.limits[side].offers++
		return g.told(k.now, channel.Record{Body: g.offered("rematch", side, "offered").End()})
	}
	g.again = newID(k.seed, 0)
	white, black := g.nowadays(rules.Black), g.nowadays(rules.White)
	next := message{
		Type: "create", White: &white, Black: &black, Of: idOf(g.name), offer: offer{
			Base: g.agreed.control.base, Inc: g.agreed.control.inc, Rated: g.agreed.rated, Delay: g.agreed.delay / second, FEN: g.agreed.fen,
		},
	}
	return app.Outcome{
		Reply: app.NewObject(64).Text("game", string(Game(g.again))).End(),
		Sends: []channel.Command{next.to(Game(g.again))},
	}
}

// began hears that the rematch has begun.
func (g *game) began(from channel.Name) app.Outcome {
	by := g.offers[playingAgain]
	if g.again == "" || from != Game(g.again) || by == nobodys {
		return answer(nil)
	}
	g.offers[playingAgain] = nobodys
	accepted := g.offered("rematch", rules.Color(by-1).Other(), "accepted").Text("game", string(from))
	return app.Outcome{Events: []channel.Record{{Body: accepted.End()}}}
}

// nowadays is a player as this game left him.
func (g *game) nowadays(side rules.Color) party {
	p := g.agreed.players[side]
	if g.changes[side].told {
		p.Standing = g.changes[side].after
	}
	return p
}
