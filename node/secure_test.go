package node_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/config"
	"carillon/gateway/auth"
	"carillon/node"

	"github.com/coder/websocket"
)

// refuses wants a node with these options not to start, and the reason to say so.
func refuses(t *testing.T, o node.Options, reason string) {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	n, err := node.Start(t.Context(), o)
	if err == nil {
		stopNode(t, n)
		t.Errorf("a node started that should be refused, for %q", reason)
		return
	}
	if !strings.Contains(err.Error(), reason) {
		t.Errorf("refused for %q, want %q", err, reason)
	}
}

// TestS01_NobodyUnknown: without keys there is no server but on loopback, and with keys there is no way in without a token.
func TestS01_NobodyUnknown(t *testing.T) {
	refuses(t, node.Options{Listen: "127.0.0.1:0"}, "serve needs a secret")
	for _, public := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"} {
		refuses(t, node.Options{Dev: true, Listen: public}, "loopback only")
		refuses(t, node.Options{Dev: true, Listen: "127.0.0.1:0", Internal: public}, "loopback only")
	}
	n := startNode(t, withTokens)
	for _, token := range []string{"", "guest-ann", "guest", "null", "undefined", "anonymous"} {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
		if m := k.hear(); m["code"] != "unauthorized" {
			t.Errorf("with the token %q: %v", token, m)
		}
		if code := k.closed(); code != 4001 {
			t.Errorf("with the token %q the line is closed with %d", token, code)
		}
	}
}

// TestS02_IdentityFromTheToken: who somebody is, the token says; nothing else in connect or in the handshake does.
func TestS02_IdentityFromTheToken(t *testing.T) {
	n := startNode(t, withTokens)
	for _, field := range []string{`"user":"root"`, `"sub":"root"`, `"caps":[{"channels":["*"],"can":["*"]}]`, `"claims":{"sub":"root"}`, `"name":"root"`} {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q,%s}`, grantCaps(t, n, "ann", `[{"channels":["demo:x"],"can":["publish"]}]`), field))
		m := k.hear()
		if m["code"] == "bad_request" {
			continue
		}
		if m["user"] != "ann" {
			t.Errorf("with %s: %v", field, m)
		}
		k.say(`{"type":"subscribe","id":2,"channel":"demo:x"}`)
		if m := k.hear(); m["code"] != "forbidden" {
			t.Errorf("with %s: %v", field, m)
		}
		_ = k.conn.CloseNow()
	}
}

// knock asks for a handshake with headers and returns the answer, of which the line is closed.
func knock(t *testing.T, n *node.Node, path string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+n.Address()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// TestS03_Origins: a page may connect if its origin is the server's own or stands in the list, to the letter: scheme, host, port.
func TestS03_Origins(t *testing.T) {
	n := startNode(t, func(o *node.Options) {
		withTokens(o)
		o.Origins = []string{"https://app.example.org", "http://localhost:3000"}
	})
	for origin, want := range map[string]int{
		"https://app.example.org": 101, "http://localhost:3000": 101, "https://app.example.org:443": 101,
		"http://app.example.org": 403, "https://app.example.org:8443": 403, "https://app.example.org.evil.example": 403, "https://evil-app.example.org": 403,
		"https://x.app.example.org": 403, "http://localhost": 403, "null": 403, "file://": 403, "": 403, "https://app.example.org/": 403,
	} {
		if got := knock(t, n, "/ws", "Origin", origin).StatusCode; got != want {
			t.Errorf("origin %q was answered %d, want %d", origin, got, want)
		}
	}
	own := startNode(t, withTokens)
	if got := knock(t, own, "/ws", "Origin", "http://"+own.Address()).StatusCode; got != 101 {
		t.Errorf("the server's own origin was answered %d", got)
	}
	if got := knock(t, own, "/ws", "Origin", "https://app.example.org").StatusCode; got != 403 {
		t.Errorf("without a list, another origin was answered %d", got)
	}
}

// TestS04_WhereTokensStand (A06): a token counts in connect and in the list of subprotocols, and nowhere else: not in the URL,
// which ends up in logs, and not in a cookie, which other pages can make a browser send.
func TestS04_WhereTokensStand(t *testing.T) {
	n := startNode(t, withTokens)
	token := sign(t, "ann")
	tells := func(o *websocket.DialOptions, url string) message {
		conn, _, err := websocket.Dial(t.Context(), url, o)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		k := &talker{t: t, conn: conn}
		k.say(`{"type":"connect","id":1}`)
		return k.hear()
	}
	if m := tells(&websocket.DialOptions{Subprotocols: []string{"carillon.v1.json", "carillon.token." + token}}, n.URL()); m["user"] != "ann" {
		t.Errorf("in the list of subprotocols: %v", m)
	}
	for _, query := range []string{"?token=", "?access_token=", "?authorization=", "?t=", "?ticket="} {
		if m := tells(nil, n.URL()+query+token); m["code"] != "unauthorized" {
			t.Errorf("in the URL as %s: %v", query, m)
		}
		if code := request(t, "GET", "http://"+n.Address()+"/api/channels/demo:x/history"+query+token, "", ""); code != "unauthorized" && code != "bad_request" {
			t.Errorf("in the URL of history as %s: %q", query, code)
		}
		if code := request(t, "GET", "http://"+n.InternalAddress()+"/api/channels"+query+serverKey, "", ""); code != "unauthorized" && code != "bad_request" {
			t.Errorf("a server key in the URL as %s: %q", query, code)
		}
	}
	for _, name := range []string{"Cookie", "X-Token", "Authorization"} {
		header := http.Header{name: {"token=" + token}}
		if name == "Authorization" {
			header = http.Header{name: {"Bearer " + token}}
		}
		if m := tells(&websocket.DialOptions{HTTPHeader: header}, n.URL()); m["code"] != "unauthorized" {
			t.Errorf("in %s: %v", name, m)
		}
	}
}

// TestA06_TokenInTheURL: a token in the URL opens nothing and stands in no line of the log; answers keep it from other sites.
func TestA06_TokenInTheURL(t *testing.T) {
	var p *page
	n := startNode(t, func(o *node.Options) { withTokens(o); p = logged(t, o) })
	token := sign(t, "ann")
	conn, _, err := websocket.Dial(t.Context(), n.URL()+"?token="+token, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := &talker{t: t, conn: conn}
	k.say(`{"type":"connect","id":1}`)
	if m := k.hear(); m["code"] != "unauthorized" {
		t.Error(m)
	}
	k.closed()
	resp, err := http.Get("http://" + n.Address() + "/api/channels/demo:x/history?token=" + token)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode < 400 || resp.Header.Get("Referrer-Policy") != "no-referrer" || strings.Contains(string(body), token) {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	if strings.Contains(p.String(), token[len(token)-30:]) {
		t.Error("the log has the token")
	}
}

// TestA07_TokenAsSubprotocol: the server chooses the protocol and never says the token back.
func TestA07_TokenAsSubprotocol(t *testing.T) {
	n := startNode(t, withTokens)
	token := sign(t, "ann")
	for _, offer := range []string{
		"carillon.v1.json, carillon.token." + token, "carillon.token." + token + ", carillon.v1.json", "x, carillon.token." + token + " ,carillon.v1.json",
	} {
		resp := knock(t, n, "/ws", "Sec-WebSocket-Protocol", offer)
		if got := resp.Header.Get("Sec-WebSocket-Protocol"); resp.StatusCode != 101 || got != "carillon.v1.json" {
			t.Errorf("%d, %q", resp.StatusCode, got)
		}
		if strings.Contains(fmt.Sprint(resp.Header), token) {
			t.Error("the answer holds the token")
		}
	}
	if resp := knock(t, n, "/ws", "Sec-WebSocket-Protocol", "carillon.token."+token); resp.StatusCode != 400 {
		t.Errorf("a token without a protocol is answered %d", resp.StatusCode)
	}
}

// TestS05_Tokens: weak secrets do not start a server, and a token is checked in all its parts, with no way around it.
func TestS05_Tokens(t *testing.T) {
	for _, weak := range []string{"short", strings.Repeat("x", 31), strings.Repeat("a", 64), "your-256-bit-secret-your-256-bit-secret", strings.Repeat("secret", 8)} {
		refuses(t, node.Options{Listen: "127.0.0.1:0", Secret: []byte(weak)}, "secret")
	}
	n := startNode(t, withTokens)
	good := strings.Split(sign(t, "ann"), ".")
	b64 := base64.RawURLEncoding.EncodeToString
	none := b64([]byte(`{"alg":"none","typ":"JWT"}`))
	for name, token := range map[string]string{
		"alg none":          none + "." + good[1] + ".",
		"alg none, signed":  none + "." + good[1] + "." + good[2],
		"RS256 on a secret": b64([]byte(`{"alg":"RS256"}`)) + "." + good[1] + "." + good[2],
		"no signature":      good[0] + "." + good[1] + ".",
		"other payload":     good[0] + "." + b64([]byte(`{"sub":"root","iss":"carillon","aud":"carillon","exp":9999999999}`)) + "." + good[2],
		"two parts":         good[0] + "." + good[1],
		"many dots":         strings.Repeat(".", 3000),
		"5 KB":              good[0] + "." + good[1] + "." + strings.Repeat("A", 5000),
	} {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
		if m := k.hear(); m["code"] != "unauthorized" {
			t.Errorf("%s: %v", name, m)
		}
		_ = k.conn.CloseNow()
	}
	for _, key := range config.Keys() {
		for _, word := range []string{"skip", "insecure", "verify"} {
			if strings.Contains(key.Path, word) {
				t.Errorf("there is a setting %s", key.Path)
			}
		}
	}
}

// TestS06_DenyByDefault: a token that grants nothing opens nothing, and one that grants one thing opens no other.
func TestS06_DenyByDefault(t *testing.T) {
	n := startNode(t, withTokens)
	at := ask(t, n, "POST", "/api/publish", `{"channel":"demo:x","data":1}`, 200)["at"].(string)
	for granted, caps := range map[auth.Action]string{
		0:              `[]`,
		auth.Subscribe: `[{"channels":["*"],"can":["subscribe"]}]`,
		auth.Publish:   `[{"channels":["*"],"can":["publish"]}]`,
		auth.History:   `[{"channels":["*"],"can":["history"]}]`,
		auth.Presence:  `[{"channels":["*"],"can":["presence"]}]`,
		auth.Command:   `[{"channels":["*"],"can":["command"]}]`,
	} {
		token := grantCaps(t, n, "ann", caps)
		k := enter(t, n, token)
		for _, w := range ways(t, n, k, token, at) {
			open := w.action&^granted == 0
			if code := w.try(channel.Name("demo:x")); open != (code == "") || !open && code != "forbidden" {
				t.Errorf("%s with %q: %q", w.name, granted, code)
			}
		}
		for i, kind := range []string{"command", "presence"} {
			k.say(fmt.Sprintf(`{"type":%q,"id":%d,"channel":"demo:x","data":1}`, kind, 500+i))
			open := kind == "command" && granted == auth.Command || kind == "presence" && granted == auth.Presence
			if m := k.hear(); (m["code"] == "forbidden") == open {
				t.Errorf("%s with %q: %v", kind, granted, m)
			}
		}
		_ = k.conn.CloseNow()
	}
}

// TestA10_WithdrawnCredentials: what is revoked ends at once on sockets, and opens nothing any more on any way in.
func TestA10_WithdrawnCredentials(t *testing.T) {
	n := startNode(t, withTokens)
	for name, body := range map[string]func(token, conn string) string{
		"user":       func(string, string) string { return `{"user":"ann"}` },
		"connection": func(_, conn string) string { return fmt.Sprintf(`{"connection":%q}`, conn) },
	} {
		token := sign(t, "ann")
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
		conn := k.expect("connected")["conn"].(string)
		if code := request(t, "GET", "http://"+n.Address()+"/api/channels/demo:x/history", token, ""); code != "" {
			t.Fatalf("%s: before: %s", name, code)
		}
		asked := time.Now()
		ask(t, n, "POST", "/api/revocations", body(token, conn), 200)
		if code := k.closed(); code != 4006 {
			t.Errorf("%s: closed with %d", name, code)
		}
		if took := time.Since(asked); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
		if name != "user" {
			continue
		}
		if code := request(t, "GET", "http://"+n.Address()+"/api/channels/demo:x/history", token, ""); code != "revoked" {
			t.Errorf("%s: history: %q", name, code)
		}
		again := dial(t, n)
		again.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
		if m := again.hear(); m["code"] != "revoked" {
			t.Errorf("%s: connect: %v", name, m)
		}
		viaProtocol := knock(t, n, "/ws", "Sec-WebSocket-Protocol", "carillon.v1.json, carillon.token."+token)
		if viaProtocol.StatusCode >= 500 {
			t.Errorf("%s: %d", name, viaProtocol.StatusCode)
		}
		<-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // tokens say their time in whole seconds
	}
}

// TestS11_LimitsByDefault: a server without a word about limits has them all.
func TestS11_LimitsByDefault(t *testing.T) {
	l, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := node.FromConfig(&l.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]float64{
		"connections": float64(o.Limits.Connections), "per address": float64(o.Limits.PerAddress), "connects": o.Limits.Connects.PerSecond,
		"handshakes": o.Limits.Admission.PerSecond, "queue": float64(o.Limits.Admission.Queue), "strangers": float64(o.Limits.Strangers),
		"bad credentials": o.Limits.Wrong.PerSecond, "addresses": float64(o.Limits.Addresses), "requests": o.Limits.Requests.PerSecond, "bytes": o.Limits.Bytes.PerSecond,
		"header": o.Limits.HeaderTimeout.Seconds(), "idle": o.Limits.IdleTimeout.Seconds(), "memory": float64(o.Memory), "logs": float64(o.Logs), "ids": float64(o.IDs),
		"channels": float64(o.Settings.MaxChannels), "in flight": float64(o.Settings.MaxInFlight), "frame": float64(o.Settings.MaxFrame), "outbox": float64(o.Settings.MaxOutbox),
		"errors": float64(o.Settings.MaxErrors), "per user": float64(o.Settings.MaxPerUser), "connect": o.Settings.ConnectTimeout.Seconds(),
		"body": float64(o.Policies("demo:x").MaxBody), "records": float64(o.Policies("demo:x").Retention.Records), "ring": float64(o.Policies("demo:x").Ring.Records),
	} {
		if n <= 0 {
			t.Errorf("%s has no bound by default", name)
		}
	}
	if share := float64(o.Limits.Strangers) / float64(o.Limits.Connections); share > 0.2 {
		t.Errorf("a share of %.2f of all connections may be strangers", share)
	}
}

// TestS12_NoCompression: compression is declined, whatever is offered, and a frame that claims it ends the line.
func TestS12_NoCompression(t *testing.T) {
	n := startNode(t, nil)
	for _, offer := range []string{"permessage-deflate", "permessage-deflate; client_max_window_bits=8", "x-webkit-deflate-frame", "permessage-deflate; server_no_context_takeover, permessage-bzip2"} {
		resp := knock(t, n, "/ws", "Sec-WebSocket-Extensions", offer)
		if got := resp.Header.Values("Sec-WebSocket-Extensions"); resp.StatusCode != 101 || len(got) != 0 {
			t.Errorf("%s: %d, %q", offer, resp.StatusCode, got)
		}
	}
	for _, path := range []string{"/api/openapi.json"} {
		r, _ := http.NewRequestWithContext(context.Background(), "GET", "http://"+n.Address()+path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Content-Encoding"); got != "" {
			t.Errorf("%s is compressed by %s", path, got)
		}
	}
}

// TestS17_Unguessable: ids of connections, tokens and tickets have 128 random bits at least, and an id that one user chose
// says nothing about another's.
func TestS17_Unguessable(t *testing.T) {
	n := startNode(t, withTokens)
	seen, common := map[string]bool{}, [16]byte{}
	for i := range 100 {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, sign(t, fmt.Sprint("user", i))))
		id, err := hex.DecodeString(k.expect("connected")["conn"].(string))
		if err != nil || len(id) != 16 {
			t.Fatalf("the id of a connection is %x, %v", id, err)
		}
		seen[string(id)] = true
		for j, b := range id {
			common[j] |= b
		}
		ticket := ask(t, n, "POST", "/api/token", `{"kind":"ticket","user":"ann","caps":[]}`, 200)["token"].(string)
		if seen[ticket] || len(ticket) < len("ticket.")+26 {
			t.Fatalf("ticket %q", ticket)
		}
		seen[ticket] = true
		_ = k.conn.CloseNow()
	}
	if len(seen) != 200 {
		t.Errorf("%d ids are different, want 200", len(seen))
	}
	for j, b := range common {
		if b == 0 {
			t.Errorf("byte %d of the ids is always 0", j)
		}
	}
	ann, bob := enter(t, n, sign(t, "ann")), enter(t, n, sign(t, "bob"))
	publish := func(k *talker, data string) message {
		k.say(`{"type":"publish","id":2,"channel":"demo:x","idem":"same","data":` + data + `}`)
		return k.hear()
	}
	first := publish(ann, `1`)
	if m := publish(bob, `2`); m["type"] != "reply" || m["at"] == first["at"] {
		t.Errorf("bob's id is answered as ann's: %v", m)
	}
	if m := publish(ann, `1`); m["at"] != first["at"] {
		t.Errorf("ann's resend: %v", m)
	}
}
