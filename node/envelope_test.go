package node_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/gateway/limit"
	"carillon/gateway/session"
	"carillon/node"

	"github.com/coder/websocket"
)

// withPatience lets a line make many mistakes.
func withPatience(o *node.Options) {
	o.Settings = session.DefaultSettings()
	o.Settings.MaxErrors = 1 << 20
}

// enter connects with a token.
func enter(t testing.TB, n *node.Node, token string) *talker {
	t.Helper()
	k := dial(t, n)
	k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
	k.expect("connected")
	return k
}

// alive wants the line to answer as if nothing had been.
func (k *talker) alive() {
	k.t.Helper()
	k.say(`{"type":"ping","id":900}`)
	if m := k.hear(); m["type"] != "reply" || m["id"] != 900.0 {
		k.t.Fatalf("instead of the answer to a ping: %v", m)
	}
}

// TestP01_BadJSON: what is not one JSON text of the protocol is refused as a whole, and ten of those within a minute end the line.
func TestP01_BadJSON(t *testing.T) {
	n := startNode(t, withPatience)
	k := join(t, n)
	publish := func(data string) string { return `{"type":"publish","id":2,"channel":"demo:x","data":` + data + `}` }
	for name, text := range map[string]string{
		"not JSON":          `hello`,
		"empty":             ``,
		"cut":               `{"type":"publish","id":2`,
		"deep array":        publish(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)),
		"33 levels":         publish(strings.Repeat("[", 33) + strings.Repeat("]", 33)),
		"deep, never ended": publish(strings.Repeat(`{"a":`, 10_000)),
		"key twice":         `{"type":"publish","id":2,"channel":"demo:x","channel":"demo:y","data":1}`,
		"key twice inside":  publish(`{"a":1,"a":2}`),
		"NaN":               publish(`NaN`),
		"Infinity":          publish(`-Infinity`),
		"lone surrogate":    publish(`"\ud800"`),
		"BOM":               "\ufeff" + publish("1"),
		"NUL":               publish("1") + "\x00",
		"NUL in a string":   publish("\"a\x00b\""),
		"two texts":         publish("1") + publish("2"),
		"leading zero":      publish("01"),
		"comment":           publish("1 /* one */"),
		"array of numbers":  `[1,2,3]`,
		"129 requests":      "[" + strings.Repeat(`{"type":"pong"},`, 128) + `{"type":"pong"}]`,
	} {
		k.say(text)
		if m := k.hear(); m["type"] != "error" || m["code"] != "bad_request" {
			t.Errorf("%s: heard %v", name, m)
		}
		k.say(`{"type":"ping","id":900}`)
		for m := k.hear(); m["id"] != 900.0; m = k.hear() { // the requests of a frame are answered each
			if m["code"] != "bad_request" {
				t.Errorf("%s: heard %v", name, m)
			}
		}
	}
	k.say(`{"type":"history","id":3,"channel":"demo:x"}`)
	if m := k.expect("reply"); m["offset"] != 0.0 && m["records"] != nil && len(m["records"].([]any)) != 0 {
		t.Errorf("something of it was done: %v", m)
	}
	few := startNode(t, nil)
	l := join(t, few)
	for range 10 {
		l.say(`{`)
	}
	if code := l.closed(); code != 4007 {
		t.Errorf("after ten of those the line is closed with %d", code)
	}
}

// TestP02_BadMessagePack: lengths that promise more than comes, types that do not fit; no memory is taken for a promise.
func TestP02_BadMessagePack(t *testing.T) {
	n := startNode(t, withPatience)
	conn, _, err := websocket.Dial(t.Context(), n.URL(), &websocket.DialOptions{Subprotocols: []string{"carillon.v1.msgpack"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	flat(t, n, func() {
		for name, frame := range map[string]string{
			"array32":       "\xdd\xff\xff\xff\xff\x80\x80\x80\x80\x80",
			"map32":         "\xdf\xff\xff\xff\xff\xa4type",
			"str32":         "\x81\xa4type\xdb\xff\xff\xff\xffab",
			"bin32":         "\x81\xa4data\xc6\xff\xff\xff\xffab",
			"ext32":         "\x81\xa4data\xc9\xff\xff\xff\xff\x01ab",
			"deep":          "\x81\xa4data" + strings.Repeat("\x91", 10_000),
			"timestamp":     "\x81\xa4type\xd6\xff\xff\xff\xff\xff",
			"number as key": "\x81\x01\xa4ping",
			"nil as key":    "\x81\xc0\xa4ping",
			"reserved byte": "\xc1",
			"JSON":          `{"type":"connect"}`,
			"nothing":       "",
			"more behind":   "\x81\xa4type\xa4pong\xc0",
		} {
			if err := conn.Write(t.Context(), websocket.MessageBinary, []byte(frame)); err != nil {
				t.Fatal(name, err)
			}
			_, b, err := conn.Read(t.Context())
			if err != nil || !strings.Contains(string(b), "bad_request") {
				t.Fatalf("%s: %q, %v", name, b, err)
			}
		}
	})
}

// TestP04_OrderOfConnect: nothing before connect, no second connect, nobody becomes somebody else, and who stays silent goes.
func TestP04_OrderOfConnect(t *testing.T) {
	n := startNode(t, withTokens)
	for _, kind := range []string{"subscribe", "unsubscribe", "publish", "command", "history", "presence", "refresh", "ping"} {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":%q,"id":7,"channel":"demo:x","data":1,"token":%q}`, kind, sign(t, "ann")))
		if m := k.hear(); m["type"] != "error" || m["code"] != "unauthorized" && m["code"] != "bad_request" {
			t.Errorf("%s before connect: %v", kind, m)
		}
		_ = k.conn.CloseNow()
	}
	again := enter(t, n, sign(t, "ann"))
	again.say(fmt.Sprintf(`{"type":"connect","id":2,"token":%q}`, sign(t, "ann")))
	again.expect("error")
	if code := again.closed(); code != 4003 {
		t.Errorf("a second connect closes with %d", code)
	}
	other := enter(t, n, sign(t, "ann"))
	other.say(fmt.Sprintf(`{"type":"refresh","id":2,"token":%q}`, sign(t, "bob")))
	other.expect("error")
	if code := other.closed(); code != 4003 {
		t.Errorf("a refresh with the token of another user closes with %d", code)
	}
	short := startNode(t, func(o *node.Options) {
		withTokens(o)
		o.Settings = session.DefaultSettings()
		o.Settings.ConnectTimeout = 200 * time.Millisecond
	})
	if code := dial(t, short).closed(); code != 4002 {
		t.Errorf("who never connects is closed with %d", code)
	}
}

// TestP05_RequestIDs: an id is a whole number that every language holds, and names one open request.
func TestP05_RequestIDs(t *testing.T) {
	n := startNode(t, withPatience)
	k := join(t, n)
	for _, id := range []string{"-1", "1.5", "1e3", "9007199254740992", "18446744073709551616", `"2"`, "null", "[2]", "true"} {
		k.say(`{"type":"publish","id":` + id + `,"channel":"demo:x","data":1}`)
		if m := k.hear(); m["code"] != "bad_request" {
			t.Errorf("id %s: %v", id, m)
		}
		k.alive()
	}
	k.say(`{"type":"ping","id":9007199254740991}`)
	k.expect("reply")
}

// TestP06_ForeignPositions: a position that is not of this log is never believed, and never opens another one.
func TestP06_ForeignPositions(t *testing.T) {
	n := startNode(t, withTokens)
	other := startNode(t, nil)
	writer := enter(t, n, sign(t, "writer"))
	position := func(k *talker, channel string, bodies int) (at string) {
		for i := range bodies {
			k.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":%q,"data":"of %s"}`, i+2, channel, channel))
			at = k.expect("reply")["at"].(string)
		}
		return at
	}
	mine := position(writer, "demo:mine", 3)
	ahead := position(writer, "demo:long", 9)
	epoch := position(join(t, other), "demo:mine", 2)
	reader := enter(t, n, sign(t, "ann"))
	for name, at := range map[string]string{
		"of another channel":  ahead,
		"of another node":     epoch,
		"one character more":  mine + "A",
		"one character less":  mine[:len(mine)-1],
		"empty":               "",
		"no position":         "../../etc/passwd",
		"a very long one":     strings.Repeat("A", 5000),
		"changed in its tag":  mine[:12] + strings.Map(swap, mine[12:14]) + mine[14:],
		"its offset is ahead": mine[:len(mine)-1] + "_",
	} {
		reader.say(fmt.Sprintf(`{"type":"subscribe","id":5,"channel":"demo:mine","at":%q}`, at))
		m := reader.hear()
		if m["code"] == "bad_request" && at != ahead && at != epoch {
			continue // not even a position
		}
		if m["type"] != "reply" || m["recovered"] != false || m["gap"] == nil {
			t.Errorf("%s (%s): %v", name, at, m)
		}
		reader.say(`{"type":"unsubscribe","id":6,"channel":"demo:mine"}`)
		if m := reader.hear(); m["type"] != "reply" {
			t.Errorf("%s: before the end of the subscription came %v", name, m)
		}
	}
	narrow := enter(t, n, grantCaps(t, n, "bob", `[{"channels":["demo:long"],"can":["subscribe"]}]`))
	narrow.say(fmt.Sprintf(`{"type":"subscribe","id":5,"channel":"demo:mine","at":%q}`, mine))
	if m := narrow.hear(); m["code"] != "forbidden" {
		t.Errorf("with a good position and without the right: %v", m)
	}
}

// swap changes a character of a position into another one.
func swap(r rune) rune {
	if r == 'A' {
		return 'B'
	}
	return 'A'
}

// grantCaps asks the server for a token with capabilities.
func grantCaps(t testing.TB, n *node.Node, user, caps string) string {
	t.Helper()
	return ask(t, n, "POST", "/api/token", fmt.Sprintf(`{"user":%q,"caps":%s}`, user, caps), 200)["token"].(string)
}

// TestP07_ManySubscriptions: more than may be are refused one by one, the same twice moves nothing, and a flood of both leaves nothing.
func TestP07_ManySubscriptions(t *testing.T) {
	n := startNode(t, nil)
	k := join(t, n)
	refused := 0
	for i := range 2000 {
		k.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"demo:%d"}`, i+2, i))
		switch m := k.hear(); {
		case m["code"] == "limit":
			refused++
		case m["type"] != "reply":
			t.Fatal(m)
		}
	}
	if refused != 2000-128 {
		t.Errorf("%d of 2000 were refused", refused)
	}
	k.say(`{"type":"subscribe","id":1,"channel":"demo:0"}`)
	if m := k.hear(); m["type"] != "reply" || m["at"] != nil {
		t.Errorf("the same twice: %v", m)
	}
	flood := join(t, n)
	for i := range 500 {
		flood.say(fmt.Sprintf(`[{"type":"subscribe","id":%d,"channel":"demo:flood"},{"type":"unsubscribe","id":%d,"channel":"demo:flood"}]`, 2*i+2, 2*i+3))
		for range 2 {
			flood.hear()
		}
	}
	flood.alive()
	if _, h := n.Stats(); h.Cursors != 128 {
		t.Errorf("%d cursors are left, want those 128 of the first line", h.Cursors)
	}
}

// TestP08_ChannelNames: what is no name is refused on every way, and a name that looks like a pattern, a path or a
// subject of some bus is nothing but a name.
func TestP08_ChannelNames(t *testing.T) {
	n := startNode(t, func(o *node.Options) { withTokens(o); withPatience(o) })
	k := enter(t, n, sign(t, "ann"))
	for _, name := range []string{
		"", strings.Repeat("x", 129), strings.Repeat("x", 100_000), "*", "chat.*", "?", "[a-z]", ">", "chat.>", "a b", "a\r\nPUB b 1", "a\x00b", "{tag}",
		"../etc", "a/b", "%2e%2e", "$JS.API.>", "$SYS.>", "chat:lоbby", "chat:\u202elobby", "chat:cafe\u0301", "chat:caf\u00e9", "a'; DROP TABLE records;--",
	} {
		quoted, _ := json.Marshal(name)
		for _, kind := range []string{"subscribe", "unsubscribe", "publish", "history", "command", "presence"} {
			k.say(fmt.Sprintf(`{"type":%q,"id":2,"channel":%s,"data":1}`, kind, quoted))
			if m := k.hear(); m["code"] != "bad_channel" && m["code"] != "bad_request" {
				t.Errorf("%s of %q: %v", kind, name, m)
			}
		}
		if body := fmt.Sprintf(`{"channel":%s,"data":1}`, quoted); true {
			if code := request(t, "POST", "http://"+n.InternalAddress()+"/api/publish", serverKey, body); code != "bad_channel" && code != "bad_request" {
				t.Errorf("publish of %q over HTTP: %s", name, code)
			}
		}
	}
	for _, name := range []string{"__proto__", "constructor", "_INBOX.x", "a..b", "room:1:members", "-", ".", "..", "SELECT"} {
		k.say(fmt.Sprintf(`{"type":"subscribe","id":2,"channel":%q}`, name))
		k.expect("reply")
		k.say(fmt.Sprintf(`{"type":"publish","id":3,"channel":%q,"data":1}`, name))
		for range 2 { // the record and the reply
			if m := k.hear(); m["type"] == "record" && m["channel"] != name || m["type"] == "error" {
				t.Errorf("%q: %v", name, m)
			}
		}
	}
	for _, name := range []string{"@sys", "demo:x@presence", "@all"} {
		k.say(fmt.Sprintf(`{"type":"publish","id":2,"channel":%q,"data":1}`, name))
		if m := k.hear(); m["code"] != "forbidden" {
			t.Errorf("publish in %s: %v", name, m)
		}
	}
}

// TestP11_IdentityFields: who publishes, when, and in which place is the server's to say, whatever the request claims.
func TestP11_IdentityFields(t *testing.T) {
	n := startNode(t, func(o *node.Options) { withTokens(o); withPatience(o) })
	reader, k := enter(t, n, sign(t, "reader")), enter(t, n, sign(t, "ann"))
	reader.say(`{"type":"subscribe","id":2,"channel":"demo:x"}`)
	reader.expect("reply")
	for _, field := range []string{
		`"user":"root"`, `"User":"root"`, `"from":"root"`, `"role":"admin"`, `"time":1`, `"ts":1`, `"offset":999`, `"at":"AAAA"`, `"conn":"0"`, `"epoch":5`, `"ack":"durable"`, `"server":true`,
	} {
		k.say(`{"type":"publish","id":3,"channel":"demo:x",` + field + `,"data":1}`)
		ack := k.hear()
		if ack["code"] == "bad_request" {
			continue
		}
		r := reader.expect("record")
		if ack["type"] != "reply" || r["user"] != "ann" || r["at"] != ack["at"] || r["offset"] == 999.0 || r["time"].(float64) < 1e12 {
			t.Errorf("with %s: %v, %v", field, ack, r)
		}
		if extra := keysBeyond(r, "type", "channel", "at", "offset", "time", "user", "data"); len(extra) > 0 {
			t.Errorf("with %s the record has %v", field, extra)
		}
	}
	header := map[string][]string{"X-User": {"root"}, "X-Carillon-User": {"root"}, "Nats-Request-Info": {"root"}, "X-Remote-User": {"root"}}
	conn, _, err := websocket.Dial(t.Context(), n.URL(), &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	l := &talker{t: t, conn: conn}
	l.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q,"user":"root"}`, sign(t, "ann")))
	if m := l.hear(); m["type"] == "connected" && m["user"] != "ann" || m["type"] == "error" && m["code"] != "bad_request" {
		t.Errorf("with headers that name another user: %v", m)
	}
}

// keysBeyond lists the fields that a message has beyond those named.
func keysBeyond(m message, known ...string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(k string) bool { return slices.Contains(known, k) })
}

// TestP12_NoCallbacks: nothing in a request sends its answer, or a trace of it, somewhere else.
func TestP12_NoCallbacks(t *testing.T) {
	n := startNode(t, withTokens)
	victim, k := enter(t, n, sign(t, "victim")), enter(t, n, grantCaps(t, n, "ann", `[{"channels":["demo:x"],"can":["*"]}]`))
	for i, name := range []string{"demo:victim", "user:victim"} {
		victim.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":%q}`, i+2, name))
		victim.expect("reply")
	}
	for _, field := range []string{"reply_to", "replyTo", "reply", "trace", "callback", "url", "to", "forward"} {
		for _, where := range []string{"demo:victim", "user:victim", "http://127.0.0.1:1/"} {
			for _, kind := range []string{"publish", "history", "subscribe", "unsubscribe"} {
				k.say(fmt.Sprintf(`{"type":%q,"id":3,"channel":"demo:x","data":1,%q:%q}`, kind, field, where))
				for m := k.hear(); m["id"] != 3.0; {
					m = k.hear()
				}
			}
		}
	}
	victim.alive()
}

// TestP14_RemovedMember: a refresh with a narrower token and a revocation end what was granted, at once.
func TestP14_RemovedMember(t *testing.T) {
	n := startNode(t, withTokens)
	k := enter(t, n, sign(t, "ann"))
	for i, name := range []string{"demo:a", "demo:b"} {
		k.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":%q}`, i+2, name))
		k.expect("reply")
	}
	k.say(fmt.Sprintf(`{"type":"refresh","id":5,"token":%q}`, grantCaps(t, n, "ann", `[{"channels":["demo:b"],"can":["subscribe"]}]`)))
	k.expect("reply")
	if m := k.expect("unsubscribed"); m["channel"] != "demo:a" || m["code"] != "forbidden" {
		t.Errorf("after a narrower token: %v", m)
	}
	ask(t, n, "POST", "/api/publish", `{"channel":"demo:a","data":"secret"}`, 200)
	ask(t, n, "POST", "/api/publish", `{"channel":"demo:b","data":"still"}`, 200)
	if m := k.expect("record"); m["data"] != "still" {
		t.Errorf("heard %v", m)
	}
	ask(t, n, "POST", "/api/revocations", `{"user":"ann"}`, 200)
	if code := k.closed(); code != 4006 {
		t.Errorf("a revoked user is closed with %d", code)
	}
}

// TestP15_OnlyTheAsker: an answer goes to the line that asked, and a record shows what the protocol lists and no more.
func TestP15_OnlyTheAsker(t *testing.T) {
	n := startNode(t, withTokens)
	asker, other := enter(t, n, sign(t, "ann")), enter(t, n, sign(t, "ann"))
	for _, k := range []*talker{asker, other} {
		k.say(`{"type":"subscribe","id":2,"channel":"demo:x"}`)
		k.expect("reply")
	}
	for i, text := range []string{`"type":"history","channel":"demo:x"`, `"type":"command","channel":"demo:x","data":1`, `"type":"presence","channel":"demo:x"`, `"type":"ping"`} {
		asker.say(fmt.Sprintf(`{"id":%d,%s}`, i+10, text))
		if m := asker.hear(); m["id"] != float64(i+10) {
			t.Errorf("%s: %v", text, m)
		}
	}
	asker.say(`{"type":"publish","id":20,"channel":"demo:x","data":{"a":1},"idem":"my-own-id"}`)
	for range 2 {
		asker.hear()
	}
	m := other.expect("record")
	if extra := keysBeyond(m, "type", "channel", "at", "offset", "time", "user", "data"); len(extra) > 0 || m["user"] != "ann" {
		t.Errorf("the record shows %v: %v", extra, m)
	}
	other.alive()
}

// TestP16_OddPresence: a request for presence may hold what it likes; it is answered, and the line lives.
func TestP16_OddPresence(t *testing.T) {
	n := startNode(t, withPatience)
	k := join(t, n)
	for _, odd := range []string{`1`, `[]`, `{"__proto__":{"admin":true}}`, `"` + strings.Repeat("x", 10_000) + `"`, `null`, `true`} {
		for _, field := range []string{"status", "state", "data", "limit", "after", "users"} {
			k.say(fmt.Sprintf(`{"type":"presence","id":2,"channel":"demo:x",%q:%s}`, field, odd))
			if m := k.hear(); m["type"] != "error" && m["type"] != "reply" || m["code"] == "internal" {
				t.Fatalf("%s = %.40s: %v", field, odd, m)
			}
		}
	}
	k.alive()
}

// TestP17_StoredAsItCame: markup and escapes in a body reach every reader as they were sent, byte for byte in meaning.
func TestP17_StoredAsItCame(t *testing.T) {
	n := startNode(t, nil)
	reader, k := join(t, n), join(t, n)
	reader.say(`{"type":"subscribe","id":2,"channel":"demo:x"}`)
	reader.expect("reply")
	for _, body := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "line\nmsg=forged level=ERROR", "\x1b[31mred\x1b[0m", "&lt;b&gt;", "\u2028\u2029\u202e", "</textarea>", "${7*7}{{7*7}}",
	} {
		quoted, _ := json.Marshal(body)
		k.say(`{"type":"publish","id":2,"channel":"demo:x","data":` + string(quoted) + `}`)
		k.expect("reply")
		if m := reader.expect("record"); m["data"] != body {
			t.Errorf("%q became %q", body, m["data"])
		}
	}
}

// TestP18_Floods: what is cheap to send is limited like everything else, and large before it is small.
func TestP18_Floods(t *testing.T) {
	n := startNode(t, func(o *node.Options) {
		withPatience(o)
		o.Limits.Requests = limit.Pace{PerSecond: 0.01, Burst: 50}
	})
	k := join(t, n)
	limited := 0
	for i := range 100 {
		k.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:x","class":"fleeting","key":"typing","data":1}`, i+2))
		if m := k.hear(); m["code"] == "rate_limited" {
			limited++
		}
	}
	if limited != 51 { // connect took one
		t.Errorf("of 100 fleeting records %d were refused, want 51", limited)
	}
	l := join(t, startNode(t, withPatience))
	for text, want := range map[string]string{
		`{"type":"publish","id":2,"channel":"demo:x","class":"fleeting","data":"` + strings.Repeat("👍", 20_000) + `"}`:      "too_large",
		`{"type":"publish","id":2,"channel":"demo:x","class":"fleeting","key":"` + strings.Repeat("k", 200) + `","data":1}`: "bad_request",
		`{"type":"publish","id":2,"channel":"demo:x","idem":"` + strings.Repeat("i", 200) + `","data":1}`:                   "bad_request",
	} {
		l.say(text)
		if m := l.hear(); m["code"] != want {
			t.Errorf("%.60s: %v", text, m)
		}
	}
	l.say(`{"type":"publish","id":2,"channel":"demo:x","data":"` + strings.Repeat("👍", 300_000) + `"}`)
	if code := l.closed(); code != 1009 {
		t.Errorf("a frame of 1.2 MB is closed with %d", code)
	}
}
