// Package rating owns how results change ratings: Elo with a fixed K, the tables and K rules of FIDE, and Glicko-2.
// It is pure arithmetic: it stores nothing and knows no players. Both sides of a game are computed from what they had
// before it. FIDE's are whole numbers throughout; the others are floats whose last bit may differ between processor
// families, so results are kept, not computed again.
// Start with Elo, FIDEChange or System.Update.
package rating

import "math"

// Score is what a player got from a game, in half points.
type Score uint8

// The scores.
const (
	Loss Score = iota
	Half
	Win
)

// Other is what the opponent got.
func (s Score) Other() Score { return Win - min(s, Win) }

// points is 0, 0.5 or 1.
func (s Score) points() float64 { return float64(min(s, Win)) / 2 }

// EloK is how much a game counts, in rating points, where nothing else is said.
const EloK = 32

// Expected is the share of the points that Elo's formula expects a player to make: 0.5 between equals, about 0.91 when
// 400 points ahead.
func Expected(own, opponent float64) float64 {
	return 1 / (1 + math.Pow(10, (opponent-own)/400))
}

// Elo is by how much a player's rating changes; the opponent's changes by as much the other way. Round for display only:
// rounded sums drift.
func Elo(own, opponent float64, s Score, k float64) float64 {
	return k * (s.points() - Expected(own, opponent))
}
