package api

import (
	"context"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/journal"
	"carillon/wire"
)

// The roles that the handlers need filled. Errors that a caller may see are *wire.Error (also wrapped); all others are
// answered "internal" and logged. A ctx ends with its request: at its time-out, or when the caller went away.

// Publisher makes records true.
type Publisher interface {
	// Policy is that of a channel; it is cheap.
	Policy(n channel.Name) channel.Policy
	// Publish makes a record true, or tells it to those who listen, by its class. It never blocks; records of one channel
	// are taken in the order of the calls. done is called once, from any goroutine, also before Publish returns, and
	// only enqueues. A channel that has a writer of its own is refused with wire.CodeForbidden.
	Publish(r channel.Record, done func(Ack, error))
}

// Announcer tells every connection of every node.
type Announcer interface {
	// Announce is Publish of a record whose Channel is channel.All.
	Announce(r channel.Record, done func(Ack, error))
}

// Ack says what became of a record: the level of the acknowledgement, and its position unless it was Fleeting.
type Ack struct {
	Level wire.Ack
	At    channel.Position
}

// Reader reads what is true.
type Reader interface {
	// Read is journal.Reader's, shared among equal questions. Page.Oldest is not looked at.
	Read(ctx context.Context, n channel.Name, q journal.Query) (journal.Page, error)
}

// Gate asks the services that decide themselves who reads their channels.
type Gate interface {
	// Admit is nil where this user may read the channel, be it because nobody but the token decides.
	Admit(ctx context.Context, n channel.Name, user string) error
}

// Directory knows the connections of this node, and can have all nodes end theirs.
type Directory interface {
	// Connections lists in the order of their ids those with an id greater than q.After, at most q.Limit; more tells that
	// the list goes on.
	Connections(ctx context.Context, q ConnectionQuery) (cs []Connection, more bool, err error)
	// Disconnect ends one connection with the close number of why, on whichever node it is.
	Disconnect(ctx context.Context, id string, why wire.Code) (Ended, error)
	// DisconnectUser ends all connections that a user has now.
	DisconnectUser(ctx context.Context, user string, why wire.Code) (Ended, error)
}

// Ended is what became of a disconnect: how many connections of this node it ended, and whether other nodes were told,
// whose connections nobody counts.
type Ended struct {
	Here int
	Sent bool
}

// ConnectionQuery asks for connections: of User and in Channel, where these are not "".
type ConnectionQuery struct {
	User    string
	Channel channel.Name
	After   string // a connection id; "": from the first
	Limit   int    // 1..MaxList
}

// Connection is what is known of one.
type Connection struct {
	ID        string
	User      string
	Node      string
	Remote    string // address of the client, without its port
	Transport string // such as "websocket"
	Since     time.Time
	Active    time.Time // when something was last heard
	Channels  []channel.Name
}

// Rooms knows the channels that are open somewhere: those that have subscribers, or had some a moment ago.
type Rooms interface {
	// Rooms lists in the order of their names those with a name that begins with prefix and is greater than after, at
	// most limit; more tells that the list goes on.
	Rooms(ctx context.Context, prefix string, after channel.Name, limit int) (rs []Room, more bool, err error)
	// Subscribers counts those of one channel; 0 where it is not open.
	Subscribers(ctx context.Context, n channel.Name) (int, error)
}

// Room is an open channel.
type Room struct {
	Channel     channel.Name
	Subscribers int
}

// Issuer makes credentials.
type Issuer interface {
	// Issue makes a credential. What a Grant asks for and cannot have is refused with wire.CodeBadRequest.
	Issue(ctx context.Context, g Grant) (Credential, error)
}

// Kind says what a credential opens.
type Kind string

// Kinds of credentials.
const (
	KindConnect   Kind = "connect"   // a token for connect, refresh and the public HTTP API
	KindSubscribe Kind = "subscribe" // a token that adds one channel to what a connection may do
	KindTicket    Kind = "ticket"    // opens one connection, once
)

// Grant is what a credential is to say. All fields are within their bounds.
type Grant struct {
	Kind    Kind
	User    string
	Caps    []auth.Capability // connect, ticket
	Channel channel.Name      // subscribe
	Can     []string          // subscribe: actions, subscribe among them; nil: subscribe
	Limits  auth.Limits       // connect, ticket
	TTL     time.Duration     // connect, subscribe: until it can no longer be used, 1 s to MaxTokenTTL; ticket: 0
	Session time.Duration     // connect, ticket: how long the connection may last; 0: not said
}

// Credential is what was made.
type Credential struct {
	Token   string
	User    string
	Expires time.Duration // until then it can be used; 0: it does not end
}

// Revoker withdraws what was granted, on every node and across restarts.
type Revoker interface {
	// Revoke ends what stands on the named credential now and refuses it until a time, which it returns: the one asked for,
	// or where that is zero, the moment at which no credential made before now is good any more.
	Revoke(ctx context.Context, r Revocation) (until time.Time, err error)
}

// Revocation names exactly one thing.
type Revocation struct {
	User       string
	Token      string // the id of a token, its jti
	Issuer     string // of that token, its iss
	Connection string
	Until      time.Time // zero: as long as needed
}

// Guard slows down those who guess credentials. A guess is paid for before it is looked at, and given back if it was
// none: so a thousand at the same moment get no further than a thousand in a row. Both are told the remote address of a
// request; both only look at memory and may be called from anywhere.
type Guard interface {
	// Guess pays for one guess, or says for how long no credential of this address is looked at.
	Guess(remote string) time.Duration
	// Forgive gives a guess back.
	Forgive(remote string)
}
