package sqlite_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

var summaryBody = []byte(`{"fen":"` + strings.Repeat("x", 60) + `","turn":"white","ply":10,"last":"e2e4","updated":1790000006500,"status":"playing","white":179620,"black":180000}`)

// BenchmarkShape commits changes of several shapes in batches of several sizes, and tells what one costs: without an id, with a
// timer, with a Latest record as a game has it, with both.
func BenchmarkShape(b *testing.B) {
	for _, size := range []int{2, 16, 128} {
		for _, shape := range []string{"plain", "noid", "wake", "latest", "both"} {
			b.Run(fmt.Sprintf("%s/%d", shape, size), func(b *testing.B) {
				s := benchStore(b, nil)
				f, err := s.Claim(b.Context(), "bench", 0)
				if err != nil {
					b.Fatal(err)
				}
				ms := shardMachines(s, 0, 1000)
				next := 0
				count := 0
				do := func(size int) {
					cs := make([]journal.Change, size)
					for i := range cs {
						c := ms[next%len(ms)].step(count)
						count++
						next++
						if shape == "noid" {
							c.Command.ID = ""
						}
						if shape == "wake" || shape == "both" {
							c.WakeAt = time.Now().Add(time.Duration(next*7919%1000) * time.Second)
						}
						if shape == "latest" || shape == "both" {
							c.Events = append(c.Events, channel.Record{Class: channel.Latest, Key: "summary", Body: summaryBody})
						}
						cs[i] = c
					}
					if _, err := s.Commit(b.Context(), f, cs); err != nil {
						b.Fatal(err)
					}
				}
				for range 160 { // so that the tables are not empty
					do(128)
				}
				var sp spent
				b.ResetTimer()
				for b.Loop() {
					sp.add(func() { do(size) })
				}
				b.ReportMetric(sp.cpu.Seconds()/float64(b.N*size)*1e6, "cpu-µs/cmd")
				b.ReportMetric(sp.wall.Seconds()/float64(b.N*size)*1e6, "µs/cmd")
			})
		}
	}
}
