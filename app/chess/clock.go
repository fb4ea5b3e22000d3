package chess

import "carillon/app/chess/rules"

// clock is the time of both sides, in milliseconds. Whose turn it is the game knows.
type clock struct {
	control
	left    [2]int64
	quota   [2]int64 // of lag that may still be granted
	since   int64    // when the turn began; later by what the service lost since
	running bool
}

func newClock(c control, now int64) clock {
	k := clock{control: c, since: now}
	for s := range k.left {
		k.left[s] = c.base * second
		k.quota[s] = quotaFirst * c.quotaGain()
	}
	return k
}

// tripMore is how much longer than a trip that was measured the network may have taken: a line is not always as fast.
const tripMore = 150

// maxWait is the longest stay before a worker that is not charged. It is nothing that a player could bring about for himself.
const maxWait = 10 * second

// claim is what of a claim of lag can be true, where the trip to the claimant is known.
func claim(lag, trip int64) int64 {
	if trip > 0 {
		return min(lag, trip+tripMore)
	}
	return lag
}

// came is when a command came to the service. The time it then waited for a worker is no player's. What was lost of the time
// is on no clock anyway, and may be the same time: so the longer of both counts, and the shorter is taken for a part of it.
func came(now, waited, lost int64) int64 { return now - max(0, min(waited, maxWait)-max(0, lost)) }

// granted is how much of a turn is put down to the network.
func (k *clock) granted(side rules.Color, lag, came int64) int64 {
	return max(0, min(lag, maxLag, k.quota[side], came-k.since))
}

// charge ends a side's turn by a move that came at a time, and begins the other's. It tells what the turn cost; false: the
// time was out, nothing changed.
func (k *clock) charge(side rules.Color, lag, came, now int64) (spent int64, ok bool) {
	if k.running {
		granted := k.granted(side, lag, came)
		spent = max(0, came-k.since-granted)
		if spent >= k.left[side] {
			return spent, false
		}
		k.left[side] += k.inc*second - spent
		gain := k.quotaGain()
		k.quota[side] = min(k.quota[side]+gain-granted, quotaMost*gain)
	}
	k.since = now
	return spent, true
}

// at is what a side has left at a time, if it is on turn or not.
func (k *clock) at(side, turn rules.Color, now int64) int64 {
	if !k.running || side != turn {
		return k.left[side]
	}
	return max(0, k.left[side]-max(0, now-k.since))
}

// falls is when the flag of the side on turn falls: after what could be granted to a move that is on its way.
func (k *clock) falls(turn rules.Color) int64 {
	return k.since + k.left[turn] + min(maxLag, k.quota[turn])
}

// stop ends the turn without a move.
func (k *clock) stop(turn rules.Color, now int64) {
	k.left[turn] = k.at(turn, turn, now)
	k.running = false
}
