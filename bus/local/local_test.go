package local_test

import (
	"context"
	"fmt"
	"testing"

	"carillon/bus"
	"carillon/bus/bustest"
	"carillon/bus/local"
	"carillon/channel"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFeed(t *testing.T) {
	bustest.Run(t, func(_ testing.TB, in bus.In) (bus.Feed, func()) { return local.New(in), func() {} })
}

func TestDesk(t *testing.T) {
	bustest.RunDesk(t, func(testing.TB) (bus.Desk, func()) { d := local.NewDesk(); return d, d.Close })
}

func benchFeed() *local.Feed {
	f := local.New(bus.In{Records: func([]channel.Record) {}})
	for i := range 10_000 {
		_ = f.Join(context.Background(), channel.Name(fmt.Sprintf("bench:%d", i)))
	}
	return f
}

func BenchmarkCarry(b *testing.B) {
	for _, n := range []channel.Name{"bench:77", "bench:nobody"} {
		b.Run(string(n), func(b *testing.B) {
			f := benchFeed()
			rs := []channel.Record{{Channel: n}}
			b.ReportAllocs()
			for b.Loop() {
				f.Carry(rs)
			}
		})
	}
}

// BenchmarkAsk asks, takes and answers, with many commands waiting all the time.
func BenchmarkAsk(b *testing.B) {
	for _, waiting := range []int{1, 8000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			d := local.NewDesk()
			got := make(chan bus.Shard)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = d.Own(ctx, "bench", 1, func(ctx context.Context, s bus.Shard) error { got <- s; <-ctx.Done(); return nil })
			}()
			s := <-got
			c := channel.Command{Channel: "bench:a", User: "ann", Body: []byte(`{"add":1}`)}
			done := func(channel.Reply, error) {}
			for range waiting - 1 {
				d.Ask(c, done)
			}
			b.ReportAllocs()
			for b.Loop() {
				d.Ask(c, done)
				as, err := s.Next(ctx, 1)
				if err != nil {
					b.Fatal(err)
				}
				_ = s.Answer([]bus.Answered{{Ticket: as[0].Ticket}})
			}
			cancel()
			<-ended
			d.Close()
		})
	}
}
