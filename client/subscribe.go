package client

import (
	"context"
	"iter"

	"carillon/channel"
	"carillon/wire"
)

// Event is what a subscription hands over: a record (of class Latest: an entry of the table that changed, see
// Subscription.Latest), or a gap in its place.
type Event struct {
	Record Record
	Gap    *Gap // not nil: there is no record, but word of some that are missing
}

// At is the position behind the event, to resume from; zero for a Fleeting or Latest record.
func (e Event) At() Position {
	if e.Gap != nil {
		return e.Gap.At
	}
	return e.Record.At
}

// Gap says that records are missing for good: history no longer has them, or may not be read.
type Gap struct {
	// From and To are the offsets of the first and the last one, both zero where nobody can tell.
	From, To uint64
	// Reason is trimmed, too_many or slow where history was of no help; epoch where the log was lost and began anew, and
	// its new records follow; diverged or ahead where the log has another past than the one handed over.
	Reason channel.Gap
	// At is where to resume from, to miss nothing of what follows: behind the gap, or before it where the log is another.
	At Position
}

// Subscription follows a channel. Its Logged records are handed over once and in the order of the log, over all
// reconnects; what the server could not replay is read from history, and for what that lacks there is a Gap. Fleeting
// records come as they come, in the order among themselves, and are neither repeated nor missed.
//
// What waits for Next is bounded by SubscribeOptions. A reader slower than the channel holds up nobody and loses nothing:
// when the bound is reached the client leaves the channel, remembers the position, and follows again from there once a
// quarter is left. Fleeting records are dropped meanwhile.
type Subscription struct {
	c    *Client
	name channel.Name
	o    SubscribeOptions
	more chan struct{} // holds a token while Next should look
	ok   chan struct{} // closed with the first answer

	// Guarded by Client.mu.
	follow follow
	queue  eventQueue
	values values
	at     Position // behind the last event that Next gave
	opened bool
	err    error
}

// Subscribe follows a channel and waits until the server has answered: what is published after Subscribe returned is
// handed over. A client has one subscription of a channel at a time. ctx bounds the call, not the subscription.
func (c *Client) Subscribe(ctx context.Context, name string, o SubscribeOptions) (*Subscription, error) {
	n, err := channelName(name)
	if err != nil {
		return nil, err
	}
	o.setDefaults()
	s := &Subscription{c: c, name: n, o: o, more: make(chan struct{}, 1), ok: make(chan struct{}), at: o.After}
	s.follow = follow{s: s, pos: o.After}
	c.mu.Lock()
	switch {
	case c.ended() != nil:
		err = c.ended()
	case c.subs[n] != nil:
		err = ErrSubscribed
	default:
		c.subs[n] = s
		s.follow.ask()
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case <-s.ok:
	case <-ctx.Done():
		_ = s.Close()
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.opened {
		return nil, s.err
	}
	return s, nil
}

// Channel is the name of the channel.
func (s *Subscription) Channel() string { return string(s.name) }

// Next waits for the next event. After the subscription ended it gives what still waits, and then the reason: ErrClosed,
// an *Error if the server ended it, or why the client gave up.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		e, ok, err := s.pop()
		switch {
		case ok:
			return e, nil
		case err != nil:
			return Event{}, err
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// Events ranges over what Next gives, until ctx or the subscription ends; Err then tells the latter.
func (s *Subscription) Events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			e, err := s.Next(ctx)
			if err != nil || !yield(e) {
				return
			}
		}
	}
}

// Position is where the reader stands: behind the last event that Next gave, or where the subscription began.
func (s *Subscription) Position() Position {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.at
}

// Err says why the subscription ended; nil while it goes on.
func (s *Subscription) Err() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.err
}

// Close ends the subscription and drops what waits for Next. It never fails, and may be called twice.
func (s *Subscription) Close() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err == nil {
		s.follow.leave()
		s.end(ErrClosed)
	}
	s.queue, s.values = eventQueue{}, values{}
	return nil
}

// pop takes the next event, and lets more come where there is room now.
func (s *Subscription) pop() (Event, bool, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	e, ok := s.values.pop(s.queue.len() > 0)
	if !ok {
		e, ok = s.queue.pop()
	}
	if !ok {
		if s.err != nil {
			s.signal() // for others who wait
		}
		return Event{}, false, s.err
	}
	if at := e.At(); !at.IsZero() {
		s.at = at
	}
	if s.queue.len() > 0 || len(s.values.order) > 0 {
		s.signal()
	}
	if s.err == nil && s.queue.below(s.o.BufferRecords/4, s.o.BufferBytes/4) {
		s.follow.drained()
	}
	return e, true, nil
}

// full tells that no further record should come.
func (s *Subscription) full() bool { return !s.queue.below(s.o.BufferRecords-1, s.o.BufferBytes-1) }

// push hands over an event; the caller has judged the room. c.mu is held, as for everything below.
func (s *Subscription) push(e Event) {
	s.queue.push(e)
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// started notes the first answer.
func (s *Subscription) started() {
	if !s.opened {
		s.opened = true
		if s.at.IsZero() {
			s.at = s.follow.pos
		}
		close(s.ok)
	}
}

// end ends the subscription; what waits for Next stays.
func (s *Subscription) end(why error) {
	if s.err != nil {
		return
	}
	s.err = why
	s.follow.stop()
	delete(s.c.subs, s.name)
	if !s.opened {
		close(s.ok)
	}
	s.signal()
}

func (s *Subscription) record(r Record) {
	if r.Class == channel.Fleeting || r.At.IsZero() {
		if s.follow.subscribed() && !s.full() {
			s.push(Event{Record: r})
		}
		return
	}
	s.follow.record(r)
}

func (s *Subscription) gapTold(g wire.Gap, at Position) { s.follow.gapTold(g, at) }
func (s *Subscription) lineUp()                         { s.follow.lineUp() }
func (s *Subscription) lineDown()                       { s.follow.lineDown() }

// expelled hears that the server ended the subscription.
func (s *Subscription) expelled(e *Error) {
	if e.Code.Info().Retry {
		s.follow.askLater(e.RetryAfter)
		return
	}
	s.end(e)
}

// eventQueue is what waits for a reader.
type eventQueue struct {
	events []Event
	head   int
	bytes  int // of bodies
}

func (q *eventQueue) len() int { return len(q.events) - q.head }

// below tells that at most so many records and bytes wait.
func (q *eventQueue) below(records, bytes int) bool { return q.len() <= records && q.bytes <= bytes }

func (q *eventQueue) push(e Event) {
	if q.head > 0 && len(q.events) == cap(q.events) {
		n := copy(q.events, q.events[q.head:])
		clear(q.events[n:])
		q.events, q.head = q.events[:n], 0
	}
	q.events = append(q.events, e)
	q.bytes += len(e.Record.Body)
}

func (q *eventQueue) pop() (Event, bool) {
	if q.len() == 0 {
		return Event{}, false
	}
	e := q.events[q.head]
	q.events[q.head] = Event{}
	q.head++
	q.bytes -= len(e.Record.Body)
	if q.len() == 0 {
		*q = eventQueue{} // an idle subscription holds no buffer
	}
	return e, true
}
