package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/channel"
)

// Bounds of a Feed.
const (
	DefaultLeaveAfter = 8 * time.Second         // that a subscription outlasts its last Leave, so that coming and going costs nothing
	JoinTimeout       = 3 * time.Second         // for Redis to confirm a subscription
	joinDead          = 100 * time.Millisecond  // the same while that Redis cannot be dialled: who joins shall not be held up by it
	Silence           = 3500 * time.Millisecond // without a heartbeat of our own: then a line is lost
	beatEvery         = time.Second
	leaveTick         = time.Second
	againFirst        = 100 * time.Millisecond // before a lost line is dialled again; twice that each time,
	againMost         = time.Second            // up to this
	alarmEvery        = 5 * time.Second        // between two times that nodes are told, or hear, of records lost under way
	subscribeNames    = 512                    // subscribed with one command
)

// ErrNotSubscribed: Redis did not confirm the subscription in time. Nothing is delivered; join again.
var ErrNotSubscribed = errors.New("redis did not confirm the subscription in time")

// FeedOptions are what a Feed is made of. In and Backbone are needed.
type FeedOptions struct {
	Backbone   *backbone.Backbone
	In         bus.In
	LeaveAfter time.Duration // DefaultLeaveAfter
	Log        *slog.Logger  // nil: silent
}

// Feed is the bus.Feed over Redis. What is carried goes through Redis to this node as to all others: so the records of a
// channel arrive everywhere in one order, and no fleeting one arrives twice. Use NewFeed, and Close it before the Backbone.
//
// Trouble is told when a line to Redis is lost or silent, when a Cluster moved a subscription, and when a node, this or
// another, had to drop records it carried; it ends when everything joined is subscribed again.
type Feed struct {
	o     FeedOptions
	b     *backbone.Backbone
	lost  string // the subject on which nodes tell that they dropped records
	count counters
	ctx   context.Context // ends with Close
	end   context.CancelFunc
	work  sync.WaitGroup
	wake  chan struct{} // the keeper

	mu        sync.RWMutex
	subs      map[string]*sub            // by subject
	left      []leaving                  // subscriptions that may end, in the order of their Leave
	lines     map[string]*line           // by address; "" where there is one Redis
	owners    [backbone.Partitions]*line // nil: not known
	unsettled bool                       // who owns what must be asked
	lapses    uint64                     // how often something may have been lost
	alarmed   time.Time                  // when the last of them came from another node
	alarm     bool                       // another one did, too soon after
	closed    bool
}

// sub is a subscription, wanted or still there. Feed.mu guards it.
type sub struct {
	name      channel.Name
	partition int
	joined    bool
	queued    bool          // it is in Feed.left
	ever      bool          // it was confirmed once
	waiting   int           // calls of Join
	due       time.Time     // if not joined: when it ends
	on        *session      // who confirmed it; another session than its line's present one does not count
	ready     chan struct{} // closed when it is confirmed; nil: nobody waits
}

type leaving struct {
	subject string
	sub     *sub
}

// NewFeed begins to subscribe. Records and Trouble are called from goroutines of the Feed.
func NewFeed(o FeedOptions) *Feed {
	if o.LeaveAfter <= 0 {
		o.LeaveAfter = DefaultLeaveAfter
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Feed{
		o: o, b: o.Backbone, lost: o.Backbone.PartitionKey("lost", 0), wake: make(chan struct{}, 1),
		subs: make(map[string]*sub), lines: make(map[string]*line),
	}
	f.ctx, f.end = context.WithCancel(context.Background())
	if f.b.Clustered() {
		f.unsettled = true
	} else {
		f.mu.Lock() // the line runs already
		l := f.open("")
		for p := range f.owners {
			f.owners[p] = l
		}
		f.mu.Unlock()
	}
	f.work.Go(f.keep)
	f.work.Go(f.beat)
	return f
}

// Close ends all subscriptions after what was carried before is handed to Redis, or cannot be. Nothing is delivered after it.
func (f *Feed) Close() {
	f.mu.Lock()
	again := f.closed
	f.closed = true
	f.mu.Unlock()
	if !again {
		f.end()
	}
	f.work.Wait()
}

// Carry is bus.Feed's. What Redis does not take fast enough is dropped and counted, fleeting records first; of others the
// nodes are told, which then look for themselves.
func (f *Feed) Carry(rs []channel.Record) {
	if len(rs) == 0 {
		return
	}
	f.mu.RLock()
	closed := f.closed
	l := f.owners[backbone.Partition(rs[0].Channel)]
	if f.b.Clustered() {
		for len(rs) > 0 && !closed {
			n, end := rs[0].Channel, 1
			for end < len(rs) && rs[end].Channel == n {
				end++
			}
			f.hand(f.owners[backbone.Partition(n)], rs[:end])
			rs = rs[end:]
		}
	} else if !closed {
		f.hand(l, rs)
	}
	f.mu.RUnlock()
}

// hand gives records to the line they go by.
func (f *Feed) hand(l *line, rs []channel.Record) {
	if l == nil {
		f.drop(rs)
		return
	}
	if refused := l.out.put(rs); len(refused) > 0 {
		f.drop(refused)
	}
}

// drop counts records that are carried no further.
func (f *Feed) drop(rs []channel.Record) {
	var fleeting uint64
	for i := range rs {
		if rs[i].Class == channel.Fleeting {
			fleeting++
		}
	}
	f.dropped(fleeting, uint64(len(rs))-fleeting)
}

// dropped counts the same. The nodes hear with the next heartbeat of what can be looked up.
func (f *Feed) dropped(fleeting, others uint64) {
	f.count.fleeting.Add(fleeting)
	if others > 0 {
		f.count.dropped.Add(others)
		f.count.owed.Store(true)
	}
}

// Join is bus.Feed's. The error is ErrNotSubscribed, bus.ErrClosed or that of ctx; then the channel is as it was before.
func (f *Feed) Join(ctx context.Context, n channel.Name) error {
	subject := f.b.Subject(n)
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return bus.ErrClosed
	}
	s := f.subs[subject]
	if s == nil {
		s = &sub{name: n, partition: backbone.Partition(n)}
		f.subs[subject] = s
	}
	before := s.joined
	s.joined = true
	if f.confirmed(s) {
		f.mu.Unlock()
		return nil
	}
	if s.ready == nil {
		s.ready = make(chan struct{})
		if l := f.owners[s.partition]; l != nil {
			l.ask(subject, s)
		}
	}
	s.waiting++
	ready, patience := s.ready, JoinTimeout
	if l := f.owners[s.partition]; l != nil && l.dead {
		patience = joinDead
	}
	f.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrNotSubscribed
	case <-f.ctx.Done():
		err = bus.ErrClosed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.waiting--
	if err == nil || f.confirmed(s) {
		return nil
	}
	if !before && !s.ever && s.waiting == 0 {
		f.part(subject, s)
	}
	return fmt.Errorf("join %s: %w", n, err)
}

// confirmed tells whether Redis delivers what belongs to a subscription; f.mu is held.
func (f *Feed) confirmed(s *sub) bool {
	l := f.owners[s.partition]
	return s.on != nil && l != nil && l.session == s.on
}

// Leave is bus.Feed's.
func (f *Feed) Leave(n channel.Name) {
	subject := f.b.Subject(n)
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.subs[subject]; s != nil && s.joined {
		f.part(subject, s)
	}
}

// part ends delivery, and lets the subscription end later; f.mu is held.
func (f *Feed) part(subject string, s *sub) {
	s.joined = false
	s.due = time.Now().Add(f.o.LeaveAfter)
	if !s.queued {
		s.queued = true
		f.left = append(f.left, leaving{subject, s})
	}
}

// expire ends the subscriptions that were left long enough ago.
func (f *Feed) expire(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	looked := 0
	for _, e := range f.left {
		if e.sub.due.After(now) && !e.sub.joined {
			break // the others were left later, or are looked at when this one is
		}
		looked++
		e.sub.queued = false
		if e.sub.joined {
			continue
		}
		delete(f.subs, e.subject)
		if f.confirmed(e.sub) {
			l := e.sub.on.line
			l.unasked = append(l.unasked, asking{e.subject, e.sub.partition, nil})
			l.nudge()
		}
	}
	clear(f.left[:looked])
	if f.left = f.left[looked:]; len(f.left) == 0 {
		f.left = nil
	}
}

// keep is the goroutine that tells of trouble, asks who owns what, and ends subscriptions that were left.
func (f *Feed) keep() {
	ticker := time.NewTicker(leaveTick)
	defer ticker.Stop()
	var told telling
	var asked time.Time
	for {
		f.tell(&told)
		if f.b.Clustered() && (f.toAsk() || time.Since(asked) > topologyEvery) {
			if wait := topologyLeast - time.Since(asked); wait > 0 && !f.sleep(wait) {
				break
			}
			asked = time.Now()
			f.survey()
			f.tell(&told)
		}
		select {
		case <-f.ctx.Done():
		case <-f.wake:
		case now := <-ticker.C:
			f.expire(now)
		}
		if f.ctx.Err() != nil {
			break
		}
	}
	f.mu.Lock()
	for address, l := range f.lines {
		f.shut(address, l)
	}
	f.mu.Unlock()
}

// telling is what Trouble was told last; the keeper's alone.
type telling struct {
	lapses uint64
	down   bool
}

// tell calls Trouble if there is something new. Every lapse is told, however short, and in order.
func (f *Feed) tell(t *telling) {
	f.mu.Lock()
	if f.alarm && time.Since(f.alarmed) >= alarmEvery {
		f.alarm, f.alarmed = false, time.Now()
		f.lapses++
	}
	lapses, whole := f.lapses, f.whole()
	f.mu.Unlock()
	if lapses != t.lapses {
		t.lapses = lapses
		if !t.down {
			t.down = true
			f.count.troubles.Add(1)
			f.o.In.Trouble(true)
		}
	}
	if t.down && whole {
		t.down = false
		f.o.In.Trouble(false)
	}
}

// whole tells whether everything joined is subscribed; f.mu is held.
func (f *Feed) whole() bool {
	if f.unsettled {
		return false
	}
	for _, l := range f.lines {
		if l.session == nil || l.rescan || l.busy {
			return false
		}
	}
	for _, l := range f.owners {
		if l == nil {
			return false
		}
	}
	return true
}

// poke wakes the keeper.
func (f *Feed) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// sleep waits; false if the Feed was closed meanwhile.
func (f *Feed) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.ctx.Done():
		return false
	}
}
