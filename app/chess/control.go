package chess

// control is how much time the players of a game have, in seconds; none at all where both are 0.
type control struct{ base, inc int64 }

func (c control) timed() bool { return c.base > 0 }

// valid is what the service offers.
func (c control) valid() bool {
	return c == control{} || c.base >= 1 && c.base <= MaxBase && c.inc >= 0 && c.inc <= MaxInc
}

// speed is the class of controls that are rated together.
type speed uint8

const (
	ultrabullet speed = iota
	bullet
	blitz
	rapid
	classical
	correspondence // has no ratings
	ratedSpeeds    = correspondence
)

func (s speed) String() string {
	return [...]string{"ultrabullet", "bullet", "blitz", "rapid", "classical", "correspondence"}[s]
}

// speed goes by the duration to be expected for a side: forty moves.
func (c control) speed() speed {
	switch expected := c.base + 40*c.inc; {
	case !c.timed():
		return correspondence
	case expected < 30:
		return ultrabullet
	case expected < 180:
		return bullet
	case expected < 480:
		return blitz
	case expected < 1500:
		return rapid
	}
	return classical
}

// firstMove is the time that a side has for its first move, in milliseconds.
func (s speed) firstMove() int64 { return [...]int64{15, 20, 25, 30, 35, 0}[s] * second }

// grace is how long after an absence was told it can be claimed, in milliseconds.
func (s speed) grace() int64 { return [...]int64{10, 15, 30, 60, 120, 0}[s] * second }

// maxLag is the most that is granted for one move, in milliseconds.
const maxLag = 1 * second

// Of the quota of granted lag, in moves: what a side begins with, and what it can save up.
const (
	quotaFirst = 3
	quotaMost  = 7
)

// quotaGain is what each move adds to a side's quota, in milliseconds.
func (c control) quotaGain() int64 { return min(maxLag, 4*(c.base+40*c.inc)+150) }
