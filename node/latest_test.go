package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/internal/fault"
	"carillon/node"
	"carillon/wire"

	"github.com/coder/websocket"
)

// speaker is a client in any of the formats, without any of the client's own logic.
type speaker struct {
	t    testing.TB
	conn *websocket.Conn
	p    wire.Protocol
	id   uint64
	at   channel.Position
}

func speak(t testing.TB, n *node.Node, p wire.Protocol) *speaker {
	t.Helper()
	c := dial(t, n, p.Name)
	s := &speaker{t: t, conn: c.conn, p: p}
	s.conn.SetReadLimit(2 << 20)
	if m := s.ask(wire.Request{Type: wire.ReqConnect}); m.Type != wire.MsgConnected {
		t.Fatalf("heard %+v", m)
	}
	return s
}

// send sends a request under an id of its own.
func (s *speaker) send(q wire.Request) {
	s.t.Helper()
	s.id++
	q.ID = s.id
	kind := websocket.MessageText
	if s.p.Binary {
		kind = websocket.MessageBinary
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.conn.Write(ctx, kind, s.p.Codec.AppendRequest(nil, &q)); err != nil {
		s.t.Fatal(err)
	}
}

// hear returns the next message that is no ping.
func (s *speaker) hear() wire.Message {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		ms, err := s.p.Codec.DecodeMessages(b, nil)
		if err != nil || len(ms) != 1 {
			s.t.Fatalf("heard %q: %v", b, err)
		}
		if ms[0].Type != wire.MsgPing {
			return ms[0]
		}
	}
}

func (s *speaker) ask(q wire.Request) wire.Message {
	s.t.Helper()
	s.send(q)
	return s.hear()
}

func (s *speaker) put(n channel.Name, key, body string) wire.Message {
	s.t.Helper()
	return s.ask(wire.Request{Type: wire.ReqPublish, Channel: n, Class: channel.Latest, Key: key, Body: []byte(body)})
}

// subscribe does, from where this speaker last was.
func (s *speaker) subscribe(n channel.Name) {
	s.t.Helper()
	m := s.ask(wire.Request{Type: wire.ReqSubscribe, Channel: n, At: s.at})
	if m.Type != wire.MsgReply || m.HasRecovered && !m.Recovered {
		s.t.Fatalf("heard %+v", m)
	}
	s.at = m.At
}

// table waits for a whole table, in words.
func (s *speaker) table(want string) {
	s.t.Helper()
	m := s.hear()
	if m.Type != wire.MsgLatest || m.Table.Epoch == "" {
		s.t.Fatalf("heard %+v, want a table", m)
	}
	got, last := "", uint64(0)
	for _, r := range m.Table.Records {
		got += fmt.Sprintf("%s=%s ", r.Key, r.Body)
		if r.Rev <= last || r.Time.IsZero() {
			s.t.Fatalf("rev %d after %d at %v", r.Rev, last, r.Time)
		}
		last = r.Rev
	}
	if got != want {
		s.t.Fatalf("the table is %q, want %q", got, want)
	}
}

// change waits for a change of one entry; "" is its deletion.
func (s *speaker) change(key, body string) {
	s.t.Helper()
	m := s.hear()
	r := m.Record
	if m.Type != wire.MsgRecord || r.Class != channel.Latest || r.Key != key || string(r.Body) != body || r.Rev == 0 || !r.At.IsZero() {
		s.t.Fatalf("heard %+v, want %s=%s", m, key, body)
	}
}

// TestLatest: who is there hears of every change, who comes or comes back gets the table, in both formats.
func TestLatest(t *testing.T) {
	n := startNode(t, nil)
	for i, p := range wire.Protocols() {
		t.Run(p.Name, func(t *testing.T) {
			room := channel.Name(fmt.Sprint("demo:latest", i))
			a, b, w := speak(t, n, p), speak(t, n, wire.Protocols()[1-i]), speak(t, n, p)
			a.subscribe(room)
			b.subscribe(room)
			if m := w.put(room, "x", "1"); m.Type != wire.MsgReply || m.Ack != wire.AckMemory || !m.At.IsZero() {
				t.Fatalf("heard %+v", m)
			}
			for _, s := range []*speaker{a, b} {
				s.change("x", "1")
			}
			w.put(room, "y", `{"v": 1.50}`)
			w.put(room, "x", "2")
			for _, s := range []*speaker{a, b} {
				s.change("y", `{"v": 1.50}`)
				s.change("x", "2")
			}
			speak(t, n, p).subscribe("demo:nothing") // of which nothing is said
			c := speak(t, n, p)
			c.subscribe(room)
			c.table(`y={"v": 1.50} x=2 `)

			_ = a.conn.CloseNow()
			w.put(room, "y", "")
			w.put(room, "z", "null")
			c.change("y", "")
			c.change("z", "null")
			again := speak(t, n, p)
			again.at = a.at
			again.subscribe(room)
			again.table("x=2 z=null ")

			_ = again.conn.CloseNow()
			w.put(room, "x", "")
			w.put(room, "z", "")
			back := speak(t, n, p)
			back.at = a.at
			back.subscribe(room)
			back.table("") // he may hold what is gone
			w.put(room, "x", "3")
			back.change("x", "3")
		})
	}
}

// TestLatestBounds: a user holds his share of keys, all together hold the table's, and whatever goes is told.
func TestLatestBounds(t *testing.T) {
	const each, all, more = 16, 1000, 200
	n := startNode(t, func(o *node.Options) {
		o.Policies = func(n channel.Name) channel.Policy {
			p := channel.DefaultPolicy()
			if p.LatestEach = each; n == "demo:all" {
				p.LatestEach = 0
			}
			return p
		}
	})
	for _, c := range []struct {
		room       channel.Name
		puts, left int
	}{{"demo:each", each + 5, each}, {"demo:all", all + more, all}} {
		a, w := speak(t, n, wire.Protocols()[1]), speak(t, n, wire.Protocols()[1])
		a.subscribe(c.room)
		for i := range c.puts {
			w.put(c.room, fmt.Sprint(i), "1")
		}
		last := speak(t, n, wire.Protocols()[1])
		last.subscribe(c.room)
		table := last.hear().Table.Records
		if len(table) != c.left || table[0].Key != fmt.Sprint(c.puts-c.left) {
			t.Fatalf("%s: %d entries, the oldest %q", c.room, len(table), table[0].Key)
		}
		held := map[string]uint64{}
		for rev := uint64(0); rev < table[len(table)-1].Rev || len(held) > c.left; {
			r := a.hear().Record
			if rev = r.Rev; len(r.Body) == 0 {
				delete(held, r.Key)
			} else {
				held[r.Key] = r.Rev
			}
		}
		for _, r := range table {
			if held[r.Key] != r.Rev {
				t.Errorf("%s: %s is at rev %d in the table, %d to who heard of it", c.room, r.Key, r.Rev, held[r.Key])
			}
		}
	}
}

// TestLatestSlowReader: who does not read gets the newest of each entry, and not what was between.
func TestLatestSlowReader(t *testing.T) {
	const updates, size = 1500, 8 << 10
	n := startNode(t, nil)
	slow := dialLine(t, n, 4<<10)
	slow.say(`[{"type":"connect","id":1},{"type":"subscribe","id":2,"channel":"demo:slow"}]`)
	for range 2 {
		if _, err := slow.frame(); err != nil {
			t.Fatal(err)
		}
	}
	w := speak(t, n, wire.Protocols()[0])
	body := `"` + strings.Repeat("x", size) + `"`
	for i := range updates {
		w.put("demo:slow", fmt.Sprint("k", i%3), body)
	}
	w.put("demo:slow", "end", "1")
	newest := map[string]uint64{}
	frames := 0
	for newest["end"] == 0 {
		p, err := slow.frame()
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Type, Key string
			Rev       uint64
		}
		if err := json.Unmarshal(p, &m); err != nil {
			t.Fatal(err)
		}
		if m.Type == "ping" {
			continue
		}
		if m.Type != "record" || m.Rev <= newest[m.Key] {
			t.Fatalf("heard %.200s after rev %d", p, newest[m.Key])
		}
		newest[m.Key] = m.Rev
		frames++
	}
	last := speak(t, n, wire.Protocols()[0])
	last.subscribe("demo:slow")
	for _, r := range last.hear().Table.Records {
		if newest[r.Key] != r.Rev {
			t.Errorf("%s: rev %d, the newest is %d", r.Key, newest[r.Key], r.Rev)
		}
	}
	if frames > updates/2 {
		t.Errorf("%d frames for %d updates of 4 entries", frames, updates)
	}
	t.Logf("%d frames for %d updates", frames, updates)
}

// TestLatestClient: the Go client keeps the table over reconnects and hands every change to its reader.
func TestLatestClient(t *testing.T) {
	n := startNode(t, nil)
	proxy := newProxy(t, n, 1, fault.Plan{})
	up := make(chan struct{}, 16)
	reader := client.New("ws://"+proxy.Address()+"/ws", client.Options{OnState: func(s client.State) {
		if s.Phase == client.Connected {
			up <- struct{}{}
		}
	}})
	writer := client.New(n.URL(), client.Options{})
	defer reader.Close()
	defer writer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	put := func(key, body string) {
		t.Helper()
		var b []byte
		if body != "" {
			b = []byte(body)
		}
		if _, err := writer.Publish(ctx, "demo:client", b, client.PublishOptions{Class: channel.Latest, Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := reader.Subscribe(ctx, "demo:client", client.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	until := func(key, body string) {
		t.Helper()
		for {
			e, err := sub.Next(ctx)
			if err != nil {
				t.Fatalf("waiting for %s=%s: %v", key, body, err)
			}
			if e.Record.Key == key && string(e.Record.Body) == body {
				return
			}
		}
	}
	put("a", "1")
	put("b", "1")
	until("b", "1")
	<-up
	proxy.CutAll(fault.Reset)
	put("a", "")
	put("c", "2")
	until("c", "2")
	until("a", "")
	if table := sub.Latest(); len(table) != 2 || table[0].Key != "b" || table[1].Key != "c" {
		t.Errorf("the client holds %v", table)
	}
}
