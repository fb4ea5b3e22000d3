package rating

import "slices"

// halfTable is table 8.1.2 of the FIDE rating regulations: the largest difference at which the higher rated player is
// expected to make 50 %, 51 %, … 99 %. Beyond the last it is 100 %.
var halfTable = [50]int{
	3, 10, 17, 25, 32, 39, 46, 53, 61, 68, 76, 83, 91, 98, 106, 113, 121, 129, 137, 145, 153, 162, 170, 179, 188,
	197, 206, 215, 225, 235, 245, 256, 267, 278, 290, 302, 315, 328, 344, 357, 374, 391, 411, 432, 456, 484, 517, 559, 619, 735,
}

// differences is the table of performance: the difference that belongs to a score of 50 %, 51 %, … 100 %.
var differences = [51]int{
	0, 7, 14, 21, 29, 36, 43, 50, 57, 65, 72, 80, 87, 95, 102, 110, 117, 125, 133, 141, 149, 158, 166, 175, 184,
	193, 202, 211, 220, 230, 240, 251, 262, 273, 284, 296, 309, 322, 336, 351, 366, 383, 401, 422, 444, 470, 501, 538, 589, 677, 800,
}

// FIDEPlayer is what the K of a player depends on.
type FIDEPlayer struct {
	Rating  int
	Games   int  // rated ones so far
	Under18 bool // until the end of the year of the birthday
	Was2400 bool // has ever had a published rating of 2400
}

// FIDE's limits, in rating points unless the name says otherwise.
const (
	newcomerGames = 30
	youthLimit    = 2300
	masterLimit   = 2400
	most          = 700  // K times the games of a period
	counted       = 400  // the largest difference that counts
	uncapped      = 2650 // from here on any difference counts, since October 2025
)

// K is the development coefficient for a period in which the player plays that many games: 40 for newcomers and for the
// young below 2300, 10 for those who ever reached 2400, else 20; less where the games are so many that K times their
// number would exceed 700. A newcomer's 40 goes before all.
func (p FIDEPlayer) K(games int) int {
	k := 20
	switch {
	case p.Games < newcomerGames:
		k = 40
	case p.Was2400 || p.Rating >= masterLimit:
		k = 10
	case p.Under18 && p.Rating < youthLimit:
		k = 40
	}
	if games > 0 && k*games > most {
		k = most / games
	}
	return k
}

// FIDEExpected is the percentage of the points that the table expects a player to make. A difference above 400 counts as
// 400, except for a player rated 2650 or more.
func FIDEExpected(own, opponent int) int {
	d := own - opponent
	if own < uncapped {
		d = max(-counted, min(counted, d))
	}
	ahead, _ := slices.BinarySearch(halfTable[:], max(d, -d))
	if d < 0 {
		return 50 - ahead
	}
	return 50 + ahead
}

// FIDEChange is by how much a game changes a player's rating, in hundredths of a point. Those of a period are summed up
// before FIDERound.
func FIDEChange(own, opponent, k int, s Score) int {
	return k * (50*int(min(s, Win)) - FIDEExpected(own, opponent))
}

// FIDERound makes hundredths whole points, halves away from zero.
func FIDERound(hundredths int) int {
	if hundredths < 0 {
		return -FIDERound(-hundredths)
	}
	return (hundredths + 50) / 100
}

// FIDEDifference is the rating difference that a score stands for, for performance and first ratings. percent is 0 to
// 100; beyond is taken as the nearest.
func FIDEDifference(percent int) int {
	percent = max(0, min(100, percent))
	if percent < 50 {
		return -differences[50-percent]
	}
	return differences[percent-50]
}
