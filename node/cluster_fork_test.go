package node_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/internal/servertest"
	"carillon/node"
	"carillon/wire"
)

// fork is the load of F09: publishers and subscribers on two nodes, while a replica that lags takes its master's place.
type fork struct {
	publishers, channels, subscribers int
	every                             time.Duration // between two records of a publisher
	prefix                            string

	mu   sync.Mutex
	acks []forkAck
	lost int // publishes of which nobody knows what became

	told []*followed
	logs map[string][]client.Record // of the new master, in the end
	over map[string]string          // the last body of each channel
	left []time.Time                // when each node began to leave the old master
}

// forkAck is an acknowledged publish.
type forkAck struct {
	channel, body string
	at            client.Position
	begun         time.Time
	node          int
}

// followed is what a subscriber was handed, and when.
type followed struct {
	channel string
	node    int
	events  []client.Event
	when    []time.Time
	err     error
}

func (x *fork) channel(i int) string { return fmt.Sprintf("demo:f%d", i%x.channels) }

// options of a node that reaches Redis by a url. Rings reach back far enough to resume from anywhere.
func (x *fork) options(url string) func(*node.Options) {
	return func(o *node.Options) {
		o.Redis = node.Redis{URL: url, Prefix: x.prefix}
		whole(o)
		plain := o.Policies
		o.Policies = func(n channel.Name) channel.Policy {
			p := plain(n)
			p.Ring = channel.Keep{Records: 1 << 14}
			return p
		}
	}
}

// follow has everybody subscribe. What they are handed is noted until the last record of their channel.
func (x *fork) follow(t *testing.T, nodes []*node.Node) (wait func()) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	var reading sync.WaitGroup
	for i := range x.subscribers {
		f := &followed{channel: x.channel(i), node: i / x.channels % len(nodes)}
		c := client.New(nodes[f.node].URL(), client.Options{})
		t.Cleanup(func() { _ = c.Close() })
		s, err := c.Subscribe(ctx, f.channel, client.SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		x.told = append(x.told, f)
		last := x.over[f.channel]
		reading.Go(func() {
			for f.err == nil {
				var e client.Event
				if e, f.err = s.Next(ctx); f.err != nil {
					return
				}
				f.events, f.when = append(f.events, e), append(f.when, time.Now())
				if e.Gap == nil && string(e.Record.Body) == last {
					return
				}
			}
		})
	}
	return func() {
		until := time.AfterFunc(soon, cancel)
		reading.Wait()
		until.Stop()
		cancel()
	}
}

// publish has everybody publish while during lasts, and waits for all answers.
func (x *fork) publish(t *testing.T, nodes []*node.Node, during func()) {
	over := make(chan struct{})
	var publishing sync.WaitGroup
	defer publishing.Wait()
	defer close(over)
	for p := range x.publishers {
		c := client.New(nodes[p%len(nodes)].URL(), client.Options{Backoff: client.Backoff{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond}})
		t.Cleanup(func() { _ = c.Close() })
		publishing.Go(func() {
			var answers sync.WaitGroup
			defer answers.Wait()
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				case <-time.After(x.every):
				}
				a := forkAck{channel: x.channel(i), body: fmt.Sprintf(`"%d/%d"`, p, i), begun: time.Now(), node: p % len(nodes)}
				w, err := c.PublishAsync(t.Context(), a.channel, []byte(a.body), client.PublishOptions{})
				if err != nil {
					t.Errorf("publisher %d: %v", p, err)
					return
				}
				answers.Go(func() { x.note(a, w) })
			}
		})
	}
	during()
}

func (x *fork) note(a forkAck, w *client.Pending) {
	ack, err := w.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		x.lost++
		return
	}
	a.at = ack.At
	x.acks = append(x.acks, a)
}

// seen are all positions of a channel that anybody was told, in order.
func (x *fork) seen(name string) []client.Position {
	all := map[client.Position]struct{}{}
	for _, a := range x.acks {
		if a.channel == name {
			all[a.at] = struct{}{}
		}
	}
	for _, f := range x.told {
		for _, e := range f.events {
			if f.channel == name && e.Gap == nil {
				all[e.Record.At] = struct{}{}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b client.Position) int { return int(a.Offset) - int(b.Offset) })
}

// isIn tells whether a position is in the log of the new master.
func isIn(log []client.Record, p client.Position) bool {
	return p.Offset >= 1 && p.Offset <= uint64(len(log)) && log[p.Offset-1].At == p
}

// outgrow has the logs of the new master reach beyond those of the old one, and ends them.
func (x *fork) outgrow(t *testing.T, n *node.Node) {
	c := client.New(n.URL(), client.Options{})
	defer c.Close()
	for i := range x.channels {
		name, highest := x.channel(i), uint64(0)
		x.mu.Lock()
		for _, a := range x.acks {
			if a.channel == name {
				highest = max(highest, a.at.Offset)
			}
		}
		x.mu.Unlock()
		publish := func(body string) uint64 {
			ack, err := c.Publish(t.Context(), name, []byte(body), client.PublishOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return ack.At.Offset
		}
		for k := 0; publish(fmt.Sprintf(`"more %d"`, k)) <= highest; k++ {
		}
		publish(x.over[name])
	}
}

// read reads the logs at a node that came after all of it.
func (x *fork) read(t *testing.T, n *node.Node) {
	c := client.New(n.URL(), client.Options{})
	defer c.Close()
	x.logs = map[string][]client.Record{}
	for i := range x.channels {
		log, err := wholeLog(t.Context(), c, x.channel(i))
		if err != nil {
			t.Fatal(err)
		}
		x.logs[x.channel(i)] = log
	}
}

// check wants nothing lost in silence. turned is when each node had left the old master for good.
func (x *fork) check(turned []time.Time) error {
	var wrong []error
	places := map[string]int{}
	for _, log := range x.logs {
		for _, r := range log {
			places[string(r.Body)]++
		}
	}
	for _, a := range x.acks {
		n, in := places[a.body], isIn(x.logs[a.channel], a.at)
		switch {
		case n > 1:
			wrong = append(wrong, fmt.Errorf("DUP: %s is in %s %d times", a.body, a.channel, n))
		case n == 0 && a.begun.After(turned[a.node]):
			wrong = append(wrong, fmt.Errorf("SET: %s was acknowledged by the new master, and is not in %s", a.body, a.channel))
		case n == 1 && in && string(x.logs[a.channel][a.at.Offset-1].Body) != a.body:
			wrong = append(wrong, fmt.Errorf("SET: %s was acknowledged at %v, where %s is something else", a.body, a.at, a.channel))
		}
	}
	for i, f := range x.told {
		if err := f.check(x.logs[f.channel]); err != nil {
			wrong = append(wrong, fmt.Errorf("subscriber %d of %s: %w", i, f.channel, err))
		}
	}
	return errors.Join(wrong...)
}

// check wants each record to follow the one before it, by its tag, up to the end of the log; or a gap between.
func (f *followed) check(log []client.Record) error {
	if f.err != nil {
		return f.err
	}
	var at client.Position
	for i, e := range f.events {
		if e.Gap != nil {
			at = e.Gap.At
			continue
		}
		r := e.Record
		if at.IsZero() && r.At.Offset != 1 || !at.IsZero() && at.Next(r.Body) != r.At {
			return fmt.Errorf("GAP: event %d is %s at %v, behind %v, and nothing was said", i, r.Body, r.At, at)
		}
		at = r.At
	}
	if len(log) == 0 || at != log[len(log)-1].At {
		return fmt.Errorf("GAP: it ends at %v, the log elsewhere", at)
	}
	return nil
}

// shock tells how many records of a subscriber are of the past that was lost, how many of the new past he was not handed,
// and when he was told first.
func (f *followed) shock(log []client.Record) (gone, missed int, told time.Time) {
	handed := map[client.Position]bool{}
	for i, e := range f.events {
		switch {
		case e.Gap == nil:
			handed[e.Record.At] = true
			if !isIn(log, e.Record.At) {
				gone++
			}
		case told.IsZero():
			told = f.when[i]
		}
	}
	for _, r := range log {
		if !handed[r.At] {
			missed++
		}
	}
	return gone, missed, told
}

// resume asks a node to go on from a position, and returns the answer with what follows up to the end of the log.
func (x *fork) resume(k *talker, name string, p client.Position) (reply message, follows []string) {
	k.t.Helper()
	reply = k.do(2, `"type":"subscribe","channel":%q,"at":%q`, name, p)
	if reply["type"] != "reply" {
		k.t.Fatalf("resume from %v: %v", p, reply)
	}
	for at := reply["offset"].(float64); at < float64(len(x.logs[name])); at++ {
		m := k.hear()
		follows = append(follows, fmt.Sprint(m["at"]))
	}
	if m := k.do(3, `"type":"unsubscribe","channel":%q`, name); m["type"] != "reply" {
		k.t.Fatal(m)
	}
	return reply, follows
}

// resumers come back to a node from where they were: above the fork they are told that it diverged, below it they get
// what follows, exactly.
func (x *fork) resumers(t *testing.T, n *node.Node) {
	t.Helper()
	var above, below, fooled, failed int
	k := join(t, n)
	for i := range x.channels {
		name := x.channel(i)
		log, all := x.logs[name], x.seen(name)
		forked := slices.IndexFunc(all, func(p client.Position) bool { return !isIn(log, p) })
		for j, p := range all {
			if !isIn(log, p) {
				above++
				m, _ := x.resume(k, name, p)
				gap, _ := m["gap"].(map[string]any)
				if m["recovered"] != false || gap["reason"] != "diverged" {
					fooled++
					t.Logf("whoever was at %d of %s, which is gone, is told %v", p.Offset, name, m)
				}
				continue
			}
			if near := j >= forked-3 && j < forked; !near && j%(1+len(all)/16) > 0 {
				continue // some of those far from the fork
			}
			if len(log)-int(p.Offset) > wire.MaxPage {
				continue // more than is replayed: that is history's
			}
			below++
			m, follows := x.resume(k, name, p)
			want := make([]string, 0, len(log))
			for _, r := range log[p.Offset:] {
				want = append(want, r.At.String())
			}
			if m["recovered"] != true || m["gap"] != nil || !slices.Equal(follows, want) {
				failed++
				t.Logf("whoever was at %d of %s is told %v, and gets %d records of %d", p.Offset, name, m, len(follows), len(want))
			}
		}
	}
	t.Logf("%d resumed above the fork, %d of them were not told; %d below, %d of them did not get exactly what follows", above, fooled, below, failed)
	if above == 0 || below == 0 || fooled+failed > 0 {
		t.Error("resuming across the fork is not what was promised")
	}
}

// judge applies all checkers, and logs what was lost. turned is when each node had left the old master.
func (x *fork) judge(t *testing.T, nodes []*node.Node, fresh *node.Node, turned []time.Time) {
	t.Helper()
	x.read(t, fresh)
	if err := x.check(turned); err != nil {
		t.Fatal(err)
	}
	acked, gone, missed, hit := 0, 0, 0, 0
	places := map[string]bool{}
	for _, log := range x.logs {
		for _, r := range log {
			places[string(r.Body)] = true
		}
	}
	for _, a := range x.acks {
		if !places[a.body] {
			acked++
		}
	}
	var latest time.Duration
	for _, f := range x.told {
		g, m, told := f.shock(x.logs[f.channel])
		gone, missed = gone+g, missed+m
		if g > 0 {
			hit++
			latest = max(latest, told.Sub(x.left[f.node]))
		}
	}
	t.Logf("%d acknowledged, %d of them lost with the old master, %d more unknown", len(x.acks), acked, x.lost)
	t.Logf("%d of %d subscribers held %d records that are gone, and were told; they were not handed %d of the new past; silently lost: 0",
		hit, len(x.told), gone, missed)
	if acked == 0 || hit == 0 {
		t.Error("nothing was lost: there was no fork")
	}
	t.Logf("the last of them was told %s after his node began to leave the old master, bound 10s", latest.Round(time.Millisecond))
	if long() && latest > 10*time.Second {
		t.Errorf("told after %s", latest)
	}
	for _, n := range append(slices.Clone(nodes), fresh) {
		x.resumers(t, n)
	}
	x.plants(t, turned)
}

// plants sees the checkers fail.
func (x *fork) plants(t *testing.T, turned []time.Time) {
	hit := slices.IndexFunc(x.told, func(f *followed) bool { g, _, _ := f.shock(x.logs[f.channel]); return g > 0 })
	for name, plant := range map[string]func(*fork){
		"a gap that was not told": func(w *fork) {
			w.told[hit].events = slices.DeleteFunc(w.told[hit].events, func(e client.Event) bool { return e.Gap != nil })
		},
		"a record that was not handed over": func(w *fork) { w.told[0].events = slices.Delete(w.told[0].events, 3, 4) },
		"a record handed over twice":        func(w *fork) { w.told[0].events = slices.Insert(w.told[0].events, 3, w.told[0].events[2]) },
		"a subscriber left in the old past": func(w *fork) {
			f := w.told[hit]
			f.events = f.events[:slices.IndexFunc(f.events, func(e client.Event) bool { return e.Gap != nil })]
		},
		"an acknowledged record that the new master lost": func(w *fork) {
			w.acks = append(w.acks, forkAck{channel: x.channel(0), body: `"nowhere"`, begun: time.Now()})
		},
		"a record in the log twice": func(w *fork) {
			a := w.acks[slices.IndexFunc(w.acks, func(a forkAck) bool { return isIn(w.logs[a.channel], a.at) })]
			w.logs[a.channel] = slices.Insert(w.logs[a.channel], 0, w.logs[a.channel][a.at.Offset-1])
		},
	} {
		twin := &fork{channels: x.channels, acks: slices.Clone(x.acks), logs: maps.Clone(x.logs)}
		for _, f := range x.told {
			twin.told = append(twin.told, &followed{channel: f.channel, node: f.node, events: slices.Clone(f.events), when: f.when})
		}
		plant(twin)
		if twin.check(turned) == nil {
			t.Errorf("the checkers did not notice %s", name)
		}
	}
}

// newFork sizes the load.
func newFork(prefix string) *fork {
	x := &fork{publishers: 4, channels: 4, subscribers: 16, every: 20 * time.Millisecond, prefix: prefix, over: map[string]string{}}
	if long() {
		x.channels, x.subscribers, x.every = 20, 200, 4*time.Millisecond
	}
	for i := range x.channels {
		x.over[x.channel(i)] = `"over"`
	}
	return x
}

// phase is how long the experiment stays as it is before the next thing happens.
func phase() time.Duration {
	if long() {
		return 15 * time.Second
	}
	return time.Second
}

const replicaLag = 2 * time.Second

// linked waits until a replica follows.
func linked(t *testing.T, replica *servertest.Redis) {
	t.Helper()
	eventually(t, "the replica follows", func() bool {
		return strings.Contains(replica.Do("info", "replication"), "master_link_status:up")
	})
}

func replicate(r *servertest.Redis, address string) {
	host, port, _ := net.SplitHostPort(address)
	r.Do("replicaof", host, port)
}

// TestF09DivergedTail: a replica that lags two seconds is promoted while everybody publishes. What only the old master had is
// lost, and nobody is left to believe otherwise.
func TestF09DivergedTail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	mostlyWaits(t)
	t.Run("cut off", cutOff)
	if long() {
		t.Run("sentinels", sentinelsTurn)
	}
}

// cutOff: the old master is not gone, and goes on with one of the nodes for a while.
func cutOff(t *testing.T) {
	x := newFork("fork")
	master, replica := servertest.StartRedis(t, servertest.RedisNone...), servertest.StartRedis(t, servertest.RedisNone...)
	behind := newTap(t, master.Address)
	replicate(replica, behind.address())
	linked(t, replica)
	lines := []*tap{newTap(t, master.Address), newTap(t, master.Address)}
	var nodes []*node.Node
	for _, line := range lines {
		nodes = append(nodes, startNode(t, x.options(line.url())))
	}
	wait := x.follow(t, nodes)
	turned := make([]time.Time, len(nodes))
	x.publish(t, nodes, func() {
		<-time.After(phase())
		behind.hold(replicaLag)
		<-time.After(replicaLag + 500*time.Millisecond)
		replica.Do("replicaof", "no", "one")
		for i, line := range lines {
			x.left, turned[i] = append(x.left, time.Now()), time.Now()
			line.turn(replica.Address)
			<-time.After(phase())
		}
	})
	x.outgrow(t, nodes[0])
	wait()
	x.judge(t, nodes, startNode(t, x.options(replica.URL())), turned)
}

// sentinelsTurn: Sentinels promote a replica that lags, and the nodes follow them. They would set a replica right that does not
// follow its master directly, but take longer to notice than this does.
func sentinelsTurn(t *testing.T) {
	x := newFork("turn")
	s := servertest.StartSentinels(t, servertest.RedisNone...)
	nodes := []*node.Node{startNode(t, x.options(s.URL())), startNode(t, x.options(s.URL()))}
	wait := x.follow(t, nodes)
	turned := make([]time.Time, len(nodes))
	x.publish(t, nodes, func() {
		<-time.After(phase())
		behind := newTap(t, s.Servers[0].Address)
		for _, r := range s.Servers[1:] {
			replicate(r, behind.address())
			linked(t, r)
		}
		behind.hold(replicaLag)
		<-time.After(replicaLag + 500*time.Millisecond)
		x.left = []time.Time{time.Now(), time.Now()}
		s.Watchers[0].Do("sentinel", "failover", "carillon")
		eventually(t, "a replica is the master", func() bool { return s.Master() != s.Servers[0] })
		eventually(t, "the old master is a replica", func() bool {
			return strings.Contains(s.Servers[0].Do("info", "replication"), "role:slave")
		})
		turned[0], turned[1] = time.Now(), time.Now()
		<-time.After(phase())
	})
	x.outgrow(t, nodes[0])
	wait()
	x.judge(t, nodes, startNode(t, x.options(s.URL())), turned)
}
