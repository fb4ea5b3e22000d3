package memory

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

// heard is somebody who hears of all Latest records that are carried.
type heard struct {
	mu   sync.Mutex
	held map[channel.Name]map[string]uint64
}

func (h *heard) carry(rs []channel.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range rs {
		if r.Class != channel.Latest {
			continue
		}
		of := h.held[r.Channel]
		if of == nil {
			of = map[string]uint64{}
			h.held[r.Channel] = of
		}
		if delete(of, r.Key); len(r.Body) > 0 {
			of[r.Key] = r.Rev
		}
	}
}

// agrees tells whether a table is what was heard of.
func (h *heard) agrees(t *testing.T, j *Journal, n channel.Name) (entries int) {
	t.Helper()
	table, err := j.Latest(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range table.Records {
		if h.held[n][r.Key] != r.Rev {
			t.Errorf("%s: %s has rev %d, heard of %d", n, r.Key, r.Rev, h.held[n][r.Key])
		}
	}
	if len(h.held[n]) != len(table.Records) {
		t.Errorf("%s: %d entries, heard of %d", n, len(table.Records), len(h.held[n]))
	}
	return len(table.Records)
}

// TestTableBudget: tables count, are emptied when the budget is exceeded or too many logs are known, and everybody hears.
func TestTableBudget(t *testing.T) {
	for name, o := range map[string]Options{"bytes": {MaxBytes: 1 << 20}, "logs": {MaxLogs: 200}} {
		t.Run(name, func(t *testing.T) {
			h := &heard{held: map[channel.Name]map[string]uint64{}}
			o.Carry = h.carry
			j := New(o)
			const channels = 1000
			for round := range 2 {
				for i := range channels {
					r := channel.Record{Channel: channel.Name(fmt.Sprint("room:", i)), Class: channel.Latest, Key: fmt.Sprint(round), Body: make([]byte, 4<<10)}
					j.Append(r, func(_ channel.Position, err error) {
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
			if kept := j.budget.spent.Load(); kept > j.budget.most+int64(shardCount*(5<<10)) {
				t.Errorf("%d bytes are kept", kept)
			}
			known := 0
			for i := range j.shards {
				known += len(j.shards[i].logs)
			}
			if most := o.MaxLogs; most > 0 && known > most+evictLook {
				t.Errorf("%d logs are known", known)
			}
			kept := 0
			for i := channels - 1; i >= 0; i-- {
				n := channel.Name(fmt.Sprint("room:", i))
				waitIdle(j.shard(n)) // a look at a log may have another one forgotten
				kept += h.agrees(t, j, n)
			}
			if kept == 0 || kept > channels {
				t.Errorf("%d entries are kept", kept)
			}
			j.Close()
		})
	}
}

// waitIdle returns when no results are under way in a shard.
func waitIdle(s *shard) {
	for busy := true; busy; runtime.Gosched() {
		busy = false
		s.mu.Lock()
		for l := s.end.older; l != &s.end; l = l.older {
			busy = busy || l.busy
		}
		s.mu.Unlock()
	}
}

// TestTableExpires: an old entry goes without anybody asking for it, and everybody hears.
func TestTableExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &heard{held: map[channel.Name]map[string]uint64{}}
		j := New(Options{Carry: h.carry, Policies: func(channel.Name) channel.Policy { return channel.Policy{Latest: channel.Keep{Age: time.Minute}} }})
		defer j.Close()
		for _, key := range []string{"a", "b"} {
			if at, err := put(t, j, channel.Record{Channel: "a:x", Class: channel.Latest, Key: key, Body: []byte("1")}); err != nil || !at.IsZero() {
				t.Fatal(at, err)
			}
			time.Sleep(30 * time.Second)
		}
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		if n := h.agrees(t, j, "a:x"); n != 1 {
			t.Errorf("%d entries are left", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := h.agrees(t, j, "a:x"); n != 0 || j.budget.spent.Load() != 0 {
			t.Errorf("%d entries are left, %d bytes", n, j.budget.spent.Load())
		}
	})
}
