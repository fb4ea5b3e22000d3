// Package journal is the contract of the truth: a journal gives a record its position, once, and never loses what it
// acknowledged. Implementations are journal/memory and journal/redis, store/sqlite and store/postgres; journal/journaltest is
// the law they obey.
// A journal knows no socket, no subscriber and no app. Start with Appender.
package journal

import (
	"context"
	"errors"
	"time"

	"carillon/channel"
)

// Carry tells the world of records that just became true. It is given to a journal when it is made and is called
// serially per channel, in offset order, before the done of those records. It only enqueues.
type Carry func([]channel.Record)

// Policies gives the policy of a channel; it must be cheap and the same for every name of a namespace.
type Policies func(channel.Name) channel.Policy

// Appender makes records true.
type Appender interface {
	// Append never blocks; call order is journal order per channel. r.Body must not change afterwards.
	// done is called exactly once, serially per channel and in offset order, and must only enqueue: with the
	// record's position, or with one of the errors below. A record whose ID is known gets the position it got
	// the first time, and is neither appended nor carried again. ErrClass, ErrEmpty, ErrBusy, ErrUnavailable and ErrClosed
	// say that nothing was appended and may come at once, from within Append and beside other calls.
	// A Latest record needs a journal with Tables: done gets the zero position, and an empty body deletes. See Tables.
	Append(r channel.Record, done func(channel.Position, error))
}

// Reader reads what is true. Bodies it returns must not be changed.
type Reader interface {
	// Read returns one page; see Query and Page. An unknown channel is an empty one.
	Read(ctx context.Context, n channel.Name, q Query) (Page, error)
	// Heads returns the head of each name, in order, those of empty channels too.
	Heads(ctx context.Context, ns []channel.Name) ([]channel.Position, error)
}

// Tables reads Latest records. What is carried of them has a Rev, higher than any before in that channel and at least the
// clock in microseconds, and At with nothing but the epoch; without a body it is a deletion. What is beyond channel.Policy's
// bounds is deleted, and that is carried like any deletion, lowest Rev first: of a user with too many keys his own, after
// his write; by age at the latest with the channel's next write. The newest stays whatever its size. To delete what is not
// there changes nothing and carries nothing.
type Tables interface {
	// Latest returns the whole table of a channel by ascending Rev, without deletions. Records carry the epoch in At and a Rev.
	Latest(ctx context.Context, n channel.Name) (Table, error)
}

// Table is the Latest records of a channel: the newest of each (From, Key). Rev is the highest ever given there, that of
// a deletion too.
type Table struct {
	Epoch   uint64
	Rev     uint64
	Records []channel.Record
}

// Query asks for a page of a log. Forwards: the records after After; with the zero position, from the oldest kept.
// Backwards (Back): the records up to and including the position After; with the zero position, from the head.
// Limit is at most MaxPage and defaults to it; a page ends early at MaxPageBytes of bodies, but holds at least one record.
type Query struct {
	After channel.Position
	Back  bool
	Limit int
}

// Bounds of a page.
const (
	MaxPage      = 1000
	MaxPageBytes = 1 << 20
)

// Page is an answer of Read. Records are in log order, backwards too. Base is the position before the first of
// them (the head, if there are none). More tells that the log has further records in the direction asked for.
// Oldest is the position before the oldest record kept. Head was read in the same snapshot as the page.
// If Gap is not channel.GapNone, continuity from Query.After cannot be proved: forwards, GapTrimmed and GapEpoch pages
// start at the oldest record kept, GapDiverged and GapAhead pages are empty; backwards, all of them are empty.
type Page struct {
	Records []channel.Record
	Base    channel.Position
	Oldest  channel.Position
	Head    channel.Position
	More    bool
	Gap     channel.Gap
}

// Tier names what an acknowledgement of a journal survives; it is shown to clients as "appended:<tier>" or "durable".
type Tier string

const (
	TierMemory  Tier = "appended:memory" // nothing but the process
	TierDurable Tier = "durable"         // kill -9 and power loss
)

var (
	// ErrReuse: the id was used for another body. Final.
	ErrReuse = errors.New("idempotency id was used for another body")
	// ErrUnknown: the first sending lies further back than this journal remembers; nothing was appended. Final.
	ErrUnknown = errors.New("too old to tell whether it was appended before")
	// ErrUnconfirmed: the commit failed or its outcome is unknown. Retry with the same id.
	ErrUnconfirmed = errors.New("outcome of the commit is unknown")
	// ErrFull: the disk is full; nothing was appended. Retry later.
	ErrFull = errors.New("storage is full")
	// ErrBusy: too much is waiting for the journal; nothing was appended. Retry later.
	ErrBusy = errors.New("journal has too much waiting")
	// ErrClosed: the journal is shut; nothing was appended. Retry elsewhere or later.
	ErrClosed = errors.New("journal is closed")
	// ErrClass: the journal keeps no records of this class. Final.
	ErrClass = errors.New("class is not supported")
	// ErrEmpty: a Logged record has no body; read back, an empty one means erased. Final.
	ErrEmpty = errors.New("body is empty")
	// ErrOwned: a service writes this log; nothing was appended. Final.
	ErrOwned = errors.New("the channel belongs to a service")
	// ErrDamaged: what lies on disk is not what was appended; such a record is never served. See Damage.
	ErrDamaged = errors.New("storage is damaged")
)

// Clock gives the time; tests inject theirs.
type Clock func() time.Time
