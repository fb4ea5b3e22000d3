package hub

import (
	"math/rand/v2"
	"time"

	"carillon/channel"
)

// Stats returns figures; they are not of one moment.
func (h *Hub) Stats() Stats {
	s := Stats{
		Rooms: int(h.rooms.Load()), Cursors: int(h.cursors.Load()), Bytes: h.used.Load(), Budget: h.budget,
		Encoded: h.count.encoded.Load(), Wakes: h.count.wakes.Load(), Resumes: h.count.resumes.Load(),
		Losses: h.count.losses.Load(), Fleeting: h.count.fleeting.Load(), Aside: h.count.aside.Load(),
		Cut: h.count.cut.Load(),
	}
	for class := range s.Out {
		s.Out[class] = h.count.out[class].Load()
	}
	s.Queue, s.Busy = h.queue.load()
	return s
}

// Bounds of one call of Lag.
const (
	lagCursors = 1000
	lagRooms   = 256 // of which at most lagCursors cursors are looked at
	lagAtOnce  = 64  // cursors looked at under one lock
)

// Lag looks at up to 1,000 cursors of up to 256 rooms, others at each call, and appends to dst how many Logged records
// each stands behind the head of its ring.
func (h *Hub) Lag(dst []int) []int {
	rooms := h.someRooms(lagRooms)
	for i, r := range rooms {
		dst = r.lag(dst, (lagCursors-len(dst))/(len(rooms)-i))
	}
	return dst
}

// someRooms picks rooms that have cursors, from one shard after another; where in a shard, the map decides.
func (h *Hub) someRooms(most int) (some []*room) {
	from := h.looked.Add(1)
	for i := range uint32(shards) {
		s := &h.shards[(from+i)%shards]
		looked := 0
		s.mu.RLock()
		for _, r := range s.rooms {
			if looked++; looked > lagRooms || len(some) == most {
				break
			}
			some = append(some, r)
		}
		s.mu.RUnlock()
	}
	return some
}

// lag looks at up to most cursors, from a random one on.
func (r *room) lag(dst []int, most int) []int {
	for seen := 0; seen < most; seen += lagAtOnce {
		r.mu.Lock()
		if r.crowd == nil {
			r.mu.Unlock()
			return dst
		}
		stripes := r.crowd.stripes
		s := stripes[rand.IntN(len(stripes))]
		n := min(most-seen, lagAtOnce, len(s.slots))
		from := rand.IntN(len(s.slots))
		for i := range n {
			if c := s.slots[(from+i)%len(s.slots)]; c != nil {
				dst = append(dst, c.behind())
			}
		}
		all := r.crowd.cursors
		r.mu.Unlock()
		if all <= n {
			return dst
		}
	}
	return dst
}

// behind is how many records of the ring are still to go out; the lock of the room is held.
func (c *Cursor) behind() int {
	c.settle()
	head := c.room.ring.offset()
	if c.chain != c.room.chain || c.at > head {
		return int(c.room.ring.n)
	}
	return int(head - c.at)
}

// watched is a record whose first write is waited for. A room waits for one at a time.
type watched struct {
	offset   uint64
	fleeting bool
	came     time.Time
}

// maxWatch is how long a room waits for the first write of a Logged record before it waits for another instead; of a
// Fleeting one nothing is handed out after sideAge.
const maxWatch = time.Minute

// watch waits for the first write of a record that was just taken in, if its way is to be measured; r.mu is held.
func (r *room) watch(rec *channel.Record, offset uint64) {
	if rec.Came.IsZero() || r.crowd == nil || r.hub.written == nil {
		return
	}
	if w := r.watched.Load(); w != nil {
		patience := maxWatch
		if w.fleeting {
			patience = sideAge
		}
		if rec.Came.Sub(w.came) < patience && (w.fleeting || w.offset > r.ring.base.Offset) {
			return
		}
	}
	r.watched.Store(&watched{offset: offset, fleeting: rec.Class == channel.Fleeting, came: rec.Came})
}

// unwatch is for who comes later and will be given the record then: that would measure his absence; r.mu is held.
func (r *room) unwatch(at uint64) {
	if w := r.watched.Load(); w != nil && !w.fleeting && at < w.offset {
		r.watched.Store(nil)
	}
}

// went counts what went out to a cursor.
func (c *Cursor) went(logged, fleeting uint64) {
	if logged > 0 {
		c.room.hub.count.out[channel.Logged].Add(logged)
	}
	if fleeting > 0 {
		c.room.hub.count.out[channel.Fleeting].Add(fleeting)
	}
}

// first notes the first write of the record that the room waits for; the cursor's range is what just went out.
func (c *Cursor) first(w *watched, at, side uint64) {
	after, upTo := c.at, at
	if w.fleeting {
		after, upTo = c.side, side
	}
	if after < w.offset && w.offset <= upTo && c.room.watched.CompareAndSwap(w, nil) {
		c.room.hub.written.Since(w.came)
	}
}
