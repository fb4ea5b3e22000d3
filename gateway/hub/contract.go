package hub

import (
	"errors"
	"fmt"
	"time"

	"carillon/channel"
	"carillon/observe"
)

// Encode appends one framed record in one format to dst. It must be pure: it is called under the lock of a room, once
// per record and format however many subscribers there are, and must not keep r or write to anything but dst.
// r holds what subscribers are shown: ID and Age are not kept, Time has millisecond precision and is in UTC.
type Encode func(dst []byte, r *channel.Record) []byte

// EncodeTable is Encode for the message that holds all Latest records of a channel, by ascending Rev.
type EncodeTable func(dst []byte, n channel.Name, epoch uint64, rs []channel.Record) []byte

// Table is the Latest records of a channel as its journal has them: by ascending Rev, without deletions. Rev is the highest
// ever given there.
type Table struct {
	Epoch   uint64
	Rev     uint64
	Records []channel.Record
}

// Options of a Hub; the zero value of each field means its default.
type Options struct {
	Workers int                               // fan-out workers; default GOMAXPROCS-1, at least 1
	Budget  int64                             // bytes of rings and runs of this node; default DefaultBudget
	Policy  func(channel.Name) channel.Policy // default channel.DefaultPolicy for every name; called with no lock held
	Tables  []EncodeTable                     // by format; none: Latest records are ignored
	Written *observe.Histogram                // time from Record.Came to the record's first write to somebody; may be nil
	// Panicked is called where a method of w panicked with v, above the stack of that: it ends the connection of w, and
	// must not wait. The worker goes on. nil: the process ends.
	Panicked func(v any, w Waker)
}

// DefaultBudget is the default of Options.Budget, in bytes.
const DefaultBudget = 512 << 20

// Need is what the hub wants of the journal after it was told something.
type Need uint8

const (
	// NeedNone: the ring holds all that was told, or nobody here cares for the channel.
	NeedNone Need = iota
	// NeedHole: records between the ring's head and what was told are missing, or Latest records. Read from the head on, then
	// Fill; and FillTable.
	NeedHole
	// NeedDiverged: what was told does not belong to the ring's past. Read up to the journal's head, then Fill.
	NeedDiverged
)

// From says where a cursor begins. After: right behind that position. Otherwise Rewind: that many records before the
// head, or as many as the ring holds. Neither: at the head. After wins over Rewind. Whoever follows a position may hold
// Latest records: he is given the table even where it became empty; others only where it holds something.
type From struct {
	After  channel.Position
	Rewind int
}

// Start tells where a cursor stands after Attach, and what the head was at that moment.
type Start struct{ At, Head channel.Position }

// ErrPending says that there is no room of that name, or that it still waits for its first Fill.
var ErrPending = errors.New("channel is not filled yet")

// Miss is the error of an Attach whose From.After the ring cannot prove: GapTrimmed (older than the ring's base),
// GapAhead (beyond its head), GapEpoch or GapDiverged. Base and Head are those of the ring at that moment.
type Miss struct {
	Gap        channel.Gap
	Base, Head channel.Position
}

func (m *Miss) Error() string {
	return fmt.Sprintf("position cannot be followed from the ring: %s", m.Gap)
}

// Loss says that a cursor missed the offsets From to To, both included, and stands at At now. The zero Loss is none.
// Reason is GapSlow (it fell off the ring), GapTrimmed (the log itself no longer had them), or GapEpoch or GapDiverged
// (the ring was replaced; From is then 1, for all of its past is void).
type Loss struct {
	From, To uint64
	At       channel.Position
	Reason   channel.Gap
}

// Waker is a connection, as the hub sees it. Both methods are called by fan-out workers with no lock of the hub held;
// they must not block, and are assumed to take about as long as one write to a socket.
type Waker interface {
	// Wake tells that c may have something to say: link it into the connection's ready list and try to write.
	// It may come once more after c.Detach, and at any time after Attach, even before that returned.
	Wake(c *Cursor)
	// Resume goes on with what the connection left off when it called Hub.Again.
	Resume()
}

// Nearby is a Waker whose Near reads the memory that Wake will need first, and does no more: workers call it for a
// handful of connections before they wake them, so that what is not in the cache is fetched for all of them side by
// side. The number means nothing.
type Nearby interface {
	// Near never blocks and takes no lock.
	Near() uint32
}

// Stats are figures of a hub. Rooms to Bytes are of this moment, the others count since New.
type Stats struct {
	Rooms, Cursors int
	Bytes, Budget  int64                        // of rings and runs, as counted; and Options.Budget
	Queue          int                          // stripes and connections that wait for a worker
	Busy           time.Duration                // all workers together, since New
	Out            [channel.Fleeting + 1]uint64 // records that went out, by class, once for each cursor
	Encoded        uint64                       // calls of an Encode
	Wakes, Resumes uint64                       // calls of Waker's methods
	Losses         uint64                       // told by Ready
	Fleeting       uint64                       // Fleeting records a cursor was due and skipped
	Aside          uint64                       // records that arrived early and were dropped at the bound
	Cut            uint64                       // records cut from rings for want of budget
}
