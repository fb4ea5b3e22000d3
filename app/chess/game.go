package chess

import (
	"time"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// phase is how far a game got.
type phase uint8

const (
	unborn phase = iota
	playing
	over
	aborted
)

func (p phase) String() string { return [...]string{"", "playing", "over", "aborted"}[p] }

// game is one game. It is small once it is over: what is asked then is found by playing the moves again.
type game struct {
	name   channel.Name
	self   string // the game as a user
	phase  phase
	agreed agreed
	play   *rules.Game  // while playing
	moves  []rules.Move // once it is over
	last   []byte       // the last move as UCI. Follows from the moves
	left   []uint32     // milliseconds that each ply left its side
	clock  clock
	made   int   // moves ever made, those that were taken back too
	seen   int64 // time of the last accepted command
	moved  int64 // when the last move came

	offers  [topics]offerer
	limits  [2]limits
	absent  [2]int64 // since when the other may claim; 0: is there
	result  rules.Result
	reason  reason
	ended   int64
	changes [2]change
	again   string // id of the rematch
}

// agreed is what a game was begun with.
type agreed struct {
	players [2]party
	control control
	rated   bool
	delay   int64  // milliseconds that spectators are behind
	fen     string // "" for the usual array
	of      string // the game before this, in a rematch
	created int64
}

// limits are what a side has used up.
type limits struct {
	drawAt   int // moves made at its last draw offer, plus one; 0: none
	offers   int // of takebacks, and of rematches after the end
	moreTime int
}

// change is what a game did to a rating.
type change struct {
	told          bool
	before, after standing
}

func newGame(n channel.Name) *game { return &game{name: n, self: app.UserOf(n)} }

// Apply takes a step of the game. What the service lost of the time is first taken off every count that runs.
func (g *game) Apply(c channel.Command) app.Outcome {
	clock, absent, made := g.clock, g.absent, g.made
	now := c.Time.UnixMilli()
	lost := g.forgive(c.Lost.Milliseconds(), now)
	o := g.step(c, now)
	if o.Refused != 0 || o.ReadOnly {
		g.clock, g.absent = clock, absent
		return o
	}
	g.seen = now
	if g.phase == playing {
		if lost >= tellLost && clock.running && g.made == made {
			o.Events = append(o.Events, g.logged(g.clocks(app.NewObject(96).Text("type", "clock").Number("lost", lost), now)))
		}
		if side, ok := g.side(c.User); ok && g.absent[side] != 0 {
			g.absent[side] = 0
			o.Events = append(o.Events, g.absence())
		}
	}
	if g.agreed.delay > 0 && len(o.Events) > 0 {
		o.Sends = append(o.Sends, g.relay(o.Events))
	}
	o.WakeAt = g.wake()
	return o
}

// tellLost is how much lost time is told at once rather than with the next move, in milliseconds.
const tellLost = 100

// forgive moves on what runs by what the service lost since the last accepted command.
func (g *game) forgive(lost, now int64) int64 {
	if g.phase != playing || lost <= 0 {
		return 0
	}
	lost = min(lost, max(0, now-g.seen))
	g.clock.since += lost
	for s := range g.absent {
		if g.absent[s] != 0 {
			g.absent[s] += lost
		}
	}
	return lost
}

func (g *game) step(c channel.Command, now int64) app.Outcome {
	switch {
	case app.IsTimer(c):
		return g.timer(now)
	case c.User == app.PresenceUser:
		return g.presence(c, now)
	}
	if from, ok := app.SentBy(c); ok {
		m, no := readMessage(c)
		if no != nil {
			return no.outcome()
		}
		return g.hear(m, from, now)
	}
	k, no := readCall(c)
	if no != nil {
		return no.outcome()
	}
	side, player := g.side(k.asker)
	switch {
	case g.phase == unborn:
		return refuse(NoGame).outcome()
	case k.Type == "state" && (player || g.agreed.delay == 0):
		return answer(g.state(now))
	case k.Type == "state":
		return because(NotPlayer, "spectators see this game later: ask its watch channel").outcome()
	case !player:
		return refuse(NotPlayer).outcome()
	}
	return g.ask(k, side)
}

// ask takes a player's command.
func (g *game) ask(k *call, side rules.Color) app.Outcome {
	switch k.Type {
	case "rematch_offer", "rematch_accept", "rematch_decline":
		return g.rematch(k, side)
	case "move", "resign", "abort", "draw_offer", "draw_accept", "draw_decline", "draw_claim",
		"takeback_offer", "takeback_accept", "takeback_decline", "more_time", "claim":
		if g.phase != playing {
			return refuse(Finished).outcome()
		}
	default:
		return refuse(UnknownCommand).outcome()
	}
	switch k.Type {
	case "move":
		return g.move(k, side)
	case "resign", "abort":
		return g.leave(k, side)
	case "draw_offer", "draw_accept", "draw_decline":
		return g.draw(k, side)
	case "draw_claim":
		return g.claimDraw(k)
	case "takeback_offer", "takeback_accept", "takeback_decline":
		return g.takeback(k, side)
	case "more_time":
		return g.moreTime(k, side)
	}
	return g.claim(k, side)
}

// side is a user's color, if he plays here.
func (g *game) side(user string) (rules.Color, bool) {
	for c := range g.agreed.players {
		if g.phase != unborn && g.agreed.players[c].User == user {
			return rules.Color(c), true
		}
	}
	return 0, false
}

// hear takes what other machines say: that the game begins, and what it did to ratings.
func (g *game) hear(m *message, from channel.Name, now int64) app.Outcome {
	switch k := kindOf(from); {
	case m.Type == "create" && (k == ofLobby || k == ofPlayer || k == ofGame):
		return g.create(m, from, now)
	case m.Type == "began" && k == ofGame:
		return g.began(from)
	case m.Type == "rated" && k == ofPlayer:
		return g.rated(m, from)
	case m.Type == "crowded" && k == ofPlayer:
		return g.crowded(m, from, now)
	}
	return fromElsewhere()
}

// create begins the game and tells both players, and the game that this is the rematch of.
func (g *game) create(m *message, from channel.Name, now int64) app.Outcome {
	switch {
	case g.phase != unborn:
		return answer(nil)
	case m.White == nil || m.Black == nil || m.White.User == m.Black.User || !app.ValidUser(m.White.User) || !app.ValidUser(m.Black.User) || m.judge() != nil:
		return refuse(BadRequest).outcome()
	}
	g.agreed = agreed{
		players: [2]party{*m.White, *m.Black}, control: m.control(), rated: m.Rated, delay: m.Delay * second, fen: m.FEN, of: m.Of, created: now,
	}
	g.phase, g.seen, g.moved = playing, now, now
	g.play = rules.NewGame(g.start())
	g.clock = newClock(g.agreed.control, now)
	var o app.Outcome
	started := g.terms(app.NewObject(512).Text("type", "started"))
	o.Events = []channel.Record{g.logged(g.clocks(started, now)), g.summary(now)}
	o.Rows = []channel.Row{g.live()}
	if g.agreed.delay == 0 {
		o.Access = []channel.Access{{Rights: channel.Read}}
	}
	for c := range g.agreed.players {
		if g.agreed.delay > 0 {
			o.Access = append(o.Access, channel.Access{User: g.agreed.players[c].User, Rights: channel.Read})
		}
		begun := message{Type: "game", To: g.agreed.players[c].User, White: m.White, Black: m.Black, offer: m.offer}
		o.Sends = append(o.Sends, begun.to(Player(begun.To)))
	}
	if kindOf(from) == ofGame {
		o.Sends = append(o.Sends, (&message{Type: "began"}).to(from))
	}
	return o
}

// start is the position before the first move.
func (g *game) start() rules.Position {
	if g.agreed.fen == "" {
		return rules.Start()
	}
	p, err := rules.ParseFEN(g.agreed.fen)
	if err != nil {
		panic("chess: a game began at what is no position: " + err.Error()) // it was judged when the game was created
	}
	return p
}

// replayed is the game with its moves, also after its end.
func (g *game) replayed() *rules.Game {
	if g.play != nil {
		return g.play
	}
	r := rules.NewGame(g.start())
	for _, m := range g.moves {
		if _, err := r.Apply(nil, m); err != nil {
			panic("chess: a move that was played cannot be played again: " + err.Error())
		}
	}
	return r
}

func (g *game) turn() rules.Color {
	p := g.play.Position()
	return p.Turn()
}

// early tells that the game can still be aborted, and no clock runs.
func (g *game) early() bool { return g.made < earlyPlies }

// ends is when the game ends by itself: a flag falls, or a first move is missing. 0: never.
func (g *game) ends() int64 {
	switch {
	case g.phase != playing || !g.agreed.control.timed():
		return 0
	case g.early():
		return g.clock.since + g.agreed.control.speed().firstMove()
	}
	return g.clock.falls(g.turn())
}

// wake is when the game ends by itself, or has been quiet for so long that its players may be gone.
func (g *game) wake() time.Time {
	at := g.ends()
	if at != 0 && !g.early() {
		at = min(at, g.seen+presenceEvery)
	}
	return moment(at)
}

// timer ends the game if it is time. It is not where time was lost meanwhile, or where only presence is to be asked for;
// then the next timer is set.
func (g *game) timer(now int64) (o app.Outcome) {
	at := g.ends()
	switch {
	case at == 0:
	case at <= now && g.early():
		g.finish(&o, rules.NoResult, firstMove, now)
	case at <= now:
		g.flag(&o, now)
	case !g.early() && now-g.seen >= presenceEvery:
		for c := range g.agreed.players {
			o.Sends = append(o.Sends, believes(g.name, g.agreed.players[c].User, g.absent[c] == 0))
		}
	}
	return o
}

// logged is a record of the game itself.
func (g *game) logged(o app.Object) channel.Record {
	return channel.Record{From: g.self, Body: o.End()}
}
