package chess

import (
	"fmt"
	"strconv"
	"time"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// The kinds of rows. Those of ratings are ratingRows and the speed.
const (
	kindGame   = "game"
	kindLive   = "live"
	ratingRows = "rating."
)

func ratedWord(rated bool) string {
	if rated {
		return "rated"
	}
	return "casual"
}

// gameTerms are what every row of a game is found by.
func (g *game) gameTerms() []string {
	return []string{
		playerTerm(g.agreed.players[rules.White].User), playerTerm(g.agreed.players[rules.Black].User),
		"speed:" + g.agreed.control.speed().String(), ratedWord(g.agreed.rated),
	}
}

// heading is what every row of a game says.
func (g *game) heading(o app.Object) app.Object {
	o = o.Text("game", string(g.name))
	for c := range g.agreed.players {
		p := &g.agreed.players[c]
		o = o.Open(rules.Color(c).String()).Text("user", p.User)
		if p.Standing.Rating != 0 {
			o = o.Number("rating", points(p.Standing.Rating))
		}
		if d := &g.changes[c]; d.told {
			o = o.Number("change", points(d.after.Rating)-points(d.before.Rating))
		}
		o = o.Close('}')
	}
	a := &g.agreed
	o = o.Number("base", a.control.base).Number("inc", a.control.inc).Flag("rated", a.rated).Text("speed", a.control.speed().String())
	return o.Number("created", a.created)
}

// live is the row of a game that is going on.
func (g *game) live() channel.Row {
	o := g.heading(app.NewObject(320))
	if g.agreed.delay > 0 {
		o = o.Text("watch", string(Watch(idOf(g.name))))
	}
	return channel.Row{Kind: kindLive, Key: idOf(g.name), Rank: g.agreed.created, Terms: g.gameTerms(), Body: o.End()}
}

// archive is the row of a game that was played to an end.
func (g *game) archive() channel.Row {
	r := g.replayed()
	o := g.heading(app.NewObject(1024+48*r.Ply())).Text("result", g.result.String()).Text("reason", g.reason.String())
	p := r.Position()
	o = o.Number("plies", int64(r.Ply())).Number("ended", g.ended).Text("fen", p.FEN())
	if len(g.last) > 0 {
		o = o.Plain("last", g.last)
	}
	terms := append(g.gameTerms(), "result:"+g.result.String(), "reason:"+g.reason.String())
	return channel.Row{Kind: kindGame, Key: idOf(g.name), Rank: g.ended, Terms: terms, Body: o.Text("pgn", g.pgn(r)).End()}
}

// pgn is the game on paper.
func (g *game) pgn(r *rules.Game) string {
	a := &g.agreed
	began := time.UnixMilli(a.created).UTC()
	tags := []rules.Tag{
		{Name: "Event", Value: eventName(a)}, {Name: "Site", Value: "Carillon"}, {Name: "Date", Value: began.Format("2006.01.02")}, {Name: "Round", Value: "-"},
		{Name: "White", Value: a.players[rules.White].User}, {Name: "Black", Value: a.players[rules.Black].User},
		{Name: "GameId", Value: idOf(g.name)}, {Name: "UTCDate", Value: began.Format("2006.01.02")}, {Name: "UTCTime", Value: began.Format("15:04:05")},
	}
	for c, name := range [2]string{"White", "Black"} {
		if s := a.players[c].Standing; s.Rating != 0 {
			tags = append(tags, rules.Tag{Name: name + "Elo", Value: strconv.FormatInt(points(s.Rating), 10)})
		}
		if d := &g.changes[c]; d.told {
			tags = append(tags, rules.Tag{Name: name + "RatingDiff", Value: fmt.Sprintf("%+d", points(d.after.Rating)-points(d.before.Rating))})
		}
	}
	timeControl := "-"
	if a.control.timed() {
		timeControl = fmt.Sprintf("%d+%d", a.control.base, a.control.inc)
	}
	tags = append(tags, rules.Tag{Name: "TimeControl", Value: timeControl}, rules.Tag{Name: "Termination", Value: g.reason.termination()})
	paper := r.PGN(tags...)
	paper.Result = g.result
	if a.control.timed() {
		for i := range paper.Main.Plies {
			paper.Main.Plies[i].Comments = []string{clockComment(g.left[i])}
		}
	}
	text, err := paper.Append(make([]byte, 0, 512+32*r.Ply()))
	if err != nil {
		panic("chess: a game that was played cannot be written: " + err.Error())
	}
	return string(text)
}

func eventName(a *agreed) string {
	if a.rated {
		return "Rated " + a.control.speed().String() + " game"
	}
	return "Casual " + a.control.speed().String() + " game"
}

// termination is the reason in the words of the PGN standard.
func (r reason) termination() string {
	switch r {
	case timeOut, timeMaterial:
		return "time forfeit"
	case abandoned:
		return "abandoned"
	case tooLong:
		return "adjudication"
	}
	return "normal"
}

// clockComment is what a clock shows, to the tenth of a second.
func clockComment(ms uint32) string {
	tenths := ms / 100
	s := tenths / 10
	return fmt.Sprintf("[%%clk %d:%02d:%02d.%d]", s/3600, s/60%60, s%60, tenths%10)
}
