package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
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
	"carillon/journal"
	"carillon/journal/memory"
	"carillon/wire"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	serverKey = "server-key-0123456789abcdef-0123456789"
	secondKey = "second-key-0123456789abcdef-0123456789"
)

// stage is a node put together by hand: a journal in memory, bus, hub, gateway, sessions behind a WebSocket, and both
// handlers of this package, on listeners of their own. It fills the roles from those parts.
type stage struct {
	t        testing.TB
	memory   *memory.Journal
	hub      *hub.Hub
	gateway  *gateway.Gateway
	sessions *session.Server
	sockets  *ws.Handler
	tokens   *auth.Keys
	revoked  *auth.Revocations
	tickets  *auth.MemoryTickets
	keys     *ServerKeys
	public   *httptest.Server
	server   *httptest.Server
	log      *syncBuffer

	mu     sync.Mutex
	policy channel.Policy
	wrong  map[string]int
	told   []string
}

// syncBuffer takes log lines from many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newStage builds one; change may alter what the handlers are made of.
func newStage(t testing.TB, change func(*PublicOptions, *ServerOptions)) *stage {
	t.Helper()
	s := &stage{t: t, policy: channel.DefaultPolicy(), wrong: map[string]int{}, log: &syncBuffer{}}
	policies := func(channel.Name) channel.Policy {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.policy
	}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	feed := local.New(bus.In{Records: func(rs []channel.Record) { s.gateway.Records(rs) }, Trouble: func(bool) {}})
	s.memory = memory.New(memory.Options{Policies: policies, Carry: feed.Carry})
	format := session.Format{Protocol: wire.Protocols()[0], Framing: ws.Framing{}}
	s.hub = hub.New([]hub.Encode{func(dst []byte, r *channel.Record) []byte {
		return format.Framing.AppendMessage(dst, wire.JSON.AppendRecord(nil, r), false)
	}}, hub.Options{Policy: policies})
	s.gateway = gateway.New(gateway.Options{
		Policies: policies, Journal: func(channel.Name) gateway.Journal { return s.memory }, Feed: feed, Hub: s.hub, Clock: time.Now,
		Heard: func(r *channel.Record) { s.sessions.Heard(r) },
	})
	s.revoked = auth.NewRevocations(nil, func(r auth.Revocation) {
		s.sessions.End(wire.CodeRevoked, r.Covers)
	})
	var err error
	s.tickets = auth.NewTickets(nil)
	key, err := auth.SecretKey("", []byte(rand.Text()+rand.Text()))
	must(t, err)
	s.tokens, err = auth.New([]auth.Issuer{{Name: auth.LocalIssuer, Audience: auth.LocalIssuer, Signer: key}}, auth.Options{Revocations: s.revoked})
	must(t, err)
	s.sessions = session.NewServer(session.Options{
		Settings: session.DefaultSettings(), Backend: s.gateway, Hub: s.hub, Judge: s, Ears: s.gateway,
		Formats: []session.Format{format}, Name: "carillon/test", Log: log,
	})
	s.sockets = ws.New(ws.Options{Protocols: []string{wire.SubprotocolJSON}, MaxMessage: 1 << 20}, func(c transport.Conn) transport.Inbox { return s.sessions.Accept(c, nil) })
	s.keys, err = NewServerKeys(serverKey, secondKey)
	must(t, err)
	common := Common{Guard: s, Log: log, Told: s.note}
	po := PublicOptions{Reader: s, Identify: s.Identify, Guest: s.guest, AllowOrigin: s.allowOrigin, Common: common}
	so := ServerOptions{Keys: s.keys, Publisher: s, Announcer: s, Reader: s, Directory: s, Rooms: s, Issuer: s, Revoker: s, Common: common}
	if change != nil {
		change(&po, &so)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", s.sockets)
	mux.Handle("/api/", Public(po))
	s.public = httptest.NewServer(mux)
	s.server = httptest.NewServer(Server(so))
	t.Cleanup(s.close)
	return s
}

func (s *stage) close() {
	s.public.Close()
	s.server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.sockets.Shutdown(ctx); err != nil {
		s.t.Error(err)
	}
	s.gateway.Close()
	s.memory.Close()
	s.hub.Close()
	s.sessions.Close()
	http.DefaultClient.CloseIdleConnections()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const goodOrigin = "https://app.example.org"

func (s *stage) allowOrigin(r *http.Request) bool { return r.Header.Get("Origin") == goodOrigin }

// Identify lets nobody in without a token, but for guests.
func (s *stage) Identify(token string) (*auth.Identity, error) {
	if strings.HasPrefix(token, wire.GuestPrefix) {
		return auth.NewIdentity(token, []auth.Capability{{Channels: []string{"*"}, Can: []string{"*"}}}, time.Time{})
	}
	return s.tokens.Verify(token)
}

// Permit reads a subscription token.
func (s *stage) Permit(token string) (*auth.Permit, error) { return s.tokens.VerifySubscription(token) }

// Stands tells whether a connection was not revoked.
func (s *stage) Stands(who *auth.Identity, conn string) bool { return !s.revoked.Revoked(who, conn) }

func (s *stage) guest(name string) (Credential, error) {
	user := wire.GuestPrefix + fmt.Sprintf("%x", name)
	return Credential{Token: user, User: user}, nil
}

func (s *stage) note(route string, status int, _ time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprint(route, " ", status))
}

// Guess and Forgive let ten wrong credentials pass.
func (s *stage) Guess(remote string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong[remote] >= 10 {
		return 1500 * time.Millisecond
	}
	s.wrong[remote]++
	return 0
}

func (s *stage) Forgive(remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong[remote]--; s.wrong[remote] == 0 {
		delete(s.wrong, remote)
	}
}

func (s *stage) forgive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.wrong)
}

func (s *stage) Policy(n channel.Name) channel.Policy { return s.gateway.Policy(n) }

func (s *stage) Publish(r channel.Record, done func(Ack, error)) {
	s.gateway.Publish(r, func(a session.Ack, err error) { done(Ack{a.Level, a.At}, err) })
}

func (s *stage) Announce(r channel.Record, done func(Ack, error)) { s.Publish(r, done) }

func (s *stage) Read(ctx context.Context, n channel.Name, q journal.Query) (journal.Page, error) {
	type answer struct {
		session.Page
		err error
	}
	got := make(chan answer, 1)
	s.gateway.Read(n, session.Query{After: q.After, Back: q.Back, Limit: q.Limit}, func(p session.Page, err error) { got <- answer{p, err} })
	select {
	case a := <-got:
		return journal.Page{Records: a.Records, Base: a.Base, Head: a.Head, More: a.More, Gap: a.Gap}, a.err
	case <-ctx.Done():
		return journal.Page{}, ctx.Err()
	}
}

func (s *stage) Connections(_ context.Context, q ConnectionQuery) (cs []Connection, more bool, err error) {
	for _, c := range s.sessions.Connections(session.Filter{User: q.User, Channel: q.Channel, After: q.After, Limit: q.Limit + 1}) {
		cs = append(cs, Connection{ID: c.ID, User: c.User, Node: "stage", Remote: c.Remote, Transport: c.Transport, Since: c.Since, Active: c.Heard, Channels: c.Channels})
	}
	return cs[:min(len(cs), q.Limit)], len(cs) > q.Limit, nil
}

func (s *stage) Disconnect(_ context.Context, id string, why wire.Code) (Ended, error) {
	return Ended{Here: s.sessions.End(why, func(_ *auth.Identity, conn string) bool { return conn == id })}, nil
}

func (s *stage) DisconnectUser(_ context.Context, user string, why wire.Code) (Ended, error) {
	return Ended{Here: s.sessions.End(why, func(who *auth.Identity, _ string) bool { return who.User == user })}, nil
}

func (s *stage) Rooms(_ context.Context, prefix string, after channel.Name, limit int) (rs []Room, more bool, err error) {
	rooms, more := s.gateway.Rooms(prefix, after, limit)
	for _, r := range rooms {
		rs = append(rs, Room{r.Channel, r.Subscribers})
	}
	return rs, more, nil
}

func (s *stage) Subscribers(_ context.Context, n channel.Name) (int, error) {
	return s.gateway.Subscribers(n), nil
}

func (s *stage) Issue(ctx context.Context, g Grant) (Credential, error) {
	if g.Kind == KindSubscribe {
		token, err := s.tokens.MintSubscription(auth.SubscriptionGrant{User: g.User, Channel: g.Channel, Can: g.Can, TTL: g.TTL})
		return Credential{token, g.User, g.TTL}, err
	}
	token, err := s.tokens.MintConnect(auth.Grant{User: g.User, Caps: g.Caps, Limits: g.Limits, TTL: g.TTL, Session: g.Session})
	if err != nil || g.Kind == KindConnect {
		return Credential{token, g.User, g.TTL}, err
	}
	ticket, err := s.tickets.Issue(ctx, token)
	return Credential{ticket, g.User, auth.TicketTTL}, err
}

func (s *stage) Revoke(_ context.Context, r Revocation) (time.Time, error) {
	var d auth.Revocation
	var err error
	switch keep := s.tokens.Longest(); {
	case r.User != "":
		d, err = s.revoked.OfUser(r.User, keep)
	case r.Token != "":
		d, err = s.revoked.OfToken(r.Issuer, r.Token, keep)
	default:
		d, err = s.revoked.OfConn(r.Connection, keep)
	}
	if err != nil {
		return time.Time{}, err
	}
	if !r.Until.IsZero() {
		d.Until = r.Until
	}
	_, err = s.revoked.Apply(d)
	return d.Until, err
}

// token is one that may do something in channels that match a pattern, and nothing in chat:secret.
func (s *stage) token(user, pattern string, can ...string) string {
	s.t.Helper()
	token, err := s.tokens.Sign(user, []auth.Capability{
		{Channels: []string{pattern}, Can: can}, {Channels: []string{"chat:secret"}, Deny: true},
	}, time.Hour)
	must(s.t, err)
	return token
}

// request is one to either listener.
type request struct {
	method, path, body string
	server             bool   // to the internal listener
	credential         string // "": none
	loose              bool   // the body is not what the document asks for, and taken nevertheless
	header             map[string]string
}

// answer is what came back.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   string
}

// ask sends a request and holds the answer against the OpenAPI document.
func (s *stage) ask(q request) answer {
	s.t.Helper()
	base := s.public.URL
	if q.server {
		base = s.server.URL
	}
	r, err := http.NewRequestWithContext(s.t.Context(), q.method, base+q.path, strings.NewReader(q.body))
	must(s.t, err)
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if q.credential != "" {
		r.Header.Set("Authorization", "Bearer "+q.credential)
	}
	for k, v := range q.header {
		r.Header.Set(k, v)
		if v == "" {
			r.Header.Del(k)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(r) // follows no redirect
	must(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.t, err)
	a := answer{s.t, q.method + " " + q.path, resp.StatusCode, resp.Header, string(text)}
	a.conforms(q)
	return a
}

// call asks the server API with its key.
func (s *stage) call(method, path, body string) answer {
	s.t.Helper()
	return s.ask(request{method: method, path: path, body: body, server: true, credential: serverKey})
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d %s, want %d", a.what, a.status, a.body, status)
	}
	return a
}

// refused wants a problem of a code.
func (a answer) refused(code wire.Code) answer {
	a.t.Helper()
	a.want(StatusOf(code))
	if got := a.json()["code"]; got != string(code) {
		a.t.Fatalf("%s: code %v (%v), want %s", a.what, got, a.json()["detail"], code)
	}
	return a
}

func (a answer) json() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		a.t.Fatalf("%s: %q is no JSON object: %v", a.what, a.body, err)
	}
	return m
}

// offsets are those of the records of a page, in its order.
func (a answer) offsets() (offsets []int) {
	a.t.Helper()
	for _, r := range a.json()["records"].([]any) {
		offsets = append(offsets, int(r.(map[string]any)["offset"].(float64)))
	}
	return offsets
}

func (a answer) text(name string) string {
	s, _ := a.json()[name].(string)
	return s
}

// fill publishes so many records into a channel, with their numbers as bodies.
func (s *stage) fill(n string, count int) {
	s.t.Helper()
	for i := 0; i < count; i += wire.MaxBatch {
		var items []string
		for k := i; k < min(i+wire.MaxBatch, count); k++ {
			items = append(items, fmt.Sprintf(`{"channel":%q,"data":%d}`, n, k+1))
		}
		if a := s.call("POST", "/api/batch", `{"items":[`+strings.Join(items, ",")+`]}`).want(200); strings.Contains(a.body, "error") {
			s.t.Fatal(a.body)
		}
	}
}

// talker speaks JSON over a socket.
type talker struct {
	t    testing.TB
	conn *websocket.Conn
}

func (s *stage) join(token string) *talker {
	s.t.Helper()
	conn, _, err := websocket.Dial(s.t.Context(), strings.Replace(s.public.URL, "http", "ws", 1)+"/ws", nil)
	must(s.t, err)
	k := &talker{s.t, conn}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	k.say(`{"type":"connect","id":1,"token":"` + token + `"}`)
	k.expect("connected")
	return k
}

func (k *talker) say(text string) {
	k.t.Helper()
	must(k.t, k.conn.Write(k.t.Context(), websocket.MessageText, []byte(text)))
}

// hear returns the next message that is of one of these types.
func (k *talker) hear(types ...string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(k.t.Context(), 10*time.Second)
	defer cancel()
	for {
		_, b, err := k.conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, err
		}
		if slices.Contains(types, m["type"].(string)) {
			return m, nil
		}
	}
}

func (k *talker) expect(kind string) map[string]any {
	k.t.Helper()
	m, err := k.hear(kind)
	if err != nil {
		k.t.Fatalf("waiting for %s: %v", kind, err)
	}
	return m
}

// closed is the close number of a line that ends.
func (k *talker) closed() int {
	for {
		if _, err := k.hear(); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}
