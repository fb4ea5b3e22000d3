package client

import (
	"errors"
	"math/rand/v2"
	"time"

	"carillon/wire"
)

// Backoff paces attempts with full jitter: before the n-th one in a row the client waits a random time between nothing
// and a ceiling that begins at Min and doubles up to Max. A wait that the server advised comes first, and counts instead
// where it is longer.
type Backoff struct {
	Min, Max time.Duration // defaults 1 s and 5 s
	// Attempts to connect in a row, after which the client fails. 0: it never does.
	Attempts int
	// Rand is the source of chance, for tests that repeat. It must be used by nobody else. Default: seeded at random.
	Rand *rand.Rand
}

func (b *Backoff) setDefaults() {
	if b.Min <= 0 {
		b.Min = time.Second
	}
	if b.Max <= 0 {
		b.Max = 5 * time.Second
	}
	b.Max = max(b.Max, b.Min)
}

func (b *Backoff) source() *rand.Rand {
	if b.Rand != nil {
		return b.Rand
	}
	return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
}

// wait is the time before attempt n, counted from 1, with chance in [0, 1).
func (b *Backoff) wait(n int, chance float64) time.Duration {
	ceiling := b.Min
	for i := 1; i < n && ceiling < b.Max; i++ {
		ceiling *= 2
	}
	return time.Duration(chance * float64(min(ceiling, b.Max)))
}

// ending is why a line ended and what follows from it.
type ending struct {
	err   error
	then  wire.Reconnect
	after time.Duration // advised by the server; 0: nothing advised
	met   bool          // it was connected
}

// retreat is the state of reconnecting.
type retreat struct {
	backoff Backoff
	attempt int       // in a row without a line that lasted
	since   time.Time // when the last line was lost
	atOnce  time.Time // when it last went back at once
}

// next is the wait before the next attempt; false if there is to be none. began is when the attempt before it began.
func (r *retreat) next(e ending, began time.Time, chance func() float64) (time.Duration, bool) {
	now := time.Now()
	if e.met {
		r.since = now
	}
	if e.met && now.Sub(began) >= r.backoff.Max {
		r.attempt = 0 // it lasted
	} else {
		r.attempt++
	}
	if r.backoff.Attempts > 0 && r.attempt >= r.backoff.Attempts {
		return 0, false
	}
	// Who is sent away at once, again and again, is sent away by something that is broken: then pace it all the same.
	if e.then == wire.ReconnectAtOnce && (r.atOnce.IsZero() || now.Sub(r.atOnce) >= r.backoff.Min) {
		r.atOnce = now.Add(e.after)
		return e.after, true
	}
	return max(e.after, r.backoff.wait(max(r.attempt, 1), chance())), true
}

// afterError is the ending by a refusal of the server.
func afterError(e *Error) ending {
	end := ending{err: e, then: wire.ReconnectBackoff, after: e.RetryAfter}
	if e.Number != 0 {
		end.then = wire.AfterClose(e.Number)
	} else if !e.Retry {
		end.then = wire.ReconnectNever
	}
	return end
}

// asError finds the *Error in err.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
