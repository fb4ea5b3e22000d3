package redis_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/internal/servertest"
)

// TestHereAndThere: an owner whose own node asks without end answers those who ask elsewhere all the same, and needs Redis for
// none of its own.
func TestHereAndThere(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	ds := desks(t, r.URL(), 2)
	serving := make(chan struct{})
	inOwn(t, ds[0], "k", 1, func(ctx context.Context, s bus.Shard) error {
		close(serving)
		for {
			as, err := s.Next(ctx, 2)
			if err != nil {
				return err
			}
			<-time.After(time.Millisecond) // so that more waits than it takes
			done := make([]bus.Answered, len(as))
			for i, a := range as {
				done[i] = bus.Answered{Ticket: a.Ticket}
			}
			if err := s.Answer(done); err != nil {
				return err
			}
		}
	})
	<-serving
	command := func(i int) channel.Command {
		return channel.Command{ID: fmt.Sprint(i), Channel: "k:a", User: "ann", Body: []byte("1")}
	}
	const asking = 100
	var asked atomic.Int64
	var over atomic.Bool
	ended := make(chan struct{}, asking)
	var again func(channel.Reply, error)
	again = func(_ channel.Reply, err error) {
		if err != nil {
			t.Errorf("asked here: %v", err)
		}
		if over.Load() {
			ended <- struct{}{}
			return
		}
		ds[0].Ask(command(int(asked.Add(1))), again)
	}
	for range asking {
		ds[0].Ask(command(int(asked.Add(1))), again)
	}
	others := make(chan error, 20)
	for i := range cap(others) {
		ds[1].Ask(command(1_000_000+i), func(_ channel.Reply, err error) { others <- err })
	}
	for range cap(others) {
		if err := soon(t, others); err != nil {
			t.Errorf("asked elsewhere: %v", err)
		}
	}
	r.Freeze() // the lease lasts for a while
	here := make(chan error, 1)
	ds[0].Ask(command(2_000_000), func(_ channel.Reply, err error) { here <- err })
	if err := soon(t, here); err != nil {
		t.Errorf("asked here while Redis is halted: %v", err)
	}
	over.Store(true)
	for range asking {
		soon(t, ended)
	}
	r.Thaw()
}
