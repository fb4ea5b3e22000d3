package chess

import (
	"fmt"
	"testing"
	"time"

	"carillon/channel"
)

// turn has ann move after a time, as a node hands it on: with the lag she claims, the trip to her that was measured, how
// long the move waited for a worker, and what of the time was lost. It tells what she was charged, in ms.
type turn struct {
	after, lag, trip, waited, lost time.Duration
}

func (w *world) spent(n channel.Name, uci string, c turn) float64 {
	w.t.Helper()
	w.now = w.now.Add(c.after)
	w.lost[n] = c.lost
	ply := w.game(n).play.Ply()
	o := w.one(channel.Command{
		Channel: n, User: w.game(n).agreed.players[w.game(n).turn()].User, Trip: c.trip, Waited: c.waited,
		Body: fmt.Appendf(nil, `{"type":"move","ply":%d,"uci":%q,"lag":%d}`, ply, uci, c.lag.Milliseconds()),
	})
	w.deliver()
	if o.Refused != 0 {
		w.fatal("%s is refused: %s", uci, o.Reply)
	}
	spent, _ := field(w.last(n, "move"), "spent").(float64)
	return spent
}

// A claim of lag is believed as far as the trip that was measured makes it likely, and as before where none was.
func TestTrip(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		turn
		want float64
	}{
		"not measured":            {turn{after: 5000 * ms, lag: 800 * ms}, 4200},
		"as long as claimed":      {turn{after: 5000 * ms, lag: 800 * ms, trip: 800 * ms}, 4200},
		"longer":                  {turn{after: 5000 * ms, lag: 300 * ms, trip: 800 * ms}, 4700},
		"a little shorter":        {turn{after: 5000 * ms, lag: 240 * ms, trip: 100 * ms}, 4760},
		"much shorter":            {turn{after: 5000 * ms, lag: 800 * ms, trip: 100 * ms}, 4750},
		"next to nothing":         {turn{after: 5000 * ms, lag: 800 * ms, trip: 1 * ms}, 4849},
		"no claim":                {turn{after: 5000 * ms, trip: 500 * ms}, 5000},
		"beyond what is granted":  {turn{after: 5000 * ms, lag: time.Hour, trip: time.Hour}, 4000},
		"a premove costs nothing": {turn{after: 40 * ms, lag: 800 * ms, trip: 100 * ms}, 0},
	} {
		w := newWorld(t)
		n := w.match(`"base":300,"inc":0`)
		w.play(n, "e2e4", "e7e5")
		if got := w.spent(n, "g1f3", c.turn); got != c.want {
			t.Errorf("%s: %v ms were charged, want %v", name, got, c.want)
		}
		w.replay()
	}
}

// The time that a move waited for a worker is not charged, with what was lost of the time counted once where both are the
// same, and never more than there was.
func TestWaited(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		turn
		want float64
	}{
		"not at all":              {turn{after: 20 * s}, 20_000},
		"a while":                 {turn{after: 20 * s, waited: 3 * s}, 17_000},
		"next to not at all":      {turn{after: 20 * s, waited: channel.LeastWait - 1}, 20_000},
		"a while, and lag":        {turn{after: 20 * s, waited: 3 * s, lag: s}, 16_000},
		"as long as it was lost":  {turn{after: 20 * s, waited: 3 * s, lost: 3 * s}, 17_000},
		"longer than it was lost": {turn{after: 20 * s, waited: 5 * s, lost: 3 * s}, 15_000},
		"not as long as lost":     {turn{after: 20 * s, waited: 2 * s, lost: 3 * s}, 17_000},
		"longer than is believed": {turn{after: 60 * s, waited: time.Hour}, 50_000},
		"longer than the turn":    {turn{after: 4 * s, waited: 9 * s}, 0},
		"less than nothing":       {turn{after: 4 * s, waited: -9 * s}, 4000},
	} {
		w := newWorld(t)
		n := w.match(`"base":300,"inc":0`)
		w.play(n, "e2e4", "e7e5")
		if got := w.spent(n, "g1f3", c.turn); got != c.want {
			t.Errorf("%s: %v ms were charged, want %v", name, got, c.want)
		}
		if k := w.game(n).clock; k.since != w.now.UnixMilli() {
			t.Errorf("%s: the other's turn began %d ms ago", name, w.now.UnixMilli()-k.since)
		}
		w.replay()
	}
}

// A move that came in time counts, though its worker was late.
func TestWaitedPastTheFlag(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":10,"inc":0`)
	w.play(n, "e2e4", "e7e5")
	if got := w.spent(n, "g1f3", turn{after: 10_200 * time.Millisecond, waited: 400 * time.Millisecond}); got != 9800 {
		t.Errorf("%v ms were charged, want 9800", got)
	}
	w.spent(n, "b8c6", turn{after: 10_500 * time.Millisecond, waited: 400 * time.Millisecond})
	if g := w.game(n); g.reason != timeOut || g.phase != over {
		t.Errorf("a move that came too late left the game %s, %s", g.phase, g.reason)
	}
}
