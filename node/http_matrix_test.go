package node_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/node"
	"carillon/wire"
)

// way is one way to a channel. try says "" if it was let through, or the code of the refusal.
type way struct {
	name   string
	action auth.Action // that it needs of the token
	try    func(n channel.Name) string
}

// request sends one and returns the code of a refusal, "" for an answer.
func request(t *testing.T, method, url, credential, body string, header ...string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 400 {
		return ""
	}
	var problem struct{ Code string }
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
		t.Fatal(err)
	}
	return problem.Code
}

// ways of one who has a token and a line.
func ways(t *testing.T, n *node.Node, k *talker, token, position string) []way {
	id := 1
	socket := func(name string, a auth.Action, text string) way {
		return way{name, a, func(c channel.Name) string {
			t.Helper()
			ask := func(text string) string {
				id++
				k.say(fmt.Sprintf(text, id, c))
				for {
					if m := k.hear(); m["id"] == float64(id) {
						code, _ := m["code"].(string)
						return code
					}
				}
			}
			code := ask(text)
			ask(`{"type":"unsubscribe","id":%d,"channel":%q}`)
			return code
		}}
	}
	rest := func(name, query string, header ...string) way {
		return way{name, auth.History, func(c channel.Name) string {
			t.Helper()
			return request(t, "GET", "http://"+n.Address()+"/api/channels/"+string(c)+"/history"+query, token, "", header...)
		}}
	}
	return []way{
		socket("live", auth.Subscribe, `{"type":"subscribe","id":%d,"channel":%q}`),
		socket("resume", auth.Subscribe, `{"type":"subscribe","id":%d,"channel":%q,"at":"`+position+`"}`),
		socket("rewind", auth.Subscribe|auth.History, `{"type":"subscribe","id":%d,"channel":%q,"rewind":5}`),
		socket("history", auth.History, `{"type":"history","id":%d,"channel":%q}`),
		socket("publish", auth.Publish, `{"type":"publish","id":%d,"channel":%q,"data":1}`),
		rest("history over HTTP", ""),
		rest("older history over HTTP", "?before="+position),
		rest("unchanged history over HTTP", "?before="+position, "If-None-Match", "*"),
	}
}

// TestP09: every way to a channel against every reason to be let through or not; all of them decide as auth.Decide does,
// and that says what the table in words says.
func TestP09(t *testing.T) {
	n := startNode(t, withTokens)
	caps := []auth.Capability{
		{Channels: []string{"chat:*"}, Can: []string{"*"}}, {Channels: []string{"chat:secret", "chat:sec*"}, Deny: true},
		{Channels: []string{"feed:*"}, Can: []string{"subscribe"}}, {Channels: []string{"log:*"}, Can: []string{"history"}},
	}
	keys, err := auth.NewKeys([]byte(secret), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Sign("ann", caps, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	who, err := keys.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		ask(t, n, "POST", "/api/publish", fmt.Sprintf(`{"channel":"chat:open","data":%d}`, i), 200)
	}
	position := ask(t, n, "GET", "/api/channels/chat:open/history?limit=1", "", 200)["before"].(string)
	k := dial(t, n)
	k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
	k.expect("connected")
	all := ways(t, n, k, token, position)
	for _, c := range []channel.Name{
		"chat:open", "chat:secret", "chat:secrets", "chat:secret:x", "chat:sec", "CHAT:open", "chatx", "feed:a", "log:a", "other:a",
		"chat:secret@presence", "chat:open@x@y", "user:ann", "user:bob", "@all", "@sys", "@",
	} {
		for _, w := range all {
			want := ""
			if auth.Decide(who, w.action, c) != nil {
				want = string(wire.CodeForbidden)
			}
			if got := w.try(c); got != want {
				t.Errorf("%s of %s: %q, want %q", w.name, c, got, want)
			}
		}
	}
	for c, allowed := range map[channel.Name]string{
		"chat:open": "live, resume, rewind, history, publish, history over HTTP, older history over HTTP, unchanged history over HTTP",
		"feed:a":    "live, resume", "log:a": "history, history over HTTP, older history over HTTP, unchanged history over HTTP",
		"chat:secret": "", "chat:secrets": "", "other:a": "", "user:bob": "", "@sys": "",
	} {
		var got []string
		for _, w := range all {
			if w.try(c) == "" {
				got = append(got, w.name)
			}
		}
		if strings.Join(got, ", ") != allowed {
			t.Errorf("%s allows %s, want %s", c, strings.Join(got, ", "), allowed)
		}
	}
}

// TestP09ServerAPI: what needs the key is shut without it, whatever token comes instead, and not to be found outside.
func TestP09ServerAPI(t *testing.T) {
	n := startNode(t, withTokens)
	token := sign(t, "ann")
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/publish", `{"channel":"chat:open","data":1}`}, {"POST", "/api/batch", `{"items":[{"channel":"chat:open","data":1}]}`},
		{"POST", "/api/announce", `{"data":1}`}, {"POST", "/api/users/ann/publish", `{"data":1}`}, {"POST", "/api/users/ann/disconnect", `{}`},
		{"POST", "/api/token", `{"user":"ann"}`}, {"POST", "/api/revocations", `{"user":"carl"}`}, {"GET", "/api/connections", ""},
		{"GET", "/api/channels", ""}, {"GET", "/api/channels/chat:open", ""}, {"GET", "/api/channels/chat:open/history", ""},
	} {
		for credential, want := range map[string]string{serverKey: "", token: "unauthorized", "": "unauthorized", serverKey[1:]: "unauthorized"} {
			if got := request(t, c.method, "http://"+n.InternalAddress()+c.path, credential, c.body); got != want {
				t.Errorf("%s %s with %.6q: %q, want %q", c.method, c.path, credential, got, want)
			}
		}
		if c.path == "/api/channels/chat:open/history" {
			continue // that one is on both
		}
		for _, credential := range []string{serverKey, token} {
			if got := request(t, c.method, "http://"+n.Address()+c.path, credential, c.body); got != "not_found" {
				t.Errorf("%s %s outside: %q", c.method, c.path, got)
			}
		}
	}
	for _, name := range []string{"chat:open@presence", "@all", "@sys"} {
		if got := request(t, "POST", "http://"+n.InternalAddress()+"/api/publish", serverKey, `{"channel":"`+name+`","data":1}`); got != "forbidden" {
			t.Errorf("publish to %s: %q", name, got)
		}
	}
}
