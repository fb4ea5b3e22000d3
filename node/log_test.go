package node_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/session"
	"carillon/node"
	"carillon/observe"

	"github.com/coder/websocket"
)

// page is a log that can be read while it is written.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// lines returns the lines of one kind, each as the object that it must be.
func (p *page) lines(t testing.TB, message string) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(p.String()) {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if m["msg"] == message {
			found = append(found, m)
		}
	}
	return found
}

// logged makes a node write all it has to say into a page, the way the program does.
func logged(t testing.TB, o *node.Options) *page {
	p := new(page)
	l := observe.NewLogger(p, observe.LogJSON, slog.LevelDebug)
	t.Cleanup(l.Close)
	o.Log = l.Logger
	return p
}

func smallRings(channel.Name) channel.Policy {
	p := channel.DefaultPolicy()
	p.Retention.Records, p.Ring.Records = 8, 8
	return p
}

// TestS16SecretsAndPayloadsInNoLine (P17): whatever clients bring, in whatever place, no line of the log shows a token, a body or a
// peer's words, and none is more than one line.
func TestS16SecretsAndPayloadsInNoLine(t *testing.T) {
	var p *page
	n := startNode(t, func(o *node.Options) { withTokens(o); p = logged(t, o) })
	good := sign(t, `ann"<b>\n\x1b[31m&msg=forged`)
	canaries := []string{good[len(good)-40:], "CANARY", serverKey, secret}
	bad := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARYsignatureCANARYsignature00"

	// In the handshake, in connect, in refresh, in subscribe; good and bad.
	k := dial(t, n, "carillon.v1.json", "carillon.token."+good)
	k.say(`{"type":"connect","id":1,"name":"CANARY no, a name may be shown"}`)
	k.hear()
	_ = k.conn.CloseNow()
	open := dial(t, n)
	open.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, good))
	open.expect("connected")
	for i, say := range []string{
		`{"type":"refresh","id":2,"token":"` + bad + `"}`,
		`{"type":"subscribe","id":3,"channel":"demo:x","token":"` + bad + `"}`,
		`{"type":"publish","id":4,"channel":"demo:x","data":"CANARY-payload"}`,
		`{"type":"publish","id":5,"channel":"demo:\u001b[31m\nCANARY","data":"CANARY"}`,
		`{"type":"history","id":6,"channel":"demo:x","limit":"CANARY"}`,
		`{"type":"CANARY","id":7}`,
		`CANARY, no JSON`,
	} {
		open.say(say)
		if m := open.hear(); m["type"] != "error" && i != 2 {
			t.Errorf("%s was answered %v", say, m)
		}
	}
	_ = open.conn.Close(4321, "CANARY\x1b[2J\nmsg=forged")
	for _, protocols := range [][]string{{"carillon.v1.json", "carillon.token." + bad}, {"carillon.token." + bad}, {"CANARY"}} {
		if conn, _, err := websocket.Dial(t.Context(), n.URL(), &websocket.DialOptions{Subprotocols: protocols}); err == nil {
			c := &talker{t: t, conn: conn}
			c.say(`{"type":"connect","id":1}`)
			c.closed()
		}
	}
	other := dial(t, n)
	other.say(`{"type":"connect","id":1,"token":"` + bad + `"}`)
	other.closed()

	// Over HTTP.
	for _, path := range []string{"/api/channels/demo:x/history?token=" + good, "/ws?token=" + bad, "/api/CANARY%0a%1b"} {
		for _, at := range []string{n.Address(), n.InternalAddress()} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+bad)
			r.Header.Set("Cookie", "token="+good)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	}
	ask(t, n, "POST", "/api/publish", `{"channel":"demo:x","data":"CANARY"}`, 200)
	ask(t, n, "POST", "/api/publish", `{"channel":"demo x","data":"CANARY"}`, 400)
	ask(t, n, "POST", "/api/revocations", `{"user":"CANARY"}`, 200)
	stopNode(t, n)

	text := p.String()
	for _, canary := range canaries {
		if at := strings.Index(strings.ReplaceAll(text, "CANARY no, a name may be shown", ""), canary); at >= 0 {
			t.Errorf("the log shows %q:\n%s", canary, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\r\u009b\u202e") {
		t.Errorf("the log has raw controls: %q", text)
	}
	if connected := p.lines(t, "connected"); len(connected) != 2 {
		t.Errorf("%d lines of connected, want 2:\n%s", len(connected), text)
	}
	reasons := map[any]int{}
	for _, m := range p.lines(t, "disconnected") {
		reasons[m["reason"]]++
	}
	if reasons["client"] != 1 || reasons["broken"] != 1 || reasons["unauthorized"] == 0 {
		t.Errorf("reasons %v:\n%s", reasons, text)
	}
}

// TestConnectionLines: who came and went, and why, stands in the log at its usual level, one line each.
func TestConnectionLines(t *testing.T) {
	p := new(page)
	l := observe.NewLogger(p, observe.LogJSON, slog.LevelInfo)
	defer l.Close()
	n := startNode(t, func(o *node.Options) {
		o.Log = l.Logger
		o.Settings = session.DefaultSettings()
		o.Settings.MaxPerUser = 1
	})
	ann := dial(t, n)
	ann.say(`{"type":"connect","id":1,"token":"guest-ann"}`)
	ann.expect("connected")
	again := dial(t, n)
	again.say(`{"type":"connect","id":1,"token":"guest-ann"}`)
	if code := again.closed(); code != 4005 {
		t.Fatal(code)
	}
	stopNode(t, n)
	if lines := p.lines(t, "connected"); len(lines) != 1 || lines[0]["user"] != "guest-ann" || lines[0]["protocol"] == "" {
		t.Errorf("connected: %v", lines)
	}
	reasons := map[any]bool{}
	for _, m := range p.lines(t, "disconnected") {
		reasons[m["reason"]] = true
	}
	if !reasons["drain"] || !reasons["too_many_connections"] || len(reasons) != 2 {
		t.Errorf("reasons %v", reasons)
	}
}

// TestS15PanicEndsOneConnection: a bad client is out, all others go on; it is counted, and logged with where it was, but a flood
// of panics is no flood of lines.
func TestS15PanicEndsOneConnection(t *testing.T) {
	var p *page
	n := startNode(t, func(o *node.Options) {
		observed(o)
		o.ServerKeys = []string{serverKey}
		p = logged(t, o)
		o.Policies = func(n channel.Name) channel.Policy {
			if n == "demo:bomb" {
				var none []int
				none[len(n)]++
			}
			return channel.DefaultPolicy()
		}
	})
	calm := join(t, n)
	calm.say(`{"type":"subscribe","id":2,"channel":"demo:x"}`)
	calm.expect("reply")
	began := time.Now()
	const bombs = 12
	for range bombs {
		k := join(t, n)
		k.say(`{"type":"publish","id":2,"channel":"demo:bomb","data":"CANARY"}`)
		if code := k.closed(); code != 1011 {
			t.Fatalf("closed with %d", code)
		}
	}
	ask(t, n, "POST", "/api/publish", `{"channel":"demo:bomb","data":"CANARY"}`, 500)
	calm.say(`{"type":"publish","id":3,"channel":"demo:x","data":1}`)
	calm.hear()
	calm.hear()
	settle(t, n, func(f figures) string {
		if f.of(observe.Panics, "connection") != bombs || f.of(observe.Panics, "http") != 1 || f.of(observe.ConnectionsEnded, "panic") != bombs ||
			f.of(observe.Connections) != 1 {
			return fmt.Sprint(f[observe.Panics.Name], f[observe.ConnectionsEnded.Name], f[observe.Connections.Name])
		}
		return ""
	})
	lines := p.lines(t, "a panic ended a connection")
	if most := 2 + int(time.Since(began).Seconds()); len(lines) == 0 || len(lines) > most {
		t.Errorf("%d lines about %d panics, at most %d are meant", len(lines), bombs, most)
	}
	stack := fmt.Sprint(lines[0]["stack"])
	if !strings.Contains(stack, "log_test.go:") || !strings.Contains(stack, "(*Session).publish") || strings.Contains(p.String(), "CANARY") ||
		!strings.Contains(fmt.Sprint(lines[0]["panic"]), "index out of range") {
		t.Errorf("the line does not tell: %v", lines[0])
	}
}
