package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/channel"

	"github.com/redis/rueidis"
)

// Bounds of a Desk.
const (
	MaxCommands    = 8192             // that lie in a shard without an answer, from all nodes together; beyond, bus.ErrBusy
	MaxBytes       = 32 << 20         // of their forms
	MaxAsks        = 1 << 16          // of this node without an answer; beyond, bus.ErrBusy
	MaxAskBytes    = 64 << 20         // of the bodies among them that are not in Redis yet
	MaxAnswerBytes = 64 << 20         // of answers on their way to Redis; beyond, answers are lost
	MaxShards      = 4096             // of a service
	MaxWorkers     = 1024             // of a service
	AskFor         = 10 * time.Second // an ask ends then at the latest, with bus.ErrUnanswered
	KeepFor        = 10 * time.Minute // commands lie in a shard that nobody asks and nobody owns
)

const (
	batchCommands = 256     // in one step of Redis
	batchBytes    = 1 << 20 // see batchCommands
	maxRoutes     = 1024    // services that are asked
	sweepEvery    = AskFor / 40
)

// DeskOptions are what a Desk is made of. Backbone is needed.
type DeskOptions struct {
	Backbone *backbone.Backbone
	// Errors that owners answer with and askers have to tell apart, beside those of package bus, by the names under which
	// they cross the line: at most 64 bytes, the same on all nodes. Any other arrives as its text alone.
	Errors map[string]error
	Log    *slog.Logger // nil: silent
}

// Desk is the bus.Desk of many nodes over one Redis. A lease names the owner of each shard. Commands wait in a stream for it, and
// answers come back to the inbox of the desk that asked; where the owner is this very desk they need neither. What is lost on
// the way ends in bus.ErrUnanswered: the store answers the same id again. Use NewDesk, and Close it when nobody asks any more.
type Desk struct {
	b       *backbone.Backbone
	log     *slog.Logger
	id      string // of its inbox: 16 hexadecimal digits
	faults  map[string]error
	scripts scripts
	asks    asks
	inbox   inbox
	post    post
	ailing  atomic.Bool // Redis failed, and the log says so
	dropped atomic.Uint64

	ctx    context.Context // of its calls; ends last
	cancel context.CancelFunc
	stop   chan struct{} // closed when Close begins
	own    sync.WaitGroup
	crew   sync.WaitGroup

	mu     sync.Mutex
	routes map[string]*route
	owners map[*owner]struct{}
	closed bool
}

var _ bus.Desk = (*Desk)(nil)

// NewDesk makes a Desk and begins to listen to its inbox. Close it before the Backbone.
func NewDesk(o DeskOptions) *Desk {
	d := &Desk{
		b: o.Backbone, log: o.Log, id: randomID(), faults: busFaults(), scripts: newScripts(),
		stop: make(chan struct{}), routes: make(map[string]*route), owners: make(map[*owner]struct{}),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	maps.Copy(d.faults, o.Errors)
	d.asks.init()
	d.inbox.init()
	d.post.piles = make(map[string]*pile)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.crew.Go(d.listen)
	d.crew.Go(d.sweep)
	return d
}

func randomID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(id[:])
}

// Ask is bus.Desk's. Who serves is known from the workers that live: one that died without a word counts for three seconds
// more. While Redis is away the error is bus.ErrUnavailable within 2 s, or bus.ErrUnanswered where the command may be there.
func (d *Desk) Ask(c channel.Command, done func(channel.Reply, error)) {
	a, err := d.asks.enter(c, done)
	if err != nil {
		done(channel.Reply{}, err)
		return
	}
	r := d.route(c.Channel.Namespace())
	if r == nil {
		d.asks.end(a.number, channel.Reply{}, bus.ErrBusy)
		return
	}
	r.put(a)
}

// Own is bus.Desk's. Among the workers of a service, everywhere, shards are divided so that none has two more than another;
// who comes gets only what the others have too much, who goes leaves only his own. A run that returns before its context
// ended is begun again after a second. Own returns nil when ctx ended, bus.ErrClosed when the desk was closed, another error
// when the other workers of the service have another number of shards.
func (d *Desk) Own(ctx context.Context, service string, shards int, run func(ctx context.Context, s bus.Shard) error) error {
	if shards <= 0 || shards > MaxShards {
		return fmt.Errorf("service %q has %d shards: it needs 1 to %d", service, shards, MaxShards)
	}
	o := newOwner(d, service, shards, run)
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return bus.ErrClosed
	}
	d.own.Add(1)
	d.owners[o] = struct{}{}
	d.mu.Unlock()
	defer d.own.Done()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.owners, o)
	}()
	return o.serve(ctx)
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
	d.post.flush(d.ctx)
	d.mu.Lock() // nothing begins any more
	d.cancel()
	d.mu.Unlock()
	d.crew.Wait()
	d.asks.close()
}

// begin runs f on a goroutine that Close waits for; false: the desk is closed.
func (d *Desk) begin(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return false
	}
	d.crew.Go(f)
	return true
}

// look has the owners of a service see who should have which shard.
func (d *Desk) look(service string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for o := range d.owners {
		if o.service == service {
			ring(o.wake)
		}
	}
}

// ring wakes whoever waits, or the next who will.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// run executes a script, within CallTimeout at most.
func (d *Desk) run(ctx context.Context, s *rueidis.Lua, keys, args []string) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	r := s.Exec(ctx, d.b.Client(), keys, args)
	d.note(r.Error())
	return r
}

// note logs when Redis goes away and when it is back.
func (d *Desk) note(err error) {
	switch {
	case err == nil || rueidis.IsRedisNil(err):
		if d.ailing.CompareAndSwap(true, false) {
			d.log.Info("redis answers the desk again")
		}
	case d.ctx.Err() == nil && !errors.Is(err, context.Canceled):
		if d.ailing.CompareAndSwap(false, true) {
			d.log.Warn("redis does not answer the desk: commands are refused until it does", "cause", err)
		}
	}
}

// unsent tells whether an error proves that Redis did nothing.
func unsent(err error) bool {
	if _, refused := rueidis.IsRedisErr(err); refused {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
