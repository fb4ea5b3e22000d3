package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/channel"

	"github.com/redis/rueidis"
)

const (
	routeFresh = time.Second     // that who serves is taken for known
	routeStale = 3 * time.Second // beyond, nothing is asked before it is known again
)

// route is how this node asks a service.
type route struct {
	d       *Desk
	service string

	mu      sync.Mutex
	lanes   []*lane // by shard; nil: nobody serves, as far as is known
	known   time.Time
	looking bool
	parked  []*ask           // wait until it is known who serves
	here    map[int]*holding // shards that this desk has
	shards  int              // of the service, by those
}

// lane takes asks to one shard, in order and one batch at a time: while a batch is under way the next one gathers.
type lane struct {
	r     *route
	keys  shardKeys
	doubt bool // the last batch failed: Redis is asked for life before another is risked; belongs to drain

	// Guarded by route.mu.
	queue []*ask
	busy  bool // drain runs
}

// shardKeys are the names of what is kept of a shard.
type shardKeys struct{ stream, state, lease, bell string }

func (d *Desk) shardKeys(service string, shard int) shardKeys {
	key := func(kind string) string { return d.b.ShardKey(kind, service, shard) }
	return shardKeys{stream: key("desk"), state: key("desk-state"), lease: key("desk-lease"), bell: key("desk-bell")}
}

// route gives the way to a service; nil: so many are in use that there is no room for another.
func (d *Desk) route(service string) *route {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.routes[service]
	if r != nil {
		return r
	}
	if len(d.routes) >= maxRoutes {
		for name, other := range d.routes {
			if other.idle() {
				delete(d.routes, name)
			}
		}
		if len(d.routes) >= maxRoutes {
			return nil
		}
	}
	r = &route{d: d, service: service}
	d.routes[service] = r
	return r
}

// idle tells that nothing is under way and nothing is known that is not asked anew anyway.
func (r *route) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.looking && len(r.parked) == 0 && len(r.here) == 0 && time.Since(r.known) > routeStale
}

// put queues an ask for its shard, or until it is known who serves.
func (r *route) put(a *ask) {
	r.mu.Lock()
	if taken, err := r.hand(a); taken {
		r.mu.Unlock()
		if err != nil {
			r.d.asks.end(a.number, channel.Reply{}, err)
		}
		return
	}
	age := time.Since(r.known)
	look := !r.looking && (r.lanes == nil || age >= routeFresh)
	r.looking = r.looking || look
	var start *lane
	if r.lanes == nil || age >= routeStale || len(r.parked) > 0 {
		r.parked = append(r.parked, a)
	} else {
		start = r.queue(a)
	}
	r.mu.Unlock()
	// Where the desk is closed meanwhile, Close ends what waits.
	if look {
		r.d.begin(r.look)
	}
	if start != nil {
		r.d.begin(start.drain)
	}
}

// queue gives an ask to its lane and returns it if it has to be started; mu is held.
func (r *route) queue(a *ask) (start *lane) {
	r.d.asks.goesFar(a)
	l := r.lanes[a.command.Channel.Shard(len(r.lanes))]
	l.queue = append(l.queue, a)
	if l.busy {
		return nil
	}
	l.busy = true
	return l
}

// look asks Redis who serves, and lets go what waits for that.
func (r *route) look() {
	before := time.Now()
	keys := []string{r.d.b.ShardKey("desk-workers", r.service, 0)}
	shards, err := r.d.run(r.d.ctx, r.d.scripts.serving, keys, nil).AsInt64()
	if shards < 0 || shards > MaxShards {
		shards = 0
	}
	r.mu.Lock()
	r.looking = false
	parked := r.parked
	r.parked = nil
	var starts []*lane
	if err == nil {
		r.learn(int(shards), before)
		if err = bus.ErrNoService; shards > 0 {
			err = nil
			for _, a := range parked {
				if l := r.queue(a); l != nil {
					starts = append(starts, l)
				}
			}
		}
	} else {
		err = bus.ErrUnavailable
	}
	r.mu.Unlock()
	for _, l := range starts {
		r.d.begin(l.drain)
	}
	if err != nil {
		r.d.fail(parked, err)
	}
}

// learn takes in how many shards there are; mu is held. Lanes of another number of shards end by themselves.
func (r *route) learn(shards int, at time.Time) {
	r.known = at
	if len(r.lanes) == shards {
		return
	}
	r.lanes = nil
	for i := range shards {
		r.lanes = append(r.lanes, &lane{r: r, keys: r.d.shardKeys(r.service, i)})
	}
}

// fail ends asks that did not come to Redis. Of those that an owner had in hand before the outcome is not known.
func (d *Desk) fail(as []*ask, err error) {
	for _, a := range as {
		outcome := err
		if a.tries > 0 {
			outcome = bus.ErrUnanswered
		}
		d.asks.end(a.number, channel.Reply{}, outcome)
	}
}

// drain takes batch after batch to Redis until nothing waits. When one fails, what waits behind it ends with it.
func (l *lane) drain() {
	for {
		batch := l.next()
		if batch == nil {
			return
		}
		if batch = l.r.d.asks.sending(batch); len(batch) == 0 {
			continue
		}
		if !l.send(batch) {
			l.r.d.fail(l.rest(), bus.ErrUnavailable)
		}
	}
}

// next takes a batch out of the queue; nil: there is none, and the lane rests.
func (l *lane) next() []*ask {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	n, bytes := 0, 0
	for n < min(len(l.queue), batchCommands) && (n == 0 || bytes+len(l.queue[n].command.Body) <= batchBytes) {
		bytes += len(l.queue[n].command.Body)
		n++
	}
	if n == 0 {
		l.busy, l.queue = false, nil
		return nil
	}
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	return batch
}

func (l *lane) rest() []*ask {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	all := l.queue
	l.queue = nil
	return all
}

// send puts a batch into the stream; false: Redis is away, or refuses.
func (l *lane) send(batch []*ask) bool {
	d := l.r.d
	ctx, cancel := context.WithTimeout(d.ctx, backbone.CallTimeout)
	defer cancel()
	if err := l.safe(ctx); err != nil {
		d.note(err)
		d.fail(batch, bus.ErrUnavailable)
		return false
	}
	args := make([]string, 0, 5+2*len(batch))
	args = append(args, decimal(MaxCommands), decimal(MaxBytes), decimal(KeepFor.Milliseconds()), d.publish(), l.keys.bell)
	for _, a := range batch {
		c := a.command
		c.Waited += time.Since(a.since)
		form := appendAsk(make([]byte, 0, leastAsk+len(d.id)+len(c.Channel)+len(c.ID)+len(c.User)+len(c.Body)), &asked{inbox: d.id, ask: a.number, command: c})
		args = append(args, rueidis.BinaryString(form), formBeside(c.Trip, a.tries))
	}
	took, err := d.run(ctx, d.scripts.ask, []string{l.keys.stream, l.keys.state}, args).AsInt64()
	if l.doubt = err != nil; err != nil {
		outcome := bus.ErrUnanswered
		if unsent(err) {
			outcome = bus.ErrUnavailable
		}
		d.fail(batch, outcome)
		return false
	}
	if took >= 0 && int(took) < len(batch) { // what waits behind it would hear the same
		d.fail(batch[took:], bus.ErrBusy)
		d.fail(l.rest(), bus.ErrBusy)
	}
	return true
}

// safe makes sure that an answer will be heard and, after trouble, that Redis is there: what is not sent was surely not done.
func (l *lane) safe(ctx context.Context) error {
	d := l.r.d
	if !d.inbox.await(ctx) {
		return errDeaf
	}
	if !l.doubt {
		return nil
	}
	return d.b.Client().Do(ctx, d.b.Client().B().Exists().Key(l.keys.stream).Build()).Error()
}

var errDeaf = errors.New("the inbox of this node is not subscribed")
