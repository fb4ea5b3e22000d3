package bench

import (
	"bytes"
	"fmt"

	"carillon/channel"
)

// kind says what a frame is to the generator.
type kind uint8

const (
	kindOther   kind = iota
	kindRecord       // payload
	kindReady        // the greeting was accepted
	kindJoined       // the subscription stands; at, gap
	kindAck          // a publish was acknowledged
	kindPing         // answer is to be sent
	kindGap          // missing, unknown
	kindRefused      // err
	kindTable        // rows
)

// heard is a frame, understood.
type heard struct {
	kind    kind
	payload []byte
	count   int              // messages in the frame
	answer  []byte           // message to send
	at      channel.Position // of a kindJoined or kindGap
	missing uint64           // records the server says are missing
	unknown bool             // it cannot tell how many
	err     error
	rows    [][]byte // payloads of a table
}

// facts are what does not change of a dialect.
type facts struct {
	protocol string // WebSocket subprotocol
	path     string // where it is served unless the URL says otherwise
	op       byte   // of frames to the server
	greets   bool   // something is said before subscribing
	resumes  bool   // a subscription can begin at a position
}

// dialect is what a server speaks inside WebSocket frames. Its methods append messages without framing.
type dialect interface {
	facts() facts
	greet(dst []byte, user int) []byte
	subscribe(dst []byte, n channel.Name, after channel.Position) []byte
	publish(dst []byte, id uint64, n channel.Name, c channel.Class, payload []byte) []byte
	// hear understands a data frame. What it returns is valid as long as b.
	hear(b []byte) heard
}

// dialects by the name a target has.
func newDialect(name string, s *setup) (dialect, error) {
	switch name {
	case "json", "msgpack":
		return newNative(name == "msgpack", s), nil
	case "plain":
		return plain{}, nil
	case "socketio":
		return socketio{size: s.Payload}, nil
	}
	return nil, fmt.Errorf("no dialect %q: it is json, msgpack, plain or socketio", name)
}

// plain is what the peers without a protocol of their own speak: S<channel>, answered by "ok", and
// P<channel>\n<payload>; a record is its payload alone.
type plain struct{}

func (plain) facts() facts { return facts{path: "/", op: opText} }

func (plain) greet(dst []byte, _ int) []byte { return dst }

func (plain) subscribe(dst []byte, n channel.Name, _ channel.Position) []byte {
	return append(append(dst, 'S'), n...)
}

func (plain) publish(dst []byte, _ uint64, n channel.Name, _ channel.Class, payload []byte) []byte {
	dst = append(append(dst, 'P'), n...)
	return append(append(dst, '\n'), payload...)
}

func (plain) hear(b []byte) heard {
	if string(b) == "ok" {
		return heard{kind: kindJoined}
	}
	return heard{kind: kindRecord, payload: b}
}

// socketio is Socket.IO 4 (protocol 5) inside Engine.IO 4, over WebSocket from the start.
type socketio struct{ size int }

func (socketio) facts() facts {
	return facts{path: "/socket.io/?EIO=4&transport=websocket", op: opText, greets: true}
}

func (socketio) greet(dst []byte, _ int) []byte { return append(dst, "40"...) }

func (socketio) subscribe(dst []byte, n channel.Name, _ channel.Position) []byte {
	return fmt.Appendf(dst, `42["subscribe","%s"]`, n)
}

func (socketio) publish(dst []byte, _ uint64, n channel.Name, _ channel.Class, payload []byte) []byte {
	dst = append(append(append(dst, `42["publish","`...), n...), `",`...)
	return append(append(dst, payload...), ']')
}

var (
	socketioRecord = []byte(`42["record",`)
	socketioJoined = []byte(`42["subscribed"`)
	socketioError  = []byte("44")
)

func (s socketio) hear(b []byte) heard {
	switch {
	case bytes.HasPrefix(b, socketioRecord) && len(b) > len(socketioRecord)+s.size:
		return heard{kind: kindRecord, payload: b[len(b)-1-s.size : len(b)-1]}
	case bytes.HasPrefix(b, socketioJoined):
		return heard{kind: kindJoined}
	case bytes.HasPrefix(b, socketioError):
		return heard{kind: kindRefused, err: fmt.Errorf("refused: %s", b)}
	case len(b) > 1 && b[0] == '4' && b[1] == '0':
		return heard{kind: kindReady}
	case len(b) == 1 && b[0] == '2':
		return heard{kind: kindPing, answer: []byte("3")}
	}
	return heard{}
}
