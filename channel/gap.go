package channel

// Gap is why a log cannot be followed without a break from a position.
type Gap uint8

const (
	GapNone     Gap = iota
	GapTrimmed      // the log no longer reaches back that far
	GapTooMany      // it does, but not within what is replayed to a subscriber; history has the rest
	GapSlow         // the subscriber read too slowly and fell off the ring
	GapEpoch        // the log was lost and began anew
	GapDiverged     // the log has another past at that offset
	GapAhead        // the position lies beyond the head
)

var gapNames = [...]string{"", "trimmed", "too_many", "slow", "epoch", "diverged", "ahead"}

// String is the reason as it stands on the wire; "" for GapNone.
func (g Gap) String() string {
	if int(g) < len(gapNames) {
		return gapNames[g]
	}
	return "unknown"
}

// ParseGap reads what String wrote.
func ParseGap(s string) (Gap, bool) {
	for i, name := range gapNames {
		if name == s {
			return Gap(i), true
		}
	}
	return GapNone, false
}
