package client

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"carillon/wire"
)

// peer is the server's end of a line, with frames of its own, so that a test can say anything at any time.
type peer struct {
	conn     net.Conn
	br       *bufio.Reader
	protocol wire.Protocol
	waiting  []wire.Request
	frames   int           // read
	turn     chan struct{} // to write; no mutex, since a bubble's time stands still for those who wait for one
}

// The opcodes that matter.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// handshake upgrades a line.
func handshake(conn net.Conn) (*peer, error) {
	p := &peer{conn: conn, br: bufio.NewReader(conn), turn: make(chan struct{}, 1)}
	r, err := http.ReadRequest(p.br)
	if err != nil {
		return nil, err
	}
	name := r.Header.Get("Sec-WebSocket-Protocol")
	p.protocol, _ = wire.Lookup(name)
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]), name)
	return p, err
}

// readFrame reads one frame of a client.
func (p *peer) readFrame() (op byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(p.br, h[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1] & 0x7f)
	if n >= 126 {
		var ext [8]byte
		k := 2
		if n == 127 {
			k = 8
		}
		if _, err := io.ReadFull(p.br, ext[8-k:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(ext[:])
	}
	var mask [4]byte
	if _, err := io.ReadFull(p.br, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(p.br, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	p.frames++
	return h[0] & 0x0f, payload, nil
}

func (p *peer) writeFrame(op byte, payload []byte) error {
	h := []byte{0x80 | op, 0}
	switch n := len(payload); {
	case n < 126:
		h[1] = byte(n)
	case n < 1<<16:
		h[1] = 126
		h = binary.BigEndian.AppendUint16(h, uint16(n))
	default:
		h[1] = 127
		h = binary.BigEndian.AppendUint64(h, uint64(n))
	}
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	_, err := p.conn.Write(append(h, payload...))
	return err
}

// receive reads the next request, whatever frame it is in.
func (p *peer) receive() (wire.Request, error) {
	for len(p.waiting) == 0 {
		op, b, err := p.readFrame()
		switch {
		case err != nil:
			return wire.Request{}, err
		case op == opClose:
			_ = p.writeFrame(opClose, b)
			return wire.Request{}, io.EOF
		case op == opText || op == opBinary:
			if p.waiting, err = p.protocol.Codec.DecodeRequests(b, nil); err != nil {
				return wire.Request{}, err
			}
		}
	}
	r := p.waiting[0]
	p.waiting = p.waiting[1:]
	return r, nil
}

// send says one message, or several in a frame.
func (p *peer) send(ms ...wire.Message) error {
	op := byte(opText)
	if p.protocol.Binary {
		op = opBinary
	}
	var b []byte
	if len(ms) == 1 && ms[0].Type == wire.MsgRecord {
		b = p.protocol.Codec.AppendRecord(nil, &ms[0].Record)
	} else {
		b = p.protocol.AppendMessages(nil, ms)
	}
	return p.writeFrame(op, b)
}

// closeWith says a close number and hangs up.
func (p *peer) closeWith(number int, reason string) {
	_ = p.writeFrame(opClose, append(binary.BigEndian.AppendUint16(nil, uint16(number)), reason...))
	_ = p.conn.Close()
}

// unread is how many bytes and requests came that nobody took; the line must be at rest.
func (p *peer) unread() int {
	return len(p.conn.(*pipeEnd).buf[0]) + p.br.Buffered() + len(p.waiting)
}

func (p *peer) cut()  { p.conn.(*pipeEnd).cut() }
func (p *peer) hush() { p.conn.(*pipeEnd).hush() }

// hello is the `connected` of these tests.
func hello(id uint64) wire.Message {
	return wire.Message{Type: wire.MsgConnected, ID: id, Time: time.Now(), Hello: wire.Hello{
		Conn: "c1", User: "ann", Server: "test/1", Heartbeat: wire.Heartbeat{Interval: 25 * time.Second, Timeout: 10 * time.Second},
		Limits: wire.Limits{Body: 64 << 10, Channels: 128, InFlight: 128, Batch: 128},
	}}
}

// script is a test that plays the server itself.
type script struct {
	*testing.T
	net    *pipes
	c      *Client
	mu     sync.Mutex
	states []State
}

// play starts a client whose lines the test accepts, unless refuse has something against it. It runs in a synctest bubble.
func play(t *testing.T, o Options, refuse ...func() error) *script {
	s := &script{T: t, net: newPipes()}
	for _, f := range refuse {
		s.net.refuse = f
	}
	o.NetDial = s.net.dial
	o.OnState = func(st State) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.states = append(s.states, st)
	}
	s.c = New("ws://test/ws", o)
	t.Cleanup(func() { _ = s.c.Close() })
	return s
}

// state is the last one told.
func (s *script) state() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[len(s.states)-1]
}

// line accepts a line up to the connect request.
func (s *script) line() *peer {
	s.Helper()
	p, err := handshake(<-s.net.accepted)
	s.must(err)
	return p
}

// connected accepts a line and answers connect.
func (s *script) connected() *peer {
	s.Helper()
	p := s.line()
	s.must(p.send(hello(s.expect(p, wire.ReqConnect).ID)))
	return p
}

// expect reads the next request, which must be of this type.
func (s *script) expect(p *peer, t wire.RequestType) wire.Request {
	s.Helper()
	r, err := p.receive()
	s.must(err)
	if r.Type != t {
		s.Fatalf("request is %v, want %v: %+v", r.Type, t, r)
	}
	return r
}

func (s *script) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}
