package node_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"carillon/gateway/auth"
	"carillon/gateway/session"
	"carillon/node"
)

// bubble runs a test with a node in a synctest bubble: its clock jumps when everybody waits.
func bubble(t *testing.T, o node.Options, test func(t *testing.T, n *node.Node)) {
	synctest.Test(t, func(t *testing.T) {
		o.Listen, o.Version, o.Log = "127.0.0.1:0", "test", slog.New(slog.DiscardHandler)
		n, err := node.New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer stopNode(t, n)
		test(t, n)
	})
}

// pipeLine opens a line to a node in memory.
func pipeLine(t *testing.T, n *node.Node) *line {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- n.ServeConn(far) }()
	_, _ = io.WriteString(near, "GET /ws HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	r := bufio.NewReader(near)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", resp, err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	return &line{Conn: near, r: r}
}

// next reads a message, or the end of the line, and how long it took.
func (l *line) next() (m message, took time.Duration, err error) {
	began := time.Now()
	p, err := l.frame()
	if err == nil {
		err = json.Unmarshal(p, &m)
	}
	return m, time.Since(began), err
}

func (l *line) want(t *testing.T, kind string) (message, time.Duration) {
	t.Helper()
	m, took, err := l.next()
	if err != nil || m["type"] != kind {
		t.Fatalf("after %v heard %v %v, want a %s", took, m, err, kind)
	}
	return m, took
}

// ends wants the line to end with a code, within a tick of the wheel after d.
func (l *line) ends(t *testing.T, code string, d time.Duration) {
	t.Helper()
	m, took, err := l.next()
	if err == nil || err.Error() != "closed with "+code || took < d || took > d+300*time.Millisecond {
		t.Fatalf("after %v heard %v %v, want an end with %s after %v", took, m, err, code, d)
	}
	_ = l.Close()
}

func TestConnectDeadline(t *testing.T) {
	bubble(t, node.Options{Dev: true}, func(t *testing.T, n *node.Node) {
		pipeLine(t, n).ends(t, "4002", 10*time.Second)
	})
}

// TestHeartbeat: a silent client hears a ping after 25 s and is cut 10 s later, not before; one that answers lives on.
func TestHeartbeat(t *testing.T) {
	bubble(t, node.Options{Dev: true}, func(t *testing.T, n *node.Node) {
		l := pipeLine(t, n)
		l.say(`{"type":"connect","id":1}`)
		l.want(t, "connected")
		for range 5 {
			if _, took := l.want(t, "ping"); took < 24*time.Second || took > 26*time.Second {
				t.Fatalf("ping after %v", took)
			}
			l.say(`{"type":"pong"}`)
		}
		if _, took := l.want(t, "ping"); took < 24*time.Second {
			t.Fatalf("ping after %v", took)
		}
		l.ends(t, "4109", 10*time.Second)
	})
}

// TestPongIsLife: the pong of WebSocket itself counts as a sign of life.
func TestPongIsLife(t *testing.T) {
	bubble(t, node.Options{Dev: true}, func(t *testing.T, n *node.Node) {
		l := pipeLine(t, n)
		l.say(`{"type":"connect","id":1}`)
		l.want(t, "connected")
		for range 4 {
			l.want(t, "ping")
			_, _ = l.Write([]byte{0x8A, 0x80, 0, 0, 0, 0})
		}
		l.want(t, "ping")
		l.ends(t, "4109", 10*time.Second)
	})
}

func TestOtherHeartbeats(t *testing.T) {
	for _, beat := range []struct{ interval, timeout time.Duration }{{30 * time.Second, 45 * time.Second}, {30 * time.Second, 60 * time.Second}} {
		o := node.Options{Dev: true, Settings: session.DefaultSettings()}
		o.Settings.Heartbeat, o.Settings.Timeout = beat.interval, beat.timeout
		bubble(t, o, func(t *testing.T, n *node.Node) {
			l := pipeLine(t, n)
			began := time.Now()
			l.say(`{"type":"connect","id":1}`)
			l.want(t, "connected")
			for {
				if _, _, err := l.next(); err != nil {
					break
				}
			}
			if lived := time.Since(began); lived < beat.interval+beat.timeout || lived > beat.interval+beat.timeout+time.Second {
				t.Errorf("%v: lived %v", beat, lived)
			}
			_ = l.Close()
		})
	}
}

// TestTokenEnds: a live connection is warned and then ended with its token; a refresh in time keeps it.
func TestTokenEnds(t *testing.T) {
	secret := []byte("7Jc2mQx9vTz4bLw8nRk5yHs3dGf6pXa1eUoWqBtN")
	bubble(t, node.Options{Secret: secret}, func(t *testing.T, n *node.Node) {
		keys, err := auth.NewKeys(secret, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		sign := func(user string, ttl time.Duration) string {
			token, err := keys.Sign(user, nil, ttl)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		l := pipeLine(t, n)
		l.say(`{"type":"connect","id":1,"token":"` + sign("ann", 50*time.Second) + `"}`)
		l.want(t, "connected")
		if m, took := l.want(t, "expiring"); took < 19*time.Second || took > 21*time.Second || m["in"].(float64) > 30000 {
			t.Fatalf("after %v: %v", took, m)
		}
		l.say(`{"type":"refresh","id":2,"token":"` + sign("ann", 40*time.Second) + `"}`)
		l.want(t, "reply")
		l.want(t, "ping")
		l.say(`{"type":"pong"}`)
		l.want(t, "expiring")
		l.want(t, "ping")
		l.ends(t, "4101", 9*time.Second+800*time.Millisecond)

		other := pipeLine(t, n)
		other.say(`{"type":"connect","id":1,"token":"` + sign("ann", time.Minute) + `"}`)
		other.want(t, "connected")
		other.say(`{"type":"refresh","id":2,"token":"` + sign("bob", time.Minute) + `"}`)
		other.want(t, "error")
		other.ends(t, "4003", 0)

		none := pipeLine(t, n)
		none.say(`{"type":"connect","id":1}`)
		none.want(t, "error")
		none.ends(t, "4001", 0)
	})
}
