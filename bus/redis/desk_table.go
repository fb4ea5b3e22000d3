package redis

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// ask is a command of this node that has no answer yet.
type ask struct {
	number  uint64
	command channel.Command
	done    func(channel.Reply, error)
	since   time.Time
	sent    bool // perhaps it is in Redis, or with an owner here
	far     bool // it goes through the stream of its shard
	tries   int  // how often an owner here had it without an answer

	prev, next *ask // in asks, by age
}

// asks are all of them. Whoever takes an ask out calls its done, once, and not under the lock.
type asks struct {
	mu       sync.Mutex
	byNumber map[uint64]*ask
	far      map[channel.Name]int // asks of a channel that go through the stream
	oldest   *ask
	newest   *ask
	last     uint64
	unsent   int       // bytes of bodies
	before   time.Time // asks from before then were perhaps answered while the inbox was deaf,
	hurry    time.Time // and end at this time
	closed   bool
	stats    DeskStats
}

// DeskStats are how asks of this node ended since the beginning, and what waits now.
type DeskStats struct {
	Waiting     int // asks without an answer
	Shards      int // that this node owns, of all services
	Answered    uint64
	Busy        uint64 // refused, too many commands wait
	NoService   uint64 // refused, nobody serves
	Unavailable uint64 // refused, Redis or the owner's store is away
	Unanswered  uint64 // the outcome is not known
	Failed      uint64 // answered with any other error
	Dropped     uint64 // messages of this node to others, answers mostly, that were lost on the way
}

// Stats gives the counts.
func (d *Desk) Stats() DeskStats {
	shards := 0
	d.mu.Lock()
	owners := slices.Collect(maps.Keys(d.owners))
	d.mu.Unlock()
	for _, o := range owners {
		shards += o.holds()
	}
	d.asks.mu.Lock()
	defer d.asks.mu.Unlock()
	s := d.asks.stats
	s.Waiting, s.Shards, s.Dropped = len(d.asks.byNumber), shards, d.dropped.Load()
	return s
}

// count notes how an ask ended; mu is held.
func (t *asks) count(err error) {
	switch s := &t.stats; {
	case err == nil:
		s.Answered++
	case errors.Is(err, bus.ErrBusy):
		s.Busy++
	case errors.Is(err, bus.ErrNoService):
		s.NoService++
	case errors.Is(err, bus.ErrUnavailable):
		s.Unavailable++
	case errors.Is(err, bus.ErrUnanswered):
		s.Unanswered++
	default:
		s.Failed++
	}
}

func (t *asks) init() {
	t.byNumber = make(map[uint64]*ask)
	t.far = make(map[channel.Name]int)
	t.last = rand.Uint64() >> 1 // an answer to somebody else fits nothing here
}

// enter takes an ask in. With an error it did not.
func (t *asks) enter(c channel.Command, done func(channel.Reply, error)) (*ask, error) {
	a := &ask{command: c, done: done, since: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, bus.ErrClosed
	case len(t.byNumber) >= MaxAsks || t.unsent+len(c.Body) > MaxAskBytes || !fits(&c):
		t.count(bus.ErrBusy)
		return nil, bus.ErrBusy
	}
	t.last++
	a.number = t.last
	t.byNumber[a.number] = a
	t.unsent += len(c.Body)
	if a.prev = t.newest; a.prev == nil {
		t.oldest = a
	} else {
		a.prev.next = a
	}
	t.newest = a
	return a, nil
}

// goesFar notes that an ask goes through the stream.
func (t *asks) goesFar(a *ask) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byNumber[a.number] == a && !a.far {
		a.far = true
		t.far[a.command.Channel]++
	}
}

// anyFar tells whether something of a channel is in the stream, or on its way there.
func (t *asks) anyFar(n channel.Name) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.far[n] > 0
}

// sending leaves of a batch what still waits, and notes that it may come to Redis, or to an owner here.
func (t *asks) sending(batch []*ask) []*ask {
	t.mu.Lock()
	defer t.mu.Unlock()
	live := batch[:0]
	for _, a := range batch {
		if t.byNumber[a.number] == a {
			t.sends(a)
			live = append(live, a)
		}
	}
	return live
}

func (t *asks) sends(a *ask) {
	if !a.sent {
		a.sent = true
		t.unsent -= len(a.command.Body)
	}
}

// end answers an ask; one that was answered already, or is not ours, changes nothing.
func (t *asks) end(number uint64, r channel.Reply, err error) {
	t.mu.Lock()
	a := t.byNumber[number]
	if a != nil {
		t.remove(a)
		t.count(err)
	}
	t.mu.Unlock()
	if a != nil {
		a.done(r, err)
	}
}

func (t *asks) remove(a *ask) {
	delete(t.byNumber, a.number)
	t.sends(a)
	if n := a.command.Channel; a.far {
		if t.far[n]--; t.far[n] == 0 {
			delete(t.far, n)
		}
	}
	if a.prev == nil {
		t.oldest = a.next
	} else {
		a.prev.next = a.next
	}
	if a.next == nil {
		t.newest = a.prev
	} else {
		a.next.prev = a.prev
	}
	a.prev, a.next = nil, nil
}

// expire ends what waits for too long.
func (t *asks) expire(now time.Time) {
	for _, a := range t.takeExpired(now) {
		a.done(channel.Reply{}, bus.ErrUnanswered)
	}
}

func (t *asks) takeExpired(now time.Time) (over []*ask) {
	t.mu.Lock()
	defer t.mu.Unlock()
	hurry := !t.hurry.IsZero() && !now.Before(t.hurry)
	for a := t.oldest; a != nil; a = t.oldest {
		if now.Sub(a.since) < AskFor && !(hurry && a.since.Before(t.before)) {
			break
		}
		t.remove(a)
		t.count(bus.ErrUnanswered)
		over = append(over, a)
	}
	if hurry {
		t.hurry = time.Time{}
	}
	return over
}

// heardAgain tells that the inbox hears again after it was deaf: what was answered meanwhile is lost, so the asks of before
// end a little after now.
func (t *asks) heardAgain(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before, t.hurry = now, now.Add(deafGrace)
}

// close ends all asks: of those that may be in Redis the outcome is not known.
func (t *asks) close() {
	t.mu.Lock()
	t.closed = true
	first := t.oldest
	t.oldest, t.newest, t.byNumber, t.unsent = nil, nil, nil, 0
	t.mu.Unlock()
	for a := first; a != nil; a = a.next {
		if a.sent {
			a.done(channel.Reply{}, bus.ErrUnanswered)
		} else {
			a.done(channel.Reply{}, bus.ErrClosed)
		}
	}
}
