// Package wire owns the bytes of the client protocol, version 1 (docs/protocol.md): requests, messages, the closed list
// of codes, and two codecs with identical meaning, JSON and MessagePack. It judges form alone: types, bounds, alphabets,
// nesting, duplicate keys. What a request may do is decided elsewhere. A codec has no state, keeps no input, starts
// nothing and never panics on what a peer sent. Start with Request, Message and Codec.
package wire

// Bounds of the protocol. They are part of version 1: a client may rely on them.
const (
	MaxBatch   = 128       // messages in one frame
	MaxDepth   = 32        // arrays and objects inside one another, in a body or in an unknown field
	MaxInteger = 1<<53 - 1 // what every language can hold exactly
	MaxClient  = 64        // bytes of Request.Name
	MaxIdem    = 64        // bytes of Request.Idem
	MaxKey     = 128       // bytes of Request.Key
	MaxToken   = 4096      // bytes of Request.Token; longer ones are left to the check of the token, which refuses them
	MaxUser    = 128       // bytes of a user id in Request.After and Request.Users
	MaxUsers   = 500       // ids of Request.Users
	MaxPage    = 1000      // records of a page or a rewind, members of an answer of presence
	PageLimit  = 100       // records or members of a page when the client names no limit
)

// Codec turns requests and messages into the payload of one frame and back. JSON and MessagePack are the two; both are
// safe for use by many goroutines. What is encoded is canonical: equal values give equal bytes.
type Codec interface {
	// AppendRequest appends one request. Fields that the type does not have are left out.
	AppendRequest(dst []byte, r *Request) []byte
	// DecodeRequests appends the requests of a frame, one or an array of at most MaxBatch, to into. A Body may share
	// memory with b: copy what outlives it. An error is an *Error; then nothing of the frame may be done, and the
	// requests returned are those of which the id is known, so that each can be answered (see Error.Answers).
	DecodeRequests(b []byte, into []Request) ([]Request, error)
	// AppendMessage appends one message. Fields that the type does not have are left out.
	AppendMessage(dst []byte, m *Message) []byte
	// DecodeMessages appends the messages of a frame, one or an array of at most MaxBatch, to into. Bodies may share
	// memory with b. A type this version does not know gives MsgUnknown, which a client ignores. An error is an *Error.
	DecodeMessages(b []byte, into []Message) ([]Message, error)
	// AppendRecord appends the `record` message for r, without allocating where dst has room.
	AppendRecord(dst []byte, r *Record) []byte
}

// The two codecs of version 1.
var (
	JSON        Codec = jsonCodec{}
	MessagePack Codec = packCodec{}
)

// Names of the WebSocket subprotocols, and the prefix of the extra entry that carries a token in the handshake.
const (
	SubprotocolJSON        = "carillon.v1.json"
	SubprotocolMessagePack = "carillon.v1.msgpack"
	TokenPrefix            = "carillon.token."
)

// GuestPrefix begins the user id of a client that connected without a token, where a server allows that. A guest stays
// the same over reconnects by sending that user id as its token.
const GuestPrefix = "guest-"

// Protocol is a subprotocol with what belongs to it.
type Protocol struct {
	Name   string // as negotiated
	Codec  Codec
	Binary bool // frames are binary frames, else text frames
}

// Protocols lists what this version speaks.
func Protocols() []Protocol {
	return []Protocol{
		{Name: SubprotocolJSON, Codec: JSON},
		{Name: SubprotocolMessagePack, Codec: MessagePack, Binary: true},
	}
}

// Lookup finds the protocol of a negotiated subprotocol; "" (none was asked for) is JSON.
func Lookup(subprotocol string) (Protocol, bool) {
	if subprotocol == "" {
		subprotocol = SubprotocolJSON
	}
	for _, p := range Protocols() {
		if p.Name == subprotocol {
			return p, true
		}
	}
	return Protocol{}, false
}

// AppendRequests appends several requests as one frame; a single one stands alone, without an array.
func (p Protocol) AppendRequests(dst []byte, rs []Request) []byte {
	return p.appendArray(dst, len(rs), func(dst []byte, i int) []byte { return p.Codec.AppendRequest(dst, &rs[i]) })
}

// AppendMessages appends several replies, errors or acceptances as one frame; a single one stands alone.
func (p Protocol) AppendMessages(dst []byte, ms []Message) []byte {
	return p.appendArray(dst, len(ms), func(dst []byte, i int) []byte { return p.Codec.AppendMessage(dst, &ms[i]) })
}

func (p Protocol) appendArray(dst []byte, n int, item func([]byte, int) []byte) []byte {
	if n == 1 {
		return item(dst, 0)
	}
	if p.Binary {
		dst = appendArrayLen(dst, n)
	} else {
		dst = append(dst, '[')
	}
	for i := range n {
		if i > 0 && !p.Binary {
			dst = append(dst, ',')
		}
		dst = item(dst, i)
	}
	if !p.Binary {
		dst = append(dst, ']')
	}
	return dst
}
