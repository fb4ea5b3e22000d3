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
)

// known connects as a user whom a token names; with actions of "chat:*" and whether others are there.
func known(t testing.TB, n *node.Node, user string) *talker {
	t.Helper()
	keys, err := auth.NewKeys([]byte(secret), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Sign(user, []auth.Capability{
		{Channels: []string{"chat:*"}, Can: []string{"*"}}, {Channels: []string{"user:*"}, Can: []string{"presence"}},
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	k := dial(t, n)
	k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
	k.expect("connected")
	return k
}

// subscribe does, and leaves what follows the reply to be heard.
func (k *talker) subscribe(id int, n channel.Name) {
	k.t.Helper()
	k.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":%q}`, id, n))
	if m := k.expect("reply"); m["channel"] != string(n) {
		k.t.Fatalf("subscribe was answered %v", m)
	}
}

// value is the presence that a record or a table tells, as "2 ann bob".
func value(t testing.TB, m message) string {
	t.Helper()
	r := map[string]any(m)
	if m["type"] == "latest" {
		r = m["records"].([]any)[0].(map[string]any)
	}
	if r["key"] != "now" || r["user"] != nil || r["offset"] != nil {
		t.Fatalf("%v is no value of presence", m)
	}
	v := r["data"].(map[string]any)
	told := fmt.Sprint(v["count"])
	if ms, listed := v["members"].([]any); listed {
		for _, who := range ms {
			told += " " + who.(map[string]any)["user"].(string)
		}
	}
	return told
}

// told waits for a value.
func (k *talker) told(want string) {
	k.t.Helper()
	if got := value(k.t, k.hear()); got != want {
		k.t.Fatalf("told %q, want %q", got, want)
	}
}

// TestPresence: who is subscribed is told to those who watch, the first of them included, and can be asked for on every way.
func TestPresence(t *testing.T) {
	n := startNode(t, func(o *node.Options) { withTokens(o); o.Dev = true })
	ann := known(t, n, "ann")
	ann.subscribe(2, "chat:lobby")
	watcher := known(t, n, "wim")
	watcher.subscribe(2, "chat:lobby@presence")
	if m := watcher.expect("latest"); value(t, m) != "1 ann" { // the table of the first who asks is right
		t.Fatal(m)
	}
	bob, again := known(t, n, "bob"), known(t, n, "bob")
	bob.subscribe(2, "chat:lobby")
	again.subscribe(2, "chat:lobby")
	watcher.told("2 ann bob") // two connections of one user are one
	bob.say(`{"type":"presence","id":3,"channel":"chat:lobby"}`)
	p := bob.expect("reply")["presence"].(map[string]any)
	first := p["members"].([]any)[0].(map[string]any)
	if p["count"] != 2.0 || len(p["members"].([]any)) != 2 || first["user"] != "ann" || first["since"].(float64) < 1e12 || p["more"] == true {
		t.Fatal(p)
	}
	bob.say(`{"type":"presence","id":4,"channel":"chat:lobby","limit":1}`)
	if p := bob.expect("reply")["presence"].(map[string]any); len(p["members"].([]any)) != 1 || p["more"] != true {
		t.Fatal(p)
	}
	bob.say(`{"type":"presence","id":5,"channel":"chat:lobby","after":"ann"}`)
	if p := bob.expect("reply")["presence"].(map[string]any); len(p["members"].([]any)) != 1 || p["more"] == true {
		t.Fatal(p)
	}
	// Unsubscribing by one of two connections is nothing, by the last it is out at once.
	again.say(`{"type":"unsubscribe","id":3,"channel":"chat:lobby"}`)
	again.expect("reply")
	bob.say(`{"type":"unsubscribe","id":6,"channel":"chat:lobby"}`)
	bob.expect("reply")
	watcher.told("1 ann")
	// A goodbye ends everything, in this order: reply, close.
	ann.say(`{"type":"leave","id":7}`)
	if m := ann.expect("reply"); m["id"] != 7.0 {
		t.Fatal(m)
	}
	if code := ann.closed(); code != 1000 {
		t.Fatalf("closed with %d", code)
	}
	watcher.told("0")
	watcher.say(`{"type":"presence","id":8,"users":["ann","bob","nobody","wim"]}`)
	var all []string
	for _, s := range watcher.expect("reply")["presence"].(map[string]any)["seen"].([]any) {
		u := s.(map[string]any)
		all = append(all, fmt.Sprint(u["user"], " ", u["online"], " ", u["last"] != nil))
	}
	if got := strings.Join(all, ", "); got != "ann false true, bob true false, nobody false false, wim true false" {
		t.Fatal(got)
	}
	// Who watches again, or anew, finds the value of now.
	again.subscribe(4, "chat:lobby")
	watcher.told("1 bob")
	watcher.say(`{"type":"unsubscribe","id":9,"channel":"chat:lobby@presence"}`)
	watcher.expect("reply")
	bob.subscribe(7, "chat:other")
	watcher.subscribe(10, "chat:lobby@presence")
	watcher.told("1 bob")
}

// TestPresenceOverHTTP: both listeners answer what the socket answers.
func TestPresenceOverHTTP(t *testing.T) {
	n := startNode(t, func(o *node.Options) { withTokens(o); o.Dev = true })
	for i, user := range []string{"ann", "bob", "cyd"} {
		known(t, n, user).subscribe(i+2, "chat:lobby")
	}
	page := ask(t, n, "GET", "/api/presence?channel=chat:lobby&limit=2", "", 200)
	if page["count"] != 3.0 || len(page["members"].([]any)) != 2 {
		t.Fatal(page)
	}
	page = ask(t, n, "GET", "/api/presence?channel=chat:lobby&cursor="+page["next"].(string), "", 200)
	if ms := page["members"].([]any); len(ms) != 1 || ms[0].(map[string]any)["user"] != "cyd" || page["next"] != nil {
		t.Fatal(page)
	}
	seen := ask(t, n, "POST", "/api/presence", `{"users":["ann","zoe"]}`, 200)["seen"].([]any)
	if seen[0].(map[string]any)["online"] != true || seen[1].(map[string]any)["online"] != false {
		t.Fatal(seen)
	}
	ask(t, n, "GET", "/api/presence?channel=demo:x", "", http.StatusNotImplemented)
	ask(t, n, "GET", "/api/presence", "", http.StatusBadRequest)
	ask(t, n, "POST", "/api/presence", `{"users":[]}`, http.StatusBadRequest)
	ask(t, n, "POST", "/api/presence", `{"users":["a b"]}`, http.StatusBadRequest)
	users, err := json.Marshal(map[string]any{"users": strings.Fields(strings.Repeat("u ", 501))})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, n, "POST", "/api/presence", string(users), http.StatusBadRequest)
}

// TestPresenceRights: presence is a right of its own on every way, and users can be asked about by who may.
func TestPresenceRights(t *testing.T) {
	n := startNode(t, func(o *node.Options) { withTokens(o); o.Dev = true })
	keys, err := auth.NewKeys([]byte(secret), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	with := func(caps ...auth.Capability) (*talker, string) {
		token, err := keys.Sign("ann", caps, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
		k.expect("connected")
		return k, token
	}
	all := auth.Capability{Channels: []string{"*"}, Can: []string{"*"}}
	users := auth.Capability{Channels: []string{"user:*"}, Can: []string{"presence"}}
	for _, c := range []struct {
		name          string
		caps          []auth.Capability
		channel, user string // code of a refusal
	}{
		{"no presence", []auth.Capability{{Channels: []string{"*"}, Can: []string{"subscribe", "publish", "history", "command"}}}, "forbidden", "forbidden"},
		{"everything", []auth.Capability{all}, "", "forbidden"},
		{"users too", []auth.Capability{all, users}, "", ""},
		{"denied", []auth.Capability{all, users, {Channels: []string{"chat:*", "user:bob"}, Can: []string{"presence"}, Deny: true}}, "forbidden", "forbidden"},
	} {
		k, token := with(c.caps...)
		id := 1
		code := func(text string) string {
			id++
			k.say(fmt.Sprintf(text, id))
			got, _ := k.hear()["code"].(string)
			return got
		}
		base := "http://" + n.Address() + "/api/presence"
		for way, got := range map[string]string{
			"request": code(`{"type":"presence","id":%d,"channel":"chat:x"}`),
			"part":    code(`{"type":"subscribe","id":%d,"channel":"chat:x@presence"}`),
			"rest":    request(t, "GET", base+"?channel=chat:x", token, ""),
		} {
			if got != c.channel {
				t.Errorf("%s, by %s: %q, want %q", c.name, way, got, c.channel)
			}
		}
		if c.channel == "" {
			k.expect("latest")
		}
		for way, got := range map[string]string{
			"request": code(`{"type":"presence","id":%d,"users":["ann","bob"]}`),
			"rest":    request(t, "POST", base, token, `{"users":["ann","bob"]}`),
		} {
			if got != c.user {
				t.Errorf("%s, by %s of users: %q, want %q", c.name, way, got, c.user)
			}
		}
		if got := code(`{"type":"presence","id":%d,"users":["ann"]}`); got != "" {
			t.Errorf("%s, of oneself: %q", c.name, got)
		}
		if c.channel == "" {
			if got := code(`{"type":"presence","id":%d,"channel":"demo:x"}`); got != "unsupported" {
				t.Errorf("%s, where none is kept: %q", c.name, got)
			}
			if got := code(`{"type":"subscribe","id":%d,"channel":"demo:x@presence"}`); got != "unsupported" {
				t.Errorf("%s, to watch where none is kept: %q", c.name, got)
			}
		}
		if got := code(`{"type":"publish","id":%d,"channel":"chat:x@presence","data":1,"class":"latest","key":"now"}`); got != "forbidden" {
			t.Errorf("%s, to write it: %q", c.name, got)
		}
	}
}
