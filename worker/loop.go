package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
)

const (
	eager    = 32                     // commands that are prepared although a commit is in flight
	maxTries = 3                      // of a command whose commit is in doubt, or for which the store cannot be read
	minPause = 20 * time.Millisecond  // before the store is tried again; doubles
	maxPause = 500 * time.Millisecond // see minPause
	waryFor  = 10 * time.Second       // after a command was not what it said
	tickMin  = 100 * time.Millisecond // between two looks for idle machines
)

// loop is the life of a shard with one owner. All fields without a note belong to its goroutine alone.
type loop struct {
	w     *Worker
	shard bus.Shard
	fence journal.Fence
	ctx   context.Context // of storage: it does not end with the lease
	cache *cache
	agent *agent // nil without an agenda
	out   *outages

	waiting []*item              // taken, not applied; in order
	held    []*item              // timers that are due, to wait behind what came before their time
	newest  time.Time            // when the last command came that was taken
	inHand  map[key]*item        // everything taken that has an id
	next    *batch               // applied, waits for the commit in flight
	flight  *batch               // in the hands of commits
	orphans map[channel.Name]int // changes not committed yet of machines that are not in memory any more
	answers []bus.Answered

	limit   int  // items in a batch: less than MaxBatch while a culprit is looked for
	probing bool // commands may come that others failed on: they are taken one by one
	asked   bool // wants was told how many to take
	ending  bool

	health
	lines
	crew sync.WaitGroup

	watch watch
}

// health is how the store does, as the loop has seen it.
type health struct {
	pause time.Duration
	until time.Time // nothing is prepared before; zero: at once
	fails int       // of the store, one after the other
	sent  time.Time // when the commit in flight was sent off
	wary  time.Time // until then no command is believed to come for the first time
}

// lines join the loop to those who work for it.
type lines struct {
	wants   chan int
	taken   chan []bus.Asked // nil: no more will come
	commits chan *batch
	settled chan *batch
	timers  chan []journal.Due
	suspect chan struct{} // the agent could not reach the store
}

// watch is what a loop lets others see of the step under way.
type watch struct {
	since atomic.Int64         // when it began, ns since Worker.began; 0: there is none
	who   atomic.Pointer[item] // whose it is
	left  atomic.Bool          // it took too long: the shard is another's
}

func newLoop(w *Worker, s bus.Shard) *loop {
	shards := w.o.Stage.Shards()
	return &loop{
		w: w, shard: s, out: &w.outages[s.Number()],
		cache:  newCache(max(w.o.Machines/shards, 1), max(w.o.MachineBytes/int64(shards), 1), func(n int64) { w.counts.machines.Add(n) }),
		inHand: make(map[key]*item), orphans: make(map[channel.Name]int), next: &batch{}, limit: MaxBatch, probing: true,
		lines: lines{
			wants: make(chan int, 1), taken: make(chan []bus.Asked, 1), commits: make(chan *batch, 1), settled: make(chan *batch, 1),
			timers: make(chan []journal.Due), suspect: make(chan struct{}, 1),
		},
	}
}

// slow tells whether the step under way takes longer than d, and on which command; then the loop is left to itself.
func (l *loop) slow(d time.Duration) (key, bool) {
	since := l.watch.since.Load()
	if since == 0 || int64(time.Since(l.w.began))-since < int64(d) {
		return key{}, false
	}
	it := l.watch.who.Load()
	l.watch.left.Store(true)
	return keyOf(&it.cmd), true
}

// run serves the shard until ctx ends or the fence is another's.
func (l *loop) run(ctx context.Context) error {
	l.ctx = context.WithoutCancel(ctx)
	if err := l.claim(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	l.crew.Go(func() { l.pump(ctx) })
	l.crew.Go(l.commit)
	if l.w.o.Agenda != nil {
		l.agent = newAgent(l)
		l.crew.Go(func() { l.agent.run(ctx) })
	}
	l.w.tenures.enter(l)
	err := l.serve(ctx)
	l.w.tenures.leave(l)
	if err == nil {
		l.keepAll()
	}
	cancel()
	close(l.wants)
	close(l.commits)
	l.crew.Wait()
	l.w.counts.machines.Add(-int64(len(l.cache.byName)))
	return err
}

// claim raises the fence, trying until it can.
func (l *loop) claim(ctx context.Context) (err error) {
	for {
		claiming, cancel := context.WithTimeout(ctx, stalled)
		l.fence, err = l.w.o.Stage.Claim(claiming, l.w.o.Service.Name, l.shard.Number())
		cancel()
		if err == nil || ctx.Err() != nil {
			if now := l.w.o.Clock(); err == nil {
				l.out.add(now.Add(-l.fence.Away), now)
				l.out.end(now) // one that this worker met when it had the shard before
			}
			return errors.Join(err, ctx.Err())
		}
		l.w.log.Warn("a shard cannot be claimed; it is tried again", "shard", l.shard.Number(), "cause", err)
		l.backOff()
		l.turnAllAway(ctx, l.pause)
	}
}

func (l *loop) backOff() { l.pause = min(max(2*l.pause, minPause), maxPause) }

// serve is the loop itself.
func (l *loop) serve(ctx context.Context) error {
	done, timers := ctx.Done(), l.timers
	tick := time.NewTicker(max(l.w.o.Idle/10, tickMin))
	defer tick.Stop()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		l.release()
		l.flush() // before a step that may take its time
		l.work()
		l.flush()
		if l.watch.left.Load() {
			return errSlow
		}
		if l.ending && l.idle() {
			return nil
		}
		l.ask()
		if at := l.due(); !at.IsZero() {
			again.Reset(time.Until(at))
		}
		select {
		case as := <-l.taken:
			l.take(as)
		case b := <-l.settled:
			if err := l.settle(b); err != nil {
				return err
			}
		case due := <-timers:
			l.takeTimers(due)
		case <-l.suspect:
			l.doubtStore(l.w.o.Clock())
		case <-tick.C:
			l.passivate()
		case <-again.C:
			l.look()
		case <-done:
			l.ending, done, timers = true, nil, nil // timers wait for the next owner
		}
	}
}

// idle tells whether everything that was taken is answered.
func (l *loop) idle() bool {
	return !l.asked && l.flight == nil && len(l.waiting) == 0 && l.next.empty()
}

// work prepares what waits and sends off what is prepared.
func (l *loop) work() {
	for {
		ready := l.until.IsZero() || !time.Now().Before(l.until)
		if ready {
			l.until = time.Time{}
		}
		prepare := ready && len(l.waiting) > 0 && len(l.next.items) < l.limit && l.next.bytes < maxBatchBytes &&
			(l.flight == nil && len(l.next.items) < eager || len(l.waiting) >= eager && l.limit == MaxBatch && !l.probing)
		switch {
		case prepare:
			l.prepare()
		case l.flight == nil && !l.next.empty():
			l.send()
		case ready && l.flight == nil && !l.ending && l.down():
			l.send() // nothing but the fence: is the store back?
		default:
			return
		}
		if l.watch.left.Load() {
			return
		}
	}
}

// ask has the pump take further commands, if there is room and need for them.
func (l *loop) ask() {
	room := MaxBatch - len(l.waiting) - len(l.next.items)
	if l.probing {
		room = 0
		if l.flight == nil && l.next.empty() && len(l.waiting) == 0 {
			room = 1
		}
	}
	if l.refusing() {
		room = MaxBatch // they are answered at once
	} else if !l.until.IsZero() {
		return
	}
	if l.asked || l.ending || room <= 0 {
		return
	}
	l.asked = true
	l.wants <- room
}

// pump takes commands from the desk as the loop wants them.
func (l *loop) pump(ctx context.Context) {
	for room := range l.wants {
		as, err := l.shard.Next(ctx, room)
		if err != nil {
			as = nil
		}
		l.taken <- as // has room: one answer for each want
	}
}

// take takes commands in hand.
func (l *loop) take(as []bus.Asked) {
	l.asked = false
	if as == nil {
		l.ending = true
		return
	}
	fault.Point("worker.taken")
	now, refusing := l.w.o.Clock(), l.refusing()
	for i := range as {
		if as[i].Attempt == 1 {
			l.probing = false
		}
		it := &item{cmd: as[i].Command, ticket: as[i].Ticket, attempt: as[i].Attempt, taken: now, came: now.Add(-min(max(as[i].Command.Waited, 0), maxWaited))}
		if refusing {
			l.turnAway(it)
			continue
		}
		l.newest = it.came
		l.waiting = append(l.waiting, it)
	}
}

// release lets timers wait with the commands once all that came before their time was taken from the desk: who moved in time
// must not find his time run out only because the desk is full.
func (l *loop) release() {
	if len(l.held) == 0 {
		return
	}
	taken := l.asked && len(l.taken) == 0 // the pump found nothing more
	l.held = slices.DeleteFunc(l.held, func(it *item) bool {
		if !taken && l.newest.Before(it.due) {
			return false
		}
		l.waiting = append(l.waiting, it)
		return true
	})
}

// takeTimers takes timers in hand whose time has come.
func (l *loop) takeTimers(due []journal.Due) {
	fault.Point("worker.timer")
	l.w.counts.timers.Add(uint64(len(due)))
	now := l.w.o.Clock()
	for i := range due {
		l.held = append(l.held, &item{cmd: due[i].Command, timer: true, due: due[i].At, attempt: 1, taken: now, came: now})
	}
}

// answer ends an item, and what was asked meanwhile under the same id.
func (l *loop) answer(it *item, r channel.Reply, err error) {
	r.ID = it.cmd.ID
	if err == nil && r.Code == codeFailed {
		r, err = channel.Reply{}, bus.ErrFailed
	}
	if it.timer {
		if l.agent != nil {
			l.agent.fired(it.cmd.Channel, err)
		}
	} else {
		l.answers = append(l.answers, bus.Answered{Ticket: it.ticket, Reply: r, Err: err})
	}
	for _, ticket := range it.also {
		l.answers = append(l.answers, bus.Answered{Ticket: ticket, Reply: r, Err: err})
	}
	if it.listed {
		delete(l.inHand, keyOf(&it.cmd))
	}
}

// flush hands answers to the desk.
func (l *loop) flush() {
	if len(l.answers) == 0 {
		return
	}
	if err := l.shard.Answer(l.answers); err != nil { // the askers will ask again
		l.w.log.Warn("answers did not reach their askers", "shard", l.shard.Number(), "answers", len(l.answers), "cause", err)
	}
	clear(l.answers)
	l.answers = l.answers[:0]
	fault.Point("worker.answered")
}
