package worker_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"

	"carillon/app"
	"carillon/bus/local"
	"carillon/channel"
	"carillon/internal/servertest"
	"carillon/journal"
	"carillon/store/sqlite"
	"carillon/worker"
)

// plain is about the least a machine can be: what is measured is the way of a command, not the service.
type plain struct{ n uint64 }

func (m *plain) Apply(channel.Command) app.Outcome {
	m.n++
	return app.Outcome{Reply: []byte(`{"ok":true}`), Events: []channel.Record{{Body: fmt.Appendf(nil, `{"n":%d}`, m.n)}}}
}

func (m *plain) Snapshot(dst []byte) []byte { return binary.BigEndian.AppendUint64(dst, m.n) }

func plainService() app.Service {
	return app.Service{
		Name: "plain",
		New:  func(channel.Name) app.Machine { return new(plain) },
		Restore: func(_ channel.Name, b []byte) (app.Machine, error) {
			return &plain{binary.BigEndian.Uint64(b)}, nil
		},
	}
}

func benchStore(b *testing.B) *sqlite.Store {
	s, err := sqlite.Open(context.Background(), b.TempDir(), sqlite.Options{Policies: policy})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkCommands asks with a window of commands open, as many clients do, through desk, worker and a SQLite file.
func BenchmarkCommands(b *testing.B) { benchCommands(b, func() truth { return benchStore(b) }) }

// BenchmarkPostgresCommands does so over a Postgres on the same machine, which syncs what it commits.
func BenchmarkPostgresCommands(b *testing.B) {
	at := servertest.StartPostgres(b, "shared_buffers=256MB", "max_wal_size=4GB")
	made := 0
	benchCommands(b, func() truth {
		made++
		s, err := openTruth(at.Create(fmt.Sprintf("bench%d", made)))
		if err != nil {
			b.Fatal(err)
		}
		return s
	})
}

func benchCommands(b *testing.B, begin func() truth) {
	for _, c := range []struct {
		name             string
		channels, window int
	}{{"many", 1000, 2000}, {"wide", 2000, 8000}, {"hot", 1, 1000}, {"alone", 1, 1}} {
		b.Run(c.name, func(b *testing.B) {
			store, desk := begin(), local.NewDesk()
			w, err := worker.New(worker.Options{Service: plainService(), Stage: store, Agenda: store, Desk: desk, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
			if err != nil {
				b.Fatal(err)
			}
			var ran sync.WaitGroup
			ran.Go(func() { _ = w.Run(context.Background()) })
			open := make(chan struct{}, c.window)
			ask := func(i int) {
				open <- struct{}{}
				cmd := channel.Command{ID: fmt.Sprintf("id%d", i), Channel: channel.Name(fmt.Sprintf("plain:%d", i%c.channels)), User: "ann", Body: []byte(`{"op":"add","n":1}`)}
				var done func(channel.Reply, error)
				done = func(_ channel.Reply, err error) {
					if err != nil {
						desk.Ask(cmd, done)
						return
					}
					<-open
				}
				desk.Ask(cmd, done)
			}
			i := 0
			for ; i < c.channels; i++ {
				ask(-1 - i)
			}
			b.ReportAllocs()
			for i = 0; b.Loop(); i++ {
				ask(i)
			}
			for range c.window {
				open <- struct{}{}
			}
			b.StopTimer()
			st := w.Stats()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
			b.ReportMetric(float64(st.Commands)/float64(st.Commits), "commands/commit")
			w.Close()
			ran.Wait()
			desk.Close()
			_ = store.Close()
		})
	}
}

// BenchmarkRaw commits the same changes in batches without desk or worker: the ceiling.
func BenchmarkRaw(b *testing.B) {
	for _, c := range []struct {
		name            string
		channels, batch int
	}{{"many", 1000, 128}, {"hot", 1, 128}} {
		b.Run(c.name, func(b *testing.B) {
			store := benchStore(b)
			ctx := context.Background()
			f, err := store.Claim(ctx, "plain", 0)
			if err != nil {
				b.Fatal(err)
			}
			var of []channel.Name
			for i := 0; len(of) < c.channels; i++ {
				if n := channel.Name(fmt.Sprintf("plain:%d", i)); n.Shard(store.Shards()) == 0 {
					of = append(of, n)
				}
			}
			versions := make([]journal.Version, c.channels)
			offsets := make([]uint64, c.channels)
			var cs []journal.Change
			commit := func() {
				rs, err := store.Commit(ctx, f, cs)
				if err != nil || len(rs) > 0 && rs[0].Err != nil {
					b.Fatal(err, rs[0].Err)
				}
				cs = cs[:0]
			}
			i := 0
			for ; b.Loop(); i++ {
				k := i % c.channels
				n := of[k]
				cs = append(cs, journal.Change{
					Channel: n, Prev: versions[k],
					Command: channel.Command{ID: fmt.Sprintf("id%d", i), Channel: n, User: "ann", Head: offsets[k], Body: []byte(`{"op":"add","n":1}`)},
					Reply:   channel.Reply{Body: []byte(`{"ok":true}`)},
					Events:  []channel.Record{{Channel: n, From: "ann", Body: fmt.Appendf(nil, `{"n":%d}`, versions[k])}},
				})
				versions[k]++
				offsets[k]++
				if len(cs) == c.batch {
					commit()
				}
			}
			commit()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
			_ = store.Close()
		})
	}
}
