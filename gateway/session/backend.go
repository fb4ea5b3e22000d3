package session

import (
	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/wire"
)

// Backend is what a conversation needs of its gateway. No method blocks; done is called once, from any goroutine (also
// before the method returns) and must only enqueue. Errors that a client may see are *wire.Error; others are "internal".
type Backend interface {
	// Policy is that of a channel.
	Policy(n channel.Name) channel.Policy
	// Join makes the channel's ring ready for hub.Attach, reaching back to from where that is possible. oldest is the
	// position before the oldest record that history has, zero if it was not looked up.
	Join(n channel.Name, from hub.From, done func(oldest channel.Position, err error))
	// Publish makes a record true, or tells it to those who listen, by its class.
	Publish(r channel.Record, done func(Ack, error))
	// Read reads a page of history.
	Read(n channel.Name, q Query, done func(Page, error))
	// Command asks the service that owns the channel; the level says what its reply survives.
	Command(c channel.Command, done func(r channel.Reply, level wire.Ack, err error))
}

// Guard asks the services that decide themselves who reads their channels. It does not block either.
type Guard interface {
	// Rights tells what the service of a guarded channel grants a user now.
	Rights(n channel.Name, user string, done func(channel.Rights, error))
}

// Ack says what became of a record: the level of the acknowledgement, and its position unless it was Fleeting.
type Ack struct {
	Level wire.Ack
	At    channel.Position
}

// Query asks for a page: forwards the records after After (zero: from the oldest kept), with Back those up to After
// (zero: up to the head). Limit is at least 1.
type Query struct {
	After channel.Position
	Back  bool
	Limit int
}

// Page is an answer to a Query: records in log order, the position before the first of them, the head in the same snapshot.
type Page struct {
	Records []channel.Record
	Base    channel.Position
	Head    channel.Position
	More    bool
	Gap     channel.Gap
}
