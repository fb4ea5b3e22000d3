package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

func checkChain(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	for _, n := range []channel.Name{"a:one", "a:two"} {
		at := w.fill(t, n, bodies(20)...)
		if at[0].Offset != 0 || at[0].Epoch == 0 {
			t.Fatalf("a new log begins at %+v", at[0])
		}
		rs := w.all(t, n)
		if len(rs) != 20 {
			t.Fatalf("%d records of 20", len(rs))
		}
		checkLog(t, n, at[0], rs)
		carried := w.carriedOf(n)
		checkLog(t, n, at[0], carried)
		for i := range rs {
			if rs[i].At != at[i+1] || carried[i].At != at[i+1] {
				t.Fatalf("done said %+v, read %+v, carried %+v", at[i+1], rs[i].At, carried[i].At)
			}
			if !rs[i].Time.Equal(carried[i].Time) || rs[i].From != "u" || carried[i].From != "u" {
				t.Fatalf("read %+v, carried %+v", rs[i], carried[i])
			}
		}
		if h := w.head(t, n); h != at[20] {
			t.Fatalf("head %+v, want %+v", h, at[20])
		}
	}
	one, two := w.read(t, "a:one", journal.Query{}), w.read(t, "a:two", journal.Query{})
	if one.Oldest.Tag == two.Oldest.Tag { // epochs may differ: a journal of several servers can lose one of them
		t.Fatalf("logs of two channels: %+v and %+v", one.Oldest, two.Oldest)
	}
}

func checkTime(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	begin := w.clock.Now().Truncate(time.Millisecond)
	const n = "a:clock"
	w.append(channel.Record{Channel: n, Body: []byte("1"), Time: time.Unix(1, 0)})
	w.clock.add(-time.Hour) // the wall clock is set back
	w.append(channel.Record{Channel: n, Body: []byte("2")})
	w.clock.add(2 * time.Hour)
	w.append(channel.Record{Channel: n, Body: []byte("3")})
	rs := w.all(t, n)
	want := []time.Time{begin, begin, begin.Add(time.Hour)}
	for i, r := range rs {
		if !r.Time.Equal(want[i]) {
			t.Fatalf("record %d has time %v, want %v", i, r.Time, want[i])
		}
	}
}

func checkRefusals(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	for _, c := range []struct {
		r    channel.Record
		want error
	}{
		{channel.Record{Channel: "a:x", Class: channel.Fleeting, Body: []byte("1")}, journal.ErrClass},
		{channel.Record{Channel: "a:x"}, journal.ErrEmpty},
		{channel.Record{Channel: "a:x", Body: []byte{}, Binary: true}, journal.ErrEmpty},
	} {
		if _, err := w.try(c.r); !errors.Is(err, c.want) {
			t.Fatalf("%+v: %v, want %v", c.r, err, c.want)
		}
	}
	if _, tables := w.j.(journal.Tables); !tables {
		if _, err := w.try(channel.Record{Channel: "a:x", Class: channel.Latest, Key: "k", Body: []byte("1")}); !errors.Is(err, journal.ErrClass) {
			t.Fatalf("latest without tables: %v", err)
		}
	}
	if h := w.head(t, "a:x"); h.Offset != 0 || len(w.carriedOf("a:x")) != 0 {
		t.Fatalf("a refusal moved the head to %+v", h)
	}
}

func checkBodies(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = "a:bodies"
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	rs := []channel.Record{
		{Binary: true, Body: every, From: "ann"},
		{Binary: true, Body: []byte{0}, From: ""},
		{Body: []byte(`{"text":"'; DROP TABLE records; --"}`), From: "o'neill %s \x00 \u202e"},
		{Body: []byte(`"Grüße \u0000 🎉"`), From: "ann"},
		{Binary: true, Body: bytes.Repeat(every, 4096), From: "big"}, // 1 MiB
		{Body: []byte(`0`), From: "ann"},
	}
	for i := range rs {
		rs[i].Channel = n
		mine := bytes.Clone(rs[i].Body)
		w.append(rs[i])
		if !bytes.Equal(mine, rs[i].Body) {
			t.Fatalf("the journal changed body %d", i)
		}
	}
	for _, got := range [][]channel.Record{w.all(t, n), w.carriedOf(n)} {
		if len(got) != len(rs) {
			t.Fatalf("%d records of %d", len(got), len(rs))
		}
		for i, r := range got {
			if !bytes.Equal(r.Body, rs[i].Body) || r.Binary != rs[i].Binary || r.From != rs[i].From {
				t.Fatalf("record %d came back as %d bytes, binary %v, from %q", i, len(r.Body), r.Binary, r.From)
			}
		}
	}
}

func checkEmptyChannels(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	names := []channel.Name{"a:e1", "a:e2", "a:e1"}
	heads, err := w.j.Heads(context.Background(), names)
	if err != nil {
		t.Fatal(err)
	}
	if heads[0] != heads[2] || heads[0].Tag == heads[1].Tag {
		t.Fatalf("heads %+v", heads)
	}
	for _, q := range []journal.Query{{}, {Back: true}, {After: heads[0]}, {After: heads[0], Back: true}} {
		p := w.read(t, "a:e1", q)
		if p.Head != heads[0] || p.Oldest != heads[0] || p.More || p.Gap != channel.GapNone || len(p.Records) != 0 {
			t.Fatalf("%+v: %+v", q, p)
		}
	}
	// What was told of an empty log stays true once it is written.
	w.append(channel.Record{Channel: "a:e1", Body: []byte("1")})
	if p := w.read(t, "a:e1", journal.Query{After: heads[0]}); p.Gap != channel.GapNone || len(p.Records) != 1 {
		t.Fatalf("from the empty log's head: %+v", p)
	}
	if none, err := w.j.Heads(context.Background(), nil); err != nil || len(none) != 0 {
		t.Fatalf("no names: %v, %v", none, err)
	}
}

// checkOrder has many publishers at once and watches carry and done from inside.
func checkOrder(t *testing.T, open Open) {
	const publishers, each = 16, 100
	names := []channel.Name{"a:o1", "a:o2", "a:o3"}
	type watch struct {
		busy          atomic.Bool
		carried, done atomic.Uint64
	}
	watches := map[channel.Name]*watch{}
	for _, n := range names {
		watches[n] = &watch{}
	}
	inside := func(n channel.Name, f func(*watch)) {
		at := watches[n]
		if !at.busy.CompareAndSwap(false, true) {
			t.Errorf("carry or done of %s beside another", n)
		}
		f(at)
		at.busy.Store(false)
	}
	j, end := open(t, t.TempDir(), Options{Clock: time.Now, Policies: policies, Carry: func(rs []channel.Record) {
		for _, r := range rs {
			inside(r.Channel, func(at *watch) {
				if r.At.Offset != at.carried.Load()+1 {
					t.Errorf("carried %s offset %d after %d", r.Channel, r.At.Offset, at.carried.Load())
				}
				at.carried.Store(r.At.Offset)
			})
		}
	}})
	defer end()
	var publishing, answering sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			var last [3]atomic.Uint64
			for i := range each {
				k := (i + p) % len(names)
				n := names[k]
				answering.Add(1)
				j.Append(channel.Record{Channel: n, From: fmt.Sprint(p), Body: []byte(fmt.Sprint(i))}, func(pos channel.Position, err error) {
					defer answering.Done()
					if err != nil {
						t.Errorf("append: %v", err)
						return
					}
					inside(n, func(at *watch) {
						if pos.Offset != at.done.Load()+1 || pos.Offset > at.carried.Load() {
							t.Errorf("done of %s offset %d after %d, carried %d", n, pos.Offset, at.done.Load(), at.carried.Load())
						}
						at.done.Store(pos.Offset)
					})
					// What one publisher appends one after the other stands in that order.
					if before := last[k].Swap(pos.Offset); before >= pos.Offset {
						t.Errorf("publisher %d: offset %d after %d", p, pos.Offset, before)
					}
				})
			}
		})
	}
	publishing.Wait()
	waitGroup(t, &answering)
	total := uint64(0)
	for _, n := range names {
		total += watches[n].done.Load()
	}
	if total != publishers*each {
		t.Fatalf("%d answers of %d", total, publishers*each)
	}
}

func waitGroup(t *testing.T, g *sync.WaitGroup) {
	t.Helper()
	timer := time.AfterFunc(patience, func() { panic("not every done was called") })
	defer timer.Stop()
	g.Wait()
}

func checkPipeline(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	at := w.fill(t, "a:pipe", bodies(2000)...)
	for i := 1; i < len(at); i++ {
		if at[i].Offset != uint64(i) {
			t.Fatalf("call %d got offset %d", i, at[i].Offset)
		}
	}
	if rs := w.all(t, "a:pipe"); len(rs) != 2000 {
		t.Fatalf("%d records of 2000", len(rs))
	}
}

// checkReentrant appends from within a done, as a handler that answers a record with a record does.
func checkReentrant(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n, rounds = channel.Name("a:chain"), 50
	over := make(chan outcome, 1)
	var next func(i int) func(channel.Position, error)
	next = func(i int) func(channel.Position, error) {
		return func(at channel.Position, err error) {
			if err != nil || i == rounds {
				over <- outcome{at, err}
				return
			}
			w.j.Append(channel.Record{Channel: n, Body: []byte("1")}, next(i+1))
		}
	}
	w.j.Append(channel.Record{Channel: n, Body: []byte("1")}, next(1))
	if o := wait(t, over); o.err != nil || o.at.Offset != rounds {
		t.Fatalf("%+v", o)
	}
}
