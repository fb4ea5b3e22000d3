package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/bus/bustest"
	"carillon/bus/redis"
	"carillon/internal/servertest"
)

var deskWorlds atomic.Int64

// desks opens desks of several nodes over one Redis, apart from all others there.
func desks(t testing.TB, url string, count int) []*redis.Desk {
	t.Helper()
	return desksAt(t, url, fmt.Sprintf("desk%d", deskWorlds.Add(1)), count)
}

func desksAt(t testing.TB, url, prefix string, count int) (ds []*redis.Desk) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range count {
		b, err := backbone.Open(ctx, backbone.Options{URL: url, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		d := redis.NewDesk(redis.DeskOptions{Backbone: b, Log: slog.New(slog.NewTextHandler(testLog{t}, nil))})
		t.Cleanup(d.Close)
		ds = append(ds, d)
	}
	return ds
}

// testLog shows the log of a test that fails.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Logf("%s", p)
	return len(p), nil
}

// lawOfDesks runs the law over so many nodes: one asks, the others own; a single one does both.
func lawOfDesks(t *testing.T, url string, nodes int) {
	bustest.RunDesks(t, func(t testing.TB) ([]bus.Desk, func()) {
		ds := desks(t, url, nodes)
		all := []bus.Desk{ds[0]}
		for i := range max(nodes-1, 1) {
			all = append(all, ds[(i+1)%nodes])
		}
		return all, func() {
			for _, d := range ds {
				d.Close()
			}
		}
	})
}

func TestDesk(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	t.Run("one node", func(t *testing.T) { lawOfDesks(t, r.URL(), 1) })
	t.Run("three nodes", func(t *testing.T) { lawOfDesks(t, r.URL(), 3) })
}

func TestDeskOnCluster(t *testing.T) {
	lawOfDesks(t, servertest.StartRedisCluster(t, servertest.RedisNone...).URL(), 3)
}
