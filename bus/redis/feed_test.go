package redis_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/bus/bustest"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/internal/servertest"
)

const patience = 60 * time.Second

// reach opens a backbone of its own for one node.
func reach(t testing.TB, url string) *backbone.Backbone {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := backbone.Open(ctx, backbone.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestFeedAlone(t *testing.T) {
	t.Parallel()
	lawOfFeeds(t, servertest.StartRedis(t, servertest.RedisNone...).URL())
}

func TestFeedCluster(t *testing.T) {
	t.Parallel()
	lawOfFeeds(t, servertest.StartRedisCluster(t, servertest.RedisNone...).URL())
}

func lawOfFeeds(t *testing.T, url string) {
	b := reach(t, url)
	bustest.Run(t, func(_ testing.TB, in bus.In) (bus.Feed, func()) {
		f := redis.NewFeed(redis.FeedOptions{Backbone: b, In: in})
		return f, f.Close
	})
}

// ear is a node with a Feed, and what it heard.
type ear struct {
	t    testing.TB
	b    *backbone.Backbone
	feed *redis.Feed

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced with each change
	got      map[channel.Name][]uint64
	troubles []bool
	times    []time.Time
}

func listen(t testing.TB, url string, o redis.FeedOptions) *ear {
	t.Helper()
	e := &ear{t: t, b: reach(t, url), changed: make(chan struct{}), got: map[channel.Name][]uint64{}}
	o.Backbone = e.b
	o.In = bus.In{Records: e.records, Trouble: e.trouble}
	e.feed = redis.NewFeed(o)
	t.Cleanup(e.feed.Close)
	return e
}

func (e *ear) records(rs []channel.Record) {
	e.note(func() {
		for _, r := range rs {
			e.got[r.Channel] = append(e.got[r.Channel], r.At.Offset)
		}
	})
}

func (e *ear) trouble(down bool) {
	e.note(func() { e.troubles, e.times = append(e.troubles, down), append(e.times, time.Now()) })
}

func (e *ear) note(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
	close(e.changed)
	e.changed = make(chan struct{})
}

// await waits until something is so.
func (e *ear) await(what string, is func() bool) {
	e.t.Helper()
	deadline := time.After(patience)
	for {
		e.mu.Lock()
		done, changed := is(), e.changed
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond): // for what no call tells
		case <-deadline:
			e.t.Fatalf("%s: not within %v; stats %+v", what, patience, e.feed.Stats())
		}
	}
}

func (e *ear) hears(n channel.Name, offset uint64) {
	e.t.Helper()
	e.await(fmt.Sprintf("offset %d of %s", offset, n), func() bool { return slices.Contains(e.got[n], offset) })
}

// reaches carries a record until the other node has it: the first message on an old connection, after Redis was away, may be
// lost, which is counted and told.
func (e *ear) reaches(other *ear, n channel.Name, offset uint64) {
	e.t.Helper()
	for deadline := time.Now().Add(patience); !slices.Contains(other.of(n), offset); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Fatalf("offset %d of %s: not within %v; %+v", offset, n, patience, e.feed.Stats())
		}
		e.feed.Carry(records(n, offset, offset))
	}
}

// calm waits until Trouble is over, having been told at least count times.
func (e *ear) calm(count int) {
	e.t.Helper()
	e.await(fmt.Sprintf("%d troubles to end", count), func() bool {
		return len(e.troubles) >= 2*count && !e.troubles[len(e.troubles)-1]
	})
}

func (e *ear) of(n channel.Name) []uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got[n])
}

func (e *ear) join(n channel.Name) {
	e.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := e.feed.Join(context.Background(), n)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatal(err)
		}
	}
}

func records(n channel.Name, first, last uint64) (rs []channel.Record) {
	for o := first; o <= last; o++ {
		rs = append(rs, channel.Record{Channel: n, At: channel.Position{Epoch: 1, Offset: o}, Time: time.UnixMilli(1), Body: []byte(`{"a":1}`)})
	}
	return rs
}

func upTo(n int) (all []uint64) {
	for i := range n {
		all = append(all, uint64(i+1))
	}
	return all
}

// urls runs a test on one Redis and on a Cluster.
func urls(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("alone", func(t *testing.T) { test(t, servertest.StartRedis(t, servertest.RedisNone...).URL()) })
	t.Run("cluster", func(t *testing.T) { test(t, servertest.StartRedisCluster(t, servertest.RedisNone...).URL()) })
}

// TestTwoNodes: what one carries the other hears, in order, and nobody what he has not joined.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	urls(t, func(t *testing.T, url string) {
		a, b := listen(t, url, redis.FeedOptions{}), listen(t, url, redis.FeedOptions{})
		const rooms, count = 20, 300
		name := func(i int) channel.Name { return channel.Name(fmt.Sprintf("room:%d", i)) }
		for i := range rooms {
			b.join(name(i))
		}
		a.join("only:a")
		var both sync.WaitGroup
		both.Go(func() {
			for o := range uint64(count) {
				for i := range rooms {
					a.feed.Carry(append(records(name(i), o+1, o+1), records("nobody:here", o+1, o+1)...))
				}
			}
		})
		both.Go(func() {
			for o := range uint64(count) {
				b.feed.Carry(records("only:a", o+1, o+1))
			}
		})
		both.Wait()
		for i := range rooms {
			b.hears(name(i), count)
			if got := b.of(name(i)); !slices.Equal(got, upTo(count)) {
				t.Fatalf("%s arrived as %v", name(i), got)
			}
			if got := a.of(name(i)); got != nil {
				t.Fatalf("%s was not joined and arrived as %v", name(i), got)
			}
		}
		a.hears("only:a", count)
		if got := a.of("only:a"); !slices.Equal(got, upTo(count)) || b.of("only:a") != nil || b.of("nobody:here") != nil {
			t.Fatalf("only:a arrived as %v", got)
		}
		a.await("all to be counted", func() bool { return a.feed.Stats().Carried == count*rooms*2 })
		if s := a.feed.Stats(); s.Dropped+s.Fleeting+s.Bad > 0 || s.Messages > s.Carried {
			t.Errorf("%+v", s)
		}
	})
}

// TestLeaveOutlasts: a subscription ends a while after its channel was left, and not if it was joined again.
func TestLeaveOutlasts(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	e := listen(t, r.URL(), redis.FeedOptions{LeaveAfter: 2 * time.Second})
	subscribed := func() int { return strings.Count(r.Do("pubsub", "channels", "carillon:*:on:*"), "carillon:") }
	for i := range 10 {
		e.join(channel.Name(fmt.Sprintf("a:%d", i)))
	}
	for range 50 { // coming and going is not told to Redis
		e.feed.Leave("a:0")
		e.join("a:0")
	}
	calls := r.Do("info", "commandstats")
	for i := range 9 {
		e.feed.Leave(channel.Name(fmt.Sprintf("a:%d", i)))
	}
	if n := subscribed(); n != 10 {
		t.Errorf("%d subscriptions right after the leave", n)
	}
	e.join("a:3")
	e.await("eight subscriptions to end", func() bool { return e.feed.Stats().Subscribed == 2 && subscribed() == 2 })
	e.feed.Carry(records("a:3", 1, 1))
	e.hears("a:3", 1)
	if got := between(calls, "cmdstat_subscribe:calls=", ","); got != "" && len(got) > 2 {
		t.Errorf("%s subscribes for 60 joins of 10 channels", got)
	}
	e.join("a:5")
	e.feed.Carry(records("a:5", 1, 1))
	e.hears("a:5", 1)
}

func between(s, begin, end string) string {
	_, s, _ = strings.Cut(s, begin)
	s, _, _ = strings.Cut(s, end)
	return s
}

// TestRedisRestarts: the loss is told within 5 s, everything joined is subscribed again by itself, and only then it is told
// that the line is whole.
func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	a, b := listen(t, r.URL(), redis.FeedOptions{}), listen(t, r.URL(), redis.FeedOptions{})
	const rooms = 1000
	name := func(i int) channel.Name { return channel.Name(fmt.Sprintf("room:%d", i)) }
	for i := range rooms {
		b.join(name(i))
	}
	began := time.Now()
	r.Kill()
	b.await("trouble", func() bool { return len(b.troubles) == 1 && b.troubles[0] })
	if took := b.times[0].Sub(began); took > 5*time.Second {
		t.Errorf("trouble was told after %v", took)
	}
	a.feed.Carry(records(name(0), 1, 1))
	if err := b.feed.Join(context.Background(), "new:room"); err == nil {
		t.Error("joined without a Redis")
	}
	r.Start()
	b.calm(1)
	a.calm(1)
	for i := range rooms {
		a.reaches(b, name(i), 2)
	}
	if s := b.feed.Stats(); s.Subscribed < rooms || s.Joined != rooms {
		t.Errorf("%+v", s)
	}
	b.join("new:room")
	a.reaches(b, "new:room", 1)
}

// TestRedisFrozen: silence is noticed, and Redis thawed is as good as before.
func TestRedisFrozen(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	r := servertest.StartRedis(t, servertest.RedisNone...)
	a, b := listen(t, r.URL(), redis.FeedOptions{}), listen(t, r.URL(), redis.FeedOptions{})
	b.join("a:x")
	a.feed.Carry(records("a:x", 1, 1))
	b.hears("a:x", 1)
	began := time.Now()
	r.Freeze()
	b.await("trouble", func() bool { return len(b.troubles) == 1 })
	t.Logf("told after %v", b.times[0].Sub(began))
	if took := b.times[0].Sub(began); took > 5*time.Second {
		t.Errorf("trouble was told after %v", took)
	}
	<-time.After(time.Until(began.Add(6 * time.Second)))
	r.Thaw()
	b.calm(1)
	a.calm(1)
	a.reaches(b, "a:x", 2)
}

// TestClusterMoves: subscriptions follow a slot that moves, a node that restarts and one that is frozen.
func TestClusterMoves(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	c := servertest.StartRedisCluster(t, servertest.RedisNone...)
	a, b := listen(t, c.URL(), redis.FeedOptions{}), listen(t, c.URL(), redis.FeedOptions{})
	const rooms = 300
	name := func(i int) channel.Name { return channel.Name(fmt.Sprintf("room:%d", i)) }
	for i := range rooms {
		b.join(name(i))
	}
	if s := b.feed.Stats(); s.Lines != 3 {
		t.Errorf("%d lines to 3 nodes", s.Lines)
	}
	heard := func(offset uint64) {
		t.Helper()
		for i := range rooms {
			a.feed.Carry(records(name(i), offset, offset))
		}
		for i := range rooms {
			b.hears(name(i), offset)
		}
	}
	heard(1)

	slot := a.slotOf(c, name(0))
	from, to := ownerOf(c, slot)
	ids := []string{c.Nodes[to].Do("cluster", "myid")}
	c.Nodes[to].Do("cluster", "setslot", slot, "importing", c.Nodes[from].Do("cluster", "myid"))
	c.Nodes[from].Do("cluster", "setslot", slot, "migrating", ids[0])
	for _, i := range []int{to, from, 3 - to - from} {
		c.Nodes[i].Do("cluster", "setslot", slot, "node", ids[0])
	}
	b.calm(1)
	heard(2)
	if got := b.of(name(0)); len(got) != 2 {
		t.Errorf("%s arrived as %v", name(0), got)
	}

	c.Nodes[1].Kill()
	b.await("trouble", func() bool { return b.troubles[len(b.troubles)-1] })
	c.Nodes[1].Start()
	b.calm(2)
	a.calm(1) // nothing of its own was moved before
	for i := range rooms {
		a.reaches(b, name(i), 3)
	}
}

// slotOf asks Redis for the slot of a channel's subject.
func (e *ear) slotOf(c *servertest.RedisCluster, n channel.Name) string {
	return c.Nodes[0].Do("cluster", "keyslot", e.b.Subject(n))
}

// ownerOf is the index of the node that owns a slot, and of another one.
func ownerOf(c *servertest.RedisCluster, slot string) (owner, other int) {
	for i, n := range c.Nodes {
		if n.Do("cluster", "countkeysinslot", slot) == "" {
			continue
		}
		for line := range strings.SplitSeq(n.Do("cluster", "nodes"), "\n") {
			if strings.Contains(line, "myself") && owns(line, slot) {
				return i, (i + 1) % len(c.Nodes)
			}
		}
	}
	return 0, 1
}

func owns(line, slot string) bool {
	var s, first, last int
	_, _ = fmt.Sscan(slot, &s)
	for _, part := range strings.Fields(line)[8:] {
		if n, _ := fmt.Sscanf(part, "%d-%d", &first, &last); n == 2 && first <= s && s <= last {
			return true
		}
	}
	return false
}

// TestSentinels: after a fail-over the subscriptions are with the new master.
func TestFeedSentinels(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := servertest.StartSentinels(t, servertest.RedisNone...)
	a, b := listen(t, s.URL(), redis.FeedOptions{}), listen(t, s.URL(), redis.FeedOptions{})
	b.join("a:x")
	a.feed.Carry(records("a:x", 1, 1))
	b.hears("a:x", 1)
	s.Master().Kill()
	b.calm(1)
	a.calm(1)
	a.reaches(b, "a:x", 2)
}

// TestManyJoins: ten thousand subscriptions are made together and cost little.
func TestManyJoins(t *testing.T) {
	urls(t, func(t *testing.T, url string) {
		e := listen(t, url, redis.FeedOptions{})
		e.join("warm:up")
		const count, callers = 10_000, 100
		before := heap()
		began := time.Now()
		var joining sync.WaitGroup
		for c := range callers {
			joining.Go(func() {
				for i := range count / callers {
					if err := e.feed.Join(context.Background(), channel.Name(fmt.Sprintf("many:%d.%d", c, i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		joining.Wait()
		took := time.Since(began)
		each := (heap() - before) / count
		t.Logf("%d joins took %v, %d bytes each", count, took, each)
		if s := e.feed.Stats(); s.Subscribed != count+1 || each > 1024 {
			t.Errorf("%+v, %d bytes for a subscription", s, each)
		}
	})
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestBadMessages: what is no record of the channel is counted and goes no further.
func TestBadMessages(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	e := listen(t, r.URL(), redis.FeedOptions{})
	e.join("a:x")
	other := records("a:y", 1, 1)
	good := records("a:x", 1, 1)
	form := backbone.AppendRecord(nil, &good[0])
	bad := []string{"", "x", strings.Repeat("\xff", 100), string(backbone.AppendRecord(nil, &other[0])), string(form[:len(form)-1]),
		string(form) + "more", string(backbone.AppendRecord(form[:len(form):len(form)], &other[0]))}
	for _, m := range append(bad, string(form)) {
		c := e.b.Client()
		if err := c.Do(context.Background(), c.B().Publish().Channel(e.b.Subject("a:x")).Message(m).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	e.hears("a:x", 1)
	if s := e.feed.Stats(); s.Bad != uint64(len(bad)) || s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

// TestOverflow: who carries more than Redis takes is not held up; fleeting records go first, and of the others all nodes
// hear that they must look.
func TestOverflow(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	a, b := listen(t, r.URL(), redis.FeedOptions{}), listen(t, r.URL(), redis.FeedOptions{})
	b.join("a:x")
	a.feed.Carry(records("a:x", 1, 1))
	b.hears("a:x", 1)
	r.Freeze()
	fleeting := []channel.Record{{Channel: "a:x", Class: channel.Fleeting, Body: []byte("1")}}
	logged := records("a:x", 2, 101)
	for range redis.MaxCarried {
		a.feed.Carry(fleeting)
	}
	dropped := a.feed.Stats()
	for range redis.MaxCarried / len(logged) {
		a.feed.Carry(logged)
	}
	r.Thaw()
	if dropped.Fleeting == 0 || dropped.Dropped != 0 {
		t.Errorf("after fleeting records alone: %+v", dropped)
	}
	a.await("the overflow", func() bool { return a.feed.Stats().Dropped > 0 })
	b.calm(1)
	b.await("the end", func() bool { return b.feed.Stats().Whole })
	b.feed.Carry(records("a:x", 1000, 1000))
	b.hears("a:x", 1000)
}
