// Package bustest is the law of buses: Run checks everything that bus.Feed promises, and every implementation calls it
// in a test of three lines. It allows for a bus that delivers later and on other goroutines, and asks for nothing that
// the contract leaves open (loss, repetition). Start with Run.
package bustest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// patience is how long the suite waits for a record before it says that it was not delivered.
const patience = 30 * time.Second

// Open opens a feed on a bus of its own; the suite closes it with end.
type Open func(t testing.TB, in bus.In) (f bus.Feed, end func())

// Run checks an implementation.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, *inbox)
	}{
		{"joined", checkJoined},
		{"not joined", checkNotJoined},
		{"whole", checkWhole},
		{"order", checkOrder},
		{"join twice", checkJoinTwice},
		{"leave", checkLeave},
		{"leave unjoined", checkLeaveUnjoined},
		{"concurrent joins", checkConcurrentJoins},
		{"reentrant", checkReentrant},
		{"never blocks", checkNeverBlocks},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &inbox{t: t, arrived: make(chan struct{}, 1)}
			var end func()
			b.feed, end = open(t, bus.In{Records: b.records, Trouble: func(bool) {}})
			defer end()
			c.check(t, b)
		})
	}
}

// inbox is where a feed under test delivers.
type inbox struct {
	t       *testing.T
	feed    bus.Feed
	arrived chan struct{}

	mu  sync.Mutex
	got []channel.Record
	on  func(channel.Record) // called for each, if set
}

func (b *inbox) records(rs []channel.Record) {
	b.mu.Lock()
	b.got = append(b.got, rs...)
	on := b.on
	b.mu.Unlock()
	if on != nil {
		for _, r := range rs {
			on(r)
		}
	}
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// of gives the offsets of a channel delivered so far.
func (b *inbox) of(n channel.Name) (offsets []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.got {
		if r.Channel == n {
			offsets = append(offsets, r.At.Offset)
		}
	}
	return offsets
}

// await waits until the record has been delivered.
func (b *inbox) await(n channel.Name, offset uint64) {
	b.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for !slices.Contains(b.of(n), offset) {
		select {
		case <-b.arrived:
		case <-timer.C:
			b.t.Fatalf("offset %d of %s was not delivered within %v", offset, n, patience)
		}
	}
}

func (b *inbox) join(n channel.Name) {
	b.t.Helper()
	if err := b.feed.Join(context.Background(), n); err != nil {
		b.t.Fatalf("join %s: %v", n, err)
	}
}

func record(n channel.Name, offset uint64) channel.Record {
	return channel.Record{
		Channel: n, At: channel.Position{Epoch: 1, Offset: offset, Tag: offset * 7}, Prev: offset * 3,
		Time: time.UnixMilli(1_700_000_000_000).UTC(), From: "ann", Body: fmt.Appendf(nil, "%d", offset),
	}
}

// run is the records first..last.
func run(n channel.Name, first, last uint64) (rs []channel.Record) {
	for o := first; o <= last; o++ {
		rs = append(rs, record(n, o))
	}
	return rs
}

func checkJoined(t *testing.T, b *inbox) {
	b.join("a:x")
	b.feed.Carry(run("a:x", 1, 1))
	b.await("a:x", 1)
	b.feed.Carry(run("a:x", 2, 50))
	b.await("a:x", 50)
	b.feed.Carry(nil)
}

// checkNotJoined sends a batch in which channels are mixed; only the joined one is delivered, in order.
func checkNotJoined(t *testing.T, b *inbox) {
	b.join("a:in")
	var mixed []channel.Record
	for o := range uint64(20) {
		mixed = append(mixed, record("a:out", o+1), record("a:in", o+1), record("a:inn", o+1), record("a:i", o+1))
	}
	b.feed.Carry(mixed)
	b.await("a:in", 20)
	for _, n := range []channel.Name{"a:out", "a:inn", "a:i"} {
		if got := b.of(n); len(got) > 0 {
			t.Errorf("%s was never joined, and %v were delivered", n, got)
		}
	}
	checkAscending(t, b.of("a:in"), 20)
}

func checkAscending(t *testing.T, offsets []uint64, count int) {
	t.Helper()
	if len(offsets) != count || !slices.IsSorted(offsets) {
		t.Errorf("%d records of %d, in the order %v", len(offsets), count, offsets)
	}
}

// checkWhole: a record arrives with everything a subscriber is shown, and what decides whether he is.
func checkWhole(t *testing.T, b *inbox) {
	b.join("a:whole")
	want := []channel.Record{
		{Body: []byte(`{"a":1}`)},
		{Binary: true, Body: []byte{0, 255, 10}, Origin: 1<<63 + 5, NoEcho: true},
		{Class: channel.Fleeting, Body: []byte(`1`), From: "o'neill"},
	}
	for i := range want {
		want[i].Channel = "a:whole"
		want[i].Time = time.UnixMilli(1_700_000_000_000 + int64(i)).UTC()
		if want[i].Class == channel.Logged {
			want[i].At = channel.Position{Epoch: 1<<64 - 1, Offset: uint64(i + 1), Tag: 1<<63 + 1}
			want[i].Prev = 1<<63 + 2
		}
	}
	b.feed.Carry(want)
	b.feed.Carry(run("a:whole", 100, 100))
	b.await("a:whole", 100)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range want {
		g := b.got[i]
		if g.Channel != w.Channel || g.At != w.At || g.Prev != w.Prev || g.Class != w.Class || !g.Time.Equal(w.Time) ||
			g.From != w.From || g.Origin != w.Origin || g.NoEcho != w.NoEcho || g.Binary != w.Binary || string(g.Body) != string(w.Body) {
			t.Errorf("record %d arrived as %+v, carried %+v", i, g, w)
		}
	}
}

// checkOrder has many who carry at once, each its own channel.
func checkOrder(t *testing.T, b *inbox) {
	const publishers, count = 8, 500
	var carrying sync.WaitGroup
	for p := range publishers {
		n := channel.Name(fmt.Sprintf("a:p%d", p))
		b.join(n)
		carrying.Go(func() {
			for o := uint64(1); o <= count; {
				last := min(o+o%7, count)
				b.feed.Carry(run(n, o, last))
				o = last + 1
			}
		})
	}
	carrying.Wait()
	for p := range publishers {
		n := channel.Name(fmt.Sprintf("a:p%d", p))
		b.await(n, count)
		checkAscending(t, b.of(n), count)
	}
}

func checkJoinTwice(t *testing.T, b *inbox) {
	b.join("a:twice")
	b.join("a:twice")
	b.join("a:fence")
	b.feed.Carry(run("a:twice", 1, 5))
	b.await("a:twice", 5)
	checkAscending(t, b.of("a:twice"), 5)
	// One leave ends what two joins began.
	b.feed.Leave("a:twice")
	b.silent("a:twice")
}

// silent probes a left channel until a probe is not delivered; what was under way may arrive, but it must end.
func (b *inbox) silent(n channel.Name) {
	b.t.Helper()
	const probes = 1000
	for i := uint64(1); i <= probes; i++ {
		b.feed.Carry([]channel.Record{record(n, 1_000_000+i)})
		b.feed.Carry([]channel.Record{record("a:fence", 1_000_000+i)})
		b.await("a:fence", 1_000_000+i)
		if !slices.Contains(b.of(n), 1_000_000+i) {
			return
		}
	}
	b.t.Fatalf("%s was left, and %d records later it is still delivered", n, probes)
}

func checkLeave(t *testing.T, b *inbox) {
	b.join("a:fence")
	b.join("a:left")
	b.join("a:stays")
	b.feed.Carry(run("a:left", 1, 3))
	b.await("a:left", 3)
	b.feed.Leave("a:left")
	b.silent("a:left")
	b.feed.Carry(run("a:stays", 1, 1))
	b.await("a:stays", 1)
	// Joined again it is delivered again, at once.
	b.join("a:left")
	b.feed.Carry(run("a:left", 10, 10))
	b.await("a:left", 10)
}

func checkLeaveUnjoined(t *testing.T, b *inbox) {
	b.feed.Leave("a:never")
	b.join("a:never")
	b.feed.Carry(run("a:never", 1, 1))
	b.await("a:never", 1)
}

// checkConcurrentJoins: whoever has joined gets what is carried after that, whatever others join and leave meanwhile.
func checkConcurrentJoins(t *testing.T, b *inbox) {
	const goroutines, each = 16, 50
	var joining sync.WaitGroup
	for g := range goroutines {
		joining.Go(func() {
			for i := range each {
				mine := channel.Name(fmt.Sprintf("a:mine%d.%d", g, i))
				if err := b.feed.Join(context.Background(), mine); err != nil {
					t.Errorf("join: %v", err)
				}
				b.feed.Carry(run(mine, 1, 2))
				shared := channel.Name(fmt.Sprintf("a:shared%d", i%5))
				_ = b.feed.Join(context.Background(), shared)
				b.feed.Carry(run(shared, 1, 1))
				b.feed.Leave(shared)
			}
		})
	}
	joining.Wait()
	for g := range goroutines {
		for i := range each {
			mine := channel.Name(fmt.Sprintf("a:mine%d.%d", g, i))
			b.await(mine, 2)
			checkAscending(t, b.of(mine), 2)
		}
	}
}

// checkReentrant calls the feed from within a delivery.
func checkReentrant(t *testing.T, b *inbox) {
	b.join("a:outer")
	b.mu.Lock()
	b.on = func(r channel.Record) {
		if r.Channel == "a:outer" {
			_ = b.feed.Join(context.Background(), "a:inner")
			b.feed.Carry(run("a:inner", r.At.Offset, r.At.Offset))
			b.feed.Leave("a:outer")
		}
	}
	b.mu.Unlock()
	b.feed.Carry(run("a:outer", 7, 7))
	b.await("a:inner", 7)
}

// checkNeverBlocks carries far more than any buffer, to nobody and to somebody.
func checkNeverBlocks(t *testing.T, b *inbox) {
	b.join("a:some")
	over := time.AfterFunc(patience, func() { panic("Carry blocked") })
	defer over.Stop()
	batch := run("a:none", 1, 100)
	for range 2000 {
		b.feed.Carry(batch)
	}
	for range 200 {
		b.feed.Carry(run("a:some", 1, 100))
	}
}
