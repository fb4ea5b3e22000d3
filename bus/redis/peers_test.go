package redis

import (
	"context"
	"testing"

	"carillon/backbone"
	"carillon/internal/servertest"
)

// Nodes count each other until they say that they end.
func TestPeers(t *testing.T) {
	ctx := context.Background()
	r := servertest.StartRedis(t, servertest.RedisNone...)
	var all []*Peers
	for range 3 {
		b, err := backbone.Open(ctx, backbone.Options{URL: r.URL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		all = append(all, NewPeers(b))
	}
	say := func(p *Peers, lives bool, want int) {
		t.Helper()
		if err := p.Say(ctx, lives); err != nil || p.Others() != want {
			t.Fatalf("%d others, %v; want %d", p.Others(), err, want)
		}
	}
	for i, p := range all {
		say(p, true, i)
	}
	say(all[0], true, 2)
	say(all[2], false, 2)
	say(all[0], true, 1)
	r.Do("flushall")
	say(all[1], true, 0)
	r.Kill()
	if err := all[1].Say(ctx, true); err == nil || all[1].Others() != 0 {
		t.Fatalf("%d others, %v", all[1].Others(), err)
	}
}
