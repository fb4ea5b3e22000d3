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
