package rules

import "math/bits"

// set is a set of squares, one bit each.
type set uint64

const (
	fileA set = 0x0101010101010101
	fileH     = fileA << 7
	rank1 set = 0xff
	light set = 0x55aa55aa55aa55aa
	all       = ^set(0)
)

func (s set) first() Square { return Square(bits.TrailingZeros64(uint64(s)) & 63) }
func (s set) last() Square  { return Square(63 - bits.LeadingZeros64(uint64(s))&63) }
func (s set) count() int    { return bits.OnesCount64(uint64(s)) }
func (s set) rest() set     { return s & (s - 1) }
func (s set) has(q Square) bool {
	return s&q.set() != 0
}

func rankOf(r int) set { return rank1 << (8 * r) }

// The tables are constant: functions of nothing, computed once when the program starts, in some 20 µs.
var (
	knightReach = leaps([][2]int{{1, 2}, {2, 1}, {2, -1}, {1, -2}, {-1, -2}, {-2, -1}, {-2, 1}, {-1, 2}})
	kingReach   = leaps(compass[:])
	pawnTakes   = [2][64]set{White: leaps([][2]int{{-1, 1}, {1, 1}}), Black: leaps([][2]int{{-1, -1}, {1, -1}})}
	lanes       = allLanes()
	rankReach   = allRankReach()
	between     = pairs(func(ray, _ set) set { return ray })
	aligned     = pairs(func(_, line set) set { return line })
)

// compass has each direction beside its opposite.
var compass = [8][2]int{{0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, -1}, {1, -1}, {-1, 1}}

// leaps gives, for each square, what lies these steps (files, ranks) away.
func leaps(steps [][2]int) (t [64]set) {
	for s := range Square(64) {
		for _, step := range steps {
			if to, ok := walk(s, step); ok {
				t[s] |= to.set()
			}
		}
	}
	return t
}

func walk(s Square, step [2]int) (Square, bool) {
	file, rank := s.File()+step[0], s.Rank()+step[1]
	return squareAt(file&7, rank&7), file|rank >= 0 && file < 8 && rank < 8
}

// ray is all squares of a direction up to the edge.
func ray(s Square, step [2]int) (r set) {
	for to, ok := walk(s, step); ok; to, ok = walk(to, step) {
		r |= to.set()
	}
	return r
}

// lane is the three lines through a square along which bytes can be reversed to look both ways, the square left out.
type lane struct{ file, rising, falling set }

func allLanes() (t [64]lane) {
	for s := range Square(64) {
		t[s] = lane{
			file:    ray(s, compass[0]) | ray(s, compass[1]),
			rising:  ray(s, compass[4]) | ray(s, compass[5]),
			falling: ray(s, compass[6]) | ray(s, compass[7]),
		}
	}
	return t
}

// allRankReach answers for ranks, by file and by what stands on the six inner squares.
func allRankReach() (t [8][64]uint8) {
	for file := range 8 {
		for inner := range 64 {
			occupied := set(inner) << 1
			for _, step := range compass[2:4] {
				for to, ok := walk(Square(file), step); ok; to, ok = walk(to, step) {
					t[file][inner] |= uint8(to.set())
					if occupied.has(to) {
						break
					}
				}
			}
		}
	}
	return t
}

// pairs makes a table for two squares on one line: value gets the squares strictly between them, and the whole line
// through both. Others have none.
func pairs(value func(ray, line set) set) (t [64][64]set) {
	for a := range Square(64) {
		for d, step := range compass {
			var open set
			line := a.set() | ray(a, step) | ray(a, compass[d^1])
			for b, ok := walk(a, step); ok; b, ok = walk(b, step) {
				t[a][b] = value(open, line)
				open |= b.set()
			}
		}
	}
	return t
}

// sweep looks both ways along a lane up to the first occupied square: subtracting the slider from what stands on the
// lane flips all bits up to the first one, and the same on reversed bytes looks the other way.
func sweep(s Square, occupied, lane set) set {
	up := uint64(occupied & lane)
	down := bits.ReverseBytes64(up)
	at := uint64(1) << (s & 63)
	up -= at << 1
	down -= bits.ReverseBytes64(at) << 1
	return set(up^bits.ReverseBytes64(down)) & lane
}

func bishopReach(s Square, occupied set) set {
	l := &lanes[s&63]
	return sweep(s, occupied, l.rising) | sweep(s, occupied, l.falling)
}

func rookReach(s Square, occupied set) set {
	shift := s & 56
	along := set(rankReach[s&7][occupied>>shift>>1&63]) << shift
	return sweep(s, occupied, lanes[s&63].file) | along
}

// reach is where a piece other than a pawn may go or take, on a board occupied like this.
func reach(r Role, s Square, occupied set) set {
	switch r {
	case Knight:
		return knightReach[s&63]
	case Bishop:
		return bishopReach(s, occupied)
	case Rook:
		return rookReach(s, occupied)
	case Queen:
		return rookReach(s, occupied) | bishopReach(s, occupied)
	case King:
		return kingReach[s&63]
	}
	return 0
}
