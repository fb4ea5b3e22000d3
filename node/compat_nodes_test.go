package node_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"carillon/client"
	"carillon/internal/servertest"
)

// compatNodes has nodes of both builds in one cluster.
func compatNodes(t *testing.T, old, now edition) {
	s := &servers{redis: servertest.StartRedis(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	understood := t.Run("side by side", func(t *testing.T) {
		w := s.world()
		a, b := w.host(t, "a", old), w.host(t, "b", now)
		sideBySide(t, [2]*host{a, b})
		sideBySide(t, [2]*host{b, a})
	})
	if understood { // the rest would only wait in vain
		t.Run("replaced", func(t *testing.T) { replaced(t, s.world(), old, now) })
	}
}

// host starts a node of a build in this world.
func (w *world) host(t testing.TB, name string, b edition) *host {
	t.Helper()
	settings := fmt.Sprintf("redis: {url: %q, prefix: %s}\ndrain: {window: 300ms}\nnode: %s", w.redis.URL(), w.prefix, name)
	return newHost(t, b, settings, "CARILLON_POSTGRES_URL="+w.dsn)
}

// sideBySide has somebody on the first node do something, and somebody on the second one see it.
func sideBySide(t *testing.T, hosts [2]*host) {
	here, there := hosts[0], hosts[1]
	t.Logf("from the %s build to the %s one", here.build.name, there.build.name)
	tag := here.build.name
	ann, bob := sitAt(t, here.at, "ann-"+tag), sitAt(t, there.at, "bob-"+tag)
	eve := sitAt(t, there.at, "eve-"+tag)
	for _, name := range []string{"demo:talk-" + tag, "news:talk-" + tag} {
		bob.follow(name)
		for i := range 20 {
			ack, err := ann.c.Publish(ann.context(), name, fmt.Append(nil, i), client.PublishOptions{ID: fmt.Sprint("n", i)})
			if err != nil {
				t.Fatal(err)
			}
			if r := bob.plain(name); r.At != ack.At || string(r.Body) != fmt.Sprint(i) || r.At.Offset != uint64(i+1) {
				t.Fatalf("SET, ORDER: published as %v, heard %s at %v", ack.At, r.Body, r.At)
			}
			again, err := bob.as(ann, there).Publish(ann.context(), name, fmt.Append(nil, i), client.PublishOptions{ID: fmt.Sprint("n", i)})
			if err != nil || again.At != ack.At {
				t.Fatalf("DUP: acknowledged at %v, and under the same id on the other node at %v, %v", ack.At, again.At, err)
			}
		}
	}
	// Of so many channels some belong to each node's shards.
	for i := range 24 {
		name := fmt.Sprintf("counter:%s%d", tag, i)
		ann.ask(name, `{"do":"add","by":1}`)
		bob.ask(name, `{"do":"add","by":2}`)
		if c := ann.ask(name, `{"do":"get"}`); c["value"] != 3.0 {
			t.Errorf("SET, DUP: %s is %v after 1 and 2", name, c)
		}
	}
	game := pair(ann, bob, `"base":3600,"inc":0,"rated":false`)
	for ply := range 6 {
		[]*player{ann, bob}[ply%2].ask(game, move(ply, operaGame[ply]))
	}
	compatWhere(t, hosts, ann, bob)
	compatEnds(t, hosts, bob, eve)
}

// as is another user's client at a host, for one who sends again from elsewhere.
func (p *player) as(other *player, h *host) *client.Client {
	if p.twin == nil {
		p.twin = client.New(h.at, client.Options{Token: client.StaticToken(other.user)})
		p.t.Cleanup(func() { _ = p.twin.Close() })
	}
	return p.twin
}

// plain is the next record of a channel.
func (p *player) plain(name string) client.Record {
	p.t.Helper()
	e, err := p.subs[name].Next(p.context())
	if err != nil || e.Gap != nil {
		p.t.Fatalf("%s hears in %s: %+v, %v", p.user, name, e.Gap, err)
	}
	return e.Record
}

// compatWhere: presence, and what expels somebody, across the two nodes.
func compatWhere(t *testing.T, hosts [2]*host, ann, bob *player) {
	room := "chat:" + hosts[0].build.name
	ann.ask(room, `{"do":"create","public":true}`)
	bob.ask(room, `{"do":"join"}`)
	ann.follow(room)
	bob.follow(room)
	bob.follow(room + "@presence")
	for data := (fields{}); data["count"] != 2.0; {
		data = bob.until(room+"@presence", "now")
	}
	for _, h := range hosts {
		eventually(t, "both are present on both nodes", func() bool {
			return h.ask("GET", "/api/presence?channel="+room, "")["count"] == 2.0
		})
	}
	ann.ask(room, fmt.Sprintf(`{"do":"ban","user":%q}`, bob.user))
	for {
		if _, err := bob.subs[room].Next(bob.context()); err != nil {
			break // his subscription ended
		}
	}
}

// compatEnds: what one node has another do: hand over to a user, announce, disconnect, revoke.
func compatEnds(t *testing.T, hosts [2]*host, bob, eve *player) {
	here, there := hosts[0], hosts[1]
	k := meetAt(t, there.at, bob.user)
	here.ask("POST", "/api/users/"+bob.user+"/publish", `{"data":"for you"}`)
	k.until(func(m message) bool { return m["channel"] == "user:"+bob.user && m["data"] == "for you" })
	here.ask("POST", "/api/announce", `{"data":"for all"}`)
	k.until(func(m message) bool { return m["channel"] == "@all" && m["data"] == "for all" })
	here.ask("POST", "/api/users/"+bob.user+"/disconnect", `{"code":"drain"}`)
	if code := k.closed(); code != 4201 {
		t.Errorf("disconnected by the other build: closed with %d, want 4201", code)
	}
	e := meetAt(t, there.at, eve.user)
	// A revocation counts in whole seconds, and a guest is as old as his line: one of this very second would stay.
	<-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	here.ask("POST", "/api/revocations", fmt.Sprintf(`{"user":%q}`, eve.user))
	if code := e.closed(); code != 4006 {
		t.Errorf("revoked by the other build: closed with %d, want 4006", code)
	}
}

// replaced: two nodes behind a balancer, under load, are replaced one after the other by nodes of the new build, and then
// by the old one again.
func replaced(t *testing.T, w *world, old, now edition) {
	x := experiment{publishers: 2, channels: 6, subscribers: 24, records: 300, every: 15 * time.Millisecond}
	if long() {
		x = experiment{publishers: 4, channels: 20, subscribers: 200, records: 3000, every: 15 * time.Millisecond}
	}
	x.seed, x.refusals, x.prefix = rand.Uint64()>>20, true, "news:r"
	hosts := []*host{w.host(t, "a", old), w.host(t, "b", old)}
	b := newBalancer(t, hosts[0].address(), hosts[1].address())
	y := x
	y.prefix = "demo:r"
	var plain *outcome
	var both, adding sync.WaitGroup
	end := make(chan struct{})
	added := make([]int, 8)
	adding.Go(func() { addUp(t, b.url(), added, end) })
	both.Go(func() { plain = y.play(t, []string{b.url()}, client.Options{}, func(<-chan struct{}) {}) })
	var l life
	lasting := x.play(t, []string{b.url()}, client.Options{OnState: l.hear}, func(<-chan struct{}) {
		for _, next := range []edition{now, old} {
			for _, h := range hosts {
				h.become(next)
			}
		}
	})
	if both.Wait(); l.count(client.Reconnecting) < len(hosts) {
		t.Error("hardly a client lost its line: the nodes were not replaced in time")
	}
	close(end)
	adding.Wait()
	x.settle(t, lasting, b.url())
	y.settle(t, plain, b.url())
	lasting.judge(t)
	plain.judge(t)
	late := sitAt(t, b.url(), "late")
	for i, n := range added {
		if c := late.ask(fmt.Sprint("counter:r", i), `{"do":"get"}`); n == 0 || c["value"] != float64(n) {
			t.Errorf("SET, DUP: counter %d says %v, and %d commands were answered", i, c, n)
		}
	}
}

// addUp adds one to each of some counters in turn until end, and counts what was answered.
func addUp(t *testing.T, url string, added []int, end <-chan struct{}) {
	c := client.New(url, client.Options{Backoff: client.Backoff{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond}})
	defer c.Close()
	for i := 0; ; i = (i + 1) % len(added) {
		select {
		case <-end:
			return
		default:
		}
		if r, err := c.Command(t.Context(), fmt.Sprint("counter:r", i), []byte(`{"do":"add","by":1}`), client.CommandOptions{}); err != nil || r.Refused != 0 {
			t.Errorf("a command under load: %s, %v", r.Body, err)
			return
		}
		added[i]++
	}
}
