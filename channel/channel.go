// Package channel is the vocabulary of Carillon: names, positions, records, commands, replies, classes and policies.
// Everything else speaks in these words. It owns no state, imports nothing of ours and never touches a socket or
// a database. Start with Record and Position.
package channel

import "time"

// Class says what is owed to a record under pressure.
type Class uint8

const (
	// Logged records take an offset, are kept and replayed; a hole is always said.
	Logged Class = iota
	// Latest records are kept one per key: the newest wins.
	Latest
	// Fleeting records reach only those who keep up, and are never kept.
	Fleeting
)

// Record is what comes down: something that happened in a channel.
type Record struct {
	ID      string        // idempotency id given by the publisher, scoped to (Channel, From); not delivered
	Age     time.Duration // time since the publisher first sent this ID, by its own clock; not kept
	Channel Name
	At      Position // position right after this record; zero for Fleeting
	Prev    uint64   // tag before it
	Rev     uint64   // order of Latest
	Class   Class
	Key     string    // Latest: which entry it replaces
	Time    time.Time // the journal's clock, millisecond precision, never decreasing within a channel
	From    string    // user id of the publisher, set by the server
	Origin  uint64    // publishing connection; 0 for none. Not kept by durable journals
	NoEcho  bool      // not delivered to Origin
	Binary  bool      // Body is bytes; otherwise one JSON text, checked once and never transcoded
	Body    []byte    // never changed after the record was handed on; empty means erased
	Came    time.Time // when this node read it from its publisher, if that is measured; neither kept nor delivered
}

// Command is what goes up: a request to the service that owns a channel. The worker stamps Time, Seed and Head when it
// takes the command in hand; they are kept with it, so that a replay sees the same.
type Command struct {
	ID      string // idempotency id given by the asker, scoped to (Channel, User); "": a resend is another command
	Channel Name
	User    string
	Origin  uint64        // asking connection; 0 for none
	Time    time.Time     // never decreasing within a channel, millisecond precision
	Head    uint64        // offset of the log before the command: the first Logged event gets the next one
	Waited  time.Duration // on desks, before a worker took it in hand; kept in whole ms from LeastWait on
	Trip    time.Duration // to the asker's client and back, in whole ms, as his node measured it; 0: unknown. Kept
	Lost    time.Duration // of the time since the last command that changed the channel: how long its service could do nothing; kept
	Age     time.Duration // time since the asker first sent this ID, by its own clock; not kept
	Seed    [32]byte      // chance
	Binary  bool
	Body    []byte
}

// LeastWait is the shortest Waited that is kept: a service counts none that is shorter.
const LeastWait = 50 * time.Millisecond

// Reply answers a Command; it is the same for every retry of its ID.
type Reply struct {
	ID   string
	At   Position
	Code int
	Body []byte
}

// Slow says what becomes of a subscriber that fell off the ring.
type Slow uint8

const (
	// SlowSkip moves the cursor to the head and says gap.
	SlowSkip Slow = iota
	// SlowDisconnect closes the connection with 4108.
	SlowDisconnect
)

// Keep bounds a log or a ring; zero means unbounded.
type Keep struct {
	Records int
	Bytes   int
	Age     time.Duration
}

// Policy is what a namespace promises.
type Policy struct {
	Durable     bool          // kept in SQL, acknowledged after the commit
	Retention   Keep          // of the log
	Ring        Keep          // of the tail in memory; Age unused
	BatchWindow time.Duration // how long records gather before they are fanned out; 0: not at all
	Slow        Slow
	MaxBody     int  // bytes
	NoHistory   bool // clients may not page through the log, nor rewind; a resume is no history
	Service     bool // a service writes the log: clients send commands, and only Fleeting records
	Guarded     bool // reading takes Access that the service granted
	Presence    bool // who is subscribed is told in NAME@presence
	Latest      Keep // of the table of Latest records
	LatestEach  int  // keys that one user may hold in it
}

// DefaultPolicy is that of a plain channel without a configuration.
func DefaultPolicy() Policy {
	return Policy{
		Retention:  Keep{Records: 1000, Bytes: 1 << 20, Age: 5 * time.Minute},
		Ring:       Keep{Records: 1000, Bytes: 1 << 20},
		MaxBody:    64 << 10,
		Latest:     Keep{Records: 1000, Bytes: 256 << 10, Age: 24 * time.Hour},
		LatestEach: 16,
	}
}
