package redis_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/bus/bustest"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/internal/servertest"
)

// patient makes a roster that learns later whom it was first and last into one that waits for it, as the law has them.
type patient struct {
	*redis.Roster

	mu   sync.Mutex
	came map[string]int // by channel and user, how often it was told
	left map[string]int
	lost bool // somebody was, so that there may be somebody to sweep
}

func newPatient(o redis.RosterOptions) *patient {
	p := &patient{came: map[string]int{}, left: map[string]int{}}
	o.Told = p.told
	p.Roster = redis.NewRoster(o)
	return p
}

func (p *patient) told(ms []bus.Member, here bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range ms {
		if here {
			p.came[key(m)]++
		} else {
			p.left[key(m)]++
		}
	}
}

func key(m bus.Member) string { return string(m.Channel) + " " + m.User }

func (p *patient) counts(m bus.Member) (came, left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.came[key(m)], p.left[key(m)]
}

func (p *patient) Enter(m bus.Member) (bool, error) {
	before, _ := p.counts(m)
	if _, err := p.Roster.Enter(m); err != nil {
		return false, err
	}
	p.Settle(context.Background())
	after, _ := p.counts(m)
	return after > before, nil
}

func (p *patient) Leave(m bus.Member, sure bool) (bool, error) {
	_, before := p.counts(m)
	if _, err := p.Roster.Leave(m, sure); err != nil || !sure {
		p.mu.Lock()
		p.lost = true
		p.mu.Unlock()
		return false, err
	}
	p.Settle(context.Background())
	_, after := p.counts(m)
	return after > before, nil
}

func (p *patient) Members(ctx context.Context, n channel.Name, after string, limit int) ([]bus.Member, int, error) {
	p.Settle(ctx)
	return p.Roster.Members(ctx, n, after, limit)
}

func (p *patient) Where(ctx context.Context, users []string) ([]bus.Seen, error) {
	p.Settle(ctx)
	return p.Roster.Where(ctx, users)
}

func (p *patient) Sweep(limit int, tell func([]bus.Member)) error {
	p.mu.Lock()
	lost := p.lost
	p.mu.Unlock()
	if !lost {
		return nil
	}
	p.Settle(context.Background())
	p.LookNow()
	told := false
	err := p.Roster.Sweep(limit, func(ms []bus.Member) {
		told = true
		tell(ms)
	})
	if told {
		p.LookNow() // forgets them
	}
	return err
}

var rosterWorlds atomic.Int64

// reachApart opens a backbone under a prefix of its own, so that worlds on one Redis know nothing of each other.
func reachApart(t testing.TB, url, prefix string) *backbone.Backbone {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := backbone.Open(ctx, backbone.Options{URL: url, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func worldPrefix() string { return fmt.Sprintf("w%d", rosterWorlds.Add(1)) }

func TestRosterAlone(t *testing.T) {
	t.Parallel()
	lawOfRosters(t, servertest.StartRedis(t, servertest.RedisNone...).URL())
}

func TestRosterCluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	lawOfRosters(t, servertest.StartRedisCluster(t, servertest.RedisNone...).URL())
}

func lawOfRosters(t *testing.T, url string) {
	bustest.RunRoster(t, func(t testing.TB) bustest.RosterWorld {
		var ahead atomic.Int64
		o := redis.RosterOptions{Backbone: reachApart(t, url, worldPrefix())}
		p := newPatient(o.Ahead(func() time.Duration { return time.Duration(ahead.Load()) }))
		t.Cleanup(p.Close)
		return bustest.RosterWorld{
			Roster: p, Debounce: redis.DefaultDebounce,
			Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
			Pass: func(d time.Duration) {
				p.Settle(context.Background())
				ahead.Add(int64(d))
			},
		}
	})
}

// company is several nodes with one roster, whose times are short.
type company struct {
	t     testing.TB
	url   string
	o     redis.RosterOptions
	apart string

	nodes []*patient
}

func gather(t testing.TB, url string, count int, o redis.RosterOptions) *company {
	c := &company{t: t, url: url, o: o, apart: worldPrefix()}
	for range count {
		c.add()
	}
	return c
}

func (c *company) add() *patient {
	c.t.Helper()
	o := c.o
	o.Backbone = reachApart(c.t, c.url, c.apart)
	p := newPatient(o)
	c.t.Cleanup(p.Close)
	c.nodes = append(c.nodes, p)
	return p
}

func who(n channel.Name, user string, conn uint64) bus.Member {
	return bus.Member{Channel: n, User: user, Conn: conn, Since: time.UnixMilli(1_700_000_000_000)}
}

func (p *patient) enters(t testing.TB, m bus.Member, first bool) {
	t.Helper()
	if got, err := p.Enter(m); err != nil || got != first {
		t.Fatalf("%s enters: first %v, %v", key(m), got, err)
	}
}

func (p *patient) leaves(t testing.TB, m bus.Member, sure, last bool) {
	t.Helper()
	if got, err := p.Leave(m, sure); err != nil || got != last {
		t.Fatalf("%s leaves: last %v, %v", key(m), got, err)
	}
	p.Settle(context.Background())
}

func (p *patient) members(t testing.TB, n channel.Name) (us []string) {
	t.Helper()
	ms, count, err := p.Roster.Members(context.Background(), n, "", 1000)
	if err != nil || count != len(ms) {
		t.Fatalf("%d of %d, %v", len(ms), count, err)
	}
	for _, m := range ms {
		us = append(us, m.User)
	}
	return us
}

// swept sweeps on all nodes as presence does, until somebody was told of all of these, and returns how often of each.
func (c *company) swept(within time.Duration, want ...string) map[string]int {
	c.t.Helper()
	told := map[string]int{}
	for deadline := time.Now().Add(within); ; <-time.After(20 * time.Millisecond) {
		for _, p := range c.nodes {
			_ = p.Roster.Sweep(1000, func(ms []bus.Member) {
				for _, m := range ms {
					told[key(m)]++
				}
			})
		}
		if !slices.ContainsFunc(want, func(k string) bool { return told[k] == 0 }) {
			return told
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("told %v, want %v", told, want)
		}
	}
}

// TestRosterNodes: a user on two nodes is one, whichever of them he leaves first.
func TestRosterNodes(t *testing.T) {
	t.Parallel()
	urls(t, func(t *testing.T, url string) {
		c := gather(t, url, 2, redis.RosterOptions{Debounce: time.Second})
		a, b := c.nodes[0], c.nodes[1]
		a.enters(t, who("a:x", "ann", 1), true)
		b.enters(t, who("a:x", "ann", 1), false)
		b.enters(t, who("a:x", "bob", 2), true)
		a.enters(t, who("", "ann", 1), true)
		for _, p := range c.nodes {
			if got := p.members(t, "a:x"); !slices.Equal(got, []string{"ann", "bob"}) {
				t.Fatalf("members %v", got)
			}
			seen, err := p.Where(context.Background(), []string{"bob", "ann"})
			if err != nil || seen[0].Online || !seen[1].Online {
				t.Fatalf("%+v, %v", seen, err)
			}
		}
		a.leaves(t, who("a:x", "ann", 1), true, false)
		b.leaves(t, who("a:x", "ann", 1), true, true)
		a.enters(t, who("a:x", "ann", 3), true)
		b.enters(t, who("a:x", "ann", 3), false)
		a.leaves(t, who("a:x", "ann", 3), false, false)
		b.leaves(t, who("a:x", "ann", 3), false, false)
		b.leaves(t, who("a:x", "bob", 2), false, false)
		a.enters(t, who("a:x", "bob", 9), false) // back elsewhere: nothing happened
		told := c.swept(patience, "a:x ann")
		if told["a:x ann"] != 1 || told["a:x bob"] != 0 {
			t.Errorf("told %v", told)
		}
		for _, p := range c.nodes {
			p.LookNow()
		}
		if got := b.members(t, "a:x"); !slices.Equal(got, []string{"bob"}) {
			t.Errorf("members %v", got)
		}
	})
}

// TestEachStayEndsOnce: many nodes, all of whose users are lost, sweep at the same time.
func TestEachStayEndsOnce(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	c := gather(t, r.URL(), 3, redis.RosterOptions{Debounce: 300 * time.Millisecond})
	var want []string
	for i := range 300 {
		m := who(channel.Name(fmt.Sprintf("a:%d", i%40)), fmt.Sprintf("u%d", i), uint64(i+1))
		want = append(want, key(m))
		for _, p := range c.nodes[:1+i%3] {
			_, _ = p.Roster.Enter(m)
			_, _ = p.Roster.Leave(m, false)
		}
	}
	for _, p := range c.nodes {
		p.Settle(context.Background())
	}
	var mu sync.Mutex
	told := map[string]int{}
	var sweeping sync.WaitGroup
	for _, p := range c.nodes {
		sweeping.Go(func() {
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
				p.LookNow()
				_ = p.Roster.Sweep(20, func(ms []bus.Member) {
					mu.Lock()
					defer mu.Unlock()
					for _, m := range ms {
						told[key(m)]++
					}
				})
				mu.Lock()
				done := len(told) == len(want)
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	sweeping.Wait()
	for _, k := range want {
		came := 0
		for _, p := range c.nodes {
			p.mu.Lock()
			came += p.came[k]
			p.mu.Unlock()
		}
		if told[k] != 1 || came != 1 {
			t.Errorf("%s came %d times and was told to be gone %d times", k, came, told[k])
		}
	}
}

// TestNodeDies: those who were there by a node that died are away from then on; the others stay.
func TestNodeDies(t *testing.T) {
	t.Parallel()
	urls(t, func(t *testing.T, url string) {
		const dead, debounce = time.Second, 2 * time.Second
		c := gather(t, url, 1, redis.RosterOptions{Dead: dead, Debounce: debounce})
		a, b := c.nodes[0], c.add()
		var want []string
		for i := range 500 { // more than one step takes leave of
			m := who("a:x", fmt.Sprintf("u%d", i), uint64(i+1))
			_, _ = b.Roster.Enter(m)
			want = append(want, key(m))
		}
		b.enters(t, who("a:x", "ann", 1000), true)
		a.enters(t, who("a:x", "ann", 1), false)
		a.enters(t, who("a:y", "bob", 2), true)
		b.Roster.Close() // it has nothing to say any more, and does not take leave
		died := time.Now()
		told := c.swept(patience, want...)
		if took := time.Since(died); took < debounce-dead {
			t.Errorf("they ended after %v", took)
		}
		if told["a:x ann"]+told["a:y bob"] > 0 {
			t.Errorf("told %v", told)
		}
		for k, n := range told {
			if n != 1 {
				t.Errorf("%s was told %d times", k, n)
			}
		}
		a.LookNow()
		if got := a.members(t, "a:x"); !slices.Equal(got, []string{"ann"}) {
			t.Errorf("members %v", got)
		}
	})
}

// TestRedisEmptied: every node puts its entries down anew, those who are away among them, and nobody hears of it.
func TestRedisEmptied(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	c := gather(t, r.URL(), 2, redis.RosterOptions{Dead: 3 * time.Second, Debounce: 6 * time.Second})
	a, b := c.nodes[0], c.nodes[1]
	a.enters(t, who("a:x", "ann", 1), true)
	b.enters(t, who("a:x", "ann", 1), false)
	b.enters(t, who("a:x", "bob", 2), true)
	a.enters(t, who("a:x", "cyd", 3), true)
	a.leaves(t, who("a:x", "cyd", 3), false, false)
	before, err := a.Versions(context.Background(), []channel.Name{"a:x", "a:nobody"}, false)
	if err != nil {
		t.Fatal(err)
	}
	r.Kill()
	_, _ = a.Roster.Enter(who("a:x", "dan", 4)) // while it is away
	r.Start()
	deadline := time.Now().Add(patience)
	for {
		ms, count, err := a.Roster.Members(context.Background(), "a:x", "", 10)
		if err == nil && count == 4 && len(ms) == 4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("members %v, %v", ms, err)
		}
		<-time.After(20 * time.Millisecond)
	}
	if after, err := a.Versions(context.Background(), []channel.Name{"a:x", "a:nobody"}, false); err != nil || after[0] == before[0] || after[1] == before[1] {
		t.Errorf("versions %v before and %v after, %v", before, after, err)
	}
	if told := c.swept(patience, "a:x cyd"); len(told) != 1 || told["a:x cyd"] != 1 {
		t.Errorf("told %v", told)
	}
	for _, p := range c.nodes {
		p.mu.Lock()
		for k, n := range p.came {
			if n != 1 {
				t.Errorf("%s came %d times", k, n)
			}
		}
		if len(p.left) > 0 {
			t.Errorf("left: %v", p.left)
		}
		p.mu.Unlock()
	}
	if came, _ := a.counts(who("a:x", "dan", 4)); came != 1 {
		t.Errorf("dan came %d times", came)
	}
}

// TestNodePauses: a node that was given up puts its entries down anew, and those that had ended begin anew.
func TestNodePauses(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	c := gather(t, r.URL(), 2, redis.RosterOptions{Dead: 2 * time.Second, Debounce: time.Second})
	a, b := c.nodes[0], c.nodes[1]
	a.enters(t, who("a:x", "ann", 1), true)
	// What another node finds if this one was stopped for a while: it was not heard, and its users are gone.
	r.Do("del", b.Roster.KeyOf("stays", "a:x"), b.Roster.KeyOf("roll", "a:x"))
	node := a.Roster.Node()
	for p := range backbone.Partitions {
		for k := range strings.SplitSeq(r.Do("keys", "*roster/"+fmt.Sprint(p)), "\n") {
			r.Do("hdel", k, "n:"+node, "s:"+node)
		}
	}
	for deadline := time.Now().Add(patience / 3); ; <-time.After(20 * time.Millisecond) { // before all entries are put down anew anyway
		if came, _ := a.counts(who("a:x", "ann", 1)); came == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("she did not come again")
		}
	}
	if got := b.members(t, "a:x"); !slices.Equal(got, []string{"ann"}) {
		t.Errorf("members %v", got)
	}
}

// TestRedisAwayLong: when Redis was away for longer than nodes live, nobody is taken for dead, nor for gone.
func TestRedisAwayLong(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	r := servertest.StartRedis(t, servertest.RedisAlways...)
	c := gather(t, r.URL(), 2, redis.RosterOptions{Dead: 1500 * time.Millisecond, Debounce: time.Second})
	a, b := c.nodes[0], c.nodes[1]
	a.enters(t, who("a:x", "ann", 1), true)
	b.enters(t, who("a:x", "bob", 1), true)
	a.enters(t, who("a:x", "cyd", 2), true)
	a.leaves(t, who("a:x", "cyd", 2), false, false)
	r.Kill()
	<-time.After(3 * time.Second)
	_, _ = b.Roster.Enter(who("a:x", "cyd", 3)) // comes back elsewhere, while Redis cannot be told
	r.Start()
	started := time.Now()
	for time.Since(started) < 4*time.Second {
		if told := c.swept(0); len(told) > 0 {
			t.Errorf("told %v", told)
		}
		<-time.After(20 * time.Millisecond)
	}
	if grace := r.Do("hget", a.Roster.PartitionKeyOf("roster", 7), "grace"); grace == "0" {
		t.Error("there was no time for all nodes to be heard before any was given up")
	}
	if got := a.members(t, "a:x"); !slices.Equal(got, []string{"ann", "bob", "cyd"}) {
		t.Errorf("members %v", got)
	}
	for _, p := range c.nodes {
		if came, left := p.counts(who("a:x", "cyd", 3)); p == b && came+left > 0 {
			t.Errorf("cyd came %d times and left %d times", came, left)
		}
	}
}

// TestRosterExpires: nothing of the roster is in Redis for ever.
func TestRosterExpires(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	c := gather(t, r.URL(), 1, redis.RosterOptions{Debounce: 50 * time.Millisecond})
	a := c.nodes[0]
	a.enters(t, who("a:x", "ann", 1), true)
	a.enters(t, who("", "ann", 1), true)
	a.enters(t, who("", "bob", 2), true)
	a.leaves(t, who("", "bob", 2), true, true)
	a.enters(t, who("a:x", "cyd", 3), true)
	a.leaves(t, who("a:x", "cyd", 3), false, false)
	if _, err := a.Versions(context.Background(), []channel.Name{"a:x"}, true); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for k := range strings.SplitSeq(r.Do("keys", "*"), "\n") {
		if ttl := r.Do("ttl", k); strings.HasPrefix(ttl, "-") {
			t.Errorf("%s has no end", k)
		}
		kind, _, _ := strings.Cut(k[strings.Index(k, "}:")+2:], "/")
		kind, _, _ = strings.Cut(kind, ":")
		kind, _, _ = strings.Cut(kind, ".")
		kinds[kind] = true
	}
	if len(kinds) != 7 {
		t.Errorf("there are %v", kinds)
	}
	// Those who are gone leave nothing but when they were seen.
	a.leaves(t, who("a:x", "ann", 1), true, true)
	a.leaves(t, who("", "ann", 1), true, true)
	c.swept(patience, "a:x cyd")
	a.LookNow()
	for k := range strings.SplitSeq(r.Do("keys", "*"), "\n") {
		for _, kind := range []string{":stays", ":roll", ":away"} {
			if strings.Contains(k, kind) {
				t.Errorf("%s is left: %s", k, r.Do("type", k))
			}
		}
	}
}

// TestRosterIsBounded: one more than there is room for is refused, and room is given back.
func TestRosterIsBounded(t *testing.T) {
	t.Parallel()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	c := gather(t, r.URL(), 1, redis.RosterOptions{MaxEntries: 2})
	a := c.nodes[0]
	a.enters(t, who("a:x", "ann", 1), true)
	a.enters(t, who("a:x", "bob", 2), true)
	if _, err := a.Roster.Enter(who("a:x", "cyd", 3)); err == nil {
		t.Error("a third entered")
	}
	a.leaves(t, who("a:x", "bob", 2), true, true)
	a.enters(t, who("a:x", "cyd", 3), true)
	if n := a.Count(); n != 2 {
		t.Errorf("%d entries", n)
	}
}
