package rating

import (
	"errors"
	"math"
)

// Glicko is a rating of Glicko-2 (Glickman, "Example of the Glicko-2 system"): the strength is with 95 % between
// Rating − 2·Deviation and Rating + 2·Deviation; Volatility is how erratic it is.
type Glicko struct{ Rating, Deviation, Volatility float64 }

// Newcomer is who has not played yet.
func Newcomer() Glicko { return Glicko{1500, 500, 0.09} }

// Provisional tells a rating that is little more than a guess, and has no place in a leaderboard.
func (p Glicko) Provisional() bool { return p.Deviation >= 110 }

// Opposed is a game against somebody as rated before the period.
type Opposed struct {
	By    Glicko
	Score Score
}

// System is the constants of Glicko-2. Tau bounds how fast volatility changes. The other fields keep results within
// reason; zero is no bound.
type System struct {
	Tau                        float64
	MinRating, MaxRating       float64
	MinDeviation, MaxDeviation float64
	MaxVolatility              float64
	MaxChange                  float64 // of the rating, by one update
}

// Standard suits games rated one by one.
func Standard() System {
	return System{Tau: 0.75, MinRating: 400, MaxRating: 4000, MinDeviation: 45, MaxDeviation: 500, MaxVolatility: 0.1, MaxChange: 700}
}

const (
	scale     = 173.7178 // points of Glicko in one of Glicko-2
	middle    = 1500
	tolerance = 1e-6
	mostSteps = 100 // of the search for a volatility, which takes some ten
)

// ErrNotFinite refuses a rating that is none, or constants that lead to none.
var ErrNotFinite = errors.New("a rating must have finite numbers, deviation and volatility above 0: take the last good one")

// Update is a player's rating after the games of one update, before which so many rating periods passed: 1 as in the
// paper, 0 to rate game by game with no time between, fractions for the time since the last game. Without games only the
// deviation grows. Opponents count as they were before; the order of games does not matter. After an error the rating is
// p's as it was.
func (s System) Update(p Glicko, games []Opposed, periods float64) (Glicko, error) {
	if !p.sane() || !(s.Tau > 0) || !(periods >= 0) || math.IsInf(periods, 0) {
		return p, ErrNotFinite
	}
	phi := p.Deviation / scale
	after := p
	if len(games) == 0 {
		after.Deviation = scale * math.Sqrt(phi*phi+periods*p.Volatility*p.Volatility)
		return s.bound(p, after)
	}
	var precision, surprise float64
	for _, g := range games {
		if !g.By.sane() {
			return p, ErrNotFinite
		}
		theirs := g.By.Deviation / scale
		weight := 1 / math.Sqrt(1+3*theirs*theirs/(math.Pi*math.Pi))
		expected := 1 / (1 + math.Exp(-weight*(p.Rating-g.By.Rating)/scale))
		precision += weight * weight * expected * (1 - expected)
		surprise += weight * (g.Score.points() - expected)
	}
	variance := 1 / precision
	after.Volatility = s.volatility(phi, p.Volatility, variance, variance*surprise)
	waited := phi*phi + periods*after.Volatility*after.Volatility
	left := 1 / (1/waited + precision)
	after.Deviation = scale * math.Sqrt(left)
	after.Rating = p.Rating + scale*left*surprise
	return s.bound(p, after)
}

func (p Glicko) sane() bool {
	return !math.IsNaN(p.Rating) && !math.IsInf(p.Rating, 0) &&
		p.Deviation > 0 && !math.IsInf(p.Deviation, 0) && p.Volatility > 0 && !math.IsInf(p.Volatility, 0)
}

// volatility is step 5 of the paper: the Illinois search for the root of f.
func (s System) volatility(phi, sigma, variance, delta float64) float64 {
	start := math.Log(sigma * sigma)
	f := func(x float64) float64 {
		e := math.Exp(x)
		d := phi*phi + variance + e
		return e*(delta*delta-d)/(2*d*d) - (x-start)/(s.Tau*s.Tau)
	}
	low, high := start, 0.0
	if delta*delta > phi*phi+variance {
		high = math.Log(delta*delta - phi*phi - variance)
	} else {
		high = start - s.Tau
		for step := 2; f(high) < 0 && step < mostSteps; step++ {
			high = start - float64(step)*s.Tau
		}
	}
	atLow, atHigh := f(low), f(high)
	for step := 0; math.Abs(high-low) > tolerance && step < mostSteps; step++ {
		next := low + (low-high)*atLow/(atHigh-atLow)
		atNext := f(next)
		if atNext*atHigh <= 0 {
			low, atLow = high, atHigh
		} else {
			atLow /= 2
		}
		high, atHigh = next, atNext
	}
	return math.Exp(low / 2)
}

// bound keeps a result within the system's reason, and refuses one that is no number.
func (s System) bound(before, after Glicko) (Glicko, error) {
	if !after.sane() {
		return before, ErrNotFinite
	}
	if s.MaxChange > 0 {
		after.Rating = clamp(after.Rating, before.Rating-s.MaxChange, before.Rating+s.MaxChange)
	}
	after.Rating = clamp(after.Rating, s.MinRating, s.MaxRating)
	after.Deviation = clamp(after.Deviation, s.MinDeviation, s.MaxDeviation)
	after.Volatility = clamp(after.Volatility, 0, s.MaxVolatility)
	return after, nil
}

// clamp takes a zero for no bound.
func clamp(x, low, high float64) float64 {
	if high != 0 {
		x = min(x, high)
	}
	if low != 0 {
		x = max(x, low)
	}
	return x
}
