package node_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/client"
	"carillon/internal/servertest"
	"carillon/journal/redis"
)

// BenchmarkAppendFromSockets has publishes with ids made true by one Redis, 64 under way: first handed to the journal itself, then sent
// through 16 connections of the client library to a node. The ratio is what counts; the package journal/redis compares the journal with
// redis-benchmark in the same way.
func BenchmarkAppendFromSockets(b *testing.B) {
	const under, lines = 64, 16
	w := &world{redis: servertest.StartRedis(b, servertest.RedisNone...), prefix: "append"}
	body := []byte(`{"text":"a message of the length that people write to one another","n":12345}`)
	name := func(i int) string { return fmt.Sprintf("demo:append%d", i%8) }
	rate := func(n int, began time.Time) float64 { return float64(n) / time.Since(began).Seconds() }

	bone, err := backbone.Open(b.Context(), backbone.Options{URL: w.redis.URL(), Prefix: "direct"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bone.Close)
	j, err := redis.Open(b.Context(), redis.Options{Backbone: bone})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(j.Close)
	direct := func(count int) float64 {
		began, room := time.Now(), make(chan struct{}, under)
		for i := range count {
			room <- struct{}{}
			j.Append(channel.Record{Channel: channel.Name(name(i)), From: "ann", ID: fmt.Sprint(count, "-", i), Body: body}, func(_ channel.Position, err error) {
				if <-room; err != nil {
					b.Error(err)
				}
			})
		}
		for range under {
			room <- struct{}{}
		}
		return rate(count, began)
	}

	n := w.node(b, "a", whole)
	var clients []*client.Client
	for range lines {
		c := client.New(n.URL(), client.Options{})
		b.Cleanup(func() { _ = c.Close() })
		clients = append(clients, c)
	}
	through := func(count int) float64 {
		began := time.Now()
		var publishing sync.WaitGroup
		for i := range under {
			publishing.Go(func() {
				for k := i; k < count; k += under {
					if _, err := clients[i%lines].Publish(context.Background(), name(i), body, client.PublishOptions{ID: fmt.Sprint(count, "-", k)}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		publishing.Wait()
		return rate(count, began)
	}
	direct(1000)
	through(1000)
	b.ResetTimer()
	sockets := through(b.N)
	b.StopTimer()
	journal := direct(b.N)
	b.ReportMetric(sockets, "publishes/s")
	b.ReportMetric(journal, "appends/s")
	b.ReportMetric(sockets/journal, "ratio")
}
