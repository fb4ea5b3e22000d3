package node_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"carillon/client"
	"carillon/internal/servertest"
	"carillon/node"
)

// TestSlotsMove: an operator moves a quarter of a Redis Cluster, and back, while people publish and others hear it on another node:
// nothing that was acknowledged is lost, nothing comes twice, no hole is silent, and no line is lost.
func TestSlotsMove(t *testing.T) {
	if testing.Short() {
		t.Skip("moving slots takes seconds")
	}
	mostlyWaits(t)
	c := servertest.StartRedisCluster(t, servertest.RedisNone...)
	w := &world{redis: c.Nodes[0], prefix: "slots"}
	over := func(o *node.Options) { whole(o); o.Redis.URL = c.URL() }
	a, b := w.node(t, "a", over), w.node(t, "b", over)
	x := experiment{seed: rand.Uint64() >> 20, publishers: 2, channels: 24, subscribers: 48, records: 3000, every: 4 * time.Millisecond, refusals: true}
	if long() {
		x = size(x.seed)
		x.refusals = true
	}
	var l life
	o := x.play(t, []string{a.URL(), b.URL()}, client.Options{OnState: l.hear}, func(published <-chan struct{}) {
		for _, way := range [][2]int{{0, 1}, {1, 0}} {
			select {
			case <-published:
				t.Log("all was published before the slots moved back")
				return
			default:
			}
			began := time.Now()
			ids := [2]string{c.Nodes[way[0]].Do("cluster", "myid"), c.Nodes[way[1]].Do("cluster", "myid")}
			before := keysOf(c)
			c.Nodes[0].Do("--cluster", "reshard", c.Nodes[0].Address, "--cluster-from", ids[0], "--cluster-to", ids[1], "--cluster-slots", "4000", "--cluster-yes")
			t.Logf("4,000 slots moved within %s: keys %v, then %v", time.Since(began).Round(time.Millisecond), before, keysOf(c))
		}
	})
	x.settle(t, o, b.URL())
	o.judge(t)
	if n := l.count(client.Reconnecting); n > 0 {
		t.Errorf("%d lines of clients were lost", n)
	}
}

// keysOf is how many keys each server of a Cluster has.
func keysOf(c *servertest.RedisCluster) (counts []string) {
	for _, n := range c.Nodes {
		counts = append(counts, strings.TrimSpace(n.Do("dbsize")))
	}
	return counts
}
