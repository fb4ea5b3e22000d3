package redis_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/internal/servertest"
)

// pair is a node that carries and one that hears, over one Redis.
func pair(b *testing.B, rooms int, in func([]channel.Record)) (near *redis.Feed, line *backbone.Backbone) {
	r := servertest.StartRedis(b, servertest.RedisNone...)
	line = reach(b, r.URL())
	near = redis.NewFeed(redis.FeedOptions{Backbone: line, In: bus.In{Records: func([]channel.Record) {}, Trouble: func(bool) {}}})
	far := redis.NewFeed(redis.FeedOptions{Backbone: reach(b, r.URL()), In: bus.In{Records: in, Trouble: func(bool) {}}})
	b.Cleanup(near.Close)
	b.Cleanup(far.Close)
	for i := range rooms {
		if err := far.Join(context.Background(), channel.Name(fmt.Sprintf("bench:%d", i))); err != nil {
			b.Fatal(err)
		}
	}
	return near, line
}

// BenchmarkLatency carries 10,000 records of 100 bytes a second, one by one, and reports how long each took to the other node;
// beside it, as the yardstick of the machine, how long a PING took meanwhile.
func BenchmarkLatency(b *testing.B) {
	const rooms, perTick, tick, most = 100, 10, time.Millisecond, 1 << 20
	var mu sync.Mutex
	var took []time.Duration
	near, line := pair(b, rooms, func(rs []channel.Record) {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		for _, r := range rs {
			if len(took) < most {
				took = append(took, now.Sub(time.Unix(0, int64(r.At.Offset))))
			}
		}
	})
	stop, pinged := make(chan struct{}), make(chan []time.Duration)
	go pings(b, line, stop, pinged)
	body := make([]byte, 100)
	begin, sent := time.Now(), 0
	for b.Loop() {
		if sent%perTick == 0 {
			<-time.After(time.Until(begin.Add(time.Duration(sent/perTick) * tick)))
		}
		n := channel.Name(fmt.Sprintf("bench:%d", sent%rooms))
		near.Carry([]channel.Record{{Channel: n, At: channel.Position{Epoch: 1, Offset: uint64(time.Now().UnixNano())}, Body: body}})
		sent++
	}
	b.ReportMetric(float64(sent)/time.Since(begin).Seconds(), "msg/s")
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		mu.Lock()
		done := len(took) == min(sent, most)
		mu.Unlock()
		if done {
			break
		}
	}
	close(stop)
	mu.Lock()
	defer mu.Unlock()
	for what, took := range map[string][]time.Duration{"": took, "ping-": <-pinged} {
		slices.Sort(took)
		if len(took) > 0 {
			b.ReportMetric(took[len(took)/2].Seconds()*1000, what+"p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1000, what+"p99-ms")
		}
	}
}

func pings(b *testing.B, line *backbone.Backbone, stop chan struct{}, pinged chan []time.Duration) {
	var took []time.Duration
	for {
		select {
		case <-stop:
			pinged <- took
			return
		case <-time.After(time.Millisecond):
		}
		begin := time.Now()
		c := line.Client()
		if err := c.Do(context.Background(), c.B().Ping().Build()).Error(); err != nil {
			b.Error(err)
		}
		took = append(took, time.Since(begin))
	}
}

// BenchmarkCarried carries as much as is delivered, with at most 20,000 records under way.
func BenchmarkCarried(b *testing.B) {
	const rooms, ahead = 100, 20_000
	var got atomic.Int64
	near, _ := pair(b, rooms, func(rs []channel.Record) { got.Add(int64(len(rs))) })
	body := make([]byte, 100)
	names := make([]channel.Name, rooms)
	for i := range names {
		names[i] = channel.Name(fmt.Sprintf("bench:%d", i))
	}
	sent := int64(0)
	for b.Loop() {
		for sent-got.Load() > ahead {
			<-time.After(50 * time.Microsecond)
		}
		near.Carry([]channel.Record{{Channel: names[sent%rooms], At: channel.Position{Epoch: 1, Offset: 1}, Body: body}})
		sent++
	}
	for deadline := time.Now().Add(patience); got.Load() < sent && time.Now().Before(deadline); <-time.After(time.Millisecond) {
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "records/s")
	if got.Load() != sent {
		b.Errorf("%d of %d arrived", got.Load(), sent)
	}
}
