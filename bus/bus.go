// Package bus is the contract between nodes: a Feed tells gateways elsewhere what became true here, a Desk asks the owner of
// a channel, a Roster knows who is where. It may lose, repeat and reorder; positions and ids make that harmless. It never
// decides what is true. bus/local serves a single node; bus/bustest is the law for all.
package bus

import (
	"context"
	"errors"
	"time"

	"carillon/channel"
)

// In is where a Feed delivers; a Feed is made with it. Both functions only enqueue.
// Records is called with records of joined channels, in the order carried where the bus can keep it.
// Trouble tells that records may have been lost from now on (down) or that the line is whole again.
type In struct {
	Records func([]channel.Record)
	Trouble func(down bool)
}

// Feed carries records to every node that joined their channel.
type Feed interface {
	// Carry hands records on to all nodes that joined, this one included. It never blocks.
	Carry(rs []channel.Record)
	// Join begins delivery: when it returns, whatever is carried from now on is delivered. Joining twice is joining once.
	Join(ctx context.Context, n channel.Name) error
	// Leave ends delivery; records under way may still arrive.
	Leave(n channel.Name)
}

var (
	// ErrNoService: nobody serves the namespace of the command's channel. Nothing was done.
	ErrNoService = errors.New("no service owns this channel")
	// ErrBusy: too many commands wait for the owner. Nothing was done; ask again later.
	ErrBusy = errors.New("too many commands wait")
	// ErrUnanswered: the owner went away before it answered. The outcome is unknown; ask again with the same id.
	ErrUnanswered = errors.New("the owner of the channel went away before it answered")
	// ErrClosed: the bus is shut.
	ErrClosed = errors.New("bus is closed")
)

// Desk takes commands to whoever owns their channel. The shard of a command is that of its channel.
type Desk interface {
	// Ask never blocks. done is called exactly once, and only enqueues: with the final reply, or with an error.
	Ask(c channel.Command, done func(channel.Reply, error))
	// Own takes part in serving a service until ctx ends: run is called for each shard that falls to this caller, on a goroutine
	// of its own, with a context that ends when the shard falls to another. Own returns when all runs have.
	Own(ctx context.Context, service string, shards int, run func(ctx context.Context, s Shard) error) error
}

// Asked is a command on a desk. Attempt counts from 1 how often it was handed out by Next.
type Asked struct {
	Ticket  uint64
	Attempt int
	Command channel.Command
}

// Answered is the answer to an Asked; with Err set the outcome is that error.
type Answered struct {
	Ticket uint64
	Reply  channel.Reply
	Err    error
}

// Shard is what an owner works off. Next removes nothing: what was not answered is handed to the next owner, in order.
type Shard interface {
	// Number is which shard it is, from 0.
	Number() int
	// Next returns at most max commands that it did not return before to this owner, in the order they were asked, and waits
	// for the first one until ctx ends.
	Next(ctx context.Context, max int) ([]Asked, error)
	// Answer removes commands and answers them.
	Answer(as []Answered) error
}

// Member is a user in a channel, by one of his connections.
type Member struct {
	Channel channel.Name
	User    string
	Conn    uint64
	Since   time.Time
	Watched bool // of a Shared roster, when it tells of him: somebody watches the channel, on whichever node
}

// Seen is when a user was last anywhere; Last is zero for one never heard of, or too long ago.
type Seen struct {
	User   string
	Online bool
	Last   time.Time
}

// Roster knows who is in which channel. Several connections of a user are one user. A user who left without being sure
// stays until the debounce is over, by the roster's clock, and coming back within it changes nothing.
// The channel "" stands for being connected at all. Of several nodes, see Shared.
type Roster interface {
	// Enter notes a connection; first tells that the user was not in the channel before.
	Enter(m Member) (first bool, err error)
	// Leave forgets it; last tells that the user is out at once: it was his last connection and sure.
	Leave(m Member, sure bool) (last bool, err error)
	// Sweep ends the stay of users whose debounce is over, at most max a call, after telling of them.
	Sweep(max int, tell func([]Member)) error
	// Members lists users by id after a given one, at most max, and how many there are in all.
	Members(ctx context.Context, n channel.Name, after string, max int) ([]Member, int, error)
	// Where answers for each user, in order, whether he is connected and when he last was.
	Where(ctx context.Context, users []string) ([]Seen, error)
}
