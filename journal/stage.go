package journal

import (
	"context"
	"errors"
	"time"

	"carillon/channel"
)

// Version counts the changes of a channel that belongs to a service; 0: there was none.
type Version uint64

// Fence is the right to change the channels of one shard of a service. A later Claim of the same shard makes it void.
type Fence struct {
	Service string
	Shard   int
	N       uint64
	Away    time.Duration // how long nobody had served the shard when it was claimed; see Pulse
}

// ErrFenced: another has claimed the shard since; nothing was committed.
var ErrFenced = errors.New("the shard was claimed by another")

// ErrStale: the channel is not at the version that the change was made for; the change was not committed.
var ErrStale = errors.New("the channel has another version")

// ErrRepeated: an id in a Commit was used before, by a command that had no Age; nothing was committed. Seen tells of it once
// the command has one.
var ErrRepeated = errors.New("a command came for the first time whose id was used before")

// Stage is the truth of channels that belong to services. All methods are safe for concurrent use.
type Stage interface {
	// Shards is how many shards a service has here; it was fixed when the store was made.
	Shards() int
	// Claim raises the fence of a shard: from its return on, no Commit under an older one succeeds.
	Claim(ctx context.Context, service string, shard int) (Fence, error)
	// Load reads what is needed to bring a machine back.
	Load(ctx context.Context, n channel.Name) (State, error)
	// Seen looks up commands by (channel, user, id), in order; see Known. Commands without an id are never known. One without an
	// Age is said to come for the first time: if that is not so, a store may know nothing of it and answer Commit ErrRepeated.
	Seen(ctx context.Context, cs []channel.Command) ([]Known, error)
	// Commit makes changes true, in one transaction and in order, and returns one Result for each. ErrFenced, ErrUnconfirmed,
	// ErrFull, ErrRepeated and ErrClosed concern all of them. Without changes it checks the fence alone. Records are carried
	// before it returns.
	Commit(ctx context.Context, f Fence, cs []Change) ([]Result, error)
}

// Known is what Seen knows of a command: nothing (both nil), the reply it got, or ErrReuse or ErrUnknown.
type Known struct {
	Reply *channel.Reply
	Err   error
}

// Change is what a command came to. One with Reply.Code != 0 is a refusal: nothing but its reply is kept, and the version
// stays. One without Command.Channel keeps Snapshot as the state at version Prev, and nothing else.
type Change struct {
	Channel  channel.Name
	Prev     Version // of the channel before it; afterwards it is one higher
	Command  channel.Command
	Timer    Version           // the command is the timer armed by this version; a refusal clears that timer if no other replaced it
	Reply    channel.Reply     // At is filled in: the head after the change
	Events   []channel.Record  // Logged and Latest; Fleeting ones are carried and not kept
	Sends    []channel.Command // get the user "@channel" and an id derived from the version
	Access   []channel.Access
	Rows     []channel.Row
	Erase    []uint64 // offsets; needs Snapshot, since everything older that held the bodies goes
	WakeAt   time.Time
	Snapshot []byte // the state after the change; nil: none this time
}

// Result of a Change: Reply.At's value and the version now, or why it and all later ones of its channel were not
// committed: ErrStale.
type Result struct {
	At      channel.Position
	Version Version
	Err     error
}

// State is what Load returns. Commands are the changes after the snapshot, oldest first, that lead to Version and Head.
type State struct {
	Version  Version
	Head     channel.Position
	Time     time.Time // of the last command
	WakeAt   time.Time
	Snapshot []byte           // nil: begin anew
	At       Version          // of the snapshot
	Start    channel.Position // head at the snapshot
	Commands []Kept
}

// Kept is a command as it was applied, and where the log stood afterwards: its tag proves the records byte for byte.
type Kept struct {
	Version Version
	Command channel.Command
	Head    channel.Position
	Erased  bool // its body is gone: it cannot be run again, and a snapshot follows it
}

// Past is what proves a channel: State as it was at an earlier snapshot, with the commands to the newest snapshot and
// beyond, and that snapshot's place.
type Past struct {
	State
	Newer   []byte // the newest snapshot; nil: there is only one
	NewerAt Version
}

// Archive gives what `carillon replay` proves.
type Archive interface {
	// Past reads a channel as it was at the oldest snapshot kept; an unknown channel is an empty State.
	Past(ctx context.Context, n channel.Name) (Past, error)
}

// Agenda is what a service still has to do by itself: timers, and commands to other channels.
type Agenda interface {
	// Due lists sends whose ticket is higher than after, and timers whose time has come by the store's clock, at most max; next
	// is when the earliest further timer comes (zero: none). Sends come by ticket: those that were committed earlier first.
	Due(ctx context.Context, f Fence, after uint64, max int) (due []Due, next time.Time, err error)
	// Sent forgets sends that got a final reply.
	Sent(ctx context.Context, f Fence, tickets []uint64) error
}

// Due is a command that is to be asked now.
type Due struct {
	Ticket  uint64    // of a send; 0: a timer
	Armed   Version   // of a timer: the version that armed it
	At      time.Time // of a timer: its WakeAt
	Source  channel.Name
	Command channel.Command // with Channel, User and ID
}

// Mark is a place in the trail of a shard: Seq counts its steps.
type Mark struct {
	Service string
	Shard   int
	Seq     uint64
}

// Step is what a change did, for gateways.
type Step struct {
	Mark
	Channel channel.Name
	Version Version
	Head    channel.Position
	Erased  []uint64 // offsets of records that lost their bodies: what still lies in memory must not be sent again
	Access  []channel.Access
}

// Grant asks for the access of a user to a channel.
type Grant struct {
	Channel channel.Name
	User    string
}

// ErrTrimmed: steps after a mark are gone already. Read Ends, then heads and rights anew.
var ErrTrimmed = errors.New("the trail no longer reaches back that far")

// Trail lets gateways follow services. Steps live for TrailKept.
type Trail interface {
	// Ends are the marks of the last steps of all shards that have any.
	Ends(ctx context.Context) ([]Mark, error)
	// Follow lists steps after the given marks, at most max; shards that are not named are followed from their beginning.
	Follow(ctx context.Context, after []Mark, max int) ([]Step, error)
	// Rights answers each grant with the entry that holds: the user's own, or that of "", or one without rights.
	Rights(ctx context.Context, gs []Grant) ([]channel.Access, error)
}

// TrailKept is how long a step can be followed.
const TrailKept = 10 * time.Minute
