package wire

import (
	"strconv"
	"time"

	"carillon/channel"
)

// Record is channel.Record, under the name it has on the wire.
type Record = channel.Record

// MessageType says what a server tells. The zero value is a type that this version does not know.
type MessageType uint8

// Messages, server to client, with the fields of Message they have.
const (
	MsgUnknown      MessageType = iota
	MsgConnected                // ID, Hello, Time, Expires
	MsgReply                    // ID and what the request asked for, see Message
	MsgAccepted                 // ID: a command was taken, its reply follows
	MsgError                    // ID (0: concerns no request), Code, Text, Retry, RetryAfter
	MsgRecord                   // Record alone
	MsgLatest                   // Channel, Table: it replaces what the client holds of that channel
	MsgGap                      // Channel, Gap, At: records go on after At
	MsgStale                    // Channel ("": all), Stale
	MsgUnsubscribed             // Channel, Code, Text
	MsgExpiring                 // In: the token ends after it
	MsgDrain                    // After: reconnect then; Text
	MsgPing                     // answer ReqPong
)

var messageNames = [...]string{
	"", "connected", "reply", "accepted", "error", "record", "latest", "gap", "stale", "unsubscribed", "expiring", "drain", "ping",
}

// String is the type as it stands on the wire; "" for MsgUnknown.
func (t MessageType) String() string {
	if int(t) < len(messageNames) {
		return messageNames[t]
	}
	return ""
}

// Ack says what an acknowledged record or command survives.
type Ack string

// Levels of acknowledgement, weakest first.
const (
	AckAccepted Ack = "accepted"        // taken; nothing is promised beyond this connection
	AckMemory   Ack = "appended:memory" // in its channel's log, in memory: it survives this connection, not the process
	AckDurable  Ack = "durable"         // committed to disk: it survives kill -9 and power loss
)

// Message is one message from a server. Which fields count follows from Type. A MsgReply has those of its request:
//
//	subscribe    Channel, At, HasRecovered, Recovered, Gap
//	publish      Ack, At
//	history      Channel, At, Page, Gap
//	ping         Time
//	refresh      Expires
//	command      Ack, At, Body, Binary, Refused
//	presence     Channel, Presence
//	unsubscribe  none
//	leave        none
//
// Wherever At is sent, its offset is sent beside it for people; durations and times travel as whole milliseconds.
type Message struct {
	Type         MessageType
	ID           uint64 // of the request it answers; 0: none
	Channel      channel.Name
	At           channel.Position // zero: absent
	Time         time.Time        // the server's clock, UTC
	Code         Code             // also one that this version does not know
	Text         string           // a sentence for people
	Retry        bool             // error: sending the same request with the same idem is safe and may succeed
	RetryAfter   time.Duration    // error: wait at least so long; 0: nothing advised
	Ack          Ack
	HasRecovered bool // subscribe: a position was sent, and Recovered says if continuity from it was proved
	Recovered    bool
	Gap          Gap  // absent where its Reason is channel.GapNone
	Page         Page // absent where its Head is zero
	Refused      int  // command: the service's own code of a refusal; 0: not refused
	Hello        Hello
	Expires      time.Duration // until the token ends; 0: it does not, or was not said
	Stale        bool
	In           time.Duration
	After        time.Duration
	Record       Record
	Table        Table
	Presence     *Presence // nil: absent
	Binary       bool
	Body         []byte
}

// Hello is what a client learns when it is connected.
type Hello struct {
	Conn      string // id of this connection, for people and logs
	User      string
	Server    string // name/version
	Heartbeat Heartbeat
	Limits    Limits
}

// Heartbeat tells when silence means that the line is dead: after Interval + Timeout, for both sides.
type Heartbeat struct {
	Interval time.Duration // between pings of the server
	Timeout  time.Duration // for the answer
}

// Limits are the bounds of one connection.
type Limits struct {
	Body     int // bytes of a body
	Channels int // subscriptions
	InFlight int // requests without their reply
	Batch    int // requests in one frame
	Frame    int // bytes of one frame
}

// Gap is a hole in a log: the offsets of the first and the last record missing, both zero where nobody can tell
// (channel.GapEpoch, channel.GapDiverged, channel.GapAhead).
type Gap struct {
	From, To uint64
	Reason   channel.Gap
}

// Page is a page of history, in log order. The reply's At is the position of its last record: page forwards from there.
type Page struct {
	Records []Record         // Channel is that of the reply
	More    bool             // there are further records in the direction asked for
	Before  channel.Position // before the first record: page backwards from there; zero: absent
	Head    channel.Position // of the log when the page was read: subscribe from there
}

// Table is all the Latest records of a channel, by ascending Rev, which counts per (From, Key): the highest stands.
type Table struct {
	Epoch   string   // opaque; another one has other revs. Not empty
	Records []Record // of class Latest and with a Rev; Channel is that of the message. An empty Body: deleted
}

// Presence answers who is there: the members of a channel, or what is known of the users asked for.
type Presence struct {
	Count   int      // members in all
	Members []Member // this page of them, by user
	More    bool     // there are further members after the last of this page
	Seen    []Seen   // of the users asked for, in their order; then the rest is absent
}

// Member is a user who is in a channel, however many connections of his are.
type Member struct {
	User  string
	Since time.Time
}

// Seen is what is known of a user. Last is when he was last online; zero: he is, or was never heard of.
type Seen struct {
	User   string
	Online bool
	Last   time.Time
}

// EpochText is an epoch as Table has it.
func EpochText(epoch uint64) string { return strconv.FormatUint(epoch, 36) }
