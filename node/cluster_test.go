package node_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/config"
	"carillon/internal/servertest"
	"carillon/node"
)

// TestCluster is what several nodes do together over one Redis and one Postgres.
func TestCluster(t *testing.T) {
	s := &servers{redis: servertest.StartRedis(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	for name, test := range map[string]func(*testing.T, *world){
		"talk": clusterTalk, "resume": clusterResume, "durable": clusterDurable, "chat": clusterChat, "revocation": clusterRevocation,
		"announcement": clusterAnnouncement, "disconnect": clusterDisconnect, "own channel": clusterOwnChannel, "presence": clusterPresence,
		"roles": clusterRoles, "ticket": clusterTicket,
	} {
		t.Run(name, func(t *testing.T) { test(t, s.world()) })
	}
}

// TestClusterOverTLS: nodes reach Redis by TLS, with a certificate that no system knows.
func TestClusterOverTLS(t *testing.T) {
	s := &servers{redis: servertest.StartRedisTLS(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	trust, err := (&config.Redis{CA: s.redis.CA}).Trust()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(*testing.T, *world){"talk": clusterTalk, "resume": clusterResume, "chat": clusterChat, "presence": clusterPresence} {
		t.Run(name, func(t *testing.T) {
			w := s.world()
			w.trust = trust
			test(t, w)
		})
	}
}

// What is published on one node is heard on another, in the same order, with the same positions.
func clusterTalk(t *testing.T, w *world) {
	a, b := w.node(t, "a"), w.node(t, "b")
	ann, bob := join(t, a), join(t, b)
	at := bob.do(2, `"type":"subscribe","channel":"demo:lobby"`)
	if at["type"] != "reply" {
		t.Fatal(at)
	}
	for i := range 20 {
		ack := ann.do(i+2, `"type":"publish","channel":"demo:lobby","data":%d`, i)
		if ack["ack"] != "appended:redis-none" {
			t.Fatalf("publish: %v", ack)
		}
		if r := bob.expect("record"); r["at"] != ack["at"] || r["data"] != float64(i) || r["offset"] != float64(i+1) {
			t.Fatalf("record %v of %v", r, ack)
		}
	}
	ann.do(30, `"type":"publish","channel":"demo:lobby","data":"typing","class":"fleeting"`)
	if r := bob.expect("record"); r["data"] != "typing" {
		t.Fatalf("fleeting: %v", r)
	}
	ann.do(31, `"type":"publish","channel":"demo:lobby","data":"red","class":"latest","key":"pen"`)
	if r := bob.expect("record"); r["data"] != "red" {
		t.Fatalf("latest: %v", r)
	}
}

// Who leaves one node goes on where he was on another.
func clusterResume(t *testing.T, w *world) {
	a, b := w.node(t, "a"), w.node(t, "b")
	ann, bob := join(t, a), join(t, b)
	at := bob.do(2, `"type":"subscribe","channel":"demo:r"`)["at"]
	for i := range 5 {
		ann.do(i+2, `"type":"publish","channel":"demo:r","data":%d,"idem":"r%d"`, i, i)
	}
	stopNode(t, b)
	again := join(t, a)
	if m := again.do(2, `"type":"subscribe","channel":"demo:r","at":%q`, at); m["recovered"] != true || m["gap"] != nil {
		t.Fatalf("resume: %v", m)
	}
	for i := range 5 {
		if r := again.expect("record"); r["data"] != float64(i) {
			t.Fatalf("record %v, want %d", r, i)
		}
	}
	// An id is known on every node.
	c := w.node(t, "c")
	first, other := ann.do(20, `"type":"publish","channel":"demo:r","data":4,"idem":"r4"`), join(t, c)
	if m := other.do(2, `"type":"history","channel":"demo:r"`); len(m["records"].([]any)) != 5 || first["offset"] != 5.0 {
		t.Fatalf("after the resend %v: %v", first, m)
	}
}

// A durable channel that two nodes write at once has one order, the same for everybody, and nothing is lost.
func clusterDurable(t *testing.T, w *world) {
	const each = 150
	nodes := []*node.Node{w.node(t, "a"), w.node(t, "b")}
	var subs, pubs []*talker
	for _, n := range nodes {
		s := join(t, n)
		s.do(2, `"type":"subscribe","channel":"news:all"`)
		subs, pubs = append(subs, s), append(pubs, join(t, n))
	}
	var writing sync.WaitGroup
	for i, k := range pubs {
		writing.Go(func() {
			for j := range each {
				if m := k.do(j+2, `"type":"publish","channel":"news:all","data":"%d/%d"`, i, j); m["ack"] != "durable" {
					t.Errorf("publish: %v", m)
					return
				}
			}
		})
	}
	var heard [2][]string
	for i, s := range subs {
		for j := range 2 * each {
			r := s.expect("record")
			if r["offset"] != float64(j+1) {
				t.Fatalf("record %d on node %d: %v", j+1, i, r)
			}
			heard[i] = append(heard[i], fmt.Sprint(r["at"], r["data"]))
		}
	}
	writing.Wait()
	if !slices.Equal(heard[0], heard[1]) {
		t.Error("the nodes heard different orders")
	}
}

// Members chat across nodes while the service runs on a third, and access that it takes is taken everywhere.
func clusterChat(t *testing.T, w *world) {
	front := with(node.Roles{Gateway: true, API: true}, "chat")
	a, b := w.node(t, "a", front), w.node(t, "b", front)
	w.node(t, "worker", with(node.Roles{Worker: true}, "chat"))
	ann, bob := meet(t, a, "ann"), meet(t, b, "bob")
	ann.eventually("chat:tea", `{"do":"create","public":true}`)
	bob.do("chat:tea", `{"do":"join"}`)
	ann.subscribe("chat:tea")
	bob.subscribe("chat:tea")
	for i := range 5 {
		from, to := ann, bob
		if i%2 == 1 {
			from, to = bob, ann
		}
		text := fmt.Sprint("cup ", i)
		from.do("chat:tea", fmt.Sprintf(`{"do":"send","text":%q}`, text))
		to.until(func(m message) bool {
			data, _ := m["data"].(map[string]any)
			return m["type"] == "record" && data["text"] == text
		})
	}
	began := time.Now()
	ann.do("chat:tea", fmt.Sprintf(`{"do":"ban","user":%q}`, bob.user))
	bob.until(func(m message) bool { return m["type"] == "unsubscribed" && m["channel"] == "chat:tea" })
	t.Logf("expelled on the other node after %s", time.Since(began).Round(time.Millisecond))
	if m := bob.request(`"type":"subscribe","channel":"chat:tea"`); m["type"] != "error" {
		t.Fatalf("a banned user subscribes: %v", m)
	}
}

// A revocation ends connections on every node, and holds on one that comes later.
func clusterRevocation(t *testing.T, w *world) {
	tokens := func(o *node.Options) { o.Dev, o.Secret = false, []byte(secret) }
	a, b := w.node(t, "a", tokens), w.node(t, "b", tokens)
	granted := map[string]string{"ann": sign(t, "ann"), "bob": sign(t, "bob")}
	enter := func(n *node.Node, user string) *talker {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, granted[user]))
		return k
	}
	ann, bob := enter(b, "ann"), enter(b, "bob")
	ann.expect("connected")
	bob.expect("connected")
	began := time.Now()
	ask(t, a, "POST", "/api/revocations", `{"user":"ann"}`, 200)
	if code := ann.closed(); code != 4006 {
		t.Fatalf("closed with %d", code)
	}
	t.Logf("out on the other node after %s", time.Since(began).Round(time.Millisecond))
	late := w.node(t, "late", tokens)
	for _, n := range []*node.Node{a, b, late} {
		if m := enter(n, "ann").expect("error"); m["code"] != "revoked" {
			t.Fatal(m)
		}
	}
	bob.do(2, `"type":"ping"`)
}

// An announcement reaches every connection of every node once.
func clusterAnnouncement(t *testing.T, w *world) {
	a, b := w.node(t, "a"), w.node(t, "b")
	all := []*talker{join(t, a), join(t, a), join(t, b), join(t, b)}
	for i := range 3 {
		ask(t, a, "POST", "/api/announce", fmt.Sprintf(`{"data":"tea at %d"}`, i), 200)
		for j, k := range all {
			if r := k.expect("record"); r["channel"] != "@all" || r["data"] != fmt.Sprint("tea at ", i) {
				t.Fatalf("connection %d heard %v", j, r)
			}
		}
	}
	for _, k := range all {
		if m := k.do(2, `"type":"ping"`); m["type"] != "reply" {
			t.Fatal(m)
		}
	}
}

// A server that ends connections need not know on which node they are.
func clusterDisconnect(t *testing.T, w *world) {
	a, b := w.node(t, "a"), w.node(t, "b")
	ann, bob := meet(t, b, "ann"), meet(t, b, "bob")
	answer := ask(t, a, "POST", "/api/users/guest-ann/disconnect", `{"code":"drain"}`, 200)
	if answer["disconnected"] != 0.0 || answer["sent"] != true {
		t.Fatalf("answered %v", answer)
	}
	if code := ann.closed(); code != 4201 {
		t.Fatalf("closed with %d", code)
	}
	listed := ask(t, b, "GET", "/api/connections?user=guest-bob", "", 200)["connections"].([]any)[0].(map[string]any)
	if listed["node"] != "b" {
		t.Fatalf("listed as %v", listed)
	}
	ask(t, a, "POST", fmt.Sprintf("/api/connections/%s/disconnect", listed["id"]), `{}`, 200)
	if code := bob.closed(); code != 4006 {
		t.Fatalf("closed with %d", code)
	}
}

// What is for a user reaches him wherever he is, without his asking.
func clusterOwnChannel(t *testing.T, w *world) {
	a, b := w.node(t, "a"), w.node(t, "b")
	here, there := meet(t, a, "ann"), meet(t, b, "ann")
	for i := range 3 {
		ask(t, a, "POST", "/api/users/guest-ann/publish", fmt.Sprintf(`{"data":%d}`, i), 200)
		for _, p := range []*person{here, there} {
			if r := p.expect("record"); r["channel"] != "user:guest-ann" || r["data"] != float64(i) {
				t.Fatalf("heard %v", r)
			}
		}
	}
}

// Who is in a channel is the same on every node, and is told to whoever watches on another.
func clusterPresence(t *testing.T, w *world) {
	kept := func(o *node.Options) {
		o.Policies = func(channel.Name) channel.Policy {
			p := channel.DefaultPolicy()
			p.Presence = true
			return p
		}
	}
	a, b := w.node(t, "a", kept), w.node(t, "b", kept)
	watcher := meet(t, a, "watcher")
	watcher.subscribe("demo:x@presence")
	ann, bob := meet(t, a, "ann"), meet(t, b, "bob")
	ann.subscribe("demo:x")
	bob.subscribe("demo:x")
	counted := func(want float64) {
		t.Helper()
		watcher.until(func(m message) bool {
			if records, is := m["records"].([]any); is && len(records) > 0 {
				m = records[0].(map[string]any)
			}
			data, _ := m["data"].(map[string]any)
			return m["channel"] == "demo:x@presence" && data["count"] == want
		})
	}
	counted(2)
	for _, n := range []*node.Node{a, b} {
		members := ask(t, n, "GET", "/api/presence?channel=demo:x", "", 200)
		if members["count"] != 2.0 {
			t.Fatalf("members %v", members)
		}
	}
	bob.request(`"type":"unsubscribe","channel":"demo:x"`)
	counted(1)
}

// A worker has no door for clients; what a node is not it does not answer.
func clusterRoles(t *testing.T, w *world) {
	worker := w.node(t, "worker", with(node.Roles{Worker: true}, "counter"))
	if worker.Address() != "" || worker.InternalAddress() == "" {
		t.Fatalf("the worker listens at %q and %q", worker.Address(), worker.InternalAddress())
	}
	front := w.node(t, "front", with(node.Roles{Gateway: true}, "counter"))
	web := w.node(t, "web", with(node.Roles{API: true}, "counter"))
	ask(t, worker, "GET", "/api/channels", "", 404)
	ask(t, front, "GET", "/api/channels", "", 404)
	ann := meet(t, front, "ann")
	ann.eventually("counter:c", `{"do":"add","by":2}`)
	ask(t, web, "POST", "/api/publish", `{"channel":"demo:x","data":1}`, 200)
	ann.subscribe("demo:x")
	ask(t, web, "POST", "/api/publish", `{"channel":"demo:x","data":2}`, 200)
	if r := ann.expect("record"); r["data"] != 2.0 {
		t.Fatalf("heard %v", r)
	}
	eventually(t, "all are ready", func() bool {
		for _, n := range []*node.Node{worker, front, web} {
			ask(t, n, "GET", "/readyz", "", 200)
		}
		return true
	})
}

// A ticket that one node gave is good on another, once.
func clusterTicket(t *testing.T, w *world) {
	tokens := func(o *node.Options) { o.Dev, o.Secret = false, []byte(secret) }
	a, b := w.node(t, "a", tokens), w.node(t, "b", tokens)
	ticket := ask(t, a, "POST", "/api/token", `{"kind":"ticket","user":"ann","caps":[]}`, 200)["token"]
	heard := map[any]int{}
	for _, n := range []*node.Node{b, a, b} {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, ticket))
		heard[k.hear()["type"]]++
	}
	if heard["connected"] != 1 || heard["error"] != 2 {
		t.Fatalf("of three who brought one ticket: %v", heard)
	}
}
