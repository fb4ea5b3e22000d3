package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon/channel"
	"carillon/internal/servertest"
	"carillon/journal"

	"github.com/jackc/pgx/v5"
)

var benchBody = []byte(`{"text":"` + fmt.Sprintf("%085d", 7) + `"}`)

// benchRun is how long each of the measured loads runs.
const benchRun = 2 * time.Second

// BenchmarkAgainstPgbench measures appends in flight against pgbench with one row in each transaction, on the same server and
// in the same run: what it prints are ratios.
func BenchmarkAgainstPgbench(b *testing.B) {
	server := servertest.StartPostgres(b, "shared_buffers=256MB", "max_wal_size=4GB")
	for b.Loop() {
		base, baseCPU := pgbench(b, server)
		for i, load := range []struct {
			name             string
			flight, channels int
			ids              bool
			keep             channel.Keep
		}{
			{"64 in flight, 1000 channels", 64, 1000, false, channel.Keep{}},
			{"64 in flight, 1000 channels, ids", 64, 1000, true, channel.Keep{}},
			{"1000 in flight, 1000 channels", 1000, 1000, false, channel.Keep{}},
			{"1000 in flight, 1000 channels, ids", 1000, 1000, true, channel.Keep{}},
			{"64 in flight, one channel", 64, 1, false, channel.Keep{}},
			{"1000 in flight, one channel", 1000, 1, false, channel.Keep{}},
			{"1000 in flight, one channel, ids", 1000, 1, true, channel.Keep{}},
			{"1000 in flight, 1000 channels, ids, retention", 1000, 1000, true, channel.Keep{Records: 20}},
			{"1000 in flight, one channel, ids, retention", 1000, 1, true, channel.Keep{Records: 1000}},
		} {
			dsn := server.Create(fmt.Sprintf("load%d_%d", i, time.Now().UnixNano()))
			rate, batch, spent := appends(b, server, dsn, load.flight, load.channels, load.ids, load.keep)
			next, nextCPU := pgbench(b, server)
			fmt.Printf("%-46s %7.0f/s %6.1f a commit, %4.1f x pgbench (%.0f, %.0f/s); CPU %3.0f µs, 1/%.1f of pgbench\n",
				load.name, rate, batch, 2*rate/(base+next), base, next, 1e6*spent, (baseCPU+nextCPU)/2/spent)
			base, baseCPU = next, nextCPU
		}
	}
}

func appends(b *testing.B, server *servertest.Postgres, dsn string, flight, channels int, ids bool, keep channel.Keep) (rate, batch, cpuEach float64) {
	var before time.Duration
	var mu sync.Mutex
	batches, carried := 0, 0
	committers, _ := strconv.Atoi(os.Getenv("CARILLON_BENCH_COMMITTERS"))
	s := openStore(b, dsn, Options{
		Committers: committers,
		Policies:   func(channel.Name) channel.Policy { return channel.Policy{Durable: true, Retention: keep} },
		Carry: func(rs []channel.Record) {
			mu.Lock()
			defer mu.Unlock()
			batches++
			carried += len(rs)
		},
	})
	defer func() { _ = s.Close() }()
	var failed sync.Map // texts of errors
	for c := range channels {
		<-ask(s, record(channel.Name(fmt.Sprintf("bench:%d", c)), "", "1"))
	}
	mu.Lock()
	batches, carried = 0, 0
	mu.Unlock()
	room := make(chan struct{}, flight)
	count := 0
	before = cpu(server)
	began := time.Now()
	for ; time.Since(began) < benchRun; count++ {
		room <- struct{}{}
		r := channel.Record{Channel: channel.Name(fmt.Sprintf("bench:%d", count%channels)), From: "ann", Body: benchBody}
		if ids {
			r.ID = strconv.Itoa(count)
		}
		s.Append(r, func(_ channel.Position, err error) {
			if err != nil {
				failed.Store(err.Error(), true)
			}
			<-room
		})
	}
	for range flight {
		room <- struct{}{}
	}
	took := time.Since(began)
	failed.Range(func(err, _ any) bool {
		b.Error(err)
		return true
	})
	return float64(count) / took.Seconds(), float64(carried) / float64(max(batches, 1)), (cpu(server) - before).Seconds() / float64(count)
}

const pgbenchScript = `\set c random(1, 1000)
BEGIN;
UPDATE plain_channels SET head = head + 1, tag = tag + 7, last = last + 1 WHERE id = :c;
INSERT INTO plain_records (channel, at, tag, seal, time, sender, "binary", body)
VALUES (:c, nextval('plain_at'), 8, 9, 1700000000000, 'ann', false, '%s');
COMMIT;
`

var tpsLine = regexp.MustCompile(`tps = ([0-9.]+)`)

// pgbench is how many transactions a second the server makes of one row and one head each, asked by 16 connections.
func pgbench(b *testing.B, server *servertest.Postgres) (rate, cpuEach float64) {
	dsn := server.Create(fmt.Sprintf("pgbench%d", time.Now().UnixNano()))
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	_, err = conn.Exec(context.Background(), `
		CREATE TABLE plain_channels (id bigint PRIMARY KEY, head bigint, tag bigint, last bigint) WITH (fillfactor = 50);
		INSERT INTO plain_channels SELECT i, 0, 0, 0 FROM generate_series(1, 1000) i;
		CREATE SEQUENCE plain_at CACHE 100;
		CREATE TABLE plain_records (channel bigint, at bigint, tag bigint, seal bigint, time bigint, sender bytea, "binary" boolean,
			body bytea, PRIMARY KEY (channel, at))`)
	if err != nil {
		b.Fatal(err)
	}
	_ = conn.Close(context.Background())
	script := filepath.Join(b.TempDir(), "script.sql")
	if err := os.WriteFile(script, fmt.Appendf(nil, pgbenchScript, benchBody), 0o600); err != nil {
		b.Fatal(err)
	}
	before := cpu(server)
	out, err := exec.Command(filepath.Join(server.Bin, "pgbench"), "-n", "-M", "prepared", "-c", "16", "-j", "2",
		"-T", fmt.Sprint(int(benchRun.Seconds())), "-f", script, dsn).CombinedOutput()
	found := tpsLine.FindSubmatch(out)
	if err != nil || found == nil {
		b.Fatalf("pgbench: %v\n%s", err, out)
	}
	rate, _ = strconv.ParseFloat(string(found[1]), 64)
	return rate, (cpu(server) - before).Seconds() / (rate * benchRun.Seconds())
}

// cpu is the time that the server, this process and the children it waited for have computed. Unlike rates it hardly depends on
// what else the machine does.
func cpu(server *servertest.Postgres) (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(stat), ") ") // state, parent, …; times of the process and of its children are 11th to 14th
		f := strings.Fields(rest)
		if len(f) < 15 || f[1] != strconv.Itoa(server.PID()) && filepath.Base(filepath.Dir(path)) != strconv.Itoa(server.PID()) {
			continue
		}
		for _, ticks := range f[11:15] {
			n, _ := strconv.ParseInt(ticks, 10, 64)
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}

// BenchmarkRead100 reads a page from the end of a log.
func BenchmarkRead100(b *testing.B) {
	s := openStore(b, database(b, b.TempDir()), Options{})
	var answers sync.WaitGroup
	for i := range 10_000 {
		answers.Add(1)
		s.Append(channel.Record{Channel: channel.Name(fmt.Sprintf("bench:%d", i%10)), From: "ann", Body: benchBody},
			func(channel.Position, error) { answers.Done() })
	}
	answers.Wait()
	for b.Loop() {
		if p, err := s.Read(context.Background(), "bench:3", journal.Query{Limit: 100, Back: true}); err != nil || len(p.Records) != 100 {
			b.Fatal(len(p.Records), err)
		}
	}
}
