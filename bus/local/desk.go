package local

import (
	"context"
	"fmt"
	"sync"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// rest is how long a shard stays without an owner after its run ended by itself: whatever ended it may be over then.
const rest = time.Second

// Desk is the bus.Desk of a single node: commands wait in memory, and who owns a service in this process works them off.
// Several owners share the shards; those of one that ended, and what it left unanswered, fall to the others. Asking costs
// the same however many commands wait, and no goroutine. Use NewDesk, and Close it when nobody asks any more.
type Desk struct {
	stop chan struct{}
	own  sync.WaitGroup

	mu       sync.RWMutex
	services map[string]*service
	closed   bool
}

// NewDesk makes a Desk without owners.
func NewDesk() *Desk {
	return &Desk{stop: make(chan struct{}), services: make(map[string]*service)}
}

// Ask is bus.Desk's. A service that was owned once keeps taking commands: they wait for its next owner.
func (d *Desk) Ask(c channel.Command, done func(channel.Reply, error)) {
	d.mu.RLock()
	s, closed := d.services[c.Channel.Namespace()], d.closed
	d.mu.RUnlock()
	var err error
	switch {
	case closed:
		err = bus.ErrClosed
	case s == nil:
		err = bus.ErrNoService
	default:
		err = s.queues[c.Channel.Shard(len(s.queues))].put(c, done)
	}
	if err != nil {
		done(channel.Reply{}, err)
	}
}

// Own is bus.Desk's. A run that returns before its context ended is begun again after a second, by whoever has the
// fewest shards. Own returns nil when ctx ended, bus.ErrClosed when the desk was closed.
func (d *Desk) Own(ctx context.Context, name string, shards int, run func(ctx context.Context, s bus.Shard) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := d.enter(name, shards)
	if err != nil {
		return err
	}
	defer d.own.Done()
	o := &owner{ctx: ctx, run: run, held: make(map[*tenure]struct{})}
	s.join(o)
	select {
	case <-ctx.Done():
	case <-d.stop:
		err = bus.ErrClosed
		cancel()
	}
	s.part(o)
	o.runs.Wait()
	return err
}

func (d *Desk) enter(name string, shards int) (*service, error) {
	if shards <= 0 {
		return nil, fmt.Errorf("service %q has %d shards: it needs one at least", name, shards)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, bus.ErrClosed
	}
	s := d.services[name]
	if s == nil {
		s = &service{queues: make([]*queue, shards), holders: make([]*tenure, shards)}
		for i := range s.queues {
			s.queues[i] = newQueue()
		}
		d.services[name] = s
	}
	if len(s.queues) != shards {
		return nil, fmt.Errorf("service %q has %d shards already, not %d: let all of its owners say the same", name, len(s.queues), shards)
	}
	d.own.Add(1)
	return s, nil
}

// Close ends all runs, waits for their Own, and answers what waits. It must not be called from within a run or a done.
func (d *Desk) Close() {
	d.mu.Lock()
	again := d.closed
	d.closed = true
	d.mu.Unlock()
	if again {
		return
	}
	close(d.stop)
	d.own.Wait()
	for _, s := range d.services { // nobody adds any more
		for _, q := range s.queues {
			q.close()
		}
	}
}

// service is who owns which shard of a service.
type service struct {
	queues []*queue

	mu      sync.Mutex
	owners  []*owner
	holders []*tenure // by shard; nil: nobody
}

// owner is a call of Own. Its fields but run and ctx are guarded by service.mu.
type owner struct {
	ctx  context.Context
	run  func(context.Context, bus.Shard) error
	runs sync.WaitGroup
	held map[*tenure]struct{} // without those it has to give up
}

// tenure is the time for which an owner has a shard.
type tenure struct {
	owner  *owner
	shard  *holding
	cancel context.CancelFunc
}

// join takes in an owner: it gets the shards nobody has, and from those who have more than their share what is beyond it.
func (s *service) join(o *owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners = append(s.owners, o)
	share := (len(s.queues) + len(s.owners) - 1) / len(s.owners)
	for _, other := range s.owners {
		for t := range other.held {
			if len(other.held) <= share {
				break
			}
			delete(other.held, t)
			t.cancel()
		}
	}
	s.settle()
}

// part gives no more shards to an owner. Those it has are free as soon as their runs return.
func (s *service) part(o *owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.owners {
		if s.owners[i] == o {
			s.owners = append(s.owners[:i], s.owners[i+1:]...)
			break
		}
	}
}

// settle gives every free shard to the owner who has the fewest; mu is held.
func (s *service) settle() {
	for i, q := range s.queues {
		var least *owner
		for _, o := range s.owners {
			if o.ctx.Err() == nil && (least == nil || len(o.held) < len(least.held)) {
				least = o
			}
		}
		if least == nil {
			return
		}
		if s.holders[i] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(least.ctx)
		t := &tenure{owner: least, shard: &holding{q: q, number: i, wake: make(chan struct{}, 1)}, cancel: cancel}
		least.held[t] = struct{}{}
		s.holders[i] = t
		q.hold(t.shard)
		least.runs.Go(func() { s.serve(ctx, t) })
	}
}

// serve is a tenure from its beginning to its end. Errors are the owner's to tell.
func (s *service) serve(ctx context.Context, t *tenure) {
	_ = t.owner.run(ctx, t.shard)
	t.shard.q.hold(nil)
	pause := time.NewTimer(rest)
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
	t.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(t.owner.held, t)
	s.holders[t.shard.number] = nil
	s.settle()
}
