package chess

import (
	"slices"

	"carillon/app"
	"carillon/channel"
)

// A challenge is kept by both, and he who sent it decides: an answer that crosses its end comes too late.

// challenge asks a user for a game.
func (p *player) challenge(k *call) app.Outcome {
	no := k.judge()
	switch {
	case !app.ValidUser(k.User) || k.User == k.asker:
		return refuse(UnknownUser).outcome()
	case no != nil:
		return no.outcome()
	case k.Min != 0 || k.Max != 0:
		return because(BadRequest, "a challenge is for one user: leave out min and max").outcome()
	case slices.ContainsFunc(p.challenges, func(h challenge) bool { return h.sent && h.other == k.User }):
		return because(Exists, "you have challenged this user already: wait, or withdraw it").outcome()
	case p.count(true) >= MaxSent:
		return because(Full, "10 challenges are the most: withdraw one").outcome()
	case len(p.games) >= MaxGames:
		return because(Full, "you play 100 games: end some").outcome()
	}
	h := challenge{id: newID(k.seed, 0), other: k.User, sent: true, standing: *p.standing(k.control(), k.now), offer: k.offer, ends: k.now + askLasts}
	if !k.control().timed() {
		h.ends = k.now + slowAskLasts
	}
	p.challenges = append(p.challenges, h)
	m := message{Type: "challenged", ID: h.id, User: k.asker, To: h.other, Standing: &h.standing, Ends: h.ends, offer: h.offer}
	return app.Outcome{
		Reply: app.NewObject(48).Text("challenge", h.id).End(), Events: p.opened(&h, k.asker), Sends: []channel.Command{m.to(Player(h.other))},
	}
}

func (p *player) count(sent bool) (n int) {
	for i := range p.challenges {
		if p.challenges[i].sent == sent {
			n++
		}
	}
	return n
}

// fieldsOf are what he is told of a challenge that is open.
func (p *player) fieldsOf(h *challenge, o app.Object) app.Object { return h.fields(o, p.user) }

func (h *challenge) fields(o app.Object, own string) app.Object {
	by, to, state := own, h.other, "sent"
	if !h.sent {
		by, to, state = to, by, "received"
	}
	o = o.Text("challenge", h.id).Text("state", state).Text("by", by).Text("to", to)
	if h.standing.Rating != 0 {
		o = o.Number("rating", points(h.standing.Rating))
	}
	return h.offer.fields(o).Number("ends", h.ends)
}

// opened are the records of a new challenge.
func (p *player) opened(h *challenge, own string) []channel.Record {
	return []channel.Record{
		p.logged(h.fields(app.NewObject(320).Text("type", "challenge"), own)), p.latest("challenge:"+h.id, h.fields(app.NewObject(320), own)),
	}
}

// closed are the records of a challenge that is no longer open.
func (p *player) closed(id, state string) []channel.Record {
	return []channel.Record{
		p.logged(app.NewObject(128).Text("type", "challenge").Text("challenge", id).Text("state", state)), p.latest("challenge:"+id, nil),
	}
}

func (p *player) find(id string, sent bool) int {
	return slices.IndexFunc(p.challenges, func(h challenge) bool { return h.id == id && h.sent == sent })
}

func (p *player) forget(i int) challenge {
	h := p.challenges[i]
	p.challenges = slices.Delete(p.challenges, i, i+1)
	return h
}

// withdraw takes back a challenge of his own.
func (p *player) withdraw(k *call) (o app.Outcome) {
	i := p.find(k.Challenge, true)
	if i < 0 {
		return refuse(UnknownID).outcome()
	}
	p.takeBack(&o, p.challenges[i], "withdrawn")
	return o
}

// takeBack ends a challenge of his own on both sides.
func (p *player) takeBack(o *app.Outcome, h challenge, why string) {
	p.challenges = slices.DeleteFunc(slices.Clone(p.challenges), func(c challenge) bool { return c.id == h.id })
	m := message{Type: "withdrawn", ID: h.id, User: p.user, Why: why}
	o.Events = append(o.Events, p.closed(h.id, why)...)
	o.Sends = append(o.Sends, m.to(Player(h.other)))
}

// reply accepts or declines a challenge. Whoever sent it begins the game, if it is still open there.
func (p *player) reply(k *call) app.Outcome {
	i := p.find(k.Challenge, false)
	switch {
	case i < 0:
		return refuse(UnknownID).outcome()
	case k.Type == "accept" && len(p.games) >= MaxGames:
		return because(Full, "you play 100 games: end some, or decline").outcome()
	}
	h := p.forget(i)
	m := message{Type: "declined", ID: h.id, User: p.user, Why: "declined"}
	if k.Type == "accept" {
		m = message{Type: "accepted", ID: h.id, User: p.user, Standing: p.standing(h.offer.control(), k.now)}
	}
	return app.Outcome{Events: p.closed(h.id, m.Type), Sends: []channel.Command{m.to(Player(h.other))}}
}

// challenged notes what another asks.
func (p *player) challenged(m *message, now int64) app.Outcome {
	switch {
	case m.Standing == nil || m.judge() != nil:
		return refuse(BadRequest).outcome()
	case p.find(m.ID, false) >= 0:
		return answer(nil)
	case p.count(false) >= MaxReceived:
		no := message{Type: "declined", ID: m.ID, User: m.To, Why: "full"}
		return app.Outcome{Sends: []channel.Command{no.to(Player(m.User))}}
	}
	h := challenge{id: m.ID, other: m.User, standing: *m.Standing, offer: m.offer, ends: max(m.Ends, now)}
	p.challenges = append(p.challenges, h)
	return app.Outcome{Events: p.opened(&h, m.To)}
}

// accepted begins the game, unless the challenge is no longer open.
func (p *player) accepted(m *message, c channel.Command) app.Outcome {
	i := p.find(m.ID, true)
	switch {
	case m.Standing == nil:
		return refuse(BadRequest).outcome()
	case i < 0 || p.challenges[i].other != m.User:
		late := message{Type: "withdrawn", ID: m.ID, User: p.user, Why: "withdrawn"}
		return app.Outcome{Sends: []channel.Command{late.to(Player(m.User))}}
	}
	h := p.forget(i)
	own, other := party{p.user, h.standing}, party{m.User, *m.Standing}
	id := newID(c.Seed, 0)
	begin := message{Type: "create", White: &own, Black: &other, offer: h.offer}
	if h.offer.Color == "black" || h.offer.Color == "" && c.Seed[31]&1 == 1 {
		begin.White, begin.Black = begin.Black, begin.White
	}
	begin.Color = ""
	return app.Outcome{Events: p.closed(h.id, "accepted"), Sends: []channel.Command{begin.to(Game(id))}}
}

// answered is what became of a challenge elsewhere. One that he has accepted may have been withdrawn before.
func (p *player) answered(m *message) app.Outcome {
	i := p.find(m.ID, m.Type == "declined")
	switch {
	case m.Why != "declined" && m.Why != "full" && m.Why != "withdrawn" && m.Why != "expired":
		return refuse(BadRequest).outcome()
	case i >= 0 && p.challenges[i].other != m.User, i < 0 && m.Type == "declined":
		return answer(nil)
	case i >= 0:
		p.forget(i)
	}
	return app.Outcome{Events: p.closed(m.ID, m.Why)}
}
