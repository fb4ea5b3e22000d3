package api

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/wire"
)

// TestPublish: what is sent with the key arrives at subscribers, with the acknowledgement of the socket.
func TestPublish(t *testing.T) {
	s := newStage(t, nil)
	k := s.join(s.token("ann", "*", "subscribe", "publish"))
	k.say(`{"type":"subscribe","id":2,"channel":"chat:a"}`)
	k.expect("reply")
	for i, c := range []struct{ body, ack, record string }{
		{`{"channel":"chat:a","data":{"n" : 1.50}}`, "appended:memory", `data map[n:1.5]`},
		{`{"channel":"chat:a","data":null,"user":"bob"}`, "appended:memory", `user bob`},
		{`{"channel":"chat:a","data64":"AP8="}`, "appended:memory", `data64 AP8=`},
		{`{"channel":"chat:a","data":1,"class":"logged"}`, "appended:memory", `data 1`},
		{`{"channel":"chat:a","data":"typing","class":"fleeting","key":"k"}`, "accepted", `key k`},
	} {
		a := s.call("POST", "/api/publish", c.body).want(200)
		r := k.expect("record")
		name, want, _ := strings.Cut(c.record, " ")
		if got := fmt.Sprint(r[name]); a.text("ack") != c.ack || got != want {
			t.Errorf("%s: ack %s, %s is %s", c.body, a.text("ack"), name, got)
		}
		if c.ack == "accepted" {
			if strings.Contains(a.body, "at") || r["at"] != nil {
				t.Errorf("a fleeting record has a place: %s", a.body)
			}
		} else if a.text("at") != r["at"] || a.json()["offset"] != float64(i+1) {
			t.Errorf("answer %s, record %v", a.body, r)
		}
	}
	if got := s.call("GET", "/api/channels/chat:a/history?limit=1", "").want(200); !strings.Contains(got.body, `"data":1`) {
		t.Error(got.body)
	}
	k.say(`{"type":"publish","id":3,"channel":"chat:a","data":1}`)
	if m := k.expect("reply"); m["ack"] != "appended:memory" {
		t.Error(m)
	}
}

// TestIdempotency: an id is one message, whichever way it comes; another body is refused; the header is as good.
func TestIdempotency(t *testing.T) {
	s := newStage(t, nil)
	send := func(body, header string) answer {
		t.Helper()
		q := request{method: "POST", path: "/api/publish", body: body, server: true, credential: serverKey}
		if header != "" {
			q.header = map[string]string{"Idempotency-Key": header}
		}
		return s.ask(q)
	}
	first := send(`{"channel":"c:a","data":1,"id":"x 1"}`, "").want(200).body
	for _, again := range []answer{
		send(`{"channel":"c:a","data":1,"id":"x 1","age":90}`, ""), send(`{"channel":"c:a","data":1}`, "x 1"),
		send(`{"channel":"c:a","data":1}`, `"x 1"`), send(`{"channel":"c:a","data":1,"id":"x 1"}`, "x 1"),
	} {
		if again.want(200).body != first {
			t.Errorf("first %s, then %s", first, again.body)
		}
	}
	send(`{"channel":"c:a","data":2,"id":"x 1"}`, "").refused(wire.CodeIDReuse)
	send(`{"channel":"c:a","data":2,"id":"x 1"}`, "y").refused(wire.CodeBadRequest)
	send(`{"channel":"c:a","data":1,"id":"old","age":9000000}`, "").refused(wire.CodeUnknown)
	for _, header := range []string{strings.Repeat("x", 65), `""`, "é"} {
		send(`{"channel":"c:a","data":1}`, header).refused(wire.CodeBadRequest)
	}
	if send(`{"channel":"c:a","data":1,"id":"x 1","user":"bob"}`, "").want(200).body == first {
		t.Error("ids of different users are one")
	}
	batch := func() string {
		return s.ask(request{method: "POST", path: "/api/batch", body: `{"items":[{"channel":"c:b","data":1},{"channel":"c:b","data":2},{"channel":"c:b","data":3,"id":"own"}]}`,
			server: true, credential: serverKey, header: map[string]string{"Idempotency-Key": "batch"}}).want(200).body
	}
	if a, b := batch(), batch(); a != b || !strings.Contains(a, `"offset":3`) {
		t.Errorf("%s, then %s", a, b)
	}
}

// TestBatch: each item has its own result, in order, and records of a channel keep theirs.
func TestBatch(t *testing.T) {
	s := newStage(t, nil)
	var items []string
	for i := range wire.MaxBatch {
		switch {
		case i == 5:
			items = append(items, `{"channel":"no name","data":1}`)
		case i == 6:
			items = append(items, `{"channel":"c:a","data":{"a":1,"a":2}}`)
		case i == 7:
			items = append(items, `[]`)
		case i == 8:
			items = append(items, `{"channel":"c:a","data":1,"clas":"fleeting"}`)
		default:
			items = append(items, fmt.Sprintf(`{"channel":"c:%s","data":%d}`, string(rune('a'+i%2)), i))
		}
	}
	a := s.ask(request{method: "POST", path: "/api/batch", body: `{"items":[` + strings.Join(items, ",") + `]}`, server: true, credential: serverKey, loose: true})
	results := a.want(200).json()["results"].([]any)
	offsets := map[int]float64{}
	for i, r := range results {
		e, failed := r.(map[string]any)["error"].(map[string]any)
		if failed != (i >= 5 && i <= 8) {
			t.Fatalf("item %d: %v", i, r)
		}
		if failed {
			if i == 5 && e["code"] != "bad_channel" || i != 5 && e["code"] != "bad_request" || !strings.Contains(e["detail"].(string), fmt.Sprintf("items[%d]", i)) {
				t.Errorf("item %d: %v", i, e)
			}
			continue
		}
		if offset := r.(map[string]any)["offset"].(float64); offset != offsets[i%2]+1 {
			t.Fatalf("item %d has offset %v after %v", i, offset, offsets[i%2])
		} else {
			offsets[i%2] = offset
		}
	}
	for _, body := range []string{`{}`, `{"items":[]}`, `{"items":{}}`, `{"items":[` + strings.Repeat(`{},`, wire.MaxBatch) + `{}]}`, `{"items":[1,]}`, `{"items":[],"x":1}`} {
		s.call("POST", "/api/batch", body).refused(wire.CodeBadRequest)
	}
}

// TestRecordForms: a record is as strictly read as on the socket.
func TestRecordForms(t *testing.T) {
	s := newStage(t, nil)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for body, code := range map[string]wire.Code{
		``:                                                                   wire.CodeBadRequest,
		`[]`:                                                                 wire.CodeBadRequest,
		`{"channel":"c:a"}`:                                                  wire.CodeBadRequest,
		`{"data":1}`:                                                         wire.CodeBadRequest,
		`{"channel":"c:a","data":1}x`:                                        wire.CodeBadRequest,
		`{"channel":"c:a","data":1,}`:                                        wire.CodeBadRequest,
		`{"channel":"c:a" "data":1}`:                                         wire.CodeBadRequest,
		`{"channel":"c:a","data"}`:                                           wire.CodeBadRequest,
		`{"channel":"c:a","data":}`:                                          wire.CodeBadRequest,
		`{channel:"c:a","data":1}`:                                           wire.CodeBadRequest,
		"\ufeff" + `{"channel":"c:a"}`:                                       wire.CodeBadRequest,
		`{"channel":"c:a","data":1e400}`:                                     wire.CodeBadRequest,
		`{"channel":"c:a","data":NaN}`:                                       wire.CodeBadRequest,
		`{"channel":"c:a","data":"\ud8"}`:                                    wire.CodeBadRequest,
		`{"channel":"c:a","data":"\ud800"}`:                                  wire.CodeBadRequest,
		`{"channel":"c:a","data":"` + "\xff" + `"}`:                          wire.CodeBadRequest,
		`{"channel":"c:a","data":"` + "\x00" + `"}`:                          wire.CodeBadRequest,
		`{"channel":"c:a","data":{"a":1,"\u0061":2}}`:                        wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"data":2}`:                                wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"d\u0061ta":2}`:                           wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"data64":"AA=="}`:                         wire.CodeBadRequest,
		`{"channel":"c:a","data64":"AA="}`:                                   wire.CodeBadRequest,
		`{"channel":"c:a","data64":"AA\n=="}`:                                wire.CodeBadRequest,
		`{"channel":"c:a","data64":""}`:                                      wire.CodeBadRequest,
		`{"channel":"c:a","data":` + deep(wire.MaxDepth+1) + `}`:             wire.CodeBadRequest,
		`{"channel":"c:a","data":` + deep(100000) + `}`:                      wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"class":"urgent"}`:                        wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"class":7}`:                               wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"key":"k"}`:                               wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"key":"","class":"fleeting"}`:             wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"id":"` + strings.Repeat("x", 65) + `"}`:  wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"id":"\n"}`:                               wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"id":7}`:                                  wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"age":-1}`:                                wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"age":1.5}`:                               wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"age":9007199254740992}`:                  wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"user":"a b"}`:                            wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"user":""}`:                               wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"user":"@sys"}`:                           wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"User":"ann"}`:                            wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"offset":7}`:                              wire.CodeBadRequest,
		`{"channel":"c:a","data":1,"from":"ann"}`:                            wire.CodeBadRequest,
		`{"channel":"c a","data":1}`:                                         wire.CodeBadChannel,
		`{"channel":"","data":1}`:                                            wire.CodeBadChannel,
		`{"channel":"c:a@presence","data":1}`:                                wire.CodeForbidden,
		`{"channel":"@all","data":1}`:                                        wire.CodeForbidden,
		`{"channel":"@sys","data":1}`:                                        wire.CodeForbidden,
		`{"channel":"c:a","data":"` + strings.Repeat("x", 64<<10) + `"}`:     wire.CodeTooLarge,
		`{"channel":"c:a","data":"` + strings.Repeat("x", MaxPublish) + `"}`: wire.CodeTooLarge,
	} {
		a := s.call("POST", "/api/publish", body)
		if a.status != StatusOf(code) || a.text("code") != string(code) {
			t.Errorf("%.80s: %d %s, want %s", body, a.status, a.body, code)
		}
	}
	s.call("POST", "/api/publish", `{"channel":"c:deep","data":`+deep(wire.MaxDepth)+`}`).want(200)
	s.call("POST", "/api/batch", `{"items":[{"channel":"c:deep","data":`+deep(wire.MaxDepth)+`}]}`).want(200)
	nulls := `{"channel":"c:null","data":1,"class":null,"key":null,"id":null,"user":null,"age":null,"data64":null}`
	s.ask(request{method: "POST", path: "/api/publish", body: nulls, server: true, credential: serverKey, loose: true}).want(200)
	if a := s.call("GET", "/api/channels/c:a", ""); a.json()["head_offset"] != 0.0 {
		t.Errorf("something was appended: %s", a.body)
	}
}

// TestUsers: a record reaches a user's own channel, however his id is spelt, and nobody else's.
func TestUsers(t *testing.T) {
	s := newStage(t, nil)
	for _, user := range []string{"ann", "ann@example.org", "a/b c"[:3], "%2e", "..", "x:40y"} {
		path := "/api/users/" + url.PathEscape(user) + "/publish"
		if user == ".." {
			path = "/api/users/%2e%2e/publish"
		}
		s.call("POST", path, `{"data":{"to":"`+user+`"}}`).want(200)
		p, err := s.Read(t.Context(), auth.UserChannel(user), pageQuery{}.Query)
		if err != nil || len(p.Records) != 1 || string(p.Records[0].Body) != `{"to":"`+user+`"}` {
			t.Errorf("%s: %v %v", user, p.Records, err)
		}
	}
	s.call("POST", "/api/users/a%20b/publish", `{"data":1}`).refused(wire.CodeBadRequest)
	s.call("POST", "/api/users/@sys/publish", `{"data":1}`).refused(wire.CodeBadRequest)
	s.call("POST", "/api/users//publish", `{"data":1}`).refused(CodeNotFound)
	s.call("POST", "/api/users/ann/publish", `{"data":1,"channel":"c:a"}`).refused(wire.CodeBadRequest)
	s.call("POST", "/api/announce", `{"data":"all"}`).want(200)
	if p, err := s.Read(t.Context(), channel.All, pageQuery{}.Query); err != nil || len(p.Records) != 1 {
		t.Error(p, err)
	}
}

// TestTokens: each kind of credential says what was asked for, and no more can be asked for than an issuer gives.
func TestTokens(t *testing.T) {
	s := newStage(t, nil)
	a := s.call("POST", "/api/token", `{"user":"ann","caps":[{"channels":["chat:*"],"can":["subscribe","history"]},{"channels":["chat:x"],"deny":true}],"limits":{"channels":3},"session":3600000}`).want(200)
	who, err := s.tokens.Verify(a.text("token"))
	if err != nil || who.User != "ann" || who.Limits.Channels != 3 || a.json()["expires"] != 300000.0 {
		t.Fatal(who, err, a.body)
	}
	if auth.Decide(who, auth.History, "chat:a") != nil || auth.Decide(who, auth.Publish, "chat:a") == nil || auth.Decide(who, auth.History, "chat:x") == nil {
		t.Error("the capabilities are not those asked for")
	}
	if left := time.Until(who.Expires); left < 50*time.Minute {
		t.Errorf("the session ends in %s", left)
	}
	a = s.call("POST", "/api/token", `{"user":"ann","kind":"subscribe","channel":"chat:a","ttl":1000}`).want(200)
	if p, err := s.tokens.VerifySubscription(a.text("token")); err != nil || p.Channel != "chat:a" || p.Can != auth.Subscribe {
		t.Error(p, err)
	}
	a = s.call("POST", "/api/token", `{"user":"ann","kind":"ticket"}`).want(200)
	if token, err := s.tickets.Redeem(t.Context(), a.text("token")); err != nil || a.json()["expires"] != 30000.0 {
		t.Error(token, err, a.body)
	}
	for _, body := range []string{
		`{}`, `{"user":""}`, `{"user":"a b"}`, `{"user":"ann","ttl":300001}`, `{"user":"ann","ttl":999}`, `{"user":"ann","ttl":"5m"}`,
		`{"user":"ann","kind":"root"}`, `{"user":"ann","channel":"chat:a"}`, `{"user":"ann","kind":"ticket","ttl":1000}`,
		`{"user":"ann","kind":"subscribe"}`, `{"user":"ann","kind":"subscribe","channel":"chat:a@presence"}`, `{"user":"ann","kind":"subscribe","channel":"chat:a","can":["fly"]}`,
		`{"user":"ann","kind":"subscribe","channel":"chat:a","can":["history"]}`, `{"user":"ann","kind":"subscribe","channel":"chat:a","caps":[]}`,
		`{"user":"ann","caps":[{}]}`, `{"user":"ann","caps":[{"channels":["a*b"],"can":["*"]}]}`, `{"user":"ann","caps":[{"channels":["a"],"can":["fly"]}]}`,
		`{"user":"ann","caps":[{"channels":["a"]}]}`, `{"user":"ann","caps":[{"channels":["a"],"can":["*"],"Deny":true}]}`, `{"user":"ann","caps":{}}`,
		`{"user":"ann","caps":[{"channels":["a"],"can":["*"],"deny":"true"}]}`, `{"user":"ann","session":-1}`, `{"user":"ann","session":1}`, `{"user":"ann","session":99999999999}`,
		`{"user":"ann","limits":{"speed":1}}`, `{"user":"ann","limits":{"body":4294967296}}`, `{"user":"ann","limits":[]}`,
		`{"user":"ann","caps":[` + strings.Repeat(`{"channels":["a"],"can":["*"]},`, auth.MaxRules) + `{"channels":["a"],"can":["*"]}]}`,
	} {
		s.call("POST", "/api/token", body).refused(wire.CodeBadRequest)
	}
}

// TestGuests: a guest signs in on the public listener alone, and only where guests are let in.
func TestGuests(t *testing.T) {
	s := newStage(t, nil)
	ask := func(body string) answer { return s.ask(request{method: "POST", path: "/api/token", body: body}) }
	a := ask(`{"name":"Ann O'Neil 😀"}`).want(200)
	if b := ask(`{"name":"Ann O'Neil 😀"}`).want(200); a.text("user") != b.text("user") {
		t.Error("the guest is another one the second time")
	}
	s.ask(request{method: "GET", path: "/api/channels/chat:a/history", credential: a.text("token")}).want(200)
	for _, body := range []string{`{}`, `{"name":""}`, `{"name":7}`, `{"name":"` + strings.Repeat("x", 65) + `"}`, `{"name":"a\u0007"}`, `{"name":"a","user":"ann"}`} {
		ask(body).refused(wire.CodeBadRequest)
	}
	closed := newStage(t, func(p *PublicOptions, _ *ServerOptions) { p.Guest = nil })
	closed.ask(request{method: "POST", path: "/api/token", body: `{"name":"ann"}`}).refused(CodeNotFound)
}

// TestConnections: connections are listed by user and by channel, page by page, and ended one by one or all of a user.
func TestConnections(t *testing.T) {
	s := newStage(t, nil)
	lines := map[string]*talker{}
	for i := range 5 {
		user := []string{"ann", "bob"}[i%2]
		k := s.join(s.token(user, "chat:*", "subscribe"))
		k.say(`{"type":"subscribe","id":2,"channel":"chat:` + user + `"}`)
		k.expect("reply")
		lines[fmt.Sprint(user, i)] = k
	}
	list := func(query string) (ids []string) {
		for cursor := ""; ; {
			a := s.call("GET", "/api/connections?limit=2"+query+"&cursor="+cursor, "").want(200)
			for _, c := range a.json()["connections"].([]any) {
				m := c.(map[string]any)
				if since := time.UnixMilli(int64(m["since"].(float64))); m["remote"] == "" || m["transport"] == "" || since.After(time.Now()) {
					t.Errorf("%v", m)
				}
				ids = append(ids, m["id"].(string))
			}
			if cursor = a.text("next"); cursor == "" {
				return ids
			}
		}
	}
	for query, want := range map[string]int{"": 5, "&user=ann": 3, "&user=carl": 0, "&channel=chat:bob": 2, "&user=ann&channel=chat:bob": 0} {
		if got := list(query); len(got) != want {
			t.Errorf("%q lists %d, want %d", query, len(got), want)
		}
	}
	id := list("&user=bob")[0]
	s.call("POST", "/api/connections/"+id+"/disconnect", "").want(200)
	if a := s.call("POST", "/api/users/ann/disconnect", `{"code":"drain"}`).want(200); a.json()["disconnected"] != 3.0 {
		t.Error(a.body)
	}
	for _, name := range []string{"ann0", "ann2", "ann4"} {
		if got := lines[name].closed(); got != wire.CodeDrain.Number() {
			t.Errorf("%s closed with %d", name, got)
		}
	}
	s.call("POST", "/api/connections/nobody/disconnect", "").refused(CodeNotFound)
	s.call("POST", "/api/connections/a%0Ab/disconnect", "").refused(CodeNotFound)
	s.call("POST", "/api/users/ann/disconnect", `{"code":"unauthorized"}`).refused(wire.CodeBadRequest)
	for _, query := range []string{"limit=x", "cursor=***", "cursor=Cg", "user=a%20b", "usr=ann", "user=ann&user=bob", "limit=%zz", "a;b"} {
		s.call("GET", "/api/connections?"+query, "").refused(wire.CodeBadRequest)
	}
	s.call("GET", "/api/connections?channel=a%20b", "").refused(wire.CodeBadChannel)
}

// TestRevocations: what was granted ends, and is refused from then on.
func TestRevocations(t *testing.T) {
	s := newStage(t, nil)
	token := s.token("ann", "*", "*")
	k := s.join(token)
	until := time.Now().Add(time.Hour).UnixMilli()
	a := s.call("POST", "/api/revocations", fmt.Sprintf(`{"user":"ann","until":%d}`, until)).want(200)
	if a.json()["until"] != float64(until) {
		t.Error(a.body)
	}
	if got := k.closed(); got != wire.CodeRevoked.Number() {
		t.Errorf("closed with %d", got)
	}
	s.ask(request{method: "GET", path: "/api/channels/chat:a/history", credential: token}).refused(wire.CodeRevoked)
	s.call("POST", "/api/revocations", `{"token":"some-jti"}`).want(200)
	s.call("POST", "/api/revocations", `{"token":"some-jti","issuer":"https://id.example.org"}`).want(200)
	s.call("POST", "/api/revocations", `{"connection":"c7f2a9"}`).want(200)
	for _, body := range []string{`{}`, `{"user":"ann","token":"x"}`, `{"user":"a b"}`, `{"token":"a b"}`, `{"issuer":"x"}`, `{"connection":""}`, `{"user":"ann","until":-1}`, `{"user":"ann","issuer":"x"}`} {
		s.call("POST", "/api/revocations", body).refused(wire.CodeBadRequest)
	}
}

// TestRooms: open channels are listed with their subscribers; one that nobody uses can be looked at too.
func TestRooms(t *testing.T) {
	s := newStage(t, nil)
	k := s.join(s.token("ann", "*", "subscribe"))
	for i := range 5 {
		k.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"scores:%d"}`, i+2, i))
		k.expect("reply")
	}
	s.fill("scores:3", 7)
	var names []string
	for cursor := ""; ; {
		a := s.call("GET", "/api/channels?prefix=scores:&limit=2&cursor="+cursor, "").want(200)
		for _, c := range a.json()["channels"].([]any) {
			if m := c.(map[string]any); m["subscribers"] == 1.0 {
				names = append(names, m["channel"].(string))
			}
		}
		if cursor = a.text("next"); cursor == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "scores:0 scores:1 scores:2 scores:3 scores:4" {
		t.Error(got)
	}
	if a := s.call("GET", "/api/channels/scores:3", "").want(200); a.json()["subscribers"] != 1.0 || a.json()["head_offset"] != 7.0 {
		t.Error(a.body)
	}
	if a := s.call("GET", "/api/channels/never:used", "").want(200); a.json()["subscribers"] != 0.0 || a.json()["head_offset"] != 0.0 || a.text("head") == "" {
		t.Error(a.body)
	}
	s.call("GET", "/api/channels/a%20b", "").refused(wire.CodeBadChannel)
	s.call("GET", "/api/channels?prefix=*", "").refused(wire.CodeBadChannel)
	s.call("GET", "/api/channels?cursor="+base64.RawURLEncoding.EncodeToString([]byte("a b")), "").refused(wire.CodeBadRequest)
}
