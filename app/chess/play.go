package chess

import (
	"errors"
	"math"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// move plays one. It is judged whole before anything changes: the ply, the turn, the rules; then the clock.
func (g *game) move(k *call, side rules.Color) app.Outcome {
	m, no := g.judge(k, side)
	if no != nil {
		return no.outcome()
	}
	var out app.Outcome
	spent, ok := g.clock.charge(side, k.Lag, k.came, k.now)
	if !ok {
		g.flag(&out, k.now)
		out.Reply = g.brief(k.now)
		return out
	}
	p := g.play.Position()
	var san [16]byte
	g.last = p.AppendUCI(g.last[:0], m)
	o := app.NewObject(128).Text("type", "move").Number("ply", int64(g.play.Ply()+1)).Plain("uci", g.last)
	played, err := g.play.Apply(san[:0], m)
	if err != nil {
		panic("chess: a legal move is not taken: " + err.Error())
	}
	g.made++
	g.moved = k.now
	g.left = append(g.left, uint32(min(g.clock.left[side], math.MaxUint32)))
	g.clock.running = g.agreed.control.timed() && !g.early()
	g.offers[takingBack] = nobodys
	if g.offers[drawing] == of(side.Other()) {
		g.offers[drawing] = nobodys
	}
	o = o.Plain("san", played)
	if g.agreed.control.timed() {
		o = o.Number("spent", spent)
	}
	out.Events = append(make([]channel.Record, 0, usualEvents), channel.Record{Body: g.clocks(o, k.now).End()})
	if end, r := g.verdict(side); end != ongoing {
		g.finish(&out, r, end, k.now)
	} else {
		out.Events = append(out.Events, g.summary(k.now))
	}
	out.Reply = g.brief(k.now)
	return out
}

// usualEvents are the move and the summary.
const usualEvents = 2

// judge finds the move that is meant.
func (g *game) judge(k *call, side rules.Color) (rules.Move, *refusal) {
	switch {
	case k.Ply == nil || k.Lag < 0:
		return 0, because(BadRequest, "ply is missing or lag negative: say how many plies were played, and what the network took")
	case *k.Ply != int64(g.play.Ply()):
		no := refuse(StalePly)
		no.ply = g.play.Ply()
		return 0, no
	case g.turn() != side:
		return 0, refuse(NotYourTurn)
	}
	m, err := g.play.ParseUCI(k.UCI)
	switch {
	case errors.Is(err, rules.ErrSyntax):
		return 0, because(BadRequest, err.Error())
	case err != nil:
		return 0, because(IllegalMove, err.Error()+": ask for the state and look again")
	}
	return m, nil
}

// verdict is how the rules have ended the game by a move of a side.
func (g *game) verdict(side rules.Color) (reason, rules.Result) {
	switch g.play.End() {
	case rules.Checkmate:
		return checkmate, wins(side)
	case rules.Stalemate:
		return stalemate, rules.Draw
	case rules.InsufficientMaterial:
		return material, rules.Draw
	case rules.SeventyFiveMoves:
		return seventyFive, rules.Draw
	case rules.FivefoldRepetition:
		return fivefold, rules.Draw
	}
	if g.play.Ply() >= MaxPlies {
		return tooLong, rules.Draw
	}
	return ongoing, rules.NoResult
}

func wins(side rules.Color) rules.Result {
	if side == rules.White {
		return rules.WhiteWins
	}
	return rules.BlackWins
}
