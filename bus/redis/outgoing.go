package redis

import (
	"context"
	"slices"
	"sync"

	"carillon/backbone"
	"carillon/channel"

	"github.com/redis/rueidis"
)

// Bounds of what waits to be sent on one line. Fleeting records may take half of it, so that they go first.
const (
	MaxCarried      = 1 << 16  // records
	MaxCarriedBytes = 32 << 20 // as they are in memory

	recordBytes    = 200       // of a record without its body, about
	payloadBytes   = 256 << 10 // of one message, unless a single record is longer
	publishAtOnce  = 512       // messages sent together
	publishedBytes = 4 << 20   // of them
	roomKept       = 4096      // records that a line keeps room for while nothing is on its way
)

// outgoing is the queue of one line.
type outgoing struct {
	ready chan struct{}

	mu      sync.Mutex
	records []channel.Record
	bytes   int
	closed  bool
}

func newOutgoing() *outgoing { return &outgoing{ready: make(chan struct{}, 1)} }

// put queues records and returns those for which there is no room.
func (o *outgoing) put(rs []channel.Record) (refused []channel.Record) {
	o.mu.Lock()
	o.records = slices.Grow(o.records, min(len(rs), MaxCarried))
	for i := range rs {
		size, most := recordBytes+len(rs[i].Body), 1
		if rs[i].Class == channel.Fleeting {
			most = 2
		}
		if o.closed || len(o.records) >= MaxCarried/most || o.bytes+size > MaxCarriedBytes/most {
			refused = append(refused, rs[i])
			continue
		}
		o.records = append(o.records, rs[i])
		o.bytes += size
	}
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
	return refused
}

// all takes everything out; what comes next is put into room, which is empty. open is false once the queue is closed.
func (o *outgoing) all(room []channel.Record) (rs []channel.Record, open bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rs, o.records, o.bytes = o.records, room, 0
	return rs, !o.closed
}

func (o *outgoing) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// send is the goroutine that publishes what is carried on a line. While one lot is on its way the next gathers, so that
// under load many records share a message, and an idle line delays nothing.
func (l *line) send() {
	var room []channel.Record
	var p packer
	for range l.out.ready {
		rs, open := l.out.all(room)
		for messages := p.pack(rs); len(messages) > 0; {
			n, bytes := 0, 0
			for n < len(messages) && n < publishAtOnce && bytes < publishedBytes {
				bytes += len(messages[n].body)
				n++
			}
			l.publish(messages[:n])
			messages = messages[n:]
		}
		if !open {
			return
		}
		clear(rs)
		if room = rs[:0]; cap(room) > roomKept {
			room, p = nil, packer{}
		}
	}
}

// message is what is published at once on one subject.
type message struct {
	channel  channel.Name
	body     []byte
	size     int    // of body
	records  uint64 // in it
	fleeting uint64 // of them
}

// packer puts records together. It keeps what it worked with for the next lot.
type packer struct {
	messages []message
	open     map[channel.Name]int // the last message of each channel
	in       []int                // for each record, its message
}

// pack puts the records of each channel together, in their order. The messages are good until it is called again, their bodies
// for ever.
func (p *packer) pack(rs []channel.Record) []message {
	if p.open == nil {
		p.open = make(map[channel.Name]int)
	}
	clear(p.open)
	clear(p.messages)
	p.messages, p.in = p.messages[:0], p.in[:0]
	for i := range rs {
		r := &rs[i]
		at, ok := p.open[r.Channel]
		if !ok || p.messages[at].size+len(r.Body) > payloadBytes {
			at = len(p.messages)
			p.open[r.Channel] = at
			p.messages = append(p.messages, message{channel: r.Channel})
		}
		m := &p.messages[at]
		m.size += backbone.RecordSize(r)
		m.records++
		if r.Class == channel.Fleeting {
			m.fleeting++
		}
		p.in = append(p.in, at)
	}
	for i := range rs {
		m := &p.messages[p.in[i]]
		if m.body == nil {
			m.body = make([]byte, 0, m.size)
		}
		m.body = backbone.AppendRecord(m.body, &rs[i])
	}
	return p.messages
}

// publish hands messages to Redis. It is not repeated: whoever missed something looks it up.
func (l *line) publish(messages []message) {
	client := l.f.b.Client()
	cmds := make(rueidis.Commands, len(messages))
	for i, m := range messages {
		cmds[i] = l.f.message(m.channel, m.body)
	}
	ctx, cancel := context.WithTimeout(context.Background(), backbone.CallTimeout)
	defer cancel()
	for i, r := range client.DoMulti(ctx, cmds...) {
		if r.Error() != nil {
			l.f.dropped(messages[i].fleeting, messages[i].records-messages[i].fleeting)
			continue
		}
		l.f.count.carried.Add(messages[i].records)
		l.f.count.messages.Add(1)
	}
}

func (f *Feed) message(n channel.Name, body []byte) rueidis.Completed {
	return f.command(f.b.Subject(n), body)
}

func (f *Feed) command(subject string, body []byte) rueidis.Completed {
	b := f.b.Client().B()
	if f.b.Clustered() {
		return b.Spublish().Channel(subject).Message(rueidis.BinaryString(body)).Build()
	}
	return b.Publish().Channel(subject).Message(rueidis.BinaryString(body)).Build()
}
