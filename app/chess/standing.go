package chess

import (
	"math"

	"carillon/app"
	"carillon/app/chess/rating"
)

// standing is how strong a player is at a speed. Ratings are kept as whole numbers, so that a replay on another processor
// finds the same: thousandths of a point, FIDE's hundredths.
type standing struct {
	Rating    int64 `json:"r"`
	Deviation int64 `json:"d"`
	Elo       int64 `json:"e"`
	FIDE      int64 `json:"f"`
}

// standings are those at all rated speeds.
type standings [ratedSpeeds]standing

const (
	thousandth = 1000
	billionth  = 1_000_000_000 // of volatility
	firstElo   = 1500
	perDay     = 0.21436 // rating periods of Glicko-2
	certain    = 110 * thousandth
)

func points(thousandths int64) int64 { return int64(math.Round(float64(thousandths) / thousandth)) }

func fixed(x float64, unit int64) int64 { return int64(math.Round(x * float64(unit))) }

func (s standing) provisional() bool { return s.Deviation >= certain }

// glicko is a standing as the arithmetic takes it; an opponent's volatility is of no account.
func (s standing) glicko(volatility int64) rating.Glicko {
	return rating.Glicko{
		Rating: float64(s.Rating) / thousandth, Deviation: float64(s.Deviation) / thousandth, Volatility: float64(volatility) / billionth,
	}
}

// tally is what a player has done at a speed. The zero value has not played.
type tally struct {
	standing
	volatility  int64
	best        int64 // highest rating, in thousandths
	last        int64 // when the last rated game ended
	games       int64
	wins, draws int64
	was2400     bool
}

func newTally() tally {
	n := rating.Newcomer()
	return tally{
		standing: standing{
			Rating: fixed(n.Rating, thousandth), Deviation: fixed(n.Deviation, thousandth), Elo: firstElo * thousandth, FIDE: firstElo * 100,
		},
		volatility: fixed(n.Volatility, billionth),
	}
}

func (t *tally) played() bool { return t.games > 0 }

// known is the tally, or that of a newcomer.
func (t *tally) known() tally {
	if t.played() {
		return *t
	}
	return newTally()
}

func (t *tally) periods(now int64) float64 {
	if !t.played() {
		return 0
	}
	return perDay * float64(max(0, now-t.last)) / day
}

// now is the standing at a time: the longer somebody has not played, the less is known of him.
func (t *tally) now(now int64) standing {
	k := t.known()
	grown, err := rating.Standard().Update(k.glicko(k.volatility), nil, k.periods(now))
	if err == nil {
		k.Deviation = fixed(grown.Deviation, thousandth)
	}
	return k.standing
}

// rate takes up a game. Elo and FIDE change by what both had when it began, so that both sides agree; Glicko-2 by what is
// known now, since two games that ended at once both tell something.
func (t *tally) rate(s rating.Score, own, other standing, now int64) {
	k := t.known()
	opposed := []rating.Opposed{{By: other.glicko(fixed(rating.Newcomer().Volatility, billionth)), Score: s}}
	if g, err := rating.Standard().Update(k.glicko(k.volatility), opposed, k.periods(now)); err == nil {
		k.Rating, k.Deviation, k.volatility = fixed(g.Rating, thousandth), fixed(g.Deviation, thousandth), fixed(g.Volatility, billionth)
	}
	k.Elo += fixed(rating.Elo(float64(own.Elo)/thousandth, float64(other.Elo)/thousandth, s, rating.EloK), thousandth)
	mine, theirs := rating.FIDERound(int(own.FIDE)), rating.FIDERound(int(other.FIDE))
	player := rating.FIDEPlayer{Rating: mine, Games: int(k.games), Was2400: k.was2400}
	k.FIDE += int64(rating.FIDEChange(mine, theirs, player.K(1), s))
	k.was2400 = k.was2400 || rating.FIDERound(int(k.FIDE)) >= 2400
	k.games++
	switch s {
	case rating.Win:
		k.wins++
	case rating.Half:
		k.draws++
	}
	k.best, k.last = max(k.best, k.Rating), now
	*t = k
}

// fields are what people are told of a standing: whole points.
func (s standing) fields(o app.Object) app.Object {
	if s.Rating == 0 {
		return o // no ratings at this speed
	}
	return o.Number("rating", points(s.Rating)).Number("deviation", points(s.Deviation)).Flag("provisional", s.provisional())
}

func (t *tally) fields(o app.Object, now int64) app.Object {
	o = t.now(now).fields(o).Number("elo", points(t.Elo)).Number("fide", int64(rating.FIDERound(int(t.FIDE))))
	o = o.Number("games", t.games).Number("wins", t.wins).Number("draws", t.draws).Number("losses", t.games-t.wins-t.draws)
	return o.Number("best", points(t.best))
}
