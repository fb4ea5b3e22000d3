package api

import (
	"fmt"
	"strings"
	"testing"

	"carillon/gateway/auth"
	"carillon/wire"
)

// way is one way to a channel: it says "" if it was let through, or the code of the refusal.
type way struct {
	name   string
	action auth.Action // that it needs of the token; 0: none, a server key opens it
	try    func(s *stage, k *talker, token, n string) string
}

// socketWay is a request on a socket.
func socketWay(name string, a auth.Action, text string) way {
	return way{name, a, func(s *stage, k *talker, _, n string) string {
		k.t.Helper()
		k.say(fmt.Sprintf(text, n))
		m, err := k.hear("reply", "error")
		if err != nil {
			k.t.Fatal(err)
		}
		code, _ := m["code"].(string)
		k.say(`{"type":"unsubscribe","id":99,"channel":"` + n + `"}`)
		if _, err := k.hear("reply", "error"); err != nil {
			k.t.Fatal(err)
		}
		return code
	}}
}

func keyWay(name, key, method, path, body string) way {
	return way{name, 0, func(s *stage, _ *talker, _, n string) string {
		s.forgive()
		return s.ask(request{method: method, path: strings.ReplaceAll(path, "CHANNEL", n), body: strings.ReplaceAll(body, "CHANNEL", n), server: true, credential: key}).text("code")
	}}
}

// TestP09Matrix: every way to a channel against every reason to be let through or not; all of them decide alike. What the token says
// holds on the socket and over HTTP; what needs the key is shut without it, whatever token comes instead.
func TestP09Matrix(t *testing.T) {
	s := newStage(t, nil)
	caps := []auth.Capability{
		{Channels: []string{"chat:*"}, Can: []string{"*"}}, {Channels: []string{"chat:secret", "chat:sec*"}, Deny: true},
		{Channels: []string{"feed:*"}, Can: []string{"subscribe"}}, {Channels: []string{"log:*"}, Can: []string{"history"}},
	}
	token, err := s.tokens.Sign("ann", caps, 60e9)
	must(t, err)
	who, err := s.tokens.Verify(token)
	must(t, err)
	channels := []string{
		"chat:open", "chat:secret", "chat:secrets", "chat:secret:x", "chat:sec", "CHAT:open", "chatx", "feed:a", "log:a", "other:a",
		"chat:open@presence", "chat:secret@presence", "chat:open@x@y", "user:ann", "user:bob", "@all", "@sys", "@",
	}
	position := s.call("GET", "/api/channels/chat:open", "").text("head")
	ways := []way{
		socketWay("live", auth.Subscribe, `{"type":"subscribe","id":2,"channel":"%s"}`),
		socketWay("resume", auth.Subscribe, `{"type":"subscribe","id":3,"channel":"%s","at":"`+position+`"}`),
		socketWay("rewind", auth.Subscribe|auth.History, `{"type":"subscribe","id":4,"channel":"%s","rewind":5}`),
		socketWay("history on the socket", auth.History, `{"type":"history","id":5,"channel":"%s"}`),
		socketWay("publish on the socket", auth.Publish, `{"type":"publish","id":6,"channel":"%s","data":1}`),
		{"history over HTTP", auth.History, func(s *stage, _ *talker, token, n string) string {
			a := s.ask(request{method: "GET", path: "/api/channels/" + n + "/history", credential: token})
			if a.status == 200 {
				return ""
			}
			return a.text("code")
		}},
		{"older history over HTTP", auth.History, func(s *stage, _ *talker, token, n string) string {
			a := s.ask(request{method: "GET", path: "/api/channels/" + n + "/history?before=" + position, credential: token, header: map[string]string{"If-None-Match": "*"}})
			if a.status == 200 {
				return ""
			}
			return a.text("code")
		}},
	}
	k := s.join(token)
	for _, n := range channels {
		for _, w := range ways {
			want := ""
			if auth.Decide(who, w.action, nameOf(n)) != nil {
				want = string(wire.CodeForbidden)
			}
			if got := w.try(s, k, token, n); got != want {
				t.Errorf("%s to %s: %q, want %q", w.name, n, got, want)
			}
		}
	}
	// What Decide is to say, in words: a table of its own, so that a judge that says yes to all is found.
	for n, allowed := range map[string]string{
		"chat:open": "live, history over HTTP, publish on the socket", "chat:secret": "", "chat:secrets": "", "feed:a": "live", "log:a": "history over HTTP", "other:a": "", "user:bob": "", "@sys": "",
	} {
		for _, w := range ways {
			got := w.try(s, k, token, n) == ""
			if w.name == "live" || w.name == "history over HTTP" || w.name == "publish on the socket" {
				if want := strings.Contains(allowed, w.name); got != want {
					t.Errorf("%s to %s is allowed: %v", w.name, n, got)
				}
			}
		}
	}
	for _, c := range []struct{ key, want string }{{serverKey, ""}, {secondKey, ""}, {token, "unauthorized"}, {"", "unauthorized"}, {serverKey[1:], "unauthorized"}} {
		for _, w := range []way{
			keyWay("publish", c.key, "POST", "/api/publish", `{"channel":"CHANNEL","data":1}`),
			keyWay("announce", c.key, "POST", "/api/announce", `{"data":"CHANNEL"}`),
			keyWay("look", c.key, "GET", "/api/channels/CHANNEL", ""),
			keyWay("history", c.key, "GET", "/api/channels/CHANNEL/history", ""),
			keyWay("token", c.key, "POST", "/api/token", `{"user":"ann"}`),
			keyWay("list", c.key, "GET", "/api/connections?channel=CHANNEL", ""),
			keyWay("batch", c.key, "POST", "/api/batch", `{"items":[{"channel":"CHANNEL","data":1}]}`),
			keyWay("revoke", c.key, "POST", "/api/revocations", `{"user":"carl"}`),
		} {
			for _, n := range []string{"chat:open", "chat:secret", "other:a"} {
				if got := w.try(s, nil, "", n); got != c.want {
					t.Errorf("%s of %s with %.8q: %q, want %q", w.name, n, c.key, got, c.want)
				}
			}
		}
	}
}

// TestS09Listeners: what needs a key is not on the public listener, with any credential.
func TestS09Listeners(t *testing.T) {
	s := newStage(t, nil)
	for _, r := range (&server{}).routes() {
		if on := served()[r.name()]; len(on) > 1 {
			continue
		}
		path := strings.NewReplacer("{channel}", "chat:a", "{user}", "ann", "{id}", "x").Replace(r.pattern)
		for _, credential := range []string{"", serverKey, s.token("ann", "*", "*")} {
			s.ask(request{method: r.method, path: path, credential: credential}).refused(CodeNotFound)
		}
	}
	s.ask(request{method: "GET", path: "/api/channels/chat:a/history", credential: serverKey}).refused(wire.CodeUnauthorized)
	for _, path := range []string{"/api", "/api/", "/api/metrics", "/api/debug/pprof", "/api/publish/", "/api//publish", "/api/../metrics", "/api/channels//history", "/API/publish", "/", "/metrics"} {
		s.call("GET", path, "").refused(CodeNotFound)
	}
}
