// Package limit keeps a node usable when somebody asks for too much: how fast one connection may send (Traffic), how many
// connections a user or an address may have (Gate), how often an address may try (Meter), how many handshakes may run at
// once (Admission), how many strangers may be connected (Share), and what is dropped first when the node itself is short
// of breath (Pressure). Every decision is one atomic step, never a look followed by an act; every map and queue is
// bounded; every bound can be changed while the node runs. It closes no connection and knows no token: it says no, and
// how long to wait. It starts no goroutine. Start with Bucket, then Gate.
package limit

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Busy says that there is no room now, and when to come back.
type Busy struct {
	Reason     Reason
	RetryAfter time.Duration
}

// Reason is why Admission refused.
type Reason uint8

// The reasons; their String is what metrics show.
const (
	QueueFull Reason = iota // as many wait already as may
	TooLate                 // its turn would have come after its patience, or did
)

func (r Reason) String() string {
	if r == QueueFull {
		return "queue_full"
	}
	return "too_late"
}

func (b *Busy) Error() string {
	return fmt.Sprintf("too many at once (%s), come back in %d s", b.Reason, b.Seconds())
}

// Seconds is RetryAfter as the header of that name has it: whole seconds, at least 1.
func (b *Busy) Seconds() int { return Seconds(b.RetryAfter) }

// Seconds rounds a wait up to what a Retry-After header can say: whole seconds, at least 1.
func Seconds(wait time.Duration) int {
	return max(1, int((wait+time.Second-1)/time.Second))
}

// spread makes a wait up to half as long again, so that those refused together do not return together.
func spread(wait time.Duration) time.Duration {
	return wait + time.Duration(rand.Int64N(int64(wait)/2+1))
}
