package client

import (
	"cmp"
	"slices"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// load is what the publishes that are not settled amount to.
type load struct{ records, bytes int }

func (q *load) put(p *Pending)  { q.records, q.bytes = q.records+1, q.bytes+p.size }
func (q *load) take(p *Pending) { q.records, q.bytes = q.records-1, q.bytes-p.size }

// stamp is a moment on the monotonic clock, once there is one.
type stamp struct {
	at  time.Time
	set bool
}

// lane is the order of one channel's publishes. All of it is guarded by Client.mu.
type lane struct {
	c       *Client
	name    channel.Name
	waiting []*Pending // to be sent, by seq
	sent    []*Pending // on this line without their answer
	offered bool       // is in Client.ready
	refused int        // refusals in a row for the moment: then one publish at a time
	probe   *Pending   // that one
	resting bool       // until Client.later wakes it
}

// enqueue takes a publish into its lane.
func (c *Client) enqueue(p *Pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ended(); err != nil {
		return err
	}
	if p.req.Class == channel.Fleeting && c.line == nil {
		return ErrOffline
	}
	p.size = len(p.req.Body)
	if c.queue.records >= c.o.QueueRecords || c.queue.bytes+p.size > c.o.QueueBytes {
		return ErrQueueFull
	}
	c.queue.put(p)
	c.seq++
	p.seq = c.seq
	ln := c.lanes[p.req.Channel]
	if ln == nil {
		ln = &lane{c: c, name: p.req.Channel}
		c.lanes[ln.name] = ln
	}
	p.lane = ln
	ln.waiting = append(ln.waiting, p)
	ln.offer()
	return nil
}

// offer lets the writer know that something may be sent.
func (ln *lane) offer() {
	if ln.offered || ln.c.line == nil || !ln.open() {
		return
	}
	ln.offered = true
	ln.c.ready = append(ln.c.ready, ln)
	ln.c.wake()
}

// open tells whether something may be sent. After a refusal everything under way is awaited first; see Publish.
func (ln *lane) open() bool {
	return len(ln.waiting) > 0 && !ln.resting && (ln.refused == 0 || len(ln.sent) == 0)
}

// takePublishes fills a frame with publishes, lane by lane, up to room bytes; c.mu is held.
func (c *Client) takePublishes(l *line, limits wire.Limits, rs []wire.Request, room int, now time.Time) []wire.Request {
	for len(c.ready) > 0 && len(rs) < limits.Batch && len(c.calls) < limits.InFlight {
		ln := c.ready[0]
		if !ln.open() {
			c.ready = c.ready[1:]
			ln.offered = false
			ln.tidy()
			continue
		}
		p := ln.waiting[0]
		size := encodedSize(&p.req, l.protocol.Binary)
		if encodedSize(&p.req, true) > limits.Body+envelope || size > limits.Frame {
			ln.waiting = ln.waiting[1:]
			p.settle(Ack{}, &Error{Code: wire.CodeTooLarge, Text: "The record is larger than the server told it reads."})
			continue
		}
		if room -= size; room < 0 {
			break
		}
		rs = append(rs, ln.send(p, now))
	}
	if len(c.ready) > 1 { // the next frame is another channel's turn
		c.ready = append(c.ready[1:], c.ready[0])
	}
	return rs
}

// envelope is what a request has beyond its body at most, in bytes; and a frame, where the server does not tell its limit.
const envelope = 2 << 10

// encodedSize is at least what a request takes in a frame, in bytes.
func encodedSize(r *wire.Request, pack bool) int {
	body := len(r.Body)
	if r.Binary && !pack {
		body = (body + 2) / 3 * 4
	}
	return body + len(r.Channel) + len(r.Key) + len(r.Idem) + len(r.Token) + 200
}

// send moves the first publish that waits to those under way.
func (ln *lane) send(p *Pending, now time.Time) wire.Request {
	ln.waiting = ln.waiting[1:]
	ln.sent = append(ln.sent, p)
	if ln.refused > 0 {
		ln.probe = p
	}
	r := p.req
	r.ID = ln.c.book(p)
	if p.first.set {
		r.Age = max(now.Sub(p.first.at), time.Millisecond)
	} else {
		p.first = stamp{now, true}
	}
	return r
}

// answered ends the way of a publish, or begins it anew.
func (p *Pending) answered(m *wire.Message) {
	ln := p.lane
	ln.sent = slices.DeleteFunc(ln.sent, func(x *Pending) bool { return x == p })
	probe := ln.probe == p
	if probe {
		ln.probe = nil
	}
	switch {
	case m.Type == wire.MsgReply:
		if probe {
			ln.refused = 0
		}
		p.hear(m)
		p.settle(Ack{Level: m.Ack, At: m.At, ID: p.req.Idem}, nil)
	case m.Retry && p.req.Class != channel.Fleeting && !p.settled:
		ln.put(p)
		if probe || ln.refused == 0 {
			ln.rest(m.RetryAfter)
		}
	default:
		p.settle(Ack{}, answerError(m))
	}
	ln.offer()
	ln.tidy()
}

// put takes a publish back among those that wait, in its place.
func (ln *lane) put(p *Pending) {
	i, _ := slices.BinarySearchFunc(ln.waiting, p.seq, func(x *Pending, seq uint64) int { return cmp.Compare(x.seq, seq) })
	ln.waiting = slices.Insert(ln.waiting, i, p)
}

// rest sends nothing for a while.
func (ln *lane) rest(advised time.Duration) {
	ln.refused++
	ln.resting = true
	ln.c.after(ln.c.retryWait(ln.refused, advised), func() {
		ln.resting = false
		ln.offer()
	})
}

// forget takes a publish off that is no longer wanted. One that is under way stays: what comes behind it waits for it.
func (ln *lane) forget(p *Pending) {
	ln.waiting = slices.DeleteFunc(ln.waiting, func(x *Pending) bool { return x == p })
	ln.tidy()
}

func (ln *lane) tidy() {
	if len(ln.waiting) == 0 && len(ln.sent) == 0 && !ln.offered {
		delete(ln.c.lanes, ln.name)
	}
}

// lineDown takes back what was under way: it is sent again, in order, on the next line.
func (ln *lane) lineDown() {
	again := slices.DeleteFunc(ln.sent, func(p *Pending) bool { return p.settled })
	ln.sent, ln.probe, ln.offered, ln.resting = nil, nil, false, false
	all := append(again, ln.waiting...)
	slices.SortFunc(all, func(a, b *Pending) int { return cmp.Compare(a.seq, b.seq) })
	ln.waiting = all[:0]
	for _, p := range all {
		if p.req.Class == channel.Fleeting {
			p.lose(ErrLineLost)
			continue
		}
		ln.waiting = append(ln.waiting, p)
	}
	ln.tidy()
}

// abandon settles everything because the client is over.
func (ln *lane) abandon(why error) {
	for _, p := range slices.Concat(ln.sent, ln.waiting) {
		p.lose(why)
	}
	ln.sent, ln.waiting = nil, nil
}
