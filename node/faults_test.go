package node_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/gateway/session"
	"carillon/internal/fault"
	"carillon/node"
)

// experiment is the load of a fault experiment: publishers who each publish to every channel in turn, and subscribers
// spread over the channels, all through a bad network.
type experiment struct {
	seed                                       uint64
	publishers, channels, subscribers, records int           // records a publisher
	every                                      time.Duration // between two records of a publisher
	// refusals: publishes may be refused for the moment, and then come after those that were on their way behind them.
	refusals bool
	prefix   string // of its channels; "": demo:
}

// size is the short form for every run, or the full one under `make faults`.
func size(seed uint64) experiment {
	if os.Getenv("CARILLON_LONG") != "" {
		return experiment{seed: seed, publishers: 4, channels: 20, subscribers: 200, records: 15000, every: 4 * time.Millisecond}
	}
	return experiment{seed: seed, publishers: 4, channels: 8, subscribers: 24, records: 400, every: 10 * time.Millisecond}
}

func (x experiment) channel(i int) string {
	return fmt.Sprintf("%s%d", cmp.Or(x.prefix, "demo:"), i%x.channels)
}

// handed is what a subscriber of a channel was given.
type handed struct {
	channel string
	events  []client.Event
	err     error
}

// outcome is what an experiment leaves for its checkers.
type outcome struct {
	x     experiment
	all   []*client.Client
	subs  []*client.Subscription
	acks  []map[string]client.Ack // by publisher: the body it acknowledges
	log   map[string][]client.Record
	reads []handed
}

// run plays an experiment through a bad network: faults while the publishers are at work, then healing until every
// subscriber has read up to the head of its channel.
func (x experiment) run(t *testing.T, n *node.Node, proxy *fault.Proxy) *outcome {
	t.Helper()
	o := x.play(t, []string{"ws://" + proxy.Address() + "/ws"}, client.Options{}, func(<-chan struct{}) {})
	proxy.Heal()
	x.settle(t, o, n.URL())
	t.Logf("seed %d: %d lines cut", x.seed, proxy.Cuts())
	return o
}

// play has everybody subscribe and publish, at one of the urls each, and calls during meanwhile, with what is closed when
// all is published. own, if any, changes the options of a subscriber. Then settle.
func (x experiment) play(t *testing.T, urls []string, options client.Options, during func(published <-chan struct{}), own ...func(i int, o *client.Options)) *outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	options.Backoff = client.Backoff{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond}
	o := &outcome{x: x, log: map[string][]client.Record{}, reads: make([]handed, x.subscribers), subs: make([]*client.Subscription, x.subscribers)}
	for i := range o.subs {
		mine := options
		for _, change := range own {
			change(i, &mine)
		}
		c := client.New(urls[i%len(urls)], mine)
		o.all = append(o.all, c)
		t.Cleanup(func() { _ = c.Close() })
		var err error
		if o.subs[i], err = c.Subscribe(ctx, x.channel(i), client.SubscribeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var publishing, meanwhile sync.WaitGroup
	published := make(chan struct{})
	o.acks = make([]map[string]client.Ack, x.publishers)
	for p := range x.publishers {
		c := client.New(urls[p%len(urls)], options)
		o.all = append(o.all, c)
		t.Cleanup(func() { _ = c.Close() })
		o.acks[p] = map[string]client.Ack{}
		publishing.Go(func() { x.publish(ctx, t, c, p, o.acks[p]) })
	}
	meanwhile.Go(func() {
		publishing.Wait()
		close(published)
	})
	during(published)
	meanwhile.Wait()
	return o
}

// leave ends all clients.
func (o *outcome) leave() {
	var leaving sync.WaitGroup
	for _, c := range o.all {
		leaving.Go(func() { _ = c.Close() })
	}
	leaving.Wait()
}

// settle reads the logs at a node that is well, and then what the subscribers were handed, up to the heads.
func (x experiment) settle(t *testing.T, o *outcome, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	direct, err := client.Dial(ctx, url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	for i := range x.channels {
		if o.log[x.channel(i)], err = wholeLog(ctx, direct, x.channel(i)); err != nil {
			t.Fatal(err)
		}
	}
	var reading sync.WaitGroup
	for i, s := range o.subs {
		reading.Go(func() { o.reads[i] = collect(ctx, s, uint64(len(o.log[s.Channel()]))) })
	}
	reading.Wait()
}

func (x experiment) publish(ctx context.Context, t *testing.T, c *client.Client, p int, acks map[string]client.Ack) {
	pending := map[string]*client.Pending{}
	for i := range x.records {
		body := fmt.Sprintf(`"%d/%d"`, p, i)
		var err error
		if pending[body], err = c.PublishAsync(ctx, x.channel(i), []byte(body), client.PublishOptions{}); err != nil {
			t.Errorf("publisher %d: %v", p, err)
			return
		}
		select {
		case <-time.After(x.every):
		case <-ctx.Done():
		}
	}
	for body, w := range pending {
		ack, err := w.Wait()
		if err != nil {
			t.Errorf("publisher %d, %s: %v", p, body, err)
		}
		acks[body] = ack
	}
}

func wholeLog(ctx context.Context, c *client.Client, name string) (log []client.Record, err error) {
	p, err := c.History(ctx, name, client.HistoryQuery{Limit: 1000})
	for ; err == nil; p, err = p.Next(ctx) {
		log = append(log, p.Records...)
		if !p.More {
			return log, nil
		}
	}
	return nil, err
}

func collect(ctx context.Context, s *client.Subscription, last uint64) handed {
	h := handed{channel: s.Channel()}
	for at := uint64(0); at < last; {
		e, err := s.Next(ctx)
		if err != nil {
			h.err = err
			return h
		}
		h.events = append(h.events, e)
		at = e.At().Offset
	}
	return h
}

// check applies the checkers SET, DUP, ORDER and GAP.
func (o *outcome) check() error {
	var wrong []error
	places := map[string]int{}
	for name, log := range o.log {
		last := map[byte]int{}
		for i, r := range log {
			places[string(r.Body)]++
			var p, k int
			_, _ = fmt.Sscanf(string(r.Body), `"%d/%d"`, &p, &k)
			if before, ok := last[byte(p)]; ok && k <= before && !o.x.refusals {
				wrong = append(wrong, fmt.Errorf("ORDER: %s of publisher %d comes after %d", r.Body, p, before))
			}
			last[byte(p)] = k
			if r.At.Offset != uint64(i+1) {
				wrong = append(wrong, fmt.Errorf("GAP: record %d of %s has offset %d", i+1, name, r.At.Offset))
			}
		}
	}
	for p, acks := range o.acks {
		for body := range acks {
			if places[body] != 1 {
				wrong = append(wrong, fmt.Errorf("SET, DUP: %s of publisher %d was acknowledged and is in the log %d times", body, p, places[body]))
			}
		}
		if len(acks) != o.x.records {
			wrong = append(wrong, fmt.Errorf("SET: publisher %d has %d acknowledgements of %d", p, len(acks), o.x.records))
		}
	}
	for i, h := range o.reads {
		if err := h.check(o.log[h.channel]); err != nil {
			wrong = append(wrong, fmt.Errorf("subscriber %d of %s: %w", i, h.channel, err))
		}
	}
	return errors.Join(wrong...)
}

// check wants exactly the log, without a gap: the experiments' logs are kept whole.
func (h *handed) check(log []client.Record) error {
	if h.err != nil {
		return h.err
	}
	if i := slices.IndexFunc(h.events, func(e client.Event) bool { return e.Gap != nil }); i >= 0 {
		return fmt.Errorf("GAP %+v", *h.events[i].Gap)
	}
	if len(h.events) != len(log) {
		return fmt.Errorf("SET, DUP: handed %d records of %d", len(h.events), len(log))
	}
	for i, e := range h.events {
		if e.Record.At != log[i].At || string(e.Record.Body) != string(log[i].Body) {
			return fmt.Errorf("ORDER: record %d is %s at %v, in the log %s at %v", i+1, e.Record.Body, e.Record.At, log[i].Body, log[i].At)
		}
	}
	return nil
}

// plants are what the checkers must notice.
var plants = map[string]func(*outcome){
	"a record lost in a subscriber": func(o *outcome) { o.reads[0].events = slices.Delete(o.reads[0].events, 2, 3) },
	"a record handed over twice":    func(o *outcome) { o.reads[1].events = slices.Insert(o.reads[1].events, 4, o.reads[1].events[3]) },
	"two records swapped": func(o *outcome) {
		e := o.reads[2].events
		e[1], e[2] = e[2], e[1]
	},
	"a gap":                  func(o *outcome) { o.reads[3].events[1].Gap = &client.Gap{From: 2, To: 2} },
	"an acknowledged record": func(o *outcome) { o.acks[0][`"0/999999"`] = client.Ack{} },
	"a record in the log twice": func(o *outcome) {
		for name, log := range o.log {
			o.log[name] = append(log, log[0])
			return
		}
	},
}

// judge runs the checkers on an outcome, and then on the same outcome with each bug planted.
func (o *outcome) judge(t *testing.T) {
	t.Helper()
	if err := o.check(); err != nil {
		t.Fatalf("seed %d: %v", o.x.seed, err)
	}
	for name, plant := range plants {
		twin := &outcome{x: o.x, log: map[string][]client.Record{}}
		for k, v := range o.log {
			twin.log[k] = slices.Clone(v)
		}
		for _, a := range o.acks {
			twin.acks = append(twin.acks, map[string]client.Ack{})
			for k, v := range a {
				twin.acks[len(twin.acks)-1][k] = v
			}
		}
		for _, h := range o.reads {
			h.events = slices.Clone(h.events)
			twin.reads = append(twin.reads, h)
		}
		plant(twin)
		if twin.check() == nil {
			t.Errorf("the checkers did not notice %s", name)
		}
	}
}

// durable keeps the channels of the experiments in SQLite, on one run out of two.
func durable(t *testing.T) func(*node.Options) {
	return func(o *node.Options) {
		if rand.IntN(2) == 0 {
			t.Log("in memory")
			return
		}
		t.Log("in SQLite")
		o.Data = t.TempDir()
		plain := o.Policies
		o.Policies = func(n channel.Name) channel.Policy {
			p := plain(n)
			p.Durable = true
			return p
		}
	}
}

// faultNode keeps logs whole, has short rings so that history must help, and notices dead lines soon.
func faultNode(t *testing.T, change func(*node.Options)) *node.Node {
	return startNode(t, func(o *node.Options) {
		o.Settings = session.DefaultSettings()
		o.Settings.Heartbeat, o.Settings.Timeout = 300*time.Millisecond, 300*time.Millisecond
		o.Policies = func(channel.Name) channel.Policy {
			p := channel.DefaultPolicy()
			p.Retention, p.Ring = channel.Keep{}, channel.Keep{Records: 64}
			return p
		}
		if change != nil {
			change(o)
		}
	})
}

func newProxy(t *testing.T, n *node.Node, seed uint64, plan fault.Plan) *fault.Proxy {
	t.Helper()
	p, err := fault.NewProxy(n.Address(), seed, plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// TestF01ClientFlap: every line is torn, ended or goes silent at random.
func TestF01ClientFlap(t *testing.T) {
	x := size(rand.Uint64() >> 20)
	shortest, longest := 200*time.Millisecond, 1500*time.Millisecond
	if os.Getenv("CARILLON_LONG") != "" {
		shortest, longest = 2*time.Second, 8*time.Second
	}
	n := faultNode(t, durable(t))
	proxy := newProxy(t, n, x.seed, fault.Plan{Life: func(r *rand.Rand) time.Duration {
		return shortest + time.Duration(r.Int64N(int64(longest-shortest)))
	}})
	o := x.run(t, n, proxy)
	if proxy.Cuts() < x.subscribers {
		t.Errorf("only %d lines were cut", proxy.Cuts())
	}
	o.judge(t)
}

// TestF02LostAcknowledgements: one in five times that the server says something, the line breaks instead.
func TestF02LostAcknowledgements(t *testing.T) {
	x := size(rand.Uint64() >> 20)
	x.subscribers = x.channels
	n := faultNode(t, durable(t))
	proxy := newProxy(t, n, x.seed, fault.Plan{Eat: func(r *rand.Rand, bytes int) bool { return r.IntN(5) == 0 }})
	o := x.run(t, n, proxy)
	if proxy.Cuts() < x.publishers {
		t.Errorf("only %d lines were cut", proxy.Cuts())
	}
	o.judge(t)
}
