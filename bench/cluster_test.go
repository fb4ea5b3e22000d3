package bench

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/internal/servertest"
	"carillon/node"
)

// clusterOf runs nodes that share a Redis, in this process, and returns their addresses as the command line has them.
func clusterOf(t *testing.T, nodes int) string {
	t.Helper()
	redis := servertest.StartRedis(t, servertest.RedisNone...)
	var urls []string
	for i := range nodes {
		n, err := node.Start(t.Context(), node.Options{
			Listen: "127.0.0.1:0", Dev: true, Version: "test", Log: slog.New(slog.DiscardHandler),
			Cluster: node.Cluster{Name: "n" + strconv.Itoa(i), Redis: node.Redis{URL: redis.URL()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := n.Close(ctx); err != nil {
				t.Errorf("closing a node: %v", err)
			}
		})
		urls = append(urls, n.URL())
	}
	return strings.Join(urls, ",")
}

// TestNodes: what is said on one node reaches everybody on all of them, once.
func TestNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a Redis and several nodes")
	}
	urls := clusterOf(t, 3)
	for scenario, least := range map[string]uint64{clusterName: 2 * 90, acrossName: 500} {
		t.Run(scenario, func(t *testing.T) {
			c := command(scenario, urls)
			c.Load.Conns, c.Load.Workers, c.Load.Rate = 90, 2, map[string]float64{clusterName: 4, acrossName: 500}[scenario]
			r, err := c.measure(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Err(); err != nil {
				t.Errorf("%v\n%+v", err, lastPhase(r))
			}
			if p := lastPhase(r); p.Count.Delivered < least || len(r.Notes) < 2 {
				t.Errorf("%d receipts, want at least %d; notes %q", p.Count.Delivered, least, r.Notes)
			}
		})
	}
}

// TestParted: nodes that know nothing of each other are no cluster, and the run says so.
func TestParted(t *testing.T) {
	c := command(clusterName, serve(t).URL()+","+serve(t).URL())
	c.Load.Conns, c.Load.Rate, c.Load.Settle = 20, 4, 500*time.Millisecond
	r, err := c.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := lastPhase(r)
	if err := r.Err(); err == nil || p.Count.Missing == 0 || p.Count.Delivered == 0 {
		t.Errorf("%v, %+v", err, p.Count)
	}
}

// TestSpread: the connections of a channel are on all nodes alike, who speaks is elsewhere than who listens, and at home
// all are on one.
func TestSpread(t *testing.T) {
	apart, home := Group{Channels: 4, Members: 10, Speakers: 1}, Group{Channels: 4, Members: 1, Speakers: 1, Home: true}
	for channel := range 4 {
		on := make([]int, 5)
		for place := range 10 {
			on[apart.node(channel, place, 5)]++
		}
		for _, n := range on {
			if n != 2 {
				t.Errorf("channel %d: connections by node %v", channel, on)
			}
		}
		if apart.node(channel, 0, 2) == apart.node(channel, 1, 2) {
			t.Errorf("channel %d: who speaks is on the node of who listens", channel)
		}
		if home.node(channel, 0, 2) != home.node(channel, 1, 2) {
			t.Errorf("channel %d is not at home", channel)
		}
	}
}
