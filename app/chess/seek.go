package chess

import (
	"slices"

	"carillon/app"
	"carillon/channel"
)

// seek asks the lobby for an opponent. It has the strength along that he has now.
func (p *player) seek(k *call) app.Outcome {
	same := func(w wish) bool { return w.of == "" && w.offer.control() == k.control() && w.offer.Rated == k.Rated }
	no := k.judge()
	switch {
	case no != nil:
		return no.outcome()
	case k.FEN != "":
		return because(BadControl, "the lobby offers games from the usual array: send a challenge with this fen").outcome()
	case slices.ContainsFunc(p.seeks, same):
		return because(Exists, "you seek such a game already: wait, or cancel it").outcome()
	}
	w := wish{id: newID(k.seed, 0), offer: k.offer}
	m := message{Type: "seek", ID: w.id, User: k.asker, Standing: p.standing(k.control(), k.now), offer: k.offer}
	return p.wished(w, m)
}

// join asks for an open seek.
func (p *player) join(k *call) app.Outcome {
	if k.Seek == "" || len(k.Seek) > app.MaxUser {
		return because(BadRequest, "seek is missing: take it from a record of the lobby").outcome()
	}
	var all standings
	for s := range all {
		all[s] = p.tallies[s].now(k.now)
	}
	w := wish{id: newID(k.seed, 0), of: k.Seek}
	return p.wished(w, message{Type: "join", ID: w.id, Seek: k.Seek, User: k.asker, Standings: &all})
}

// standing is what he has at the speed of a control; nothing where there are no ratings.
func (p *player) standing(c control, now int64) *standing {
	var has standing
	if s := c.speed(); s < ratedSpeeds {
		has = p.tallies[s].now(now)
	}
	return &has
}

func (p *player) wished(w wish, m message) app.Outcome {
	switch {
	case len(p.seeks) >= MaxSeeks:
		return because(Full, "5 seeks are the most: cancel one").outcome()
	case len(p.games) >= MaxGames:
		return because(Full, "you play 100 games: end some").outcome()
	}
	p.seeks = append(p.seeks, w)
	return app.Outcome{
		Reply:  app.NewObject(40).Text("seek", w.id).End(),
		Events: []channel.Record{p.latest("seek:"+w.id, w.fields(app.NewObject(160)))},
		Sends:  []channel.Command{m.to(Lobby)},
	}
}

func (w *wish) fields(o app.Object) app.Object {
	o = o.Text("seek", w.id)
	if w.of != "" {
		return o.Text("joins", w.of)
	}
	return w.offer.fields(o)
}

// cancel takes back a seek, or all.
func (p *player) cancel(k *call) (o app.Outcome) {
	if k.Seek == "" {
		if len(p.seeks) == 0 {
			return answer(nil)
		}
		p.cancelAll(&o)
		return o
	}
	i := slices.IndexFunc(p.seeks, func(w wish) bool { return w.id == k.Seek })
	if i < 0 {
		return refuse(UnknownID).outcome()
	}
	p.drop(&o, i, "canceled")
	return o
}

func (p *player) cancelAll(o *app.Outcome) {
	for len(p.seeks) > 0 {
		p.drop(o, 0, "canceled")
	}
}

// drop forgets a seek and has the lobby forget it, unless that said so itself.
func (p *player) drop(o *app.Outcome, i int, why string) {
	w := p.seeks[i]
	p.seeks = slices.Delete(p.seeks, i, i+1)
	told := app.NewObject(128).Text("type", "seek").Text("seek", w.id).Text("state", "over").Text("why", why)
	o.Events = append(o.Events, p.logged(told), p.latest("seek:"+w.id, nil))
	if why == "canceled" && w.of == "" {
		m := message{Type: "cancel", ID: w.id, User: p.user}
		o.Sends = append(o.Sends, m.to(Lobby))
	}
}

// seekOver is what the lobby says of a seek. It may be of one that he has canceled meanwhile.
func (p *player) seekOver(m *message) (o app.Outcome) {
	i := slices.IndexFunc(p.seeks, func(w wish) bool { return w.id == m.ID })
	if i < 0 {
		return answer(nil)
	}
	p.drop(&o, i, m.Why)
	return o
}
