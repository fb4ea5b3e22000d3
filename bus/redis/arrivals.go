package redis

import (
	"sync"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

// Bounds of what has arrived and is not delivered yet, of one line.
const (
	maxArrived      = 1 << 14 // messages
	maxArrivedBytes = 32 << 20
	// MaxMessage is the longest message that is read; a longer one is counted as bad.
	MaxMessage = backbone.MaxRecord + payloadBytes
)

// arrivals lies between the reader of a connection and who takes the records, so that he may join while he is handed some.
type arrivals struct {
	mu       sync.Mutex
	changed  sync.Cond
	messages []rueidis.PubSubMessage
	bytes    int
	closed   bool
}

func newArrivals() *arrivals {
	a := &arrivals{}
	a.changed.L = &a.mu
	return a
}

// put waits for room.
func (a *arrivals) put(m rueidis.PubSubMessage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.closed && (len(a.messages) >= maxArrived || a.bytes > maxArrivedBytes) {
		a.changed.Wait()
	}
	if a.closed {
		return
	}
	a.messages = append(a.messages, m)
	a.bytes += len(m.Message)
	a.changed.Broadcast()
}

// all waits for messages and takes them out; none means that it is closed.
func (a *arrivals) all() (ms []rueidis.PubSubMessage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.closed && len(a.messages) == 0 {
		a.changed.Wait()
	}
	if a.closed {
		return nil
	}
	ms, a.messages, a.bytes = a.messages, nil, 0
	a.changed.Broadcast()
	return ms
}

// close drops what was not delivered: the line is lost, and that is told.
func (a *arrivals) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed, a.messages = true, nil
	a.changed.Broadcast()
}

// deliver is the goroutine that hands on what arrived on a connection.
func (a *arrivals) deliver(f *Feed) {
	for ms := a.all(); ms != nil; ms = a.all() {
		for i := range ms {
			f.receive(&ms[i])
		}
	}
}

// receive checks a message and delivers its records, if its channel is joined.
func (f *Feed) receive(m *rueidis.PubSubMessage) {
	f.mu.RLock()
	s := f.subs[m.Channel]
	joined := s != nil && s.joined && !f.closed
	f.mu.RUnlock()
	if !joined {
		return
	}
	if len(m.Message) > MaxMessage {
		f.count.bad.Add(1)
		return
	}
	rs, err := backbone.ParseRecords(m.Message, s.name)
	for i := range rs {
		if rs[i].Channel != s.name {
			err = backbone.ErrForm
		}
	}
	if err != nil || len(rs) == 0 {
		f.count.bad.Add(1)
		f.o.Log.Warn("a message about a channel is passed over", "channel", s.name, "bytes", len(m.Message), "cause", err)
		return
	}
	f.count.received.Add(uint64(len(rs)))
	f.o.In.Records(rs)
}
