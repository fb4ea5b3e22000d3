package presence_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/gateway/presence"
	"carillon/internal/servertest"
)

const patience = 60 * time.Second

// journal is the one that all nodes write values to, each write when it likes.
type journal struct {
	late sync.WaitGroup

	mu     sync.Mutex
	values map[channel.Name]string
	writes []write
	gates  map[int]chan struct{} // by node: what it writes waits for that
}

type write struct {
	node    int
	channel channel.Name
	at      time.Time
}

func (j *journal) publish(node int) func(channel.Record, func(error)) {
	return func(r channel.Record, done func(error)) {
		j.mu.Lock()
		j.writes = append(j.writes, write{node, r.Channel, time.Now()})
		gate := j.gates[node]
		j.mu.Unlock()
		j.late.Go(func() {
			<-time.After(rand.N(50 * time.Millisecond))
			if gate != nil {
				<-gate
			}
			j.mu.Lock()
			j.values[r.Channel] = string(r.Body)
			j.mu.Unlock()
			done(nil)
		})
	}
}

// hold keeps the writes of a node back until it is released, and tells how many there are.
func (j *journal) hold(node int) (release func(), held func() int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := len(j.writes)
	gate := make(chan struct{})
	j.gates[node] = gate
	return func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			delete(j.gates, node)
			close(gate)
		}, func() (n int) {
			j.mu.Lock()
			defer j.mu.Unlock()
			for _, w := range j.writes[before:] {
				if w.node == node {
					n++
				}
			}
			return n
		}
}

func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// shows gives who a value names, sorted; nil if there is none.
func (j *journal) shows(t testing.TB, n channel.Name) []string {
	t.Helper()
	j.mu.Lock()
	body := j.values[n+"@presence"]
	j.mu.Unlock()
	if body == "" {
		return nil
	}
	var v presence.Value
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	us := []string{}
	for _, m := range v.Members {
		us = append(us, m.User)
	}
	slices.Sort(us)
	return us
}

func (j *journal) awaits(t testing.TB, within time.Duration, n channel.Name, want []string) {
	t.Helper()
	for deadline := time.Now().Add(within); ; <-time.After(10 * time.Millisecond) {
		got := j.shows(t, n)
		if slices.Equal(got, want) && (got == nil) == (want == nil) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s shows %q, want %q", n, got, want)
		}
	}
}

// paced checks that no node wrote a value twice in a second.
func (j *journal) paced(t testing.TB) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	last := map[write]time.Time{}
	for _, w := range j.writes {
		k := write{node: w.node, channel: w.channel}
		if gap := w.at.Sub(last[k]); gap < presence.Interval*9/10 {
			t.Errorf("node %d wrote %s again after %v", w.node, w.channel, gap)
		}
		last[k] = w.at
	}
}

// someNode is a node with a Keeper.
type someNode struct {
	keeper *presence.Keeper
	roster *redis.Roster
	close  func() // of the Keeper

	mu   sync.Mutex
	told []string
}

type sharedWorld struct {
	t     testing.TB
	redis *servertest.Redis
	j     *journal
	nodes []*someNode
}

func share(t testing.TB, count int, o redis.RosterOptions) *sharedWorld {
	t.Helper()
	w := &sharedWorld{t: t, redis: servertest.StartRedis(t, servertest.RedisNone...), j: &journal{values: map[channel.Name]string{}, gates: map[int]chan struct{}{}}}
	t.Cleanup(w.j.late.Wait)
	for i := range count {
		w.add(i, o)
	}
	return w
}

func (w *sharedWorld) add(i int, o redis.RosterOptions) {
	t := w.t
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := backbone.Open(ctx, backbone.Options{URL: w.redis.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	n := &someNode{}
	ready := make(chan struct{})
	o.Backbone = b
	o.Told = func(ms []presence.Member, here bool) {
		<-ready
		n.keeper.Heard(ms, here)
	}
	n.roster = redis.NewRoster(o)
	t.Cleanup(n.roster.Close)
	n.keeper = presence.New(presence.Options{
		Roster: n.roster, Shared: n.roster, Publish: w.j.publish(i), Log: slog.New(slog.DiscardHandler),
		Told: func(m presence.Member, here bool) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.told = append(n.told, fmt.Sprintf("%s %s %v", m.Channel, m.User, here))
		},
	})
	close(ready)
	n.close = sync.OnceFunc(n.keeper.Close)
	t.Cleanup(n.close)
	w.nodes = append(w.nodes, n)
}

func in(n channel.Name, user string, conn uint64) presence.Member {
	return presence.Member{Channel: n, User: user, Conn: conn, Since: time.UnixMilli(int64(conn))}
}

func (n *someNode) watch(t testing.TB, c channel.Name) {
	t.Helper()
	ready := make(chan struct{})
	n.keeper.Watch(c, func() { close(ready) })
	select {
	case <-ready:
	case <-time.After(patience):
		t.Error("a watch is not ready")
	}
}

// TestMembersElsewhere: who watches on one node is shown who is in the channel by others, and those write it.
func TestMembersElsewhere(t *testing.T) {
	t.Parallel()
	w := share(t, 3, redis.RosterOptions{Debounce: time.Second})
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	a.keeper.Enter(in("a:x", "ann", 1))
	c.watch(t, "a:x")
	w.j.awaits(t, patience, "a:x", []string{"ann"})
	b.keeper.Enter(in("a:x", "bob", 1))
	b.keeper.Enter(in("a:x", "ann", 2))
	b.keeper.Enter(in("a:unwatched", "bob", 3))
	w.j.awaits(t, 5*time.Second, "a:x", []string{"ann", "bob"})
	a.keeper.Leave(in("a:x", "ann", 1), true)
	b.keeper.Leave(in("a:x", "bob", 1), false)
	w.j.awaits(t, 8*time.Second, "a:x", []string{"ann"})
	b.keeper.Leave(in("a:x", "ann", 2), true)
	w.j.awaits(t, 5*time.Second, "a:x", []string{})
	w.j.paced(t)
	if got := w.j.shows(t, "a:unwatched"); got != nil {
		t.Errorf("nobody watches, and %q was written", got)
	}
	told := []string{}
	for _, n := range w.nodes {
		n.mu.Lock()
		told = append(told, n.told...)
		n.mu.Unlock()
	}
	slices.Sort(told)
	want := []string{"a:unwatched bob true", "a:x ann false", "a:x ann true", "a:x bob false", "a:x bob true"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

// soon is shorter than any slow round that would find a false value.
const soon = 4 * time.Second

// TestWritesOvertake: what a node read earlier it may write later than others wrote what is true now. It finds that out.
func TestWritesOvertake(t *testing.T) {
	t.Parallel()
	w := share(t, 3, redis.RosterOptions{})
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	c.watch(t, "a:x")
	w.j.awaits(t, patience, "a:x", []string{})
	release, held := w.j.hold(0)
	a.keeper.Enter(in("a:x", "ann", 1))
	until(t, "the first node writes", func() bool { return held() == 1 })
	b.keeper.Enter(in("a:x", "bob", 1))
	w.j.awaits(t, patience, "a:x", []string{"ann", "bob"})
	release()
	until(t, "it is written again", func() bool { return held() == 2 })
	w.j.awaits(t, soon, "a:x", []string{"ann", "bob"})
}

// TestSameAgain: a value that is again what this node wrote last has to be written if others wrote between.
func TestSameAgain(t *testing.T) {
	t.Parallel()
	w := share(t, 2, redis.RosterOptions{})
	a, b := w.nodes[0], w.nodes[1]
	a.keeper.Enter(in("a:x", "ann", 1))
	a.watch(t, "a:x")
	w.j.awaits(t, patience, "a:x", []string{"ann"})
	<-time.After(2 * presence.Interval) // nothing that was written is in doubt any more
	b.keeper.Enter(in("a:x", "bob", 1))
	w.j.awaits(t, patience, "a:x", []string{"ann", "bob"})
	a.keeper.Enter(in("a:x", "bob", 2))
	<-time.After(presence.Interval) // Redis knows both
	b.keeper.Leave(in("a:x", "bob", 1), true)
	<-time.After(presence.Interval) // nobody is in doubt, and the last to go is the one by the first node
	a.keeper.Leave(in("a:x", "bob", 2), true)
	w.j.awaits(t, soon, "a:x", []string{"ann"})
}

// TestOneWritesInASecond: nodes that all have news of a channel write its value in turn, and the last one writes what is true.
func TestOneWritesInASecond(t *testing.T) {
	t.Parallel()
	w := share(t, 3, redis.RosterOptions{})
	for _, n := range w.nodes {
		n.watch(t, "a:x")
	}
	w.j.awaits(t, patience, "a:x", []string{})
	began := time.Now()
	var want []string
	for i := range 90 { // the list stays one of names
		user := fmt.Sprintf("u%02d", i)
		want = append(want, user)
		w.nodes[i%3].keeper.Enter(in("a:x", user, uint64(i+1)))
		<-time.After(50 * time.Millisecond)
	}
	w.j.awaits(t, soon, "a:x", want)
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	var last time.Time
	counted := 0
	for _, one := range w.j.writes {
		if one.at.Before(began) {
			continue
		}
		if gap := one.at.Sub(last); counted > 0 && gap < presence.Interval*9/10 {
			t.Errorf("node %d writes %v after the one before", one.node, gap)
		}
		last = one.at
		counted++
	}
	if counted < 4 {
		t.Errorf("%d writes in %v", counted, time.Since(began))
	}
}

// TestDeletionOvertakes: a node deletes a value because nobody watches; somebody elsewhere begins to, and what he was written
// is deleted.
func TestDeletionOvertakes(t *testing.T) {
	t.Parallel()
	w := share(t, 2, redis.RosterOptions{})
	a, b := w.nodes[0], w.nodes[1]
	a.keeper.Enter(in("a:x", "ann", 1))
	a.watch(t, "a:x")
	w.j.awaits(t, patience, "a:x", []string{"ann"})
	release, held := w.j.hold(0)
	a.keeper.Unwatch("a:x")
	until(t, "the value is deleted", func() bool { return held() == 1 })
	b.watch(t, "a:x")
	w.j.awaits(t, patience, "a:x", []string{"ann"})
	release()
	w.j.awaits(t, patience, "a:x", nil)
	w.j.awaits(t, soon, "a:x", []string{"ann"})
}

// TestValueGoesWithTheLastWatch: a value stays while any node watches, and goes when none does.
func TestValueGoesWithTheLastWatch(t *testing.T) {
	t.Parallel()
	w := share(t, 2, redis.RosterOptions{})
	a, b := w.nodes[0], w.nodes[1]
	a.keeper.Enter(in("a:x", "ann", 1))
	a.watch(t, "a:x")
	b.watch(t, "a:x")
	a.keeper.Unwatch("a:x")
	for range 5 { // one begins as the other ends
		a.watch(t, "a:x")
		b.keeper.Unwatch("a:x")
		b.watch(t, "a:x")
		a.keeper.Unwatch("a:x")
		<-time.After(rand.N(1500 * time.Millisecond))
		w.j.awaits(t, 5*time.Second, "a:x", []string{"ann"})
	}
	b.keeper.Unwatch("a:x")
	w.j.awaits(t, 5*time.Second, "a:x", nil)
}

// TestForgottenWrite: a node that changed something and died before it wrote it, and a Redis that lost all, are found out by
// those who watch.
func TestForgottenWrite(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	w := share(t, 2, redis.RosterOptions{Dead: 3 * time.Second})
	a, b := w.nodes[0], w.nodes[1]
	a.keeper.Enter(in("a:x", "ann", 1))
	b.watch(t, "a:x")
	w.j.awaits(t, patience, "a:x", []string{"ann"})
	calm := func() { <-time.After(3 * presence.Interval) } // until nothing that was written is in doubt any more
	calm()
	a.close() // what its roster is told from now on it does not write
	if _, err := a.roster.Enter(in("a:x", "bob", 2)); err != nil {
		t.Fatal(err)
	}
	w.j.awaits(t, 15*time.Second, "a:x", []string{"ann", "bob"})

	calm()
	w.redis.Kill()
	w.j.mu.Lock()
	clear(w.j.values)
	w.j.mu.Unlock()
	w.redis.Start()
	w.j.awaits(t, 20*time.Second, "a:x", []string{"ann", "bob"})
	calm()
	if _, err := a.roster.Enter(in("a:x", "cyd", 3)); err != nil {
		t.Fatal(err)
	}
	for range 20 { // asked to, it looks at once
		b.keeper.Verify()
		<-time.After(presence.Interval / 10)
	}
	w.j.awaits(t, presence.Interval, "a:x", []string{"ann", "bob", "cyd"})
}
