package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/gateway/auth"
	"carillon/node"
)

const (
	serverKey = "sk-5Q2vYc8mZr1tLw9xKd4nHb7jPf3gSa6e"
	secret    = "7Jc2mQx9vTz4bLw8nRk5yHs3dGf6pXa1eUoWqBtN"
)

// ask calls the server API and returns what it answers.
func ask(t testing.TB, n *node.Node, method, path, body string, status int) message {
	t.Helper()
	return askAt(t, n.InternalAddress(), method, path, body, status)
}

// askAt is ask at an address.
func askAt(t testing.TB, address, method, path, body string, status int) message {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+serverKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != status {
		t.Fatalf("%s %s answered %d %s, want %d", method, path, resp.StatusCode, text, status)
	}
	var m message
	_ = json.Unmarshal(text, &m)
	return m
}

// withTokens makes a node that lets in who has a token.
func withTokens(o *node.Options) {
	o.Dev, o.Secret = false, []byte(secret)
	o.Internal, o.ServerKeys = "127.0.0.1:0", []string{serverKey}
}

func sign(t testing.TB, user string) string {
	t.Helper()
	keys, err := auth.NewKeys([]byte(secret), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Sign(user, []auth.Capability{{Channels: []string{"*"}, Can: []string{"*"}}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestRevocation: a revoked user is out within a moment, everywhere, and stays out over a restart.
func TestRevocation(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	n := startNode(t, func(o *node.Options) { withTokens(o); o.Data = data })
	ann, bob := sign(t, "ann"), sign(t, "bob")
	enter := func(n *node.Node, token string) *talker {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
		return k
	}
	k, other := enter(n, ann), enter(n, bob)
	k.expect("connected")
	other.expect("connected")
	ask(t, n, "POST", "/api/revocations", `{"user":"ann"}`, 200)
	if code := k.closed(); code != 4006 {
		t.Fatalf("closed with %d", code)
	}
	other.say(`{"type":"ping","id":2}`)
	other.expect("reply")
	again := enter(n, ann)
	if m := again.expect("error"); m["code"] != "revoked" {
		t.Fatal(m)
	}
	stopNode(t, n)
	restarted := startNode(t, func(o *node.Options) { withTokens(o); o.Data = data })
	still := enter(restarted, ann)
	if m := still.expect("error"); m["code"] != "revoked" {
		t.Fatal(m)
	}
	enter(restarted, bob).expect("connected")
}

// TestConnectionsPerUser: the sixth connection of a user is refused, and a place that is left is free again.
func TestConnectionsPerUser(t *testing.T) {
	n := startNode(t, withTokens)
	token := sign(t, "ann")
	var lines []*talker
	for range 5 {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
		k.expect("connected")
		lines = append(lines, k)
	}
	k := dial(t, n)
	k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
	k.expect("error")
	if code := k.closed(); code != 4005 {
		t.Fatalf("closed with %d", code)
	}
	listed := ask(t, n, "GET", "/api/connections?user=ann", "", 200)
	if all := listed["connections"].([]any); len(all) != 5 {
		t.Fatalf("%d connections listed", len(all))
	}
	id := listed["connections"].([]any)[0].(map[string]any)["id"].(string)
	ask(t, n, "POST", "/api/connections/"+id+"/disconnect", "{}", 200)
	ended := 0
	for _, l := range lines {
		l.say(`{"type":"ping","id":2}`)
		if _, err := l.next(); err != nil {
			ended++
		}
	}
	if ended != 1 {
		t.Fatalf("%d lines ended", ended)
	}
	last := dial(t, n)
	last.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
	last.expect("connected")
}

// TestSubscriptionToken: a token for one channel opens that one, for its user alone.
func TestSubscriptionToken(t *testing.T) {
	n := startNode(t, withTokens)
	keys, err := auth.NewKeys([]byte(secret), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := keys.Sign("ann", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	permit := ask(t, n, "POST", "/api/token", `{"kind":"subscribe","user":"ann","channel":"demo:x","can":["subscribe"]}`, 200)["token"].(string)
	k := dial(t, n)
	k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, plain))
	k.expect("connected")
	for _, c := range []struct{ say, want string }{
		{`{"type":"subscribe","id":2,"channel":"demo:x"}`, "error"},
		{fmt.Sprintf(`{"type":"subscribe","id":3,"channel":"demo:y","token":%q}`, permit), "error"},
		{fmt.Sprintf(`{"type":"subscribe","id":4,"channel":"demo:x","token":%q}`, permit), "reply"},
		{`{"type":"subscribe","id":5,"channel":"user:ann"}`, "reply"},
		{`{"type":"subscribe","id":6,"channel":"user:bob"}`, "error"},
	} {
		k.say(c.say)
		k.expect(c.want)
	}
}

// TestTicketOpensOnce: a one-time ticket opens one connection.
func TestTicketOpensOnce(t *testing.T) {
	n := startNode(t, withTokens)
	ticket := ask(t, n, "POST", "/api/token", `{"kind":"ticket","user":"ann","caps":[{"channels":["demo:*"],"can":["subscribe"]}]}`, 200)["token"].(string)
	for _, want := range []string{"connected", "error"} {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, ticket))
		k.expect(want)
	}
}

// TestH11: nothing of the internal listener is to be seen outside.
func TestH11(t *testing.T) {
	n := startNode(t, withTokens)
	for _, path := range []string{"/mqtt", "/debug/vars", "/debug/pprof/", "/metrics", "/livez", "/readyz", "/api/publish", "/"} {
		resp, err := http.Get("http://" + n.Address() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s answered %d", path, resp.StatusCode)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/readyz?verbose"} {
		ask(t, n, "GET", path, "", 200)
	}
}
