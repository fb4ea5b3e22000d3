// Package hub is fan-out: one ring per channel, one cursor per subscriber. It keeps the tail of every channel this node
// serves, as records and, per format, as bytes ready to be sent; a subscriber is a place in that ring and nothing more.
// Workers wake the subscribers of a channel that has news; they write when they can, and who is slow lags in the ring.
// The hub never reads a journal, touches a socket or knows a session: what it lacks it says as a Need, and a cursor that
// lost something is told so by a Loss, never silently moved. Start with Hub.Append, Cursor.Ready and fanout.go.
package hub

import (
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channel"
	"carillon/observe"
)

// shards is how many parts the map of rooms has, each with a lock of its own.
const shards = 64

// Hub holds the rooms of a node and the workers that serve them. All methods may be called from anywhere.
type Hub struct {
	formats []Encode
	tables  []EncodeTable
	policy  func(channel.Name) channel.Policy
	budget  int64
	written *observe.Histogram
	broken  func(v any, w Waker) // Options.Panicked
	began   time.Time
	seed    maphash.Seed
	shards  [shards]shard
	scratch sync.Pool // *channel.Record, what an Encode is shown
	queue   queue
	workers sync.WaitGroup
	timers  sync.WaitGroup
	used    atomic.Int64
	rooms   atomic.Int64
	cursors atomic.Int64
	relief  atomic.Int64  // when rooms are next cut to their share, in nanoseconds since began
	looked  atomic.Uint32 // where Lag begins next
	count   counters
}

type shard struct {
	mu    sync.RWMutex
	rooms map[channel.Name]*room
}

type counters struct {
	encoded, wakes, resumes, losses, fleeting, aside, cut atomic.Uint64

	out [channel.Fleeting + 1]observe.Counter
}

// New makes a hub that speaks the given formats, which Attach names by index, and starts its workers.
func New(formats []Encode, o Options) *Hub {
	if o.Workers <= 0 {
		o.Workers = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if o.Budget <= 0 {
		o.Budget = DefaultBudget
	}
	if o.Policy == nil {
		o.Policy = func(channel.Name) channel.Policy { return channel.DefaultPolicy() }
	}
	h := &Hub{
		formats: formats, tables: o.Tables, policy: o.Policy, budget: o.Budget, written: o.Written, broken: o.Panicked, began: time.Now(), seed: maphash.MakeSeed(),
	}
	h.queue.began, h.queue.workers = h.began, o.Workers
	h.scratch.New = func() any { return new(channel.Record) }
	h.queue.some.L = &h.queue.mu
	for i := range h.shards {
		h.shards[i].rooms = make(map[channel.Name]*room)
	}
	for range o.Workers {
		h.workers.Go(h.work)
	}
	return h
}

// Close stops the workers and waits for them. Rooms and cursors stay readable, but nobody is woken any more.
func (h *Hub) Close() {
	h.queue.close()
	h.workers.Wait()
	for _, r := range h.everyRoom() {
		r.mu.Lock()
		r.disarm()
		r.mu.Unlock()
	}
	h.timers.Wait()
}

// Open makes a room that keeps records aside until Fill. False: there is one already.
func (h *Hub) Open(n channel.Name) bool {
	s := h.shard(n)
	r := newRoom(h, n, h.policy(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[n] != nil {
		return false
	}
	s.rooms[n] = r
	h.rooms.Add(1)
	return true
}

// Drop forgets a room. False: it has cursors, or there is none.
func (h *Hub) Drop(n channel.Name) bool {
	s := h.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[n]
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crowd != nil {
		return false
	}
	r.gone = true
	r.charge(-r.cost)
	delete(s.rooms, n)
	h.rooms.Add(-1)
	return true
}

// Append tells of a record that became true, or of a Fleeting one. It encodes nothing and wakes nobody itself.
// Duplicates and records of channels that have no room are ignored. A record that came too early is kept aside.
func (h *Hub) Append(rec channel.Record) Need {
	r := h.room(rec.Channel)
	if r == nil {
		return NeedNone
	}
	need := r.append(&rec)
	h.askRelief()
	return need
}

// Expect compares a head learnt from the journal. It never changes the ring. For a room that waits for its first Fill
// the answer is NeedHole: what is being read may be older than at.
func (h *Hub) Expect(n channel.Name, at channel.Position) Need {
	r := h.room(n)
	if r == nil || at.IsZero() {
		return NeedNone
	}
	return r.expect(at)
}

// Head returns the position before the oldest record of the ring and that of the newest. Not ok: no room, or unfilled.
func (h *Hub) Head(n channel.Name) (base, head channel.Position, ok bool) {
	r := h.room(n)
	if r == nil {
		return base, head, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ring.base, r.ring.head(), r.filled && !r.gone
}

// Has tells whether there is a room, filled or not.
func (h *Hub) Has(n channel.Name) bool { return h.room(n) != nil }

// Cursors returns how many cursors a channel has here.
func (h *Hub) Cursors(n channel.Name) int {
	r := h.room(n)
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crowd == nil {
		return 0
	}
	return r.crowd.cursors
}

// Fill merges what was read from the journal: rs follow base without a break, up to the journal's head at that time.
// It extends the ring forwards, and backwards as far as the ring's bound allows. Records that do not belong to the
// ring's past replace it, and every cursor is told a Loss; a base beyond the ring's head says that the log no longer has
// what lies between. The Need is what is still missing after that.
func (h *Hub) Fill(n channel.Name, base channel.Position, rs []channel.Record) Need {
	r := h.room(n)
	if r == nil {
		return NeedNone
	}
	need := r.fill(base, rs, false)
	h.askRelief()
	return need
}

// Replace is Fill where the journal no longer knows the ring's head, read before: it was lost or went back, and nothing
// stands of what the ring holds. Every cursor is told a Loss.
func (h *Hub) Replace(n channel.Name, base channel.Position, rs []channel.Record) Need {
	r := h.room(n)
	if r == nil {
		return NeedNone
	}
	need := r.fill(base, rs, true)
	h.askRelief()
	return need
}

// FillTable takes over the Latest records of a channel as they were read from the journal after what the hub was told so
// far; Append of newer ones may come in between. Where the room holds anything else, every cursor is given the table anew.
// Back: the journal's rev was lower than TableRev was before the read, so that nothing of what the hub holds stands.
func (h *Hub) FillTable(n channel.Name, t Table, back bool) {
	if r := h.room(n); r != nil {
		r.fillTable(t, back)
		h.askRelief()
	}
}

// TableRev is the highest rev of Latest records that the hub was told of, and their epoch; zero: of none.
func (h *Hub) TableRev(n channel.Name) (epoch, rev uint64) {
	r := h.room(n)
	if r == nil {
		return 0, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest == nil {
		return 0, 0
	}
	return r.latest.epoch, r.latest.rev
}

// Attach makes a cursor for a subscriber on connection origin (0: none), that takes the given format. The error is
// ErrPending or a *Miss. Attach wakes nobody: once its reply is queued, the caller wakes the cursor itself if it stands
// behind the head or owes the table; records that come later wake it through w.
func (h *Hub) Attach(n channel.Name, from From, format int, origin uint64, w Waker) (*Cursor, Start, error) {
	r := h.room(n)
	if r == nil {
		return nil, Start{}, ErrPending
	}
	return r.attach(from, format, origin, w)
}

// Again has a worker call w.Resume. The caller asks only once until then: the queue holds at most every connection once.
func (h *Hub) Again(w Waker) { h.queue.push(job{waker: w}) }

func (h *Hub) shard(n channel.Name) *shard {
	return &h.shards[maphash.String(h.seed, string(n))%shards]
}

func (h *Hub) room(n channel.Name) *room {
	s := h.shard(n)
	s.mu.RLock()
	r := s.rooms[n]
	s.mu.RUnlock()
	return r
}

func (h *Hub) everyRoom() []*room {
	var all []*room
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.RLock()
		for _, r := range s.rooms {
			all = append(all, r)
		}
		s.mu.RUnlock()
	}
	return all
}

// now is the hub's own clock, unmoved by changes of the wall clock.
func (h *Hub) now() int64 { return int64(time.Since(h.began)) }
