package journal

import (
	"context"
	"time"

	"carillon/channel"
)

// Finder searches the rows that services state with their changes. An answer shows every change that was committed before
// the call.
type Finder interface {
	// Find lists rows; a page ends early with More at MaxFoundBytes of bodies, but holds at least one row.
	Find(ctx context.Context, s Search) (Found, error)
}

// Search asks for rows of a kind that have all of Terms, by descending Rank and then ascending Key; with Ascending the
// other way round in both. With Key it asks for that row alone.
type Search struct {
	Service, Kind string
	Key           string
	Terms         []string     // at most 4
	After         *channel.Row // continues behind this row's Rank and Key; nil: from the beginning
	Ascending     bool
	Limit         int // 1 to MaxFound; default 50
}

// Bounds of an answer of Find.
const (
	MaxFound      = 500 // rows
	MaxFoundBytes = 1 << 20
)

// Found is an answer of Find. Before is how many rows of the kind with these terms come before the first of Rows, counted
// to MaxCounted: with Key it is the place of that row in the order.
type Found struct {
	Rows   []channel.Row
	Before int
	More   bool
}

// MaxCounted is how far Found.Before counts.
const MaxCounted = 100_000

// Pulse is the part of a Stage that knows when a shard was served by nobody. Fence.Away of a Claim is the time since the
// shard's last Commit, Claim or Alive, by the store's clock; zero for a shard that was never served.
type Pulse interface {
	// Alive notes that these shards are served now. A fence that is void is passed over.
	Alive(ctx context.Context, fs []Fence) error
}

// PulseEvery is how often a worker calls Alive while a machine in its memory waits for a timer.
const PulseEvery = 2 * time.Second
