package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
)

// cutRounds is how many connections TestF14 cuts at least.
func cutRounds() int {
	if os.Getenv("CARILLON_LONG") != "" {
		return 1000
	}
	return 200
}

// TestF14_CutAroundCommit: two nodes write the same channels while their connections are cut, most of them after the server
// did what it was asked and before it could say so. Whoever got no answer asks again with the same id, as clients do.
func TestF14_CutAroundCommit(t *testing.T) {
	dsn := schema(t, t.TempDir())
	address := shared.at.Address
	var nodes []*node
	for i := range 2 {
		n := &node{}
		proxy, err := fault.NewProxy(address, uint64(i), fault.Plan{Eat: func(*rand.Rand, int) bool { return n.hungry.CompareAndSwap(true, false) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		n.proxy = proxy
		n.s = openStore(t, strings.Replace(dsn, address, proxy.Address(), 1), Options{Carry: n.carry(t)})
		nodes = append(nodes, n)
	}
	ledger := &ledger{acked: map[string]uint64{}}
	var writing sync.WaitGroup
	stop := make(chan struct{})
	for w := range 16 {
		writing.Go(func() { ledger.write(t, nodes[w%2], w, stop) })
	}
	var cutting sync.WaitGroup
	for i, n := range nodes {
		cutting.Go(func() { n.cut(t, rand.New(rand.NewPCG(uint64(i), 14)), cutRounds()/len(nodes)) })
	}
	cutting.Wait()
	close(stop)
	writing.Wait()
	found := ledger.check(t, nodes[0].s)
	t.Logf("%d answers eaten, %d acknowledged, %d kept, %d answers unconfirmed", nodes[0].proxy.Cuts()+nodes[1].proxy.Cuts(), len(ledger.acked), found, ledger.doubts.Load())
	if ledger.doubts.Load() == 0 {
		t.Fatal("no commit was ever in doubt: nothing was tested")
	}
}

// node is a store behind a bad line.
type node struct {
	s      *Store
	proxy  *fault.Proxy
	hungry atomic.Bool  // the next answer of the server is not handed on, and its line ends
	acked  atomic.Int64 // records
}

// cut ends lines so many times, each time after the node got something done: instead of an answer, or at any moment.
func (n *node) cut(t *testing.T, r *rand.Rand, rounds int) {
	for range rounds {
		want := n.acked.Load() + 1 + r.Int64N(20)
		for deadline := time.Now().Add(waitAtMost); n.acked.Load() < want; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("nothing is acknowledged any more: %v", n.s.Present())
				return
			}
		}
		if r.IntN(4) == 0 {
			n.proxy.CutAll(fault.Reset)
		} else {
			n.hungry.Store(true)
		}
	}
}

// carry checks that what is carried goes forwards.
func (n *node) carry(t *testing.T) journal.Carry {
	var mu sync.Mutex
	last := map[channel.Name]uint64{}
	return func(rs []channel.Record) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range rs {
			if r.At.Offset <= last[r.Channel] {
				t.Errorf("%s: carried %d after %d", r.Channel, r.At.Offset, last[r.Channel])
			}
			last[r.Channel] = r.At.Offset
		}
	}
}

// ledger is what the writers were told.
type ledger struct {
	doubts atomic.Int64

	mu    sync.Mutex
	acked map[string]uint64 // channel and id to offset
}

const cutChannels = 5

func (l *ledger) write(t *testing.T, n *node, writer int, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		r := record(channel.Name(fmt.Sprint("a:cut", i%cutChannels)), fmt.Sprint(writer, "-", i), fmt.Sprintf(`"%d-%d"`, writer, i))
		for deadline := time.Now().Add(waitAtMost); ; {
			got := await(t, "an answer", ask(n.s, r))
			if got.err == nil {
				n.acked.Add(1)
				l.mu.Lock()
				l.acked[string(r.Channel)+string(r.Body)] = got.at.Offset
				l.mu.Unlock()
				break
			}
			switch {
			case errors.Is(got.err, journal.ErrUnconfirmed):
				l.doubts.Add(1)
			case !errors.Is(got.err, journal.ErrClosed) && !errors.Is(got.err, journal.ErrBusy), time.Now().After(deadline):
				t.Errorf("%s: %v", r.Body, got.err)
				return
			}
			<-time.After(time.Millisecond)
		}
	}
}

// check reads all logs: what was acknowledged stands there once, where it was said to be.
func (l *ledger) check(t *testing.T, s *Store) (found int) {
	t.Helper()
	at := map[string]uint64{}
	for i := range cutChannels {
		n := channel.Name(fmt.Sprint("a:cut", i))
		for _, r := range readAll(t, s, n) {
			found++
			key := string(n) + string(r.Body)
			if before, twice := at[key]; twice {
				t.Errorf("%s stands at %d and at %d", key, before, r.At.Offset)
			}
			at[key] = r.At.Offset
		}
	}
	for key, offset := range l.acked {
		if at[key] != offset {
			t.Errorf("%s was acknowledged at %d, stands at %d (0: lost)", key, offset, at[key])
		}
	}
	return found
}

// readAll reads a log, page by page, and again where the line was cut.
func readAll(t *testing.T, s *Store, n channel.Name) (rs []channel.Record) {
	t.Helper()
	var after channel.Position
	for deadline := time.Now().Add(waitAtMost); ; {
		p, err := s.Read(context.Background(), n, journal.Query{After: after})
		if errors.Is(err, journal.ErrClosed) && time.Now().Before(deadline) {
			<-time.After(10 * time.Millisecond)
			continue
		}
		if err != nil || p.Gap != channel.GapNone {
			t.Fatalf("%v, gap %q", err, p.Gap)
		}
		rs = append(rs, p.Records...)
		if !p.More {
			return rs
		}
		after = rs[len(rs)-1].At
	}
}
