package local

import (
	"context"
	"sync"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// Bounds of the commands that wait for the owner of one shard, handed out or not. Beyond them Ask answers bus.ErrBusy.
const (
	MaxCommands = 8192
	MaxBytes    = 32 << 20 // of their bodies
)

const (
	slotBits  = 13 // of a ticket: which slot; the others count, so that no ticket comes twice
	keepSlots = 1024
	none      = int32(-1)
)

// queue holds the commands of one shard in the order they were asked, until they are answered.
type queue struct {
	mu     sync.Mutex
	slots  []slot
	free   int32 // list of slots not in use, by next
	first  int32 // list of commands, by next and prev
	last   int32
	unseen int32 // the first command that the holder was not handed
	count  int
	bytes  int
	serial uint64
	holder *holding
	closed bool
}

type slot struct {
	ticket     uint64 // 0: free
	command    channel.Command
	done       func(channel.Reply, error)
	asked      time.Time
	attempt    int
	prev, next int32
}

func newQueue() *queue { return &queue{free: none, first: none, last: none, unseen: none} }

// put takes a command in. It is O(1).
func (q *queue) put(c channel.Command, done func(channel.Reply, error)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return bus.ErrClosed
	case q.count >= MaxCommands || q.bytes+len(c.Body) > MaxBytes:
		return bus.ErrBusy
	}
	i := q.free
	if i == none {
		i = int32(len(q.slots))
		q.slots = append(q.slots, slot{})
	} else {
		q.free = q.slots[i].next
	}
	q.serial++
	q.slots[i] = slot{ticket: q.serial<<slotBits | uint64(i), command: c, done: done, asked: time.Now(), prev: q.last, next: none}
	if q.last == none {
		q.first = i
	} else {
		q.slots[q.last].next = i
	}
	q.last = i
	q.count++
	q.bytes += len(c.Body)
	if q.unseen == none {
		q.unseen = i
		if q.holder != nil {
			q.holder.signal()
		}
	}
	return nil
}

// take hands the holder what it was not handed before.
func (q *queue) take(h *holding, max int) ([]bus.Asked, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.holder != h {
		return nil, bus.ErrClosed
	}
	if q.unseen == none || max <= 0 {
		return nil, nil
	}
	n := 0
	for i := q.unseen; i != none && n < max; i = q.slots[i].next {
		n++
	}
	as, now := make([]bus.Asked, 0, n), time.Now()
	for i := q.unseen; i != none && len(as) < max; i = q.unseen {
		s := &q.slots[i]
		s.attempt++
		a := bus.Asked{Ticket: s.ticket, Attempt: s.attempt, Command: s.command}
		a.Command.Waited += now.Sub(s.asked)
		as = append(as, a)
		q.unseen = s.next
	}
	return as, nil
}

// remove takes a command out; whoever gets done must call it. A ticket that is not known any more gives nil.
func (q *queue) remove(ticket uint64) func(channel.Reply, error) {
	i := int32(ticket & (1<<slotBits - 1))
	if int(i) >= len(q.slots) || q.slots[i].ticket != ticket {
		return nil
	}
	s := &q.slots[i]
	if q.unseen == i {
		q.unseen = s.next
	}
	if s.prev == none {
		q.first = s.next
	} else {
		q.slots[s.prev].next = s.next
	}
	if s.next == none {
		q.last = s.prev
	} else {
		q.slots[s.next].prev = s.prev
	}
	done := s.done
	q.count--
	q.bytes -= len(s.command.Body)
	*s = slot{next: q.free}
	q.free = i
	if q.count == 0 && len(q.slots) > keepSlots { // a rush is over
		q.slots, q.free = nil, none
	}
	return done
}

// hold gives the queue to an owner, who is handed everything from the beginning; nil takes it away.
func (q *queue) hold(h *holding) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.holder, q.unseen = h, q.first
	if h != nil && q.first != none {
		h.signal()
	}
}

// close answers what is left: the outcome of what was handed out is not known.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	var never, perhaps []func(channel.Reply, error)
	for i := q.first; i != none; i = q.slots[i].next {
		if s := &q.slots[i]; s.attempt == 0 {
			never = append(never, s.done)
		} else {
			perhaps = append(perhaps, s.done)
		}
	}
	q.slots, q.free, q.first, q.last, q.unseen, q.count, q.bytes = nil, none, none, none, none, 0, 0
	if q.holder != nil {
		q.holder.signal()
	}
	q.mu.Unlock()
	for _, done := range perhaps {
		done(channel.Reply{}, bus.ErrUnanswered)
	}
	for _, done := range never {
		done(channel.Reply{}, bus.ErrClosed)
	}
}

// holding is a queue in the hands of one owner.
type holding struct {
	q      *queue
	number int
	wake   chan struct{}
}

func (h *holding) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Number is bus.Shard's.
func (h *holding) Number() int { return h.number }

// Next is bus.Shard's. Once the shard is another's, it returns bus.ErrClosed.
func (h *holding) Next(ctx context.Context, max int) ([]bus.Asked, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		as, err := h.q.take(h, max)
		if len(as) > 0 || err != nil {
			return as, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-h.wake:
		}
	}
}

// Answer is bus.Shard's. Tickets that were answered already are passed over, also by one whose shard is another's now: an
// answer stays true.
func (h *holding) Answer(as []bus.Answered) error {
	h.q.mu.Lock()
	dones := make([]func(channel.Reply, error), len(as))
	for i := range as {
		dones[i] = h.q.remove(as[i].Ticket)
	}
	h.q.mu.Unlock()
	for i, done := range dones {
		if done != nil {
			done(as[i].Reply, as[i].Err)
		}
	}
	return nil
}
