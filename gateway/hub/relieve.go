package hub

import "time"

// reliefPause is how often at most the rooms are cut to their share of the budget.
const reliefPause = 100 * time.Millisecond

// share is what a room may hold while the node is over its budget, in bytes.
func (h *Hub) share() int64 { return h.budget / max(1, h.rooms.Load()) }

// over tells a room that takes in records whether to cut its ring: while the node is over its budget and the room over
// its share, and in any case once the node is over by an eighth, for the others are cut only now and then.
func (h *Hub) over(cost int64) bool {
	used := h.used.Load()
	return used > h.budget && (cost > h.share() || used > h.budget+h.budget/8)
}

// askRelief has a worker cut all rooms to their share if the node is over its budget. Without this a busy room would pay
// for what idle ones hoard.
func (h *Hub) askRelief() {
	if h.used.Load() <= h.budget {
		return
	}
	now, due := h.now(), h.relief.Load()
	if now >= due && h.relief.CompareAndSwap(due, now+int64(reliefPause)) {
		h.queue.push(job{})
	}
}

// relieve cuts the rooms that hold more than their share until the node is within its budget.
func (h *Hub) relieve() {
	share := h.share()
	for _, r := range h.everyRoom() {
		if h.used.Load() <= h.budget {
			return
		}
		r.cutTo(share)
	}
}

// cutTo cuts the ring until the room is within its share or holds a single record, and then what is encoded of the table.
func (r *room) cutTo(share int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cut := uint64(0)
	for !r.gone && r.cost > share && r.ring.n > 1 {
		r.charge(-r.ring.shift())
		r.trimRuns()
		cut++
	}
	for f := range r.hub.formats {
		if !r.gone && r.cost > share {
			r.unencode(f)
		}
	}
	if cut > 0 {
		r.ring.fit(r.ring.n)
		r.hub.count.cut.Add(cut)
	}
}
