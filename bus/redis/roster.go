package redis

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/channel"
)

// Defaults and bounds of a Roster.
const (
	DefaultDebounce   = 30 * time.Second    // that a user stays after his line was lost
	DefaultDead       = 15 * time.Second    // without a sign: then a node is dead, and who was there by it is away since its last
	DefaultMaxEntries = 1 << 20             // users in channels by this node, each counted once a channel
	DefaultMaxSeen    = 1 << 20             // users whose last time is known after they left, of all nodes
	DefaultSeenFor    = 30 * 24 * time.Hour // that it is known
	WatchedFor        = time.Minute         // that a mark of Versions holds

	signs       = 3                // that a node gives within the time after which it is dead
	keepEntries = 15 * time.Minute // in Redis, unless put down again: that is done three times in it
	keepNodes   = 24 * time.Hour   // what is kept of nodes

	opsInStep   = 256                    // entries told in one step
	stepsAtOnce = 64                     // steps sent together
	tellAgain   = 250 * time.Millisecond // after Redis did not take something
	lookEvery   = time.Second            // for stays whose time is over
	dueAtOnce   = 512                    // of them, in one look at a partition
	maxEnded    = 8192                   // found and not yet told by Sweep
	tellWithin  = 10 * time.Second       // of finding; then others may
)

// ErrFull: as many users are in channels by this node as there is room for. The user was not entered.
var ErrFull = errors.New("the roster of this node is full")

// errAnonymous: the empty name is taken for other things.
var errAnonymous = errors.New("a user without a name cannot enter a channel")

// RosterOptions are what a Roster is made of; Backbone and Told are needed, the zero value of others is their default.
type RosterOptions struct {
	Backbone *backbone.Backbone
	// Told hears of stays that begin (here), and of those that ended surely, of which Enter and Leave could not tell at once.
	// It is called from a goroutine of the Roster and only enqueues.
	Told       func(ms []bus.Member, here bool)
	Debounce   time.Duration
	Dead       time.Duration
	MaxEntries int
	MaxSeen    int
	SeenFor    time.Duration
	Log        *slog.Logger // nil: silent

	ahead func() time.Duration // of Redis' clock, in tests
}

// Roster is the bus.Roster of many nodes: a bus.Shared. What its own connections do it decides at once, in memory; Redis is
// told in lots, and again until it took it, and answers who was first and last of all nodes. A node that was given up, and
// one whose Redis lost something, put all their entries down anew. Redis away: nothing is held up, Members, Look, Where and
// Versions return errors, and stays neither begin nor end until it is back. Use NewRoster, and Close it before the Backbone.
type Roster struct {
	o       RosterOptions
	b       *backbone.Backbone
	node    string
	scripts rosterScripts
	ctx     context.Context
	stop    context.CancelFunc
	work    sync.WaitGroup
	wake    chan struct{} // the goroutine that tells
	sweeper chan struct{} // the one that sweeps
	looks   chan chan struct{}

	mu        sync.Mutex
	districts [backbone.Partitions]*district
	count     int      // entries
	lost      []*entry // that may still be restored, in the order they were lost
	dead      []death
	ended     []ending // found, and to be told by Sweep
	over      []ending // told, and to be forgotten
	settled   []chan struct{}
	closed    bool
	tokens    uint64
}

var (
	_ bus.Roster = (*Roster)(nil)
	_ bus.Shared = (*Roster)(nil)
)

// district is what this node has in one partition. Roster.mu guards it.
type district struct {
	number int
	gen    string // as Redis had it
	step   uint64 // the last that was numbered
	synced bool   // Redis knows what it should
	sweeps bool   // of all nodes that live, this one ends the stays
	spots  map[channel.Name]*spot
	dirty  []*spot
	unsure []*lot // sent, and not known to be taken
}

// spot is a channel, or a part of the channel "".
type spot struct {
	district *district
	name     channel.Name
	entries  map[string]*entry
	dirty    []*entry
	queued   bool // it is among the district's dirty
}

// entry is a user in a channel by this node.
type entry struct {
	spot   *spot
	user   string
	since  time.Time
	conn   uint64              // one of his connections; 0: none is left
	others map[uint64]struct{} // further connections; nil for nearly everybody
	lost   time.Time           // when the last one went, if conn is 0
	known  bool                // Redis took him in
	dirty  bool                // it does not know how he is now
	sure   bool                // he left on purpose, and Redis does not know
	quiet  bool                // it has to be told what it was told before
	listed bool                // in Roster.lost
}

// NewRoster begins to keep a roster.
func NewRoster(o RosterOptions) *Roster {
	if o.Debounce <= 0 {
		o.Debounce = DefaultDebounce
	}
	if o.Dead <= 0 {
		o.Dead = DefaultDead
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	if o.MaxSeen <= 0 {
		o.MaxSeen = DefaultMaxSeen
	}
	if o.SeenFor <= 0 {
		o.SeenFor = DefaultSeenFor
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ahead == nil {
		o.ahead = func() time.Duration { return 0 }
	}
	r := &Roster{
		o: o, b: o.Backbone, node: o.Backbone.Node(), scripts: newRosterScripts(),
		wake: make(chan struct{}, 1), sweeper: make(chan struct{}, 1), looks: make(chan chan struct{}),
	}
	for p := range r.districts {
		r.districts[p] = &district{number: p, spots: make(map[channel.Name]*spot)}
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.work.Go(r.tell)
	r.work.Go(r.sweep)
	return r
}

// Close tells Redis what it does not know yet, if it takes it within seconds, and ends. Entries that are left end like those
// of a dead node.
func (r *Roster) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*backbone.CallTimeout)
	defer cancel()
	r.settle(ctx)
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.work.Wait()
}

// Count is how many users are in channels by this node, those included who were lost a moment ago; a user counts once for
// each channel, the channel "" among them.
func (r *Roster) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// district of a user in a channel.
func districtOf(n channel.Name, user string) int {
	if n == "" {
		return backbone.Partition(channel.Name(user))
	}
	return backbone.Partition(n)
}

// Enter is bus.Roster's; first is always false, see bus.Shared. The error is ErrFull. Conn is not 0, and unique to this node.
func (r *Roster) Enter(m bus.Member) (first bool, err error) {
	if m.User == "" {
		return false, errAnonymous
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false, bus.ErrClosed
	}
	d := r.districts[districtOf(m.Channel, m.User)]
	s := d.spots[m.Channel]
	if s == nil {
		s = &spot{district: d, name: m.Channel, entries: make(map[string]*entry)}
	}
	e := s.entries[m.User]
	switch {
	case e == nil && r.count >= r.o.MaxEntries:
		return false, ErrFull
	case e == nil:
		d.spots[m.Channel] = s
		e = &entry{spot: s, user: m.User, since: m.Since, conn: m.Conn}
		s.entries[m.User] = e
		r.count++
		r.soil(e)
	case e.conn == 0:
		if e.sure {
			e.since = m.Since
		}
		e.conn, e.lost = m.Conn, time.Time{}
		r.soil(e)
	case e.conn != m.Conn:
		if e.others == nil {
			e.others = make(map[uint64]struct{})
		}
		e.others[m.Conn] = struct{}{}
	}
	return false, nil
}

// Leave is bus.Roster's; last is always false, see bus.Shared. A connection that did not enter changes nothing.
func (r *Roster) Leave(m bus.Member, sure bool) (last bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.districts[districtOf(m.Channel, m.User)]
	s := d.spots[m.Channel]
	if s == nil {
		return false, nil
	}
	e := s.entries[m.User]
	if e == nil || !e.drop(m.Conn) || e.conn != 0 {
		return false, nil
	}
	e.lost, e.sure = time.Now(), e.sure || sure
	if !e.listed {
		e.listed = true
		r.lost = append(r.lost, e)
	}
	r.soil(e)
	return false, nil
}

// drop takes a connection off; false if it is none of his.
func (e *entry) drop(conn uint64) bool {
	if conn == 0 {
		return false
	}
	if e.conn != conn {
		_, had := e.others[conn]
		delete(e.others, conn)
		return had
	}
	e.conn = 0
	for other := range e.others {
		e.conn = other
		delete(e.others, other)
		break
	}
	return true
}

// soil notes that Redis has to be told of an entry; r.mu is held.
func (r *Roster) soil(e *entry) {
	if e.dirty {
		return
	}
	e.dirty = true
	s := e.spot
	s.dirty = append(s.dirty, e)
	if !s.queued {
		s.queued = true
		s.district.dirty = append(s.district.dirty, s)
	}
	rouse(r.wake)
}

// forget removes an entry; r.mu is held.
func (r *Roster) forget(e *entry) {
	s := e.spot
	if s.entries[e.user] != e {
		return
	}
	delete(s.entries, e.user)
	r.count--
	if len(s.entries) == 0 && s.district.spots[s.name] == s {
		delete(s.district.spots, s.name)
	}
}

// rouse wakes the goroutine that waits for c.
func rouse(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keys of a channel in its district, in the order of stayLua; node is whose entries are meant.
func (r *Roster) keys(partition int, n channel.Name, node string) []string {
	of := func(kind string) string {
		if n == "" {
			return r.b.PartitionKey(kind, partition)
		}
		return r.b.Key(kind, n)
	}
	at := func(kind string) string { return r.b.PartitionKey(kind, partition) }
	return []string{at("roster"), of("stays"), of("roll"), at("away"), at("own." + node), of("watch"), at("seen"), of("turn")}
}

// args are the first of every step on a channel, as stayLua has them.
func (r *Roster) args(n channel.Name, node string, more ...string) []string {
	return append([]string{
		node, millis(r.o.ahead()), millis(r.o.Debounce), string(n), seconds(keepEntries),
		decimal(max(1, r.o.MaxSeen/backbone.Partitions)), seconds(r.o.SeenFor),
	}, more...)
}

func millis(d time.Duration) string  { return decimal(d.Milliseconds()) }
func seconds(d time.Duration) string { return decimal(int64(d / time.Second)) }
