package redis_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/bus/redis"
	"carillon/internal/servertest"
)

// TestDeskListensApart: Redis bounds what may wait for a connection that subscribes, and cuts it beyond. So replies to
// others must not share one with the desk.
func TestDeskListensApart(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	ctx := context.Background()
	b, err := backbone.Open(ctx, backbone.Options{URL: r.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d := redis.NewDesk(redis.DeskOptions{Backbone: b})
	defer d.Close()
	for end := time.Now().Add(time.Minute); !strings.Contains(r.Do("client", "list", "type", "pubsub"), "resp=3"); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the desk subscribes to nothing")
		}
	}
	for range 64 {
		if err := b.Client().Do(ctx, b.Client().B().Get().Key("k").Build()).Error(); err != nil && !strings.Contains(err.Error(), "nil") {
			t.Fatal(err)
		}
	}
	if list := r.Do("client", "list", "type", "pubsub"); strings.Contains(list, "cmd=get") {
		t.Errorf("commands go by the connection that subscribes:\n%s", list)
	}
}
