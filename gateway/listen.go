package gateway

import (
	"context"
	"fmt"

	"carillon/bus"
	"carillon/channel"
)

// Listen makes the bus deliver a channel's records here, room or not, and Options.Heard hear of each. It returns once
// whatever is carried from now on is delivered.
func (g *Gateway) Listen(n channel.Name) error {
	sh := g.shard(n)
	sh.mu.Lock()
	e := sh.listening[n]
	e.times++
	sh.listening[n] = e
	sh.mu.Unlock()
	ctx, cancel := g.readContext()
	defer cancel()
	err := g.join(ctx, sh, n)
	if err == nil && g.o.Shared && e.at.IsZero() {
		g.line.fresh(n)
	}
	return err
}

// Unlisten ends one Listen.
func (g *Gateway) Unlisten(n channel.Name) {
	sh := g.shard(n)
	sh.mu.Lock()
	e := sh.listening[n]
	if e.times--; e.times <= 0 {
		delete(sh.listening, n)
	} else {
		sh.listening[n] = e
	}
	g.leave(sh, n, sh.rooms[n] == nil)
}

// ear is a channel that is listened to. Nobody may be attached to it, so that no ring knows how far it was heard.
type ear struct {
	times int32            // Listen was called and Unlisten was not
	at    channel.Position // heard up to here; zero: not known yet, or nobody else writes it
}

// hear tells of a record in a channel that somebody listens to. Where records before it passed by, they are told with it.
func (g *Gateway) hear(r *channel.Record) {
	sh := g.shard(r.Channel)
	sh.mu.Lock()
	e, listened := sh.listening[r.Channel]
	was := e.at
	if listened && g.o.Shared && (was.Epoch != r.At.Epoch || was.Offset < r.At.Offset) {
		e.at = r.At
		sh.listening[r.Channel] = e
	}
	sh.mu.Unlock()
	switch {
	case !listened:
	case was.Epoch == r.At.Epoch && was.Offset+1 < r.At.Offset, was.Epoch != r.At.Epoch && was.Offset > 0:
		g.o.Missed(r.Channel, was)
	default:
		g.o.Heard(r)
	}
}

// heard is how far a channel was heard that somebody listens to.
func (g *Gateway) heard(n channel.Name) (at channel.Position, listened bool) {
	sh := g.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, listened := sh.listening[n]
	return e.at, listened
}

// overhear compares how far a channel was heard with a head of its journal, read after it was heard up to was.
func (g *Gateway) overhear(n channel.Name, was, head channel.Position) {
	sh := g.shard(n)
	sh.mu.Lock()
	e, listened := sh.listening[n]
	at := e.at
	past := at.Epoch == head.Epoch && at.Offset > head.Offset && head.Offset >= was.Offset // heard meanwhile
	if listened && !past {
		e.at = head
		sh.listening[n] = e
	}
	sh.mu.Unlock()
	if listened && !past && !at.IsZero() && at != head {
		g.o.Missed(n, at)
	}
}

// join makes the bus deliver. A leave that is under way is waited for: the bus does not count, and what left last would win.
func (g *Gateway) join(ctx context.Context, sh *roomShard, n channel.Name) error {
	sh.mu.Lock()
	left := sh.leaving[n]
	sh.mu.Unlock()
	if left != nil {
		<-left
	}
	if err := g.o.Feed.Join(ctx, n); err != nil {
		return fmt.Errorf("%w: %w", bus.ErrUnavailable, err)
	}
	return nil
}

// leave ends delivery if nobody listens and the caller has no use for it. It is called with sh.mu held, and unlocks it.
func (g *Gateway) leave(sh *roomShard, n channel.Name, unused bool) {
	if !unused || sh.listening[n].times > 0 || sh.leaving[n] != nil {
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
