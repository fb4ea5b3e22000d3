package gateway

import (
	"context"

	"carillon/channel"
)

// Listen makes the bus deliver a channel's records here, room or not, and Options.Heard hear of each. It returns once
// whatever is carried from now on is delivered.
func (g *Gateway) Listen(n channel.Name) error {
	sh := g.shard(n)
	sh.mu.Lock()
	sh.listening[n]++
	sh.mu.Unlock()
	ctx, cancel := g.readContext()
	defer cancel()
	return g.join(ctx, sh, n)
}

// Unlisten ends one Listen.
func (g *Gateway) Unlisten(n channel.Name) {
	sh := g.shard(n)
	sh.mu.Lock()
	if sh.listening[n]--; sh.listening[n] <= 0 {
		delete(sh.listening, n)
	}
	g.leave(sh, n, sh.rooms[n] == nil)
}

func (g *Gateway) listens(n channel.Name) bool {
	sh := g.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.listening[n] > 0
}

// join makes the bus deliver. A leave that is under way is waited for: the bus does not count, and what left last would win.
func (g *Gateway) join(ctx context.Context, sh *roomShard, n channel.Name) error {
	sh.mu.Lock()
	left := sh.leaving[n]
	sh.mu.Unlock()
	if left != nil {
		<-left
	}
	return g.o.Feed.Join(ctx, n)
}

// leave ends delivery if nobody listens and the caller has no use for it. It is called with sh.mu held, and unlocks it.
func (g *Gateway) leave(sh *roomShard, n channel.Name, unused bool) {
	if !unused || sh.listening[n] > 0 || sh.leaving[n] != nil {
		sh.mu.Unlock()
		return
	}
	left := make(chan struct{})
	sh.leaving[n] = left
	sh.mu.Unlock()
	g.o.Feed.Leave(n)
	sh.mu.Lock()
	delete(sh.leaving, n)
	sh.mu.Unlock()
	close(left)
}
