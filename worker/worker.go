// Package worker runs services: it takes commands from a desk, applies them to machines, commits what they came to and
// answers. One loop per shard owns its machines; a fence in the store keeps a loop that lost its shard from writing. It
// stamps time and chance into each command, never lets a duplicate touch a machine, works ahead of the commit in flight,
// and forgets what a failed commit has put in doubt. A service that fails stops one channel, not the process. It must
// never answer before the commit, and knows no socket and no SQL.
// Start with New; loop.go is the life of a shard, batch.go the way of its commands.
package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"carillon/app"
	"carillon/bus"
	"carillon/channel"
	"carillon/journal"
	"carillon/observe"
)

// Defaults and bounds.
const (
	DefaultMachines     = 10_000
	DefaultMachineBytes = 256 << 20
	DefaultIdle         = 10 * time.Minute
	DefaultReload       = 30 * time.Second // from the stop of a channel to its next attempt
	DefaultSlow         = 5 * time.Second  // one step of a machine

	MaxBatch      = 128     // changes in a commit
	maxBatchBytes = 4 << 20 // of bodies and snapshots in a commit; one change is always taken
	snapshotEvery = 1000    // commands
	maxAttempts   = 3       // the last of them is answered bus.ErrFailed, unapplied
	maxReloads    = 3       // of a stopped channel; then it waits for Restart
)

// Options of a Worker. Service, Stage and Desk are needed; the zero value of the others is their default.
type Options struct {
	Service app.Service
	Stage   journal.Stage
	Agenda  journal.Agenda // nil: no timers, and sends stay where they are
	Pulse   journal.Pulse  // nil: a shard's next owner may take the time since its last change for an outage
	Desk    bus.Desk
	Clock   journal.Clock   // default journal.Steady, whose leaps count as time in which the service could do nothing
	Chance  func(*[32]byte) // fills a seed; default crypto/rand
	Log     *slog.Logger    // default slog.Default

	Machines     int           // kept in memory at a time, at most
	MachineBytes int64         // of their snapshots, at most
	Idle         time.Duration // a machine nobody asked for so long leaves memory
	Reload       time.Duration
	Slow         time.Duration // a step that takes longer costs the loop its shard

	Commits *observe.Histogram // time of each commit, failed ones included; may be nil
	Batches *observe.Sizes     // changes of each commit; may be nil
	Waits   *observe.Histogram // of each command: from asking until its step begins; may be nil
	Steps   *observe.Histogram // of each step; may be nil
	Stores  *observe.Histogram // of each command: from its step until it is answered; may be nil
}

func (o *Options) complete() error {
	if o.Service.Name == "" || o.Service.New == nil || o.Service.Restore == nil || o.Stage == nil || o.Desk == nil {
		return errors.New("a worker needs a service with a name, New and Restore, a stage and a desk: fill in Options")
	}
	if o.Chance == nil {
		o.Chance = func(seed *[32]byte) { _, _ = rand.Read(seed[:]) } // never fails
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Machines <= 0 {
		o.Machines = DefaultMachines
	}
	if o.MachineBytes <= 0 {
		o.MachineBytes = DefaultMachineBytes
	}
	if o.Idle <= 0 {
		o.Idle = DefaultIdle
	}
	if o.Reload <= 0 {
		o.Reload = DefaultReload
	}
	if o.Slow <= 0 {
		o.Slow = DefaultSlow
	}
	return nil
}

// Worker serves one service. Use New, then Run.
type Worker struct {
	o        Options
	log      *slog.Logger
	counts   counts
	troubles troubles
	outages  []outages // by shard
	tenures  tenures
	stop     chan struct{}
	began    time.Time // by a clock that does not jump
	stopping sync.Once
	running  sync.WaitGroup // calls of Run
	loops    loopGroup      // also those that gave up their shard within a step
}

// New makes a Worker; nothing happens before Run.
func New(o Options) (*Worker, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	w := &Worker{o: o, log: o.Log.With("service", o.Service.Name), stop: make(chan struct{}), began: time.Now()}
	w.troubles.reload = o.Reload
	w.outages = make([]outages, o.Stage.Shards())
	if w.o.Clock == nil {
		w.o.Clock = journal.Steady(w.missed)
	}
	return w, nil
}

// Run serves the shards that fall to this worker until ctx ends or Close is called; then it finishes what it took,
// answers it, keeps snapshots and returns nil. An error says that it could not begin, or that the desk was closed.
func (w *Worker) Run(ctx context.Context) error {
	w.running.Add(1)
	defer w.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-ctx.Done():
		case <-w.stop:
			cancel()
		}
	})
	if w.o.Pulse != nil {
		watch.Go(func() { w.beat(ctx) })
	}
	return w.o.Desk.Own(ctx, w.o.Service.Name, w.o.Stage.Shards(), w.serve)
}

// Close ends Run and waits for it. A step of the service that does not return is waited for as long as a step may take.
func (w *Worker) Close() {
	w.stopping.Do(func() { close(w.stop) })
	w.running.Wait()
	if left := w.loops.wait(w.o.Slow); left > 0 {
		w.log.Error("steps of the service did not return; they are left behind", "steps", left)
	}
}

// Restart lets a stopped channel be tried again with its next command, however often it was stopped before.
func (w *Worker) Restart(n channel.Name) { w.troubles.clear(n) }

// Stopped lists the channels that are stopped now, and why.
func (w *Worker) Stopped() []Stopped { return w.troubles.list(w.o.Clock()) }

// Down is how many shards cannot reach their store now.
func (w *Worker) Down() (count int) {
	for i := range w.outages {
		if _, ok := w.outages[i].lasts(); ok {
			count++
		}
	}
	return count
}

// serve is a shard from its claim to its loss. It returns when the loop ended, or when a step took too long.
func (w *Worker) serve(ctx context.Context, s bus.Shard) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := newLoop(w, s)
	ended := make(chan error, 1)
	w.loops.add()
	go func() {
		defer w.loops.done()
		ended <- l.run(ctx)
	}()
	watch := time.NewTicker(max(w.o.Slow/10, time.Millisecond))
	defer watch.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, context.Canceled) {
				w.log.Warn("a shard was given up", "shard", s.Number(), "cause", err)
			}
			return err
		case <-watch.C:
			if who, slow := l.slow(w.o.Slow); slow {
				w.troubles.blame(who, w.o.Clock())
				w.counts.slow.Add(1)
				w.log.Error("a step of the service takes too long; its shard is given up", "shard", s.Number(), "channel", who.channel, "user", who.user, "id", who.id)
				return errSlow
			}
		}
	}
}

var errSlow = errors.New("a step of the service takes too long")

// loopGroup counts loops and waits for them, though not for ever.
type loopGroup struct {
	mu    sync.Mutex
	count int
	empty chan struct{} // closed when count is 0 and somebody waits
}

func (g *loopGroup) add() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
}

func (g *loopGroup) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count--; g.count == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// wait gives the number of loops that are left.
func (g *loopGroup) wait(atMost time.Duration) int {
	g.mu.Lock()
	if g.count == 0 {
		g.mu.Unlock()
		return 0
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	t := time.NewTimer(atMost)
	defer t.Stop()
	select {
	case <-empty:
		return 0
	case <-t.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}
