package bus

import (
	"context"
	"time"

	"carillon/channel"
)

// Shared is what a Roster of several nodes can do besides. Such a roster learns from the others who was first and who last:
// its Enter and Leave return false at once, and whoever came or left is told, soon after, by a function that it was made
// with; those whom Sweep ends are told by Sweep. In all nodes together each stay begins once and ends once.
type Shared interface {
	// Look lists the first users of a channel as Members does, and tells the version of the channel: another one after every
	// stay that began or ended, and whenever the roster was lost.
	Look(ctx context.Context, n channel.Name, max int) (ms []Member, count int, version uint64, err error)
	// Versions answers for each channel, in order. watched marks them as watched from this node, for a minute at least:
	// meanwhile the Members that are told of them, on any node, say so.
	Versions(ctx context.Context, ns []channel.Name, watched bool) ([]uint64, error)
	// Turn asks for the right to write a channel's value, which one node has for a time; wait is how long another has it still, 0
	// where it is the caller's.
	Turn(ctx context.Context, n channel.Name, lasts time.Duration) (wait time.Duration, err error)
	// Unwatch takes this node's mark back; last tells that no other node has one.
	Unwatch(ctx context.Context, n channel.Name) (last bool, err error)
}
