package gateway

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/bus"
	"carillon/bus/local"
	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/journal"
)

// flaky is a journal of one channel whose next Read fails if told so.
type flaky struct {
	mu   sync.Mutex
	log  []channel.Record
	fail bool
}

func (f *flaky) Append(channel.Record, func(channel.Position, error)) {}
func (f *flaky) Tier() journal.Tier                                   { return journal.TierMemory }
func (f *flaky) head() channel.Position {
	if len(f.log) == 0 {
		return channel.Position{Epoch: 1, Tag: 100}
	}
	return f.log[len(f.log)-1].At
}
func (f *flaky) Heads(_ context.Context, ns []channel.Name) ([]channel.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []channel.Position{f.head()}, nil
}
func (f *flaky) Read(_ context.Context, _ channel.Name, q journal.Query) (journal.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail {
		f.fail = false
		return journal.Page{}, errors.New("database is locked")
	}
	p := journal.Page{Base: q.After, Head: f.head()}
	for _, r := range f.log {
		if r.At.Offset > q.After.Offset {
			p.Records = append(p.Records, r)
		}
	}
	return p, nil
}

// TestHoleIsReadAgain: a hole is seen, and the read that would fill it fails once; it is tried again without another record.
func TestHoleIsReadAgain(t *testing.T) {
	synctest.Test(t, holeIsReadAgain)
}

func holeIsReadAgain(t *testing.T) {
	h := hub.New([]hub.Encode{func(dst []byte, _ *channel.Record) []byte { return append(dst, 'x') }}, hub.Options{})
	defer h.Close()
	j := &flaky{}
	g := New(Options{Hub: h, Heard: func(*channel.Record) {}, Journal: func(channel.Name) Journal { return j }, Clock: time.Now,
		Policies: func(channel.Name) channel.Policy { return channel.DefaultPolicy() }})
	g.o.Feed = local.New(bus.In{Records: g.Records, Trouble: g.Trouble})
	defer g.Close()
	const n = channel.Name("a:b")
	joined := make(chan error, 1)
	g.Join(n, hub.From{}, func(_ channel.Position, err error) { joined <- err })
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	r1 := channel.Record{Channel: n, Class: channel.Logged, At: channel.Position{Epoch: 1, Offset: 1, Tag: 101}, Prev: 100, Body: []byte("1")}
	r2 := channel.Record{Channel: n, Class: channel.Logged, At: channel.Position{Epoch: 1, Offset: 2, Tag: 102}, Prev: 101, Body: []byte("2")}
	j.mu.Lock()
	j.log, j.fail = []channel.Record{r1, r2}, true
	j.mu.Unlock()
	g.Records([]channel.Record{r2}) // the bus lost r1: a hole
	time.Sleep(2 * catchUpPause)
	synctest.Wait()
	if _, head, _ := h.Head(n); head.Offset != 2 {
		t.Fatalf("the ring ends at %d, the journal at 2", head.Offset)
	}
}
