package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carillon/bus"
	"carillon/bus/local"
	"carillon/channel"
	"carillon/gateway"
	"carillon/gateway/auth"
	"carillon/gateway/hub"
	"carillon/gateway/session"
	"carillon/gateway/transport"
	"carillon/gateway/transport/ws"
	"carillon/journal/memory"
	"carillon/wire"

	"github.com/coder/websocket"
)

// everybody lets all in.
type everybody struct{}

func (everybody) Identify(string) (*auth.Identity, error) {
	return auth.NewIdentity("ann", []auth.Capability{{Channels: []string{"*"}, Can: []string{"*"}}}, time.Time{})
}
func (everybody) Permit(string) (*auth.Permit, error) { return nil, errors.New("none") }
func (everybody) Stands(*auth.Identity, string) bool  { return true }
func policies(channel.Name) channel.Policy            { return channel.DefaultPolicy() }
func encode(f session.Format, r *channel.Record) []byte {
	return f.Framing.AppendMessage(nil, f.Protocol.Codec.AppendRecord(nil, r), f.Protocol.Binary)
}

// brittle runs sessions over real sockets whose MessagePack format panics at a record that says "spoilt"; panicked is
// told, of a worker and of a reader that wrote alike.
func brittle(t *testing.T, panicked func(any)) (url string) {
	url, _ = served(t, panicked)
	return url
}

func served(t *testing.T, panicked func(any)) (url string, sessions *session.Server) {
	var formats []session.Format
	var encoders []hub.Encode
	var names []string
	for _, p := range wire.Protocols() {
		f := session.Format{Protocol: p, Framing: ws.Framing{}}
		formats, names = append(formats, f), append(names, p.Name)
		encoders = append(encoders, func(dst []byte, r *channel.Record) []byte {
			if p.Binary && bytes.Contains(r.Body, []byte("spoilt")) {
				panic("spoilt record")
			}
			return append(dst, encode(f, r)...)
		})
	}
	var g *gateway.Gateway
	feed := local.New(bus.In{Records: func(rs []channel.Record) { g.Records(rs) }, Trouble: func(bool) {}})
	journal := memory.New(memory.Options{Policies: policies, Carry: feed.Carry})
	h := hub.New(encoders, hub.Options{Workers: 1, Panicked: func(v any, w hub.Waker) { sessions.Broken(v, w) }})
	g = gateway.New(gateway.Options{
		Policies: policies, Journal: func(channel.Name) gateway.Journal { return journal }, Feed: feed, Hub: h, Clock: time.Now,
		Heard: func(r *channel.Record) { sessions.Heard(r) },
	})
	settings := session.DefaultSettings()
	settings.MaxPerUser = 0
	sessions = session.NewServer(session.Options{
		Settings: settings, Backend: g, Hub: h, Judge: everybody{}, Ears: g, Formats: formats, Panicked: panicked,
		Name: "carillon/test", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	sockets := ws.New(ws.Options{Protocols: names, Panicked: panicked}, func(c transport.Conn) transport.Inbox { return sessions.Accept(c, nil) })
	s := httptest.NewServer(sockets)
	t.Cleanup(func() {
		s.Close()
		sockets.Close()
		g.Close()
		journal.Close()
		h.Close()
		sessions.Close()
	})
	return "ws" + strings.TrimPrefix(s.URL, "http"), sessions
}

type line struct {
	t        *testing.T
	conn     *websocket.Conn
	protocol wire.Protocol
}

func dialled(t *testing.T, url string, p wire.Protocol) *line {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{p.Name}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &line{t, conn, p}
}

func subscriber(t *testing.T, url string, p wire.Protocol) *line {
	t.Helper()
	l := dialled(t, url, p)
	l.say(wire.Request{Type: wire.ReqConnect, ID: 1})
	l.say(wire.Request{Type: wire.ReqSubscribe, ID: 2, Channel: "demo:x"})
	for range 2 {
		if _, err := l.hear(); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *line) say(r wire.Request) {
	l.t.Helper()
	kind := websocket.MessageText
	if l.protocol.Binary {
		kind = websocket.MessageBinary
	}
	if err := l.conn.Write(l.t.Context(), kind, l.protocol.Codec.AppendRequest(nil, &r)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *line) hear() (wire.Message, error) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	_, b, err := l.conn.Read(ctx)
	if err != nil {
		return wire.Message{}, err
	}
	ms, err := l.protocol.Codec.DecodeMessages(b, nil)
	if err != nil || len(ms) == 0 {
		l.t.Fatalf("heard %q: %v", b, err)
	}
	return ms[0], nil
}

// TestS15PanicOnAWorker: what panics on a goroutine that serves many ends the connections that it is about. The others
// of the same room hear that record and the next, and newcomers are served.
func TestS15PanicOnAWorker(t *testing.T) {
	var panics atomic.Int32
	url := brittle(t, func(any) { panics.Add(1) })
	json, pack := wire.Protocols()[0], wire.Protocols()[1]
	if json.Binary || !pack.Binary {
		t.Fatal("the protocols stand in another order")
	}
	var well, ill []*line
	for range 3 {
		well, ill = append(well, subscriber(t, url, json)), append(ill, subscriber(t, url, pack))
	}
	publish := func(id uint64, body string) {
		well[0].say(wire.Request{Type: wire.ReqPublish, ID: id, Channel: "demo:x", Class: channel.Logged, Body: []byte(body)})
	}
	publish(3, `"spoilt"`)
	for _, l := range ill {
		if m, err := l.hear(); err == nil {
			t.Errorf("a line that cannot be told heard %+v", m)
		}
	}
	if panics.Load() != int32(len(ill)) {
		t.Errorf("%d panics were told, want %d", panics.Load(), len(ill))
	}
	later := subscriber(t, url, pack)
	publish(4, `"sound"`)
	for _, l := range well {
		for said := ""; said != `"sound"`; {
			m, err := l.hear()
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == wire.MsgRecord {
				said = string(m.Record.Body)
			}
		}
	}
	if m, err := later.hear(); err != nil || string(m.Record.Body) != `"sound"` {
		t.Errorf("a newcomer heard %+v, %v", m, err)
	}
}
