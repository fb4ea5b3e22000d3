package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/gateway/session"
	"carillon/internal/servertest"
	"carillon/node"
)

// long tells the form of a fault experiment.
func long() bool { return os.Getenv("CARILLON_LONG") != "" }

// mostlyWaits lets a test run beside others of its kind. In the long form, which measures, each is alone.
func mostlyWaits(t *testing.T) {
	if !long() {
		t.Parallel()
	}
}

// within tells how long something took. In the long form, on a machine that does nothing else, it must not be longer.
func within(t testing.TB, what string, began time.Time, bound time.Duration) {
	t.Helper()
	took := time.Since(began)
	t.Logf("%s after %s, bound %s", what, took.Round(time.Millisecond), bound)
	if long() && took > bound {
		t.Errorf("%s took %s, more than %s", what, took, bound)
	}
}

// whole keeps logs whole and notices dead lines soon, as the experiments want it.
func whole(o *node.Options) {
	o.Settings = session.DefaultSettings()
	o.Settings.Heartbeat, o.Settings.Timeout = 2*time.Second, 3*time.Second
	durable := slices.Clone(o.Durable)
	o.Policies = func(n channel.Name) channel.Policy {
		p := channel.DefaultPolicy()
		p.Retention, p.Ring = channel.Keep{}, channel.Keep{Records: 256}
		p.Durable = slices.Contains(durable, n.Namespace())
		return p
	}
}

// life is what a client heard of its line.
type life struct {
	mu     sync.Mutex
	phases []client.Phase
	away   []time.Duration
}

func (l *life) hear(s client.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Phase == client.Connecting {
		return
	}
	l.phases = append(l.phases, s.Phase)
	if s.Phase == client.Connected && s.Away > 0 {
		l.away = append(l.away, s.Away)
	}
}

func (l *life) count(p client.Phase) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.phases {
		if q == p {
			n++
		}
	}
	return n
}

// follower is a client that subscribes to one channel.
func follower(t testing.TB, n *node.Node, name string) (*client.Subscription, *life) {
	t.Helper()
	l := &life{}
	c := client.New(n.URL(), client.Options{OnState: l.hear})
	t.Cleanup(func() { _ = c.Close() })
	s, err := c.Subscribe(t.Context(), name, client.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

// unflagged finds a record that does not follow the one before it, and nobody said so.
func unflagged(events []client.Event) error {
	var at client.Position
	for i, e := range events {
		switch {
		case e.Gap != nil:
			at = client.Position{}
			continue
		case !at.IsZero() && (e.Record.At.Epoch != at.Epoch || e.Record.At.Offset != at.Offset+1 || e.Record.Prev != 0 && e.Record.Prev != at.Tag):
			return fmt.Errorf("event %d is at %+v, the one before at %+v, and no gap between", i, e.Record.At, at)
		}
		at = e.Record.At
	}
	return nil
}

// readUntil hands over events up to the record with a body.
func readUntil(t testing.TB, s *client.Subscription, body string) (events []client.Event) {
	t.Helper()
	for {
		e := nextOf(t, s)
		if events = append(events, e); e.Gap == nil && string(e.Record.Body) == body {
			return events
		}
	}
}

// TestF06RedisRestart: Redis is killed and comes back while everybody publishes. What it keeps decides what is lost;
// nobody is disconnected, and nothing is lost in silence.
func TestF06RedisRestart(t *testing.T) {
	t.Run("always", func(t *testing.T) {
		x := experiment{seed: rand.Uint64() >> 20, publishers: 2, channels: 4, subscribers: 12, records: 250, every: 10 * time.Millisecond}
		kills := 2
		if long() {
			x = size(x.seed)
			kills = 10
		}
		x.refusals = true
		w := &world{redis: servertest.StartRedis(t, servertest.RedisAlways...), prefix: "always"}
		a, b := w.node(t, "a", whole), w.node(t, "b", whole)
		var l life
		o := x.play(t, []string{a.URL(), b.URL()}, client.Options{OnState: l.hear}, func(published <-chan struct{}) {
			for range kills {
				select {
				case <-published:
					return
				case <-time.After(700 * time.Millisecond):
				}
				w.redis.Kill()
				w.redis.Start()
			}
		})
		x.settle(t, o, b.URL())
		o.judge(t)
		if n := l.count(client.Reconnecting); n > 0 {
			t.Errorf("%d lines of clients were lost", n)
		}
	})
	for name, args := range map[string][]string{"none": servertest.RedisNone, "everysec": servertest.RedisEverySec} {
		t.Run(name, func(t *testing.T) { redisForgets(t, args) })
	}
}

// redisForgets: a Redis that may forget is killed. Every subscriber is told before he is handed anything of another past.
func redisForgets(t *testing.T, args []string) {
	w := &world{redis: servertest.StartRedis(t, args...), prefix: "forgets"}
	a, b := w.node(t, "a", whole), w.node(t, "b", whole)
	s, l := follower(t, b, "demo:x")
	ann := join(t, a)
	for i := range 20 {
		ann.do(i+2, `"type":"publish","channel":"demo:x","data":%d`, i)
	}
	events := readUntil(t, s, "19")
	w.redis.Kill()
	w.redis.Start()
	began := time.Now()
	empty := w.redis.Do("dbsize") == "0"
	if empty {
		e := nextOf(t, s)
		if e.Gap == nil || e.Gap.Reason != channel.GapEpoch {
			t.Fatalf("after all was lost a subscriber is handed %+v", e)
		}
		within(t, "told of the loss", began, 10*time.Second)
		events = append(events, e)
	}
	id := 100
	eventually(t, "a publish is taken again", func() bool {
		id++
		return ann.do(id, `"type":"publish","channel":"demo:x","data":"fresh"`)["type"] == "reply"
	})
	for fresh := false; !fresh; { // handed over, or told as part of what a gap jumps
		e := nextOf(t, s)
		events = append(events, e)
		fresh = e.Gap != nil || string(e.Record.Body) == `"fresh"`
	}
	ann.do(id+1, `"type":"publish","channel":"demo:x","data":"last"`)
	events = append(events, readUntil(t, s, `"last"`)...)
	if err := unflagged(events); err != nil {
		t.Error(err)
	}
	if l.count(client.Reconnecting) > 0 {
		t.Errorf("the client lost its line: %v", l.phases)
	}
}

// nextOf is the next event.
func nextOf(t testing.TB, s *client.Subscription) client.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	e, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Records of another past, or with a hole before them, are found where no gap was told.
func TestUnflaggedIsFound(t *testing.T) {
	at := func(epoch, offset uint64) client.Event {
		return client.Event{Record: client.Record{At: client.Position{Epoch: epoch, Offset: offset, Tag: 1}}}
	}
	gap := client.Event{Gap: &client.Gap{}}
	for name, c := range map[string]struct {
		events []client.Event
		ok     bool
	}{
		"a log":                    {[]client.Event{at(1, 1), at(1, 2), at(1, 3)}, true},
		"a hole":                   {[]client.Event{at(1, 1), at(1, 3)}, false},
		"a hole that was told":     {[]client.Event{at(1, 1), gap, at(1, 3)}, true},
		"another log":              {[]client.Event{at(1, 1), at(2, 2)}, false},
		"another log that is told": {[]client.Event{at(1, 1), gap, at(2, 1)}, true},
		"twice":                    {[]client.Event{at(1, 1), at(1, 1)}, false},
	} {
		if err := unflagged(c.events); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestF07RedisFrozen: Redis stands still. Publishes end with a code, subscribers hear that they may be behind, lines and
// heartbeats live on, nothing piles up; and afterwards all is made up for.
func TestF07RedisFrozen(t *testing.T) {
	const publishers = 4
	frozen := 6 * time.Second // longer than a line lives without heartbeats
	if long() {
		frozen = 30 * time.Second
	}
	w := &world{redis: servertest.StartRedis(t, servertest.RedisNone...), prefix: "frozen"}
	a, b := w.node(t, "a", whole), w.node(t, "b", whole)
	s, l := follower(t, b, "demo:x")
	var lines []*talker
	for range publishers {
		lines = append(lines, join(t, a))
	}
	lines[0].do(2, `"type":"publish","channel":"demo:x","data":"before"`)
	events := readUntil(t, s, `"before"`)
	base := runtime.NumGoroutine()
	w.redis.Freeze()
	thawed := sync.OnceFunc(w.redis.Thaw)
	defer thawed()
	began := time.Now()
	var publishing sync.WaitGroup
	for _, k := range lines {
		publishing.Go(func() {
			for id := 3; time.Since(began) < frozen-time.Second; id++ {
				asked := time.Now()
				m := k.do(id, `"type":"publish","channel":"demo:x","data":"meanwhile"`)
				if m["type"] != "error" || m["code"] != "unavailable" && m["code"] != "unconfirmed" {
					t.Errorf("a publish is answered %v", m)
					return
				}
				if id < 5 {
					within(t, "refused", asked, 2*time.Second)
				}
				<-time.After(50 * time.Millisecond)
			}
		})
	}
	eventually(t, "the subscriber hears of it", func() bool { return l.count(client.Stale) == 1 })
	within(t, "stale", began, 5*time.Second)
	if n := runtime.NumGoroutine(); n > base+4*publishers+16 {
		t.Errorf("%d goroutines, %d before", n, base)
	}
	checkNotReady(t, b)
	publishing.Wait()
	thawed()
	began = time.Now()
	eventually(t, "the subscriber hears of the end", func() bool { return l.count(client.Fresh) == 1 })
	within(t, "fresh", began, 5*time.Second)
	id := 1000
	eventually(t, "a publish is taken again", func() bool {
		id++
		return lines[0].do(id, `"type":"publish","channel":"demo:x","data":"after"`)["type"] == "reply"
	})
	events = append(events, readUntil(t, s, `"after"`)...)
	if err := unflagged(events); err != nil {
		t.Error(err)
	}
	if l.count(client.Reconnecting) > 0 {
		t.Errorf("the client lost its line: %v", l.phases)
	}
}

// checkNotReady wants a node to be alive and to say why it takes nobody.
func checkNotReady(t *testing.T, n *node.Node) {
	t.Helper()
	ask(t, n, "GET", "/livez", "", 200)
	ask(t, n, "GET", "/readyz?verbose", "", 503)
}

// TestF13PostgresAway: durable work is refused at once, plain channels do not notice, and all comes back by itself.
func TestF13PostgresAway(t *testing.T) {
	mostlyWaits(t)
	s := &servers{redis: servertest.StartRedis(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	w := s.world()
	front := with(node.Roles{Gateway: true, API: true}, "chat")
	a, b := w.node(t, "a", front), w.node(t, "b", front)
	w.node(t, "worker", with(node.Roles{Worker: true}, "chat"))
	ann, bob := meet(t, a, "ann"), meet(t, b, "bob")
	ann.eventually("chat:tea", `{"do":"create"}`)
	for _, n := range []string{"news:all", "demo:x"} {
		bob.subscribe(n)
		if m := ann.request(`"type":"publish","channel":%q,"data":"before"`, n); m["type"] != "reply" {
			t.Fatal(m)
		}
		bob.until(func(m message) bool { return m["type"] == "record" && m["channel"] == n })
	}
	away := func(name string, goes, comes func()) {
		t.Logf("Postgres %s", name)
		goes()
		for i := range 4 {
			postgresAway(t, ann, bob, fmt.Sprint(name, i), i > 0)
		}
		ask(t, a, "GET", "/readyz", "", 200)
		comes()
		began := time.Now()
		eventually(t, "a durable publish is taken again", func() bool {
			return ann.request(`"type":"publish","channel":"news:all","data":%q`, "after "+name)["type"] == "reply"
		})
		within(t, "durable again", began, 10*time.Second)
		bob.until(func(m message) bool { return m["type"] == "record" && m["data"] == "after "+name })
		ann.eventually("chat:tea", `{"do":"send","text":"back"}`)
		within(t, "services again", began, 15*time.Second)
	}
	away("killed", w.postgres.Kill, w.postgres.Start)
	away("frozen", w.postgres.Freeze, w.postgres.Thaw)
}

// postgresAway wants durable work refused, and plain work done as ever. known: the node has noticed already.
func postgresAway(t *testing.T, ann, bob *person, body string, known bool) {
	t.Helper()
	refused := func(what, request string, bound time.Duration) {
		t.Helper()
		began := time.Now()
		m := ann.request("%s", request)
		if m["type"] != "error" || m["code"] != "unavailable" && m["code"] != "unconfirmed" {
			t.Errorf("%s is answered %v", what, m)
		}
		if known {
			within(t, what+" refused", began, bound)
		}
	}
	refused("a durable publish", fmt.Sprintf(`"type":"publish","channel":"news:all","data":%q`, body), time.Second)
	refused("a command", `"type":"command","channel":"chat:tea","data":{"do":"send","text":"lost"}`, 2*time.Second)
	if m := ann.request(`"type":"publish","channel":"demo:x","data":%q`, body); m["ack"] != "appended:redis-none" {
		t.Errorf("a plain publish is answered %v", m)
	}
	bob.until(func(m message) bool { return m["type"] == "record" && m["data"] == body })
}

// TestF17Duplicates: every command is asked twice at once, on two nodes, with one id. It happens once, and both hear the same.
func TestF17Duplicates(t *testing.T) {
	commands := 60
	if long() {
		commands = 2000
	}
	s := &servers{redis: servertest.StartRedis(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	w := s.world()
	all := with(node.Roles{}, "counter")
	nodes := []*node.Node{w.node(t, "a", all), w.node(t, "b", all)}
	ann := []*person{meet(t, nodes[0], "ann"), meet(t, nodes[1], "ann")}
	ann[0].eventually("counter:c", `{"do":"get"}`)
	answers := [2][]any{}
	var asking sync.WaitGroup
	for i, p := range ann {
		asking.Go(func() {
			for c := range commands {
				for {
					m := p.request(`"type":"command","channel":"counter:c","data":{"do":"add","by":1},"idem":"c%d"`, c)
					if m["type"] == "reply" && m["code"] == nil {
						answers[i] = append(answers[i], fmt.Sprint(m["data"], m["at"]))
						break
					}
					if m["retry"] != true {
						t.Errorf("command %d: %v", c, m)
						return
					}
				}
			}
		})
	}
	asking.Wait()
	if !slices.Equal(answers[0], answers[1]) {
		t.Errorf("two answers to one command:\n%v\n%v", answers[0], answers[1])
	}
	m := ann[0].do("counter:c", `{"do":"get"}`)
	if data, _ := m["data"].(map[string]any); data["value"] != float64(commands) {
		t.Errorf("%d commands came to %v", commands, m["data"])
	}
}

// TestF08FailOver: Sentinels replace a master that was killed. What its replica had not got may be lost; whoever was handed
// it, or missed something, is told, and everything goes on.
func TestF08FailOver(t *testing.T) {
	if testing.Short() {
		t.Skip("a fail-over takes seconds")
	}
	mostlyWaits(t)
	sentinels := servertest.StartSentinels(t, servertest.RedisNone...)
	over := func(o *node.Options) { o.Redis = node.Redis{URL: sentinels.URL(), Prefix: "failover"} }
	a, b := startNode(t, func(o *node.Options) { over(o); whole(o) }), startNode(t, func(o *node.Options) { over(o); whole(o) })
	s, l := follower(t, b, "demo:x")
	ann := join(t, a)
	acked, id := 0, 1
	publish := func(body string) bool {
		id++
		ok := ann.do(id, `"type":"publish","channel":"demo:x","data":%q`, body)["type"] == "reply"
		if ok {
			acked++
		}
		return ok
	}
	for i := range 50 {
		publish(fmt.Sprint(i))
	}
	eventually(t, "the replicas have all", func() bool {
		for _, r := range sentinels.Servers[1:] {
			if !strings.Contains(r.Do("info", "replication"), "master_link_status:up") {
				return false
			}
		}
		return true
	})
	publish("everywhere")
	began := time.Now()
	sentinels.Master().Kill()
	eventually(t, "a publish is taken again", func() bool { return publish("fresh") })
	within(t, "taken again", began, 20*time.Second)
	var events []client.Event
	for fresh := false; !fresh; {
		e := nextOf(t, s)
		events = append(events, e)
		fresh = e.Gap != nil || string(e.Record.Body) == `"fresh"`
	}
	publish("last")
	events = append(events, readUntil(t, s, `"last"`)...)
	if err := unflagged(events); err != nil {
		t.Error(err)
	}
	handed := slices.DeleteFunc(slices.Clone(events), func(e client.Event) bool { return e.Gap != nil })
	t.Logf("%d acknowledged, %d handed over", acked, len(handed))
	for i, e := range events {
		if e.Gap != nil {
			t.Logf("after %d events a gap: %+v", i, *e.Gap)
		}
	}
	if l.count(client.Reconnecting) > 0 {
		t.Errorf("the client lost its line: %v", l.phases)
	}
}
