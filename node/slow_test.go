package node_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/session"
	"carillon/node"
)

// line is a client on a bare TCP connection, so that a test decides when a byte is read.
type line struct {
	net.Conn
	r *bufio.Reader
}

func dialLine(t testing.TB, n *node.Node, receiveBuffer int) *line {
	t.Helper()
	c, err := net.Dial("tcp", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if receiveBuffer > 0 {
		_ = c.(*net.TCPConn).SetReadBuffer(receiveBuffer)
	}
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+n.Address()+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	r := bufio.NewReaderSize(c, 512)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", resp, err)
	}
	return &line{Conn: c, r: r}
}

// say sends a text frame, masked with zeros.
func (l *line) say(text string) {
	b := []byte{0x81, 0x80 | byte(len(text))}
	if len(text) > 125 {
		b = binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(text)))
	}
	_, _ = l.Write(append(append(b, 0, 0, 0, 0), text...))
}

// frame reads one frame; the payload of a close frame is an error.
func (l *line) frame() ([]byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(l.r, h[:2]); err != nil {
		return nil, err
	}
	n := int(h[1])
	if n == 126 {
		if _, err := io.ReadFull(l.r, h[2:]); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(h[2:]))
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(l.r, p); err != nil {
		return nil, err
	}
	if h[0] == 0x88 {
		return nil, fmt.Errorf("closed with %d", binary.BigEndian.Uint16(p))
	}
	return p, nil
}

type told struct {
	Type   string
	Offset uint64
	From   any // a number in a gap
	To     uint64
}

// follow reads until the record with the offset last, and checks that every record comes once and in order or is said
// to be missing. It returns what was missing and how many pings came.
func (l *line) follow(last uint64, reached func(uint64)) (missing uint64, pings int, err error) {
	for at := uint64(0); at < last; {
		p, err := l.frame()
		if err != nil {
			return missing, pings, err
		}
		if i := bytes.Index(p, []byte(`,"data":`)); i > 0 {
			p = append(p[:i], '}') // bodies are large and come last
		}
		var m told
		if err := json.Unmarshal(p, &m); err != nil {
			return missing, pings, err
		}
		switch m.Type {
		case "ping":
			l.say(`{"type":"pong"}`)
			pings++
		case "record":
			if m.Offset != at+1 {
				return missing, pings, fmt.Errorf("record %d after %d", m.Offset, at)
			}
			at = m.Offset
			if reached != nil {
				reached(at)
			}
		case "gap":
			if m.From != float64(at+1) || m.To <= at {
				return missing, pings, fmt.Errorf("gap %v..%d after %d", m.From, m.To, at)
			}
			missing += m.To - at
			at = m.To
		}
	}
	return missing, pings, nil
}

// TestOneStalledAndOneSlowOfThousand: a client that does not read and one that reads a byte at a time cost the others
// nothing: they get every record and their heartbeats, and the two learn exactly what they missed.
func TestOneStalledAndOneSlowOfThousand(t *testing.T) {
	const clients, records, block, size = 1000, 200, 20, 6 << 10
	n := startNode(t, func(o *node.Options) {
		o.Settings = session.DefaultSettings()
		o.Settings.Heartbeat = time.Second
		o.Settings.Timeout = time.Minute
		o.Policies = func(channel.Name) channel.Policy {
			p := channel.DefaultPolicy()
			p.Ring = channel.Keep{Records: 2 * block}
			return p
		}
	})
	enter := func(buffer int) *line {
		l := dialLine(t, n, buffer)
		l.say(`[{"type":"connect","id":1},{"type":"subscribe","id":2,"channel":"demo:slow"}]`)
		for range 2 {
			if _, err := l.frame(); err != nil {
				t.Fatal(err)
			}
		}
		return l
	}
	stalled, slow := enter(4<<10), enter(4<<10)
	var healthy sync.WaitGroup
	blocks := make([]sync.WaitGroup, records/block) // each is done when all healthy clients have read that far
	for i := range blocks {
		blocks[i].Add(clients - 2)
	}
	var mu sync.Mutex
	var beats, lost int
	for range clients - 2 {
		l := enter(0)
		healthy.Go(func() {
			missing, pings, err := l.follow(records, func(at uint64) {
				if at%block == 0 {
					blocks[at/block-1].Done()
				}
			})
			mu.Lock()
			defer mu.Unlock()
			beats += pings
			lost += int(missing)
			if err != nil {
				t.Errorf("a healthy client: %v", err)
			}
		})
	}
	trickle := make(chan struct{})
	go func() {
		defer close(trickle)
		missing, _, err := (&line{Conn: slow.Conn, r: bufio.NewReaderSize(oneByte{slow.r}, 16)}).follow(records, nil)
		if err != nil || missing == 0 {
			t.Errorf("the slow client: missed %d, %v", missing, err)
		}
	}()
	p := join(t, n)
	body := strings.Repeat("x", size)
	for i := range records {
		p.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:slow","data":"%s"}`, i+2, body))
		p.expect("reply")
		if (i+1)%block == 0 {
			blocks[i/block].Wait() // healthy clients keep up: the ring holds two blocks
		}
	}
	healthy.Wait()
	if lost > 0 {
		t.Errorf("healthy clients missed %d records", lost)
	}
	<-trickle
	if missing, _, err := stalled.follow(records, nil); err != nil || missing == 0 {
		t.Errorf("the stalled client: missed %d, %v", missing, err)
	}
	t.Logf("healthy clients heard %d pings meanwhile", beats)
}

// oneByte reads a byte at a time.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }
