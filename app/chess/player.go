package chess

import (
	"slices"
	"time"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// player is the channel of a user: how strong he is, what he plays, and whom he looks for. Games, the lobby and other
// players write it; he asks. Nobody else may, but to look at his profile.
type player struct {
	name       channel.Name
	self       string
	user       string // whose it is; "" until the first accepted command, which also lets him read it
	tallies    [ratedSpeeds]tally
	casual     int64 // games played to an end that were not rated
	games      []listed
	seeks      []wish
	challenges []challenge
}

// listed is a game that is going on.
type listed struct {
	id     string
	color  rules.Color
	other  string
	rating int64 // of the other, in points; 0: none
	offer  offer
}

// wish is a seek that waits in the lobby, or a request to join one.
type wish struct {
	id    string
	of    string // the seek to join; "" for a seek of his own
	offer offer
}

// challenge waits for one of two to answer it.
type challenge struct {
	id       string
	other    string
	sent     bool // by him
	standing standing
	offer    offer
	ends     int64
}

func newPlayer(n channel.Name) *player { return &player{name: n, self: app.UserOf(n)} }

// Apply takes a step of the channel.
func (p *player) Apply(c channel.Command) app.Outcome {
	now := c.Time.UnixMilli()
	var o app.Outcome
	user := c.User
	from, sent := app.SentBy(c)
	switch {
	case app.IsTimer(c):
		o = p.timer(now)
	case c.User == app.PresenceUser:
		o = p.presence(c)
	case sent:
		m, no := readMessage(c)
		if no != nil {
			return no.outcome()
		}
		if user = p.receiver(m); user == "" {
			return refuse(NotAllowed).outcome()
		}
		o = p.hear(m, from, c)
	default:
		k, no := readCall(c)
		if no != nil {
			return no.outcome()
		}
		if user != p.user && (p.user != "" || Player(user) != p.name) {
			return p.stranger(k)
		}
		o = p.ask(k)
	}
	if o.Refused == 0 && p.user == "" && !app.IsTimer(c) && c.User != app.PresenceUser {
		p.user = user
		o.ReadOnly = false
		o.Access = append(o.Access, channel.Access{User: user, Rights: channel.Read})
	}
	if o.Refused == 0 && !o.ReadOnly {
		o.WakeAt = p.wake()
	}
	return o
}

// receiver is whom a message is for; "" if not for this channel.
func (p *player) receiver(m *message) string {
	if m.To == "" {
		return p.user
	}
	if app.ValidUser(m.To) && Player(m.To) == p.name {
		return m.To
	}
	return ""
}

// stranger is anybody else: he may look.
func (p *player) stranger(k *call) app.Outcome {
	if k.Type == "profile" {
		return answer(p.profile(k.now, false))
	}
	return because(NotAllowed, "this is the channel of somebody else: use your own").outcome()
}

func (p *player) ask(k *call) app.Outcome {
	switch k.Type {
	case "profile":
		return answer(p.profile(k.now, true))
	case "seek":
		return p.seek(k)
	case "join":
		return p.join(k)
	case "cancel":
		return p.cancel(k)
	case "challenge":
		return p.challenge(k)
	case "withdraw":
		return p.withdraw(k)
	case "accept", "decline":
		return p.reply(k)
	}
	return refuse(UnknownCommand).outcome()
}

func (p *player) hear(m *message, from channel.Name, c channel.Command) app.Outcome {
	now := c.Time.UnixMilli()
	switch k := kindOf(from); {
	case k == ofGame && m.Type == "game":
		return p.begun(m, from)
	case k == ofGame && m.Type == "result":
		return p.ended(m, from, now)
	case k == ofLobby && m.Type == "over":
		return p.seekOver(m)
	case k == ofPlayer && from == Player(m.User):
		switch m.Type {
		case "challenged":
			return p.challenged(m, now)
		case "accepted":
			return p.accepted(m, c)
		case "declined", "withdrawn":
			return p.answered(m)
		}
	}
	return fromElsewhere()
}

// wake is when the first challenge he sent comes to its end.
func (p *player) wake() time.Time {
	first := int64(0)
	for i := range p.challenges {
		if h := &p.challenges[i]; h.sent && (first == 0 || h.ends < first) {
			first = h.ends
		}
	}
	return moment(first)
}

// timer ends challenges that nobody answered.
func (p *player) timer(now int64) (o app.Outcome) {
	for _, h := range p.challenges {
		if h.sent && h.ends <= now {
			p.takeBack(&o, h, "expired")
		}
	}
	return o
}

// presence takes back the seeks of who is gone; a game that began would find nobody.
func (p *player) presence(c channel.Command) app.Outcome {
	if user, here := readPresence(c); here || user != p.user || len(p.seeks) == 0 {
		return answer(nil)
	}
	var o app.Outcome
	p.cancelAll(&o)
	return o
}

// latest is a record of what holds now; without fields it no longer does.
func (p *player) latest(key string, fields app.Object) channel.Record {
	r := channel.Record{Class: channel.Latest, Key: key, From: p.self}
	if fields != nil {
		r.Body = fields.End()
	}
	return r
}

func (p *player) logged(o app.Object) channel.Record {
	return channel.Record{From: p.self, Body: o.End()}
}

// begun lists a game. It is the end of all seeks where there is a clock: few would play two such at once.
func (p *player) begun(m *message, from channel.Name) (o app.Outcome) {
	id := idOf(from)
	if m.White == nil || m.Black == nil || p.game(id) >= 0 {
		return answer(nil)
	}
	if len(p.games) >= maxListed { // seeks, challenges and rematches that were answered all at once
		m := message{Type: "crowded", User: m.To}
		return app.Outcome{Sends: []channel.Command{m.to(from)}}
	}
	g := listed{id: id, other: m.Black.User, rating: points(m.Black.Standing.Rating), offer: m.offer}
	if m.White.User != m.To {
		g.color, g.other, g.rating = rules.Black, m.White.User, points(m.White.Standing.Rating)
	}
	p.games = append(p.games, g)
	o.Events = []channel.Record{
		p.logged(g.fields(app.NewObject(256).Text("type", "game"))), p.latest("game:"+id, g.fields(app.NewObject(256))),
	}
	if g.offer.control().timed() {
		p.cancelAll(&o)
	}
	return o
}

func (p *player) game(id string) int {
	return slices.IndexFunc(p.games, func(g listed) bool { return g.id == id })
}

func (g *listed) fields(o app.Object) app.Object {
	o = o.Text("game", string(Game(g.id))).Text("color", g.color.String())
	o = o.Open("opponent").Text("user", g.other)
	if g.rating != 0 {
		o = o.Number("rating", g.rating)
	}
	return g.offer.fields(o.Close('}'))
}

// fields are what people are told of an offer: what was set, and the speed.
func (f *offer) fields(o app.Object) app.Object {
	o = o.Number("base", f.Base).Number("inc", f.Inc).Flag("rated", f.Rated).Text("speed", f.control().speed().String())
	if f.Color != "" {
		o = o.Text("wants", f.Color)
	}
	if f.Min > 0 {
		o = o.Number("min", f.Min)
	}
	if f.Max > 0 {
		o = o.Number("max", f.Max)
	}
	if f.Delay > 0 {
		o = o.Number("delay", f.Delay)
	}
	if f.FEN != "" {
		o = o.Text("fen", f.FEN)
	}
	return o
}

// ended takes a game off the list and rates it. A game that is not on the list was rated already.
func (p *player) ended(m *message, from channel.Name, now int64) (o app.Outcome) {
	i := p.game(idOf(from))
	if i < 0 {
		return answer(nil)
	}
	p.games = slices.Delete(p.games, i, i+1)
	told := app.NewObject(256).Text("type", "over").Text("game", string(from)).Text("result", m.Result).Text("reason", m.Reason)
	gone := p.latest("game:"+idOf(from), nil)
	score, played := scoreOf(m.Result, m.Color)
	speed := m.control().speed()
	switch {
	case !played:
	case !m.Rated || speed >= ratedSpeeds || m.Before == nil || m.Standing == nil:
		p.casual++
	default:
		t := &p.tallies[speed]
		ch := change{told: true, before: t.known().standing}
		t.rate(score, *m.Before, *m.Standing, now)
		ch.after = t.standing
		told = ch.fields(told.Open("rating").Text("speed", speed.String())).Close('}')
		back := message{Type: "rated", User: p.user, Before: &ch.before, Standing: &ch.after}
		o.Sends = []channel.Command{back.to(from)}
		o.Rows = []channel.Row{p.row(speed, now)}
		o.Events = append(o.Events, p.latest("rating:"+speed.String(), t.fields(app.NewObject(192), now)))
	}
	o.Events = append([]channel.Record{p.logged(told), gone}, o.Events...)
	return o
}

// row is his place in the leaderboard of a speed.
func (p *player) row(s speed, now int64) channel.Row {
	t := &p.tallies[s]
	word := "established"
	if t.provisional() {
		word = "provisional"
	}
	return channel.Row{
		Kind: ratingRows + s.String(), Key: p.user, Rank: t.Rating / 10, Terms: []string{word},
		Body: t.fields(app.NewObject(256).Text("user", p.user), now).End(),
	}
}

// profile is what anybody may know of him; he himself is told what he does at the moment.
func (p *player) profile(now int64, own bool) []byte {
	o := app.NewObject(512)
	if p.user != "" {
		o = o.Text("user", p.user)
	}
	o = o.Open("ratings")
	for s := range p.tallies {
		if t := &p.tallies[s]; t.played() {
			o = t.fields(o.Open(speed(s).String()), now).Close('}')
		}
	}
	o = o.Close('}').Number("casual", p.casual)
	if !own {
		return o.End()
	}
	o = o.List("games")
	for i := range p.games {
		o = p.games[i].fields(o.Next()).Close('}')
	}
	o = o.Close(']').List("seeks")
	for i := range p.seeks {
		o = p.seeks[i].fields(o.Next()).Close('}')
	}
	o = o.Close(']').List("challenges")
	for i := range p.challenges {
		o = p.fieldsOf(&p.challenges[i], o.Next()).Close('}')
	}
	return o.Close(']').End()
}
