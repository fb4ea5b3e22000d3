package node_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/client"
	"carillon/internal/servertest"
	"carillon/node"
)

// TestF10RedisPartition: one of two nodes can no longer reach Redis, or hears nothing of it, and nobody says so. It
// acknowledges nothing and tells its subscribers; the other goes on; and once the way is whole, nobody lacks anything.
func TestF10RedisPartition(t *testing.T) {
	if testing.Short() {
		t.Skip("a partition takes seconds")
	}
	mostlyWaits(t)
	lengths := []time.Duration{5 * time.Second}
	if long() {
		lengths = append(lengths, 30*time.Second, 120*time.Second)
	}
	var all sync.WaitGroup
	var turn sync.Mutex // of the long form; the short ones run side by side, since most of them is waiting
	for name, cut := range map[string]servertest.Direction{
		"both ways": servertest.Requests | servertest.Replies, "requests": servertest.Requests, "replies": servertest.Replies,
	} {
		all.Go(func() {
			if long() {
				turn.Lock()
				defer turn.Unlock()
			}
			for _, length := range lengths {
				t.Run(name+" "+length.String(), func(t *testing.T) { partition(t, cut, length) })
			}
		})
	}
	all.Wait()
}

// parted are two nodes of which one is cut off.
type parted struct {
	t        *testing.T
	way      *servertest.Way
	whole    *node.Node
	cut      *node.Node
	lives    []*life // of the subscribers of an experiment, the even ones at the node that is whole
	watchers [2]*client.Subscription
	events   [2][]client.Event // of the watchers
}

const partChannel = "demo:part"

func partition(t *testing.T, cut servertest.Direction, length time.Duration) {
	const every = 20 * time.Millisecond
	x := experiment{seed: rand.Uint64() >> 20, publishers: 4, channels: 4, subscribers: 12, every: every, refusals: true}
	x.records = int((length + 4*time.Second) / every)
	redis := servertest.StartRedis(t, append([]string{"--bind", "127.0.0.1 " + servertest.WayHost}, servertest.RedisNone...)...)
	w := &world{redis: redis, prefix: "partition"}
	p := &parted{t: t, way: servertest.NewWay(t, redis.Address)}
	p.whole = w.node(t, "whole", whole)
	p.cut = w.node(t, "cut", whole, func(o *node.Options) { o.Redis.URL = "redis://" + p.way.Address() })
	defer p.way.Heal() // before the nodes are closed
	for range x.subscribers {
		p.lives = append(p.lives, &life{})
	}
	for i, n := range []*node.Node{p.whole, p.cut} {
		s, l := follower(t, n, partChannel)
		p.watchers[i], p.lives = s, append(p.lives, l)
	}
	t.Logf("%s for %s", p.way.Kind(), length)
	o := x.play(t, []string{p.whole.URL(), p.cut.URL()}, client.Options{}, func(<-chan struct{}) {
		<-time.After(time.Second) // under load
		p.join(p.part(cut, length))
	}, func(i int, o *client.Options) { o.OnState = p.lives[i].hear })
	x.settle(t, o, p.cut.URL())
	if told := o.fillTold(); told > 0 {
		t.Logf("%d records that subscribers lack were told as gaps", told)
	}
	o.judge(t)
	if err := p.checkLines(); err != nil {
		t.Error(err)
	}
	for i := range p.watchers {
		if err := unflagged(p.events[i]); err != nil {
			t.Errorf("watcher %d: %v", i, err)
		}
	}
}

// fillTold puts the records of the log in the place of gaps that tell of them, so that what was flagged counts as seen: a
// client that is refused history several times over, as by a machine with too much to do, says what it lacks and goes on.
func (o *outcome) fillTold() (told int) {
	for i := range o.reads {
		h := &o.reads[i]
		var events []client.Event
		for _, e := range h.events {
			log := o.log[h.channel]
			if e.Gap == nil || e.Gap.From == 0 || e.Gap.To > uint64(len(log)) || e.Gap.From > e.Gap.To {
				events = append(events, e)
				continue
			}
			for _, r := range log[e.Gap.From-1 : e.Gap.To] {
				events = append(events, client.Event{Record: r})
				told++
			}
		}
		h.events = events
	}
	return told
}

// refusals are what was answered to publishes at the node that is cut off.
type refusals struct {
	mu      sync.Mutex
	answers []message
	slowest time.Duration
}

func (r *refusals) note(m message, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers, r.slowest = append(r.answers, m), max(r.slowest, took)
}

// check wants no acknowledgement among them, and a code that a client can act on.
func (r *refusals) check() error {
	if len(r.answers) == 0 {
		return fmt.Errorf("nothing was published while the node was cut off")
	}
	for _, m := range r.answers {
		if m["type"] != "error" || m["retry"] != true || m["code"] != "unavailable" && m["code"] != "unconfirmed" {
			return fmt.Errorf("the node that is cut off answers a publish with %v", m)
		}
	}
	return nil
}

// part cuts the way for a while in which both nodes are published to. It returns one who is connected to the node that is
// cut off, where nobody new gets in.
func (p *parted) part(cut servertest.Direction, length time.Duration) *talker {
	p.t.Helper()
	const publishers = 2
	var there []*talker
	for range publishers {
		there = append(there, join(p.t, p.cut))
	}
	here := join(p.t, p.whole)
	p.way.Cut(cut)
	began := time.Now()
	until := began.Add(length - time.Second) // an answer may take its time, and is to come before the way is whole
	var refused refusals
	var publishing sync.WaitGroup
	for i, k := range there {
		publishing.Go(func() {
			for id := 10; time.Now().Before(until); id++ {
				asked := time.Now()
				m := k.do(id, `"type":"publish","channel":%q,"data":"there %d/%d"`, partChannel, i, id)
				refused.note(m, time.Since(asked))
				<-time.After(50 * time.Millisecond)
			}
		})
	}
	publishing.Go(func() {
		for id := 10; time.Now().Before(until); id++ {
			if m := here.do(id, `"type":"publish","channel":%q,"data":"here %d"`, partChannel, id); m["type"] != "reply" {
				p.t.Errorf("the node that is not cut off answers %v", m)
				return
			}
			<-time.After(50 * time.Millisecond)
		}
	})
	eventually(p.t, "every subscriber of the node that is cut off hears that he may be behind", func() bool { return p.heard(client.Stale) })
	within(p.t, "stale", began, 5*time.Second)
	checkNotReady(p.t, p.cut)
	ask(p.t, p.whole, "GET", "/readyz", "", 200)
	publishing.Wait()
	if err := refused.check(); err != nil {
		p.t.Error(err)
	}
	within(p.t, fmt.Sprintf("the slowest of %d refusals", len(refused.answers)), time.Now().Add(-refused.slowest), 2*time.Second)
	<-time.After(time.Until(began.Add(length)))
	return there[0]
}

// join makes the way whole, and wants everybody to hear of it, and of what is said from now on.
func (p *parted) join(k *talker) {
	p.t.Helper()
	p.way.Heal()
	began := time.Now()
	id := 1_000_000
	eventually(p.t, "a publish is taken again", func() bool {
		id++
		return k.do(id, `"type":"publish","channel":%q,"data":"fresh"`, partChannel)["type"] == "reply"
	})
	within(p.t, "a publish is taken again", began, 10*time.Second)
	var reading sync.WaitGroup
	for i, s := range p.watchers {
		reading.Go(func() { p.events[i] = readUntil(p.t, s, `"fresh"`) })
	}
	reading.Wait()
	within(p.t, "a fresh record is with everybody", began, 10*time.Second)
	eventually(p.t, "every subscriber hears of the end", func() bool { return p.heard(client.Fresh) })
	within(p.t, "fresh", began, 10*time.Second)
}

// heard tells whether all subscribers of the node that is cut off were told.
func (p *parted) heard(what client.Phase) bool {
	return !slices.ContainsFunc(p.far(), func(l *life) bool { return l.count(what) == 0 })
}

// far are the subscribers of the node that is cut off.
func (p *parted) far() (all []*life) {
	for i := 1; i < len(p.lives); i += 2 {
		all = append(all, p.lives[i])
	}
	return all
}

// checkLines wants no line lost on either side, and only those told who had to be.
func (p *parted) checkLines() error {
	for i, l := range p.lives {
		if n := l.count(client.Reconnecting); n > 0 {
			return fmt.Errorf("subscriber %d lost his line %d times: %v", i, n, l.phases)
		}
		if i%2 == 0 && l.count(client.Stale) > 0 {
			return fmt.Errorf("subscriber %d of the node that is whole is told that he may be behind", i)
		}
	}
	return nil
}

// What the node that is cut off must not do is found.
func TestF10ChecksFind(t *testing.T) {
	refused := func() message { return message{"type": "error", "code": "unavailable", "retry": true} }
	for name, c := range map[string]struct {
		answers []message
		ok      bool
	}{
		"refusals":           {[]message{refused(), {"type": "error", "code": "unconfirmed", "retry": true}}, true},
		"an acknowledgement": {[]message{refused(), {"type": "reply", "ack": "appended:redis-none"}}, false},
		"a final refusal":    {[]message{{"type": "error", "code": "forbidden"}}, false},
		"nothing asked":      {nil, false},
	} {
		r := refusals{answers: c.answers}
		if err := r.check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	quiet, told := []client.Phase{client.Connected}, []client.Phase{client.Connected, client.Stale, client.Fresh}
	for name, c := range map[string]struct {
		near, far []client.Phase
		ok        bool
	}{
		"as it should be":           {quiet, told, true},
		"a line that was lost":      {quiet, append(slices.Clone(told), client.Reconnecting), false},
		"the wrong side that hears": {told, told, false},
	} {
		p := parted{lives: []*life{{phases: c.near}, {phases: c.far}}}
		if err := p.checkLines(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
