package gateway

import (
	"context"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/hub"
)

// ledgered is a bus that knows who joined, and delivers nothing.
type ledgered struct {
	mu     sync.Mutex
	joined map[channel.Name]bool
}

func (l *ledgered) Carry([]channel.Record) {}
func (l *ledgered) Join(_ context.Context, n channel.Name) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined[n] = true
	return nil
}
func (l *ledgered) Leave(n channel.Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.joined, n)
}
func (l *ledgered) has(n channel.Name) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joined[n]
}

type idler struct{}

func (idler) Wake(*hub.Cursor) {}
func (idler) Resume()          {}

// TestNoDeafRoom: the last subscriber leaves while the gateway is about to give the room up. Whichever comes first, a
// ring that newcomers can attach to is one that the bus delivers to; else they would wait for ever and not know.
func TestNoDeafRoom(t *testing.T) {
	const rounds = 20_000
	h := hub.New([]hub.Encode{func(dst []byte, _ *channel.Record) []byte { return append(dst, 'x') }}, hub.Options{})
	defer h.Close()
	feed := &ledgered{joined: map[channel.Name]bool{}}
	g := New(Options{Hub: h, Heard: func(*channel.Record) {}, Journal: func(channel.Name) Journal { return &flaky{} }, Clock: time.Now,
		Policies: func(channel.Name) channel.Policy { return channel.DefaultPolicy() }, Feed: feed})
	defer g.Close()
	const n = channel.Name("a:b")
	join := func() {
		joined := make(chan error, 1)
		g.Join(n, hub.From{}, func(_ channel.Position, err error) { joined <- err })
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
	}
	closed := 0
	for i := range rounds {
		join()
		c, _, err := h.Attach(n, hub.From{}, 0, 1, idler{})
		if err == hub.ErrPending { // given up once more by the round before
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var leaving sync.WaitGroup
		leaving.Go(c.Detach)
		g.tend(n, false, func(r *room) { r.leave = true })
		leaving.Wait()
		settle(g, n)
		if has, joined := h.Has(n), feed.has(n); has != joined {
			t.Fatalf("round %d: the hub has the room: %v, the bus delivers: %v", i, has, joined)
		}
		if !h.Has(n) {
			closed++
		}
	}
	if closed == 0 || closed == rounds {
		t.Logf("of %d rooms %d were closed: the two never met", rounds, closed)
	}
}

// settle waits until no task tends a room.
func settle(g *Gateway, n channel.Name) {
	sh := g.shard(n)
	for {
		sh.mu.Lock()
		r := sh.rooms[n]
		idle := r == nil || !r.busy
		sh.mu.Unlock()
		if idle {
			return
		}
		done := make(chan struct{})
		g.crew.do(func() { close(done) })
		<-done
	}
}
