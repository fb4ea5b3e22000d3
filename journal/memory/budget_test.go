package memory

import (
	"fmt"
	"testing"

	"carillon/channel"
	"carillon/journal"
)

// TestBudget: whatever is published, and to however many channels, the bodies stay within the budget; who was in a log
// that was emptied is told that it no longer reaches back, and the log goes on.
func TestBudget(t *testing.T) {
	const budget, channels, size = 8 << 20, 2000, 8 << 10
	j := New(Options{MaxBytes: budget})
	defer j.Close()
	first := map[channel.Name]channel.Position{}
	put := func(n channel.Name) (at channel.Position) {
		done := make(chan struct{})
		j.Append(channel.Record{Channel: n, Body: make([]byte, size)}, func(p channel.Position, err error) {
			if err != nil {
				t.Error(err)
			}
			at = p
			close(done)
		})
		<-done
		return at
	}
	for round := range 3 {
		for i := range channels {
			n := channel.Name(fmt.Sprintf("room:%d", i))
			at := put(n)
			if round == 0 {
				first[n] = at
			}
			if kept := j.budget.spent.Load(); kept > budget+size*shardCount {
				t.Fatalf("%d bytes are kept", kept)
			}
		}
	}
	emptied := 0
	for n, at := range first {
		p, err := j.Read(t.Context(), n, journal.Query{After: at})
		switch {
		case err != nil || p.Head.Offset != 3:
			t.Fatalf("%s: %+v %v", n, p.Head, err)
		case p.Gap == channel.GapTrimmed:
			emptied++
		case p.Gap != channel.GapNone || len(p.Records) != 2:
			t.Fatalf("%s: %d records, gap %s", n, len(p.Records), p.Gap)
		}
	}
	if emptied == 0 {
		t.Error("no log was emptied")
	}
}
