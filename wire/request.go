package wire

import (
	"time"

	"carillon/channel"
)

// RequestType says what a client asks for. The zero value is no request.
type RequestType uint8

// Requests, client to server.
const (
	ReqConnect     RequestType = iota + 1 // Token, Name
	ReqRefresh                            // Token
	ReqSubscribe                          // Channel, At, Rewind, Token
	ReqUnsubscribe                        // Channel
	ReqPublish                            // Channel, Body, Binary, Class, Key, Idem, Age, NoEcho
	ReqCommand                            // Channel, Body, Binary, Idem, Age
	ReqPresence                           // Channel, After, Limit; or Users alone
	ReqHistory                            // Channel, At, Limit, Back
	ReqLeave                              // a goodbye: the server ends the connection after its reply
	ReqPing
	ReqPong // answers a server's ping; the only one without an id
)

var requestNames = [...]string{
	"", "connect", "refresh", "subscribe", "unsubscribe", "publish", "command", "presence", "history", "leave", "ping", "pong",
}

// String is the type as it stands on the wire; "" for the zero value.
func (t RequestType) String() string {
	if int(t) < len(requestNames) {
		return requestNames[t]
	}
	return ""
}

// Request is one message from a client. After a successful decode every field is within its bounds, and fields that
// the type does not have are zero.
type Request struct {
	Type    RequestType
	ID      uint64           // 1..MaxInteger, chosen by the client, not used again while open; 0 for ReqPong
	Token   string           // connect, refresh: credential, "" where connect brings none; subscribe: token for that channel, or ""
	Name    string           // connect: client software, at most MaxClient printable ASCII bytes
	Channel channel.Name     // checked by channel.ParseName
	At      channel.Position // subscribe: resume after it; history: start at it; zero: not sent
	Rewind  int              // subscribe: start so many records back, 0..MaxPage; At wins
	Class   channel.Class    // publish
	Key     string           // publish: 1..MaxKey printable ASCII bytes with Latest, the same or "" with Fleeting
	Idem    string           // publish, command: 1..MaxIdem printable ASCII bytes, or ""
	Age     time.Duration    // time since Idem was first sent, by the client's clock; whole milliseconds
	NoEcho  bool             // publish: not back to this connection ("echo":false)
	Limit   int              // history, presence: 1..MaxPage, PageLimit where the client named none
	Back    bool             // history: the page that ends at At or at the head
	After   string           // presence: the members after this user, 1..MaxUser bytes; "": from the first
	Users   []string         // presence: 1..MaxUsers ids of 1..MaxUser bytes, in the order of the answer; then Channel is ""
	Binary  bool             // Body is bytes; otherwise one JSON text, checked, exactly as it was sent
	Body    []byte           // publish, command; never empty in a command or a publish of class Logged; with Latest empty deletes
}
