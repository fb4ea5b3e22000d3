// Package presence tells who is connected and who is in a channel. It keeps the entries in a bus.Roster, ends the stay of
// users who were lost and did not come back, and writes who is in a channel as one value into its part "@presence",
// while somebody watches that: at most one update in a second and channel, whatever the number of members, and fewer
// while the node is short of breath. It owns one goroutine, speaks to no client, and decides no right.
// Start with Keeper.Enter, then Keeper.Watch; shared.go has what is different where several nodes share the roster.
package presence

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/observe"
)

// Where the value of a channel stands: in its part, under one key.
const (
	Part = "presence"
	Key  = "now"
)

// Bounds of a value and of the work on it.
const (
	Listed     = 100              // members that a value names; of more it tells the number alone
	Interval   = time.Second      // between two updates of a channel
	Short      = 5 * time.Second  // the same while the node is short of breath
	VeryShort  = 15 * time.Second // and when it has been so for longer than Patience
	Patience   = 10 * time.Second
	MaxBody    = 64 << 10 // bytes of a value, more than Listed users with the longest ids take
	tick       = 100 * time.Millisecond
	sweepMost  = 4096 // stays ended in a tick
	updateMost = 1024 // values written in a tick
)

// Options are what a Keeper is made of. Roster, Publish and Log are needed.
type Options struct {
	Roster bus.Roster
	// Shared is the Roster too, where several nodes share it; it was made to tell Keeper.Heard.
	Shared bus.Shared
	// Told hears of each user whose stay in a channel begins (here), and of each whose stay surely ended, after the debounce:
	// of exactly those that are counted as come and left. It only enqueues.
	Told func(m Member, here bool)
	// Publish writes to a channel in the name of the server. done only enqueues.
	Publish func(r channel.Record, done func(error))
	// Strain tells whether the node is so short of breath that presence has to wait, and the one word that says why,
	// a value of observe.LabelDrop.
	Strain func() (short bool, why string)
	Log    *slog.Logger
}

// Keeper keeps presence: see the package comment. It is made by New and ended by Close.
type Keeper struct {
	o      Options
	counts *Counts
	every  atomic.Int64 // a time.Duration: the present interval
	wake   chan struct{}
	stop   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	watched map[channel.Name]*watch // by the channel that is watched
	changed []*watch                // those whose value may be another; each at most once
	closed  bool
	shared  sharing
}

// watch is a channel whose presence somebody is subscribed to, or was a moment ago. All but the first fields are guarded by
// the Keeper's mu.
type watch struct {
	channel  channel.Name
	value    Value     // last written; this and the next two are of the Keeper's goroutine alone
	version  uint64    // of the channel in a Shared roster, when value was read
	marked   bool      // a Shared roster knows that it is watched here
	watchers int       // subscriptions
	waiting  []func()  // those that wait for the value to be there
	written  time.Time // when it last was
	rests    time.Time // until then it is another node's turn to write
	changes  int       // since then
	queued   bool      // it is in changed
	stale    bool      // written is not what was last asked for: it failed
	held     bool      // an update was put off since written, for want of breath
	errand   bool      // nobody watches it here: it is written for other nodes
}

// New starts a Keeper.
func New(o Options) *Keeper {
	if o.Told == nil {
		o.Told = func(Member, bool) {}
	}
	if o.Strain == nil {
		o.Strain = func() (bool, string) { return false, "" }
	}
	k := &Keeper{
		o: o, counts: newCounts(), watched: make(map[channel.Name]*watch),
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	k.every.Store(int64(Interval))
	k.done.Go(k.run)
	return k
}

// Close ends the Keeper's work and waits for it. Values stay as they were last written.
func (k *Keeper) Close() {
	close(k.stop)
	k.done.Wait()
	k.mu.Lock()
	k.closed = true
	var waiting []func()
	for _, w := range k.watched {
		waiting = append(waiting, w.waiting...)
		w.waiting = nil
	}
	k.mu.Unlock()
	for _, ready := range waiting {
		ready()
	}
}

// Enter notes that a connection is in a channel; the channel "" stands for being connected. A user for whom there is no
// room is counted and otherwise served as ever.
func (k *Keeper) Enter(m bus.Member) {
	first, err := k.o.Roster.Enter(m)
	switch {
	case err != nil:
		k.counts.Refused.Add(1)
	case first:
		k.Heard([]bus.Member{m}, true)
	}
}

// Leave notes that it is no more. Sure says that it went on purpose: otherwise it may be back in a moment, as after a
// page was loaded anew.
func (k *Keeper) Leave(m bus.Member, sure bool) {
	if last, err := k.o.Roster.Leave(m, sure); err == nil && last {
		k.Heard([]bus.Member{m}, false)
	}
}

// Heard takes notice of users whose stays began (here) or ended. A Shared roster is made to call it.
func (k *Keeper) Heard(ms []bus.Member, here bool) {
	event := left
	if here {
		event = came
	}
	k.counts.event(event, len(ms))
	for _, m := range ms {
		k.o.Told(m, here)
		k.touch(m)
	}
}

// touch notes that the value of a channel may be another now. Where nobody watches there is nothing to do.
func (k *Keeper) touch(m bus.Member) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.watched[m.Channel]
	if w == nil && m.Watched {
		w = k.errand(m.Channel)
	}
	if w != nil {
		w.changes++
		k.queue(w)
	}
}

// queue has a value looked at in the next tick; k.mu is held.
func (k *Keeper) queue(w *watch) {
	if !w.queued {
		w.queued = true
		k.changed = append(k.changed, w)
	}
}

// Watch begins a watch of a channel: one of a subscription to its part. ready is called once, from any goroutine, when
// the value is written, so that who is attached after that finds it; it only enqueues. Each Watch has its Unwatch.
func (k *Keeper) Watch(n channel.Name, ready func()) {
	k.mu.Lock()
	w := k.watched[n]
	if w == nil && !k.closed {
		w = &watch{channel: n}
		k.watched[n] = w
	}
	if k.closed || w.watchers > 0 && len(w.waiting) == 0 {
		if w != nil {
			w.watchers++
		}
		k.mu.Unlock()
		ready()
		return
	}
	w.watchers++
	if w.errand {
		w.errand = false
		k.shared.errands--
	}
	w.waiting = append(w.waiting, ready)
	k.queue(w)
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Unwatch ends one Watch. A value that nobody watches is deleted after a moment.
func (k *Keeper) Unwatch(n channel.Name) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.watched[n]; w != nil && w.watchers > 0 {
		if w.watchers--; w.watchers == 0 {
			k.queue(w)
		}
	}
}

// Page is a part of the members of a channel, in the order of users, and how many there are in all.
type Page struct {
	Members []bus.Member
	Count   int
	More    bool
}

// Members lists those of a channel after a user, at most limit.
func (k *Keeper) Members(ctx context.Context, n channel.Name, after string, limit int) (Page, error) {
	ms, count, err := k.o.Roster.Members(ctx, n, after, limit+1)
	p := Page{Members: ms, Count: count}
	if p.More = len(ms) > limit; p.More {
		p.Members = ms[:limit]
	}
	return p, err
}

// Where tells for each user whether he is connected, and when he last was.
func (k *Keeper) Where(ctx context.Context, users []string) ([]bus.Seen, error) {
	return k.o.Roster.Where(ctx, users)
}

// Counts are the counters of what happened.
func (k *Keeper) Counts() *Counts { return k.counts }

// Every is the time between two updates of a channel, as it is now.
func (k *Keeper) Every() time.Duration { return time.Duration(k.every.Load()) }

// The values of the label of events.
const (
	came = "came"
	left = "left"
)

// Counts are what happened since the start. They are read only.
type Counts struct {
	Events    *observe.Counters // users who came into a channel, and who left
	Delayed   *observe.Counters // updates put off, by what the node was short of
	Updates   atomic.Uint64     // values written
	Coalesced atomic.Uint64     // changes that are told in the update of another one
	Refused   atomic.Uint64     // users for whom the roster had no room
}

func newCounts() *Counts {
	return &Counts{Events: observe.NewCounters(observe.PresenceEvents), Delayed: observe.NewCounters(observe.PresenceDelayed)}
}

func (c *Counts) event(what string, n int) {
	c.Events.Add(uint64(n), observe.LabelPresence.Value(what))
}

// Who is entered and what is known of a user, under the names they have on the bus.
type (
	Member = bus.Member
	Seen   = bus.Seen
)
