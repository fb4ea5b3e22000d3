package bench

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// native is Carillon's own protocol. Records are told by their first bytes and their payload is taken from where the
// encoders put it, last; all other frames, and every sampleth record, are decoded in full.
type native struct {
	protocol wire.Protocol
	path     string
	size     int // bytes of a payload
	secret   []byte
	lead     []byte // how a record begins, after skip bytes
	skip     int
	tail     int // bytes after the payload
	sample   int
	into     []wire.Message
}

const (
	sampled       = 1024 // one record in so many is decoded in full
	tokenLifetime = time.Hour
)

func newNative(pack bool, s *setup) *native {
	n := &native{path: s.Path, size: s.Payload, secret: s.Secret}
	n.protocol, _ = wire.Lookup(wire.SubprotocolJSON)
	n.lead, n.tail = []byte(`{"type":"record"`), 1
	if pack {
		n.protocol, _ = wire.Lookup(wire.SubprotocolMessagePack)
		n.lead, n.tail, n.skip = []byte("\xa4type\xa6record"), 0, recordSkip(n.protocol.Codec)
	}
	return n
}

// recordSkip is how many bytes of MessagePack come before the keys: the head of the map.
func recordSkip(c wire.Codec) int {
	b := c.AppendRecord(nil, &wire.Record{Channel: "bench:x", Body: []byte("1")})
	return max(bytes.IndexByte(b, 0xa4), 0)
}

func (n *native) facts() facts {
	op := byte(opText)
	if n.protocol.Binary {
		op = opBinary
	}
	return facts{protocol: n.protocol.Name, path: "/ws", op: op, greets: true, resumes: true}
}

func (n *native) greet(dst []byte, user int) []byte {
	q := wire.Request{Type: wire.ReqConnect, ID: 1, Name: "carillon-bench"}
	if len(n.secret) > 0 {
		q.Token = n.token(user)
	}
	return n.protocol.Codec.AppendRequest(dst, &q)
}

// token signs an HS256 token as the server's own issuer would, for a user of the generator; each connection is a user
// of its own.
func (n *native) token(user int) string {
	enc := base64.RawURLEncoding
	now := time.Now()
	body := fmt.Sprintf(`{"iss":"carillon","aud":"carillon","sub":"bench-%d","iat":%d,"exp":%d,"caps":[{"channels":["*"],"can":["*"]}]}`, user, now.Unix(), now.Add(tokenLifetime).Unix())
	text := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString([]byte(body))
	mac := hmac.New(sha256.New, n.secret)
	mac.Write([]byte(text))
	return text + "." + enc.EncodeToString(mac.Sum(nil))
}

func (n *native) subscribe(dst []byte, name channel.Name, after channel.Position) []byte {
	return n.protocol.Codec.AppendRequest(dst, &wire.Request{Type: wire.ReqSubscribe, ID: subscribeID, Channel: name, At: after})
}

// Ids of requests: connect has 1, subscribe 2, publishes all above.
const (
	subscribeID    = 2
	firstPublishID = 3
)

func (n *native) publish(dst []byte, id uint64, name channel.Name, c channel.Class, payload []byte) []byte {
	q := wire.Request{Type: wire.ReqPublish, ID: id + firstPublishID, Channel: name, Class: c, Body: payload}
	if c == channel.Latest {
		q.Key = "bench"
	}
	return n.protocol.Codec.AppendRequest(dst, &q)
}

func (n *native) isRecord(b []byte) bool {
	return len(b) >= n.skip+len(n.lead)+n.size+n.tail && bytes.Equal(b[n.skip:n.skip+len(n.lead)], n.lead)
}

func (n *native) hear(b []byte) heard {
	if n.isRecord(b) {
		payload := b[len(b)-n.tail-n.size : len(b)-n.tail]
		if n.sample++; n.sample%sampled != 0 {
			return heard{kind: kindRecord, payload: payload}
		}
		m, err := n.decode(b)
		if err != nil || m.Type != wire.MsgRecord || !bytes.Equal(m.Record.Body, payload) {
			return heard{kind: kindRecord} // no payload: damaged
		}
		return heard{kind: kindRecord, payload: payload}
	}
	m, err := n.decode(b)
	if err != nil {
		return heard{kind: kindRefused, err: fmt.Errorf("cannot read a message of the server: %w", err)}
	}
	h := understand(m)
	if h.kind == kindPing {
		h.answer = n.pong()
	}
	h.count = len(n.into)
	return h
}

// decode reads a frame; an array holds replies alone, and the first that is no plain reply stands for all.
func (n *native) decode(b []byte) (*wire.Message, error) {
	ms, err := n.protocol.Codec.DecodeMessages(b, n.into[:0])
	n.into = ms
	if err != nil {
		return nil, err
	}
	if len(ms) == 0 {
		return nil, errStamp
	}
	for i := range ms {
		if ms[i].Type != wire.MsgReply {
			return &ms[i], nil
		}
	}
	return &ms[0], nil
}

// understand tells what a message is to the generator.
func understand(m *wire.Message) heard {
	switch m.Type {
	case wire.MsgConnected:
		return heard{kind: kindReady}
	case wire.MsgReply:
		if m.ID != subscribeID {
			return heard{kind: kindAck}
		}
		h := heard{kind: kindJoined, at: m.At}
		h.miss(m.Gap)
		return h
	case wire.MsgGap:
		h := heard{kind: kindGap, at: m.At}
		h.miss(m.Gap)
		return h
	case wire.MsgPing:
		return heard{kind: kindPing}
	case wire.MsgLatest:
		h := heard{kind: kindTable}
		for i := range m.Table.Records {
			h.rows = append(h.rows, m.Table.Records[i].Body)
		}
		return h
	case wire.MsgError:
		return heard{kind: kindRefused, err: fmt.Errorf("%s: %s", m.Code, m.Text)}
	}
	return heard{}
}

func (h *heard) miss(g wire.Gap) {
	switch {
	case g.Reason == channel.GapNone:
	case g.From == 0 || g.To < g.From:
		h.unknown = true
	default:
		h.missing = g.To - g.From + 1
	}
}

// position is that of a record.
func (n *native) position(b []byte) (channel.Position, bool) {
	m, err := n.decode(b)
	if err != nil || m.Type != wire.MsgRecord || m.Record.At.IsZero() {
		return channel.Position{}, false
	}
	return m.Record.At, true
}

// resumer is a dialect whose records have positions.
type resumer interface {
	position(b []byte) (channel.Position, bool)
}
