package node_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"testing"
	"time"

	"carillon/node"

	"github.com/coder/websocket"
)

// startNode runs a dev node on a free port until the test ends.
func startNode(t testing.TB, change func(*node.Options)) *node.Node {
	t.Helper()
	o := node.Options{Listen: "127.0.0.1:0", Dev: true, Version: "test", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&o)
	}
	n, err := node.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNode(t, n) })
	return n
}

func stopNode(t testing.TB, n *node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Errorf("closing the node: %v", err)
	}
}

// talker speaks JSON over a WebSocket, as a person with a tool would.
type talker struct {
	t    testing.TB
	conn *websocket.Conn
}

type message map[string]any

func dial(t testing.TB, n *node.Node, protocols ...string) *talker {
	t.Helper()
	return dialAt(t, n.URL(), protocols...)
}

// dialAt is dial at a URL.
func dialAt(t testing.TB, url string, protocols ...string) *talker {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(16 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &talker{t: t, conn: conn}
}

// join dials and connects.
func join(t testing.TB, n *node.Node) *talker {
	t.Helper()
	k := dial(t, n)
	k.say(`{"type":"connect","id":1}`)
	k.expect("connected")
	return k
}

func (k *talker) say(text string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := k.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		k.t.Fatalf("saying %s: %v", text, err)
	}
}

// hear returns the next message that is no ping.
func (k *talker) hear() message {
	k.t.Helper()
	m, err := k.next()
	if err != nil {
		k.t.Fatalf("hearing: %v", err)
	}
	return m
}

func (k *talker) next() (message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		_, b, err := k.conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, err
		}
		if m["type"] != "ping" {
			return m, nil
		}
	}
}

func (k *talker) expect(kind string) message {
	k.t.Helper()
	m := k.hear()
	if m["type"] != kind {
		k.t.Fatalf("heard %v, want a %s", m, kind)
	}
	return m
}

// closed waits for the end of the line and returns its close code.
func (k *talker) closed() int {
	k.t.Helper()
	for {
		if _, err := k.next(); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

func TestTalk(t *testing.T) {
	n := startNode(t, nil)
	a, b := join(t, n), join(t, n)
	a.say(`{"type":"subscribe","id":2,"channel":"demo:lobby"}`)
	if m := a.expect("reply"); m["channel"] != "demo:lobby" || m["offset"] != 0.0 || m["at"] == "" {
		t.Fatalf("subscribe: %v", m)
	}
	b.say(`{"type":"publish","id":2,"channel":"demo:lobby","data":{"text":"hello"},"idem":"one"}`)
	ack := b.expect("reply")
	if ack["ack"] != "appended:memory" || ack["offset"] != 1.0 {
		t.Fatalf("publish: %v", ack)
	}
	r := a.expect("record")
	if r["offset"] != 1.0 || r["at"] != ack["at"] || r["data"].(map[string]any)["text"] != "hello" {
		t.Fatalf("record: %v", r)
	}
	b.say(`{"type":"publish","id":3,"channel":"demo:lobby","data":{"text":"hello"},"idem":"one"}`)
	if again := b.expect("reply"); again["at"] != ack["at"] {
		t.Fatalf("resend got %v, first %v", again, ack)
	}
	b.say(`{"type":"publish","id":4,"channel":"demo:lobby","data":"other","idem":"one"}`)
	if m := b.expect("error"); m["code"] != "id_reuse" {
		t.Fatalf("reuse: %v", m)
	}
	b.say(`{"type":"history","id":5,"channel":"demo:lobby"}`)
	if m := b.expect("reply"); len(m["records"].([]any)) != 1 {
		t.Fatalf("history: %v", m)
	}
}

func TestResume(t *testing.T) {
	n := startNode(t, nil)
	a, b := join(t, n), join(t, n)
	a.say(`{"type":"subscribe","id":2,"channel":"demo:r"}`)
	at := a.expect("reply")["at"].(string)
	_ = a.conn.CloseNow()
	b.say(`[{"type":"publish","id":2,"channel":"demo:r","data":1},{"type":"publish","id":3,"channel":"demo:r","data":2},{"type":"publish","id":4,"channel":"demo:r","data":3}]`)
	for range 3 {
		b.expect("reply")
	}
	c := join(t, n)
	c.say(`{"type":"subscribe","id":2,"channel":"demo:r","at":"` + at + `"}`)
	if m := c.expect("reply"); m["recovered"] != true || m["gap"] != nil {
		t.Fatalf("resume: %v", m)
	}
	for want := 1.0; want <= 3; want++ {
		if r := c.expect("record"); r["data"] != want {
			t.Fatalf("record %v, want %v", r, want)
		}
	}
}
