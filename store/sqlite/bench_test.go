package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store/sqlite"
)

var body = []byte(`{"text":"` + fmt.Sprintf("%085d", 7) + `"}`)

func benchStore(b *testing.B, carry journal.Carry) *sqlite.Store {
	s, err := sqlite.Open(context.Background(), b.TempDir(), sqlite.Options{Carry: carry})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// BenchmarkAppend has a number of appends in flight over ten channels, each with an id.
func BenchmarkAppend(b *testing.B) {
	for _, flight := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("flight=%d", flight), func(b *testing.B) {
			batches := 0
			s := benchStore(b, func([]channel.Record) { batches++ })
			room := make(chan struct{}, flight)
			var answers sync.WaitGroup
			i := 0
			b.ResetTimer()
			for b.Loop() {
				room <- struct{}{}
				answers.Add(1)
				i++
				s.Append(channel.Record{Channel: channel.Name(fmt.Sprintf("bench:%d", i%10)), From: "ann", ID: fmt.Sprint(i), Body: body},
					func(_ channel.Position, err error) {
						if err != nil {
							b.Error(err)
						}
						<-room
						answers.Done()
					})
			}
			answers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.ReportMetric(float64(i)/float64(max(batches, 1)), "records/commit")
		})
	}
}

// BenchmarkRawLoop is the yardstick: a loop that does nothing but insert the same rows in transactions of that size.
func BenchmarkRawLoop(b *testing.B) {
	for _, batch := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) { rawLoop(b, batch) })
	}
}

func rawLoop(b *testing.B, batch int) {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "raw.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(4000)&_pragma=cache_size(-32768)")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, text := range []string{
		"CREATE TABLE records (seq INTEGER PRIMARY KEY, channel INTEGER, offset INTEGER, tag INTEGER, seal INTEGER, time INTEGER, sender TEXT, binary INTEGER, body BLOB)",
		"CREATE UNIQUE INDEX place ON records (channel, offset)",
		"CREATE TABLE ids (seq INTEGER PRIMARY KEY, key BLOB, hash BLOB, binary INTEGER, offset INTEGER, tag INTEGER, at INTEGER)",
		"CREATE UNIQUE INDEX ids_key ON ids (key)",
	} {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			b.Fatal(err)
		}
	}
	chunk := min(batch, 64)
	prepare := func(text, row string) *sql.Stmt {
		stmt, err := conn.PrepareContext(ctx, text+strings.TrimSuffix(strings.Repeat(row+",", chunk), ","))
		if err != nil {
			b.Fatal(err)
		}
		return stmt
	}
	records := prepare("INSERT INTO records (channel, offset, tag, seal, time, sender, binary, body) VALUES ", "(?,?,?,?,?,?,?,?)")
	ids := prepare("INSERT INTO ids (key, hash, binary, offset, tag, at) VALUES ", "(?,?,?,?,?,?)")
	begin, _ := conn.PrepareContext(ctx, "BEGIN IMMEDIATE")
	commit, _ := conn.PrepareContext(ctx, "COMMIT")
	count, at := 0, channel.Position{Epoch: 1, Tag: 1}
	run := func(stmt *sql.Stmt, args ...any) {
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		run(begin)
		for range batch / chunk {
			var r, d []any
			for range chunk {
				count++
				at = at.Next(body)
				hash := channel.BodyHash([]byte(at.String()))
				r = append(r, count%10, count, int64(at.Tag), int64(at.Tag), time.Now().UnixMilli(), "ann", false, body)
				d = append(d, hash[:16], hash[:], false, count, int64(at.Tag), time.Now().UnixMilli())
			}
			run(records, r...)
			run(ids, d...)
		}
		run(commit)
	}
	b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "appends/s")
}

func BenchmarkRead100(b *testing.B) {
	s := benchStore(b, nil)
	var answers sync.WaitGroup
	for i := range 10_000 {
		answers.Add(1)
		s.Append(channel.Record{Channel: channel.Name(fmt.Sprintf("bench:%d", i%10)), From: "ann", Body: body},
			func(channel.Position, error) { answers.Done() })
	}
	answers.Wait()
	for b.Loop() {
		if p, err := s.Read(context.Background(), "bench:3", journal.Query{Limit: 100, Back: true}); err != nil || len(p.Records) != 100 {
			b.Fatal(len(p.Records), err)
		}
	}
}
