package bench

import (
	"bytes"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// command implements commander.
func (n *native) command(dst []byte, id uint64, name channel.Name, idem string, age time.Duration, body []byte) []byte {
	return n.protocol.Codec.AppendRequest(dst, &wire.Request{Type: wire.ReqCommand, ID: id, Channel: name, Idem: idem, Age: age, Body: body})
}

// How the head of a record says its class, and where its body begins.
var (
	jsonData = []byte(`,"data":`)
	packData = []byte("\xa4data")
	classes  = []struct {
		class      channel.Class
		json, pack []byte
	}{
		{channel.Latest, []byte(`"class":"latest"`), []byte("\xa5class\xa6latest")},
		{channel.Fleeting, []byte(`"class":"fleeting"`), []byte("\xa5class\xa8fleeting")},
	}
)

// record implements commander. It looks for a few bytes of a frame; one record in sampled is decoded in full as well.
func (n *native) record(b []byte) (r serviceRecord, ok bool) {
	if len(b) < n.skip+len(n.lead) || !bytes.Equal(b[n.skip:n.skip+len(n.lead)], n.lead) {
		return r, false
	}
	head := b
	if n.protocol.Binary {
		if i := bytes.Index(b, packData); i >= 0 {
			head, r.body = b[:i], packText(b[i+len(packData):])
		}
	} else if i := bytes.Index(b, jsonData); i >= 0 {
		head, r.body = b[:i], b[i+len(jsonData):len(b)-1]
	}
	for i := range classes {
		mark := classes[i].json
		if n.protocol.Binary {
			mark = classes[i].pack
		}
		if bytes.Contains(head, mark) {
			r.class = classes[i].class
		}
	}
	if n.sample++; n.sample%sampled == 0 {
		m, err := n.decode(b)
		if err != nil || m.Type != wire.MsgRecord || m.Record.Class != r.class || !bytes.Equal(m.Record.Body, r.body) {
			return serviceRecord{}, true // no body: damaged
		}
	}
	return r, true
}

// packText is what stands after the head of a MessagePack string.
func packText(b []byte) []byte {
	head := 1
	switch {
	case len(b) == 0:
		return nil
	case b[0] == 0xd9:
		head = 2
	case b[0] == 0xda:
		head = 3
	}
	return b[min(head, len(b)):]
}

// messages implements commander.
func (n *native) messages(b []byte) (ms []wire.Message, err error) {
	n.into, err = n.protocol.Codec.DecodeMessages(b, n.into[:0])
	return n.into, err
}

func (n *native) pong() []byte {
	return n.protocol.Codec.AppendRequest(nil, &wire.Request{Type: wire.ReqPong})
}
