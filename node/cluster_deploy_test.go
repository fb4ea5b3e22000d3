package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"carillon/client"
	"carillon/gateway/session"
	"carillon/internal/servertest"
	"carillon/node"
	"carillon/observe"
)

// TestF04GatewayKilled: one of two gateways is killed again and again. Its clients go on at the other one, and nothing that
// was acknowledged is lost, twice or out of order.
func TestF04GatewayKilled(t *testing.T) {
	x, kills, every := experiment{publishers: 3, channels: 4, subscribers: 12, records: 250, every: 10 * time.Millisecond}, 3, 700*time.Millisecond
	if long() {
		x, kills, every = size(0), 12, 5*time.Second
	}
	x.seed, x.refusals = rand.Uint64()>>20, true
	w := &world{redis: servertest.StartRedis(t, servertest.RedisNone...), prefix: "killed"}
	gateways := []*child{w.child(t, childSpec{Name: "a"}), w.child(t, childSpec{Name: "b"})}
	b := newBalancer(t, gateways[0].spec.Listen, gateways[1].spec.Listen)
	var l life
	o := x.play(t, []string{b.url()}, client.Options{OnState: l.hear}, func(published <-chan struct{}) {
		for i := range kills {
			select {
			case <-published:
				return
			case <-time.After(every):
			}
			gateways[i%2].kill()
			gateways[i%2].start()
		}
	})
	x.settle(t, o, b.url())
	o.judge(t)
	if l.count(client.Reconnecting) == 0 {
		t.Error("no client lost its line: nobody was killed in time")
	}
}

// TestF23RollingDeploy: each of two nodes behind a balancer is drained and started anew, in turn, under load. Clients are
// away for a moment, each at most once a drained node; nothing is lost, and nothing comes twice.
func TestF23RollingDeploy(t *testing.T) {
	x := experiment{publishers: 4, channels: 20, subscribers: 300, records: 350, every: 20 * time.Millisecond}
	window := 1500 * time.Millisecond
	if long() {
		x.subscribers, x.records, x.every, window = 2000, 1200, 60*time.Millisecond, 20*time.Second
	}
	x.seed, x.refusals = rand.Uint64()>>20, true
	w := &world{redis: servertest.StartRedis(t, servertest.RedisNone...), prefix: "deploy"}
	rolling := func(o *node.Options) { o.DrainWindow, o.Settings = window, session.DefaultSettings() }
	names := []string{"a", "b"}
	nodes := []*node.Node{w.node(t, "a", whole, rolling), w.node(t, "b", whole, rolling)}
	b := newBalancer(t, nodes[0].Address(), nodes[1].Address())
	lives := make([]*life, x.subscribers)
	for i := range lives {
		lives[i] = &life{}
	}
	eventually(t, "the nodes know of each other", func() bool {
		return scrape(t, nodes[0]).of(observe.Peers) == 1 && scrape(t, nodes[1]).of(observe.Peers) == 1
	})
	o := x.play(t, []string{b.url()}, client.Options{}, func(<-chan struct{}) {
		for i, n := range nodes {
			ctx, cancel := context.WithTimeout(context.Background(), window+10*time.Second)
			err := n.Close(ctx)
			cancel()
			if err != nil {
				t.Errorf("draining node %s: %v", names[i], err)
			}
			again := n.Address()
			nodes[i] = w.node(t, names[i], whole, rolling, func(o *node.Options) { o.Listen = again })
			eventually(t, "the node is known", func() bool { return scrape(t, nodes[1-i]).of(observe.Peers) == 1 })
		}
	}, func(i int, o *client.Options) { o.OnState = lives[i].hear })
	x.settle(t, o, b.url())
	o.judge(t)
	o.leave()
	var away []time.Duration
	for i, l := range lives {
		if n := l.count(client.Reconnecting); n > len(nodes) {
			t.Errorf("client %d lost its line %d times: %v", i, n, l.phases)
		}
		away = append(away, l.away...)
	}
	slices.Sort(away)
	if len(away) < x.subscribers {
		t.Fatalf("%d clients, and %d came back: was anybody drained?", x.subscribers, len(away))
	}
	p99 := away[len(away)*99/100]
	t.Logf("%d times away: p50 %s, p99 %s, most %s", len(away), away[len(away)/2], p99, away[len(away)-1])
	if long() && p99 > 2500*time.Millisecond {
		t.Errorf("away p99 %s, more than 2.5 s", p99)
	}
}

// TestClusterParted: one node is cut off from Redis, the other is not. What is said meanwhile is in force and known once
// it is back.
func TestClusterParted(t *testing.T) {
	w := &world{redis: servertest.StartRedis(t, servertest.RedisNone...), prefix: "parted"}
	line := newBalancer(t, w.redis.Address)
	a := w.node(t, "a")
	b := w.node(t, "b", func(o *node.Options) { o.Redis.URL = "redis://" + line.address() })
	ann, mallory := meet(t, b, "ann"), meet(t, b, "mallory")
	ann.subscribe("demo:x")
	bob := join(t, a)
	if m := bob.do(2, `"type":"publish","channel":"demo:x","data":0`); m["type"] != "reply" {
		t.Fatal(m)
	}
	ann.until(func(m message) bool { return m["data"] == 0.0 })
	eventually(t, "the head of a channel that is listened to is read", func() bool { return scrape(t, b).of(observe.BusWhole) == 1 })
	<-time.After(time.Second) // for the round that notes how far each user's own channel had come
	line.part()
	ann.until(func(m message) bool { return m["type"] == "stale" && m["stale"] == true })
	for i := range 3 {
		if m := bob.do(10+i, `"type":"publish","channel":"demo:x","data":%d`, i+1); m["type"] != "reply" {
			t.Fatalf("the node that is not cut off answers %v", m)
		}
	}
	if m := ann.request(`"type":"publish","channel":"demo:x","data":"no"`); m["type"] != "error" || m["retry"] != true {
		t.Fatalf("the node that is cut off answers %v", m)
	}
	ask(t, a, "POST", "/api/users/guest-ann/publish", `{"data":"for you"}`, 200)
	ask(t, a, "POST", "/api/announce", `{"data":"for all"}`, 200)
	ask(t, a, "POST", "/api/revocations", `{"user":"guest-mallory"}`, 200)
	ask(t, b, "POST", "/api/users/guest-bob/disconnect", `{}`, 503)
	checkNotReady(t, b)
	line.heal()
	for i := range 3 {
		if m := ann.until(func(m message) bool { return m["channel"] == "demo:x" }); m["type"] != "record" || m["data"] != float64(i+1) {
			t.Fatalf("back, the subscriber hears %v, want %d", m, i+1)
		}
	}
	ann.until(func(m message) bool { return m["data"] == "for you" })
	ann.until(func(m message) bool { return m["data"] == "for all" })
	ann.until(func(m message) bool { return m["type"] == "stale" && m["stale"] != true })
	if code := mallory.closed(); code != 4006 {
		t.Fatalf("the revoked user is closed with %d", code)
	}
	if m := ann.request(`"type":"publish","channel":"demo:x","data":"yes"`); m["type"] != "reply" {
		t.Fatal(fmt.Sprint(m))
	}
}
