package memory_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"carillon/channel"
	"carillon/journal"
	"carillon/journal/memory"
)

var body = []byte(`{"text":"` + fmt.Sprintf("%085d", 7) + `"}`)

func benchJournal(b *testing.B) *memory.Journal {
	var carried atomic.Int64
	j := memory.New(memory.Options{Carry: func(rs []channel.Record) { carried.Add(int64(len(rs))) }})
	b.Cleanup(j.Close)
	b.ReportAllocs()
	return j
}

func nothing(channel.Position, error) {}

func BenchmarkAppend(b *testing.B) {
	j := benchJournal(b)
	for b.Loop() {
		j.Append(channel.Record{Channel: "bench:one", From: "ann", Body: body}, nothing)
	}
}

func BenchmarkAppendWithID(b *testing.B) {
	j := benchJournal(b)
	ids := make([]string, 1<<20)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	i := 0
	b.ResetTimer()
	for b.Loop() {
		j.Append(channel.Record{Channel: "bench:one", From: "ann", ID: ids[i&(1<<20-1)], Body: body}, nothing)
		i++
	}
}

func BenchmarkAppendParallel(b *testing.B) {
	j := benchJournal(b)
	var worker atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		n := channel.Name(fmt.Sprintf("bench:%d", worker.Add(1)))
		for pb.Next() {
			j.Append(channel.Record{Channel: n, From: "ann", Body: body}, nothing)
		}
	})
}

func BenchmarkRead100(b *testing.B) {
	j := benchJournal(b)
	for range 1000 {
		j.Append(channel.Record{Channel: "bench:read", From: "ann", Body: body}, nothing)
	}
	for b.Loop() {
		if p, err := j.Read(context.Background(), "bench:read", journal.Query{Limit: 100, Back: true}); err != nil || len(p.Records) != 100 {
			b.Fatal(len(p.Records), err)
		}
	}
}

// BenchmarkIdleChannel reports what a channel costs that is known and empty.
func BenchmarkIdleChannel(b *testing.B) {
	const count = 200_000
	var before, after runtime.MemStats
	names := make([]channel.Name, count)
	for i := range names {
		names[i] = channel.Name(fmt.Sprintf("bench:idle%06d", i))
	}
	for b.Loop() {
		j := memory.New(memory.Options{})
		runtime.GC()
		runtime.ReadMemStats(&before)
		if _, err := j.Heads(context.Background(), names); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/count, "B/channel")
		j.Close()
	}
}
