// Package gateway is everything beside a client connection. This file's Gateway owns the seam between the truth (journal), the
// hints (bus) and the fan-out (hub): it opens a channel's ring when the first subscriber comes, fills what the bus lost,
// and closes the ring again. It knows no app and no socket, and never decides what is true.
// Start with Join (seam.go), then Publish and Read.
package gateway

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/gateway/session"
	"carillon/journal"
)

// Journal is what the gateway needs of the journal of a channel.
type Journal interface {
	journal.Appender
	journal.Reader
	// Tier names what its acknowledgements survive.
	Tier() journal.Tier
}

// Options is what a Gateway is made of. All fields are needed.
type Options struct {
	Policies journal.Policies
	Journal  func(channel.Name) Journal // the one journal in which records of a channel become true
	Feed     bus.Feed
	Hub      *hub.Hub
	Clock    journal.Clock
	Heard    func(*channel.Record) // hears of Logged records of channels that somebody listens to, and only enqueues

	// Where services run, all of these are needed; else none.
	Desk    bus.Desk
	Trail   journal.Trail
	Log     *slog.Logger
	Granted func(n channel.Name, user string) // what a user may read has changed (user "": many users'; n "": anywhere); only enqueues

	// Where other nodes stand beside this one, all of these are needed; else none.
	Shared bool
	Stale  func(stale bool)                              // records may be late, for the line to the others is lost; or it is back, and all is compared
	Missed func(n channel.Name, before channel.Position) // as Heard, of records after a position that may have passed by
}

// Bounds of the gateway.
const (
	readers     = 32               // journal reads at a time, and as many rooms that are tended
	readTimeout = 5 * time.Second  // of one read
	sweepEvery  = 20 * time.Second // a ring without subscribers lives between one and two of these
	roomShards  = 64
)

// Gateway serves sessions: see the package comment. It is made by New and ended by Close.
type Gateway struct {
	o       Options
	crew    *crew // reads pages and rights
	tenders *crew // of rooms: these may wait for the bus, and nobody who reads waits behind them
	seed    maphash.Seed
	shards  [roomShards]roomShard
	flights flights
	rights  rights
	hint    chan struct{} // services have committed
	line    line
	stop    chan struct{}
	done    sync.WaitGroup
}

type roomShard struct {
	mu        sync.Mutex
	rooms     map[channel.Name]*room
	listening map[channel.Name]ear
	leaving   map[channel.Name]chan struct{} // closed when the bus was left
}

// New starts a gateway.
func New(o Options) *Gateway {
	g := &Gateway{o: o, crew: newCrew(readers), tenders: newCrew(readers), seed: maphash.MakeSeed(), hint: make(chan struct{}, 1), stop: make(chan struct{})}
	for i := range g.shards {
		g.shards[i].rooms = make(map[channel.Name]*room)
		g.shards[i].listening = make(map[channel.Name]ear)
		g.shards[i].leaving = make(map[channel.Name]chan struct{})
	}
	g.flights.waiting = make(map[page][]func(session.Page, error))
	g.done.Go(g.sweep)
	if o.Shared {
		g.done.Go(g.watch)
		g.done.Go(g.heal)
	}
	return g
}

// Follow makes the gateway follow services from the ends of their trail on: before it returns nothing, and afterwards
// everything, that changes is heard of within a second. Call it before the first client comes.
func (g *Gateway) Follow(ctx context.Context) error {
	ends, err := g.o.Trail.Ends(ctx)
	if err != nil {
		return err
	}
	g.done.Go(func() { g.follow(ends) })
	return nil
}

// Close ends all work under way and waits for it; whoever waits for an answer gets journal.ErrClosed.
// The hub, the bus and the journals are left to their owner.
func (g *Gateway) Close() {
	close(g.stop)
	g.done.Wait()
	g.tenders.close()
	g.crew.close()
}

// Policy is that of a channel.
func (g *Gateway) Policy(n channel.Name) channel.Policy { return g.o.Policies(n) }

func (g *Gateway) shard(n channel.Name) *roomShard {
	return &g.shards[maphash.String(g.seed, string(n))%roomShards]
}

// readContext bounds one read of a journal.
func (g *Gateway) readContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), readTimeout)
}

// crew is a fixed number of goroutines that work off a queue in order. What is queued is bounded by its users: at most
// one task a room, and one for each distinct page that somebody waits for.
type crew struct {
	mu     sync.Mutex
	wake   sync.Cond
	queue  []func()
	closed bool
	done   sync.WaitGroup
}

func newCrew(n int) *crew {
	c := &crew{}
	c.wake.L = &c.mu
	for range n {
		c.done.Go(c.work)
	}
	return c
}

// do queues a task; false after close.
func (c *crew) do(task func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.queue = append(c.queue, task)
	c.wake.Signal()
	return true
}

func (c *crew) work() {
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.closed {
			c.wake.Wait()
		}
		if len(c.queue) == 0 {
			c.mu.Unlock()
			return
		}
		task := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		c.mu.Unlock()
		task()
	}
}

// close lets what is queued finish and waits for it.
func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	c.wake.Broadcast()
	c.mu.Unlock()
	c.done.Wait()
}
