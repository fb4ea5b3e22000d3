package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/bus"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/internal/servertest"
)

// answering is an owner that answers each command with its body.
func answering(ctx context.Context, s bus.Shard) error {
	var out []bus.Answered
	for {
		as, err := s.Next(ctx, 128)
		if err != nil {
			return err
		}
		out = out[:0]
		for _, a := range as {
			out = append(out, bus.Answered{Ticket: a.Ticket, Reply: channel.Reply{ID: a.Command.ID, Body: a.Command.Body}})
		}
		if err := s.Answer(out); err != nil {
			return err
		}
	}
}

// inOwn runs an owner beside a test until the test ends, or end is called.
func inOwn(t testing.TB, d *redis.Desk, service string, shards int, run func(context.Context, bus.Shard) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := d.Own(ctx, service, shards, run); err != nil && !errors.Is(err, bus.ErrClosed) {
			t.Errorf("own: %v", err)
		}
	}()
	end = func() { cancel(); <-ended }
	t.Cleanup(end)
	return end
}

// askNow asks and waits for the answer.
func askNow(d *redis.Desk, c channel.Command) (r channel.Reply, err error) {
	done := make(chan struct{})
	d.Ask(c, func(got channel.Reply, e error) { r, err = got, e; close(done) })
	<-done
	return r, err
}

// untilServed asks until there is an answer.
func untilServed(t testing.TB, d *redis.Desk, n channel.Name) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := askNow(d, channel.Command{ID: "?", Channel: n, User: "ann"})
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not served: %v", n, err)
		}
	}
}

// BenchmarkDesk asks from one node what another one answers, with so many commands in flight, over so many shards.
func BenchmarkDesk(b *testing.B) {
	r := servertest.StartRedis(b, servertest.RedisNone...)
	for _, c := range []struct{ inFlight, shards int }{{1, 1}, {64, 1}, {64, 8}, {1024, 1}} {
		b.Run(fmt.Sprintf("flight=%d/shards=%d", c.inFlight, c.shards), func(b *testing.B) {
			ds := desks(b, r.URL(), 2)
			inOwn(b, ds[1], "bench", c.shards, answering)
			for i := range 50 {
				untilServed(b, ds[0], channel.Name(fmt.Sprintf("bench:%d", i)))
			}
			body := []byte(`{"text":"a message of about one hundred bytes, as they are written by people who chat in rooms"}`)
			var mu sync.Mutex
			var took, calls []time.Duration
			line := reach(b, r.URL()).Client()
			failed := 0
			free := make(chan struct{}, c.inFlight)
			b.ResetTimer()
			for i := range b.N {
				free <- struct{}{}
				if i%10 == 0 && c.inFlight == 1 { // what a single call costs at this moment, to compare with
					began := time.Now()
					_ = line.Do(context.Background(), line.B().Ping().Build()).Error()
					calls = append(calls, time.Since(began))
				}
				began := time.Now()
				ds[0].Ask(channel.Command{ID: fmt.Sprint(i), Channel: channel.Name(fmt.Sprintf("bench:%d", i%50)), User: "ann", Body: body}, func(_ channel.Reply, err error) {
					mu.Lock()
					if took = append(took, time.Since(began)); err != nil {
						failed++
					}
					mu.Unlock()
					<-free
				})
			}
			for range c.inFlight {
				free <- struct{}{}
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "asks/s")
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			if slices.Sort(calls); len(calls) > 0 {
				b.ReportMetric(float64(calls[len(calls)/2].Microseconds()), "call-p50-µs")
			}
			if failed > 0 {
				b.Errorf("%d of %d failed", failed, b.N)
			}
		})
	}
}
