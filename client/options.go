package client

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// Options of a Client; the zero value of each field means its default.
type Options struct {
	// Token gives the credential of each connection and of each renewal: a fresh one every time it is called. Default:
	// none. An error counts as a failed attempt to connect. See StaticToken.
	Token func(ctx context.Context) (string, error)
	// JSON makes the line speak JSON, for people who look at it. Default: MessagePack.
	JSON bool
	// Name of the client software, told to the server: at most 64 printable ASCII bytes. Default "carillon-go".
	Name string
	// OnState hears of the line. It is called by the client's own goroutines, one call at a time, and must not block.
	OnState func(State)

	// Backoff paces what is tried again: connections, and requests that the server refused for the moment.
	Backoff Backoff
	// ConnectTimeout bounds one attempt, from dialling to the server's `connected`. Default 10 s.
	ConnectTimeout time.Duration

	// QueueRecords and QueueBytes (of bodies) bound the publishes that are not settled, connected or not; beyond them
	// Publish fails with ErrQueueFull. Defaults 10,000 and 16 MiB.
	QueueRecords int
	QueueBytes   int

	// Header is added to the handshake, TLS used for wss. NetDial opens the line instead of net.Dialer (and of the
	// proxy that the environment names).
	Header  http.Header
	TLS     *tls.Config
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Bounds and defaults.
const (
	defaultConnectTimeout = 10 * time.Second
	defaultQueueRecords   = 10_000
	defaultQueueBytes     = 16 << 20
	defaultBufferRecords  = 1024
	defaultBufferBytes    = 1 << 20

	maxMessage  = 16 << 20        // bytes of one message from the server; a page of history is the largest
	closeWait   = time.Second     // for the server's last word, once one side wants to end
	refreshWait = 5 * time.Second // for a fresh token

	// Where the server does not tell its limits.
	defaultInFlight = 16
	defaultBody     = 64 << 10
)

func (o *Options) setDefaults() {
	if o.Name == "" {
		o.Name = "carillon-go"
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = defaultConnectTimeout
	}
	if o.QueueRecords <= 0 {
		o.QueueRecords = defaultQueueRecords
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = defaultQueueBytes
	}
	o.Backoff.setDefaults()
}

func (o *Options) subprotocol() string {
	if o.JSON {
		return wire.SubprotocolJSON
	}
	return wire.SubprotocolMessagePack
}

// StaticToken is a Token, of Options or of SubscribeOptions, that always gives the same.
func StaticToken(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}

// SubscribeOptions say where a subscription begins and how much may wait for its reader.
type SubscribeOptions struct {
	// After resumes behind a position, such as the last Event.At of an earlier run. Zero: from now on.
	After Position
	// Rewind begins so many records back, at most 1,000 and as far as the server has them ready. After wins.
	Rewind int
	// Token gives a subscription token, for a channel that the token of the connection does not open: a fresh one each
	// time the client subscribes, also when the one before has ended. Default: none. An error is tried again later.
	// See StaticToken.
	Token func(ctx context.Context) (string, error)
	// BufferRecords and BufferBytes (of bodies) bound what waits for Next. Defaults 1,024 and 1 MiB.
	BufferRecords int
	BufferBytes   int
}

func (o *SubscribeOptions) setDefaults() {
	if o.BufferRecords <= 0 {
		o.BufferRecords = defaultBufferRecords
	}
	if o.BufferBytes <= 0 {
		o.BufferBytes = defaultBufferBytes
	}
	o.Rewind = min(max(o.Rewind, 0), wire.MaxPage)
}

// PublishOptions say how a record is published.
type PublishOptions struct {
	// ID makes a publish idempotent: the same ID and body is appended once, however often it is sent. 1 to 64 bytes of
	// printable ASCII. Default: 128 random bits.
	ID string
	// Class is channel.Logged unless said otherwise. A Fleeting record is sent once, and only while connected.
	Class channel.Class
	// Key of a Latest or Fleeting record.
	Key string
	// NoEcho keeps the record from the subscriptions of this connection. History has it all the same, and so has a
	// resume after the connection was lost.
	NoEcho bool
	// Binary says that the body is bytes. Otherwise it is one JSON text, which is checked before it is sent.
	Binary bool
}

// Phase is where a client stands with its server.
type Phase uint8

// Phases, in the order they are met. A client that was closed tells nothing.
const (
	Connecting   Phase = iota // an attempt begins: Attempt
	Connected                 // Server, User, Conn; Away
	Stale                     // connected, but the node lost the others: Channel ("": all)
	Fresh                     // and has them back: Channel
	Warned                    // connected, and told of an error that concerns no request: Err
	Reconnecting              // the line is gone, or an attempt failed: Err; the next one comes after Wait
	Failed                    // for good: Err
)

var phaseNames = [...]string{"connecting", "connected", "stale", "fresh", "warned", "reconnecting", "failed"}

// String is the phase in one word.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "unknown"
}

// State is what Options.OnState hears.
type State struct {
	Phase   Phase
	Attempt int           // failed attempts in a row
	Wait    time.Duration // until the next attempt
	Away    time.Duration // since the line before was lost; 0 for the first one
	Err     error
	Server  string // name/version
	User    string
	Conn    string // id of the connection, for people and logs
	Channel string
}
