package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/internal/servertest"
)

// Of many nodes that take a value at once, one gets it.
func TestOnce(t *testing.T) {
	ctx := context.Background()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	var nodes []Once
	for range 4 {
		b, err := backbone.Open(ctx, backbone.Options{URL: r.URL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		nodes = append(nodes, NewOnce(b))
	}
	if err := nodes[0].Put(ctx, "k", "token", time.Minute); err != nil {
		t.Fatal(err)
	}
	var got atomic.Int32
	var taking sync.WaitGroup
	for i := range 32 {
		taking.Go(func() {
			if v, found, err := nodes[i%4].Take(ctx, "k"); err != nil || found && v != "token" {
				t.Errorf("%q, %v", v, err)
			} else if found {
				got.Add(1)
			}
		})
	}
	taking.Wait()
	if got.Load() != 1 {
		t.Fatalf("%d took it", got.Load())
	}
}
