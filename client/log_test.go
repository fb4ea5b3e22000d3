package client

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// logServer is a server with one log per channel, small rings, and faults by chance. It is told apart from the real one
// by its simplicity: one lock, no hub. Its lines come from pipes.
type logServer struct {
	net   *pipes
	wg    sync.WaitGroup
	chaos chaos

	mu    sync.Mutex
	rnd   *rand.Rand
	calm  bool // no more faults
	logs  map[channel.Name]*serverLog
	conns map[*serverConn]bool
}

// chaos says what goes wrong, as chances in a thousand.
type chaos struct {
	busy        int // a publish is refused, not done
	unconfirmed int // a publish is done, and answered as if that were not known
	history     int // a page or a subscribe is refused for the moment
	slow        int // a cursor is thrown to the head
	ring        int // records a cursor may lag, and a resume may replay
	keep        int // records that the log keeps; 0: all
	lose        int // the log is lost and begins anew
	rollback    int // the log loses its last records
}

// serverLog is the truth, and the history of it.
type serverLog struct {
	base    Position // before the oldest record kept
	records []Record
	head    Position
	ids     map[string]Position
	trimmed map[uint64]uint64 // per epoch, the highest offset that was ever trimmed
	breaks  int               // times it was lost or rolled back
}

func newLogServer(seed uint64, ch chaos) *logServer {
	sv := &logServer{
		net: newPipes(), chaos: ch, rnd: rand.New(rand.NewPCG(seed, 1)),
		logs: map[channel.Name]*serverLog{}, conns: map[*serverConn]bool{},
	}
	sv.wg.Go(func() {
		for conn := range sv.net.accepted {
			sv.wg.Go(func() { sv.serve(conn.(*pipeEnd)) })
		}
	})
	return sv
}

// close ends all lines. The clients are closed before.
func (sv *logServer) close() {
	close(sv.net.accepted)
	sv.mu.Lock()
	for c := range sv.conns {
		c.end()
	}
	sv.mu.Unlock()
	sv.wg.Wait()
}

// heal ends all faults.
func (sv *logServer) heal() {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	sv.calm = true
	for c := range sv.conns {
		c.p.cut() // those that were hushed, too
	}
}

func (sv *logServer) chance(perMille int) bool { return !sv.calm && sv.rnd.IntN(1000) < perMille }

func (sv *logServer) log(n channel.Name) *serverLog {
	l := sv.logs[n]
	if l == nil {
		l = &serverLog{trimmed: map[uint64]uint64{}}
		l.begin(sv.rnd)
		sv.logs[n] = l
	}
	return l
}

func (l *serverLog) begin(rnd *rand.Rand) {
	l.base = Position{Epoch: rnd.Uint64() | 1, Tag: rnd.Uint64()}
	l.head, l.records, l.ids = l.base, nil, map[string]Position{}
}

func (sv *logServer) append(l *serverLog, r *wire.Request) Position {
	if at, ok := l.ids[r.Idem]; ok {
		return at
	}
	l.head = l.head.Next(r.Body)
	l.records = append(l.records, Record{Channel: r.Channel, At: l.head, Time: time.Now(), Body: slices.Clone(r.Body)})
	l.ids[r.Idem] = l.head
	if k := sv.chaos.keep; k > 0 && len(l.records) > k && !sv.calm {
		l.base = l.records[len(l.records)-k-1].At
		l.trimmed[l.base.Epoch] = max(l.trimmed[l.base.Epoch], l.base.Offset)
		l.records = l.records[len(l.records)-k:]
	}
	if sv.chance(sv.chaos.lose) {
		l.breaks++
		l.begin(sv.rnd)
	}
	if sv.chance(sv.chaos.rollback) {
		sv.rollBack(l)
	}
	return l.ids[r.Idem]
}

// rollBack forgets the last records, as an asynchronous fail-over does.
func (sv *logServer) rollBack(l *serverLog) {
	n := min(1+sv.rnd.IntN(5), len(l.records))
	l.breaks++
	for _, r := range l.records[len(l.records)-n:] {
		for id, at := range l.ids {
			if at == r.At {
				delete(l.ids, id)
			}
		}
	}
	l.records = l.records[:len(l.records)-n]
	l.head = l.base
	if k := len(l.records); k > 0 {
		l.head = l.records[k-1].At
	}
}

// judge says whether the log continues p, and the index of what comes next.
func (l *serverLog) judge(p Position) (next int, why channel.Gap) {
	switch {
	case p.Epoch != l.head.Epoch:
		return 0, channel.GapEpoch
	case p.Offset > l.head.Offset:
		return 0, channel.GapAhead
	case p.Offset < l.base.Offset:
		return 0, channel.GapTrimmed
	}
	next = int(p.Offset - l.base.Offset)
	at := l.base
	if next > 0 {
		at = l.records[next-1].At
	}
	if at != p {
		return 0, channel.GapDiverged
	}
	return next, channel.GapNone
}

// serverConn is a line, as the server sees it.
type serverConn struct {
	sv    *logServer
	p     *peer
	more  sync.Cond // on sv.mu
	out   []wire.Message
	subs  map[channel.Name]Position // where each cursor stands
	ended bool
}

func (sv *logServer) serve(conn *pipeEnd) {
	defer func() { _ = conn.Close() }()
	p, err := handshake(conn)
	if err != nil {
		return
	}
	c := &serverConn{sv: sv, p: p, subs: map[channel.Name]Position{}}
	c.more.L = &sv.mu
	sv.mu.Lock()
	sv.conns[c] = true
	sv.mu.Unlock()
	sv.wg.Go(c.write)
	for {
		r, err := p.receive()
		if err != nil {
			break
		}
		sv.mu.Lock()
		c.handle(&r)
		sv.mu.Unlock()
	}
	sv.mu.Lock()
	c.end()
	delete(sv.conns, c)
	sv.mu.Unlock()
}

// end wakes everybody who works for the line; sv.mu is held.
func (c *serverConn) end() {
	c.ended = true
	c.more.Broadcast()
	_ = c.p.conn.Close()
}

func (c *serverConn) handle(r *wire.Request) {
	sv := c.sv
	switch r.Type {
	case wire.ReqConnect:
		c.say(hello(r.ID))
	case wire.ReqPublish:
		if sv.chance(sv.chaos.busy) {
			c.refuse(r, wire.CodeBusy)
			return
		}
		at := sv.append(sv.log(r.Channel), r)
		for other := range sv.conns {
			other.more.Broadcast()
		}
		if sv.chance(sv.chaos.unconfirmed) {
			c.refuse(r, wire.CodeUnconfirmed)
			return
		}
		c.sayLater(wire.Message{Type: wire.MsgReply, ID: r.ID, Ack: wire.AckMemory, At: at})
	case wire.ReqSubscribe:
		c.subscribe(r)
	case wire.ReqUnsubscribe:
		delete(c.subs, r.Channel)
		c.say(wire.Message{Type: wire.MsgReply, ID: r.ID})
	case wire.ReqHistory:
		c.history(r)
	}
}

func (c *serverConn) refuse(r *wire.Request, code wire.Code) {
	e := wire.Error{Code: code, ID: r.ID}
	c.say(e.Message())
}

func (c *serverConn) subscribe(r *wire.Request) {
	if c.sv.chance(c.sv.chaos.history) {
		c.refuse(r, wire.CodeUnavailable)
		return
	}
	l := c.sv.log(r.Channel)
	m := wire.Message{Type: wire.MsgReply, ID: r.ID, Channel: r.Channel, At: l.head}
	if !r.At.IsZero() {
		next, why := l.judge(r.At)
		if why == channel.GapNone && len(l.records)-next > c.sv.chaos.ring {
			why = channel.GapTooMany
		}
		m.HasRecovered, m.Recovered = true, why == channel.GapNone
		if m.Recovered {
			m.At = r.At
		} else {
			m.Gap = gapOf(why, r.At, l.head)
		}
	}
	c.subs[r.Channel] = m.At
	c.say(m)
}

func gapOf(why channel.Gap, from, to Position) wire.Gap {
	if voids(why) {
		return wire.Gap{Reason: why}
	}
	return wire.Gap{From: from.Offset + 1, To: to.Offset, Reason: why}
}

func (c *serverConn) history(r *wire.Request) {
	if c.sv.chance(c.sv.chaos.history) {
		c.refuse(r, wire.CodeBusy)
		return
	}
	l := c.sv.log(r.Channel)
	next, why := 0, channel.GapNone
	if !r.At.IsZero() {
		next, why = l.judge(r.At)
	}
	m := wire.Message{Type: wire.MsgReply, ID: r.ID, Channel: r.Channel, At: l.head}
	m.Page.Head, m.Page.Before = l.head, l.head
	if why != channel.GapNone {
		m.Gap = gapOf(why, r.At, l.base)
	}
	if !voids(why) || why == channel.GapEpoch {
		rs := l.records[next:]
		m.Page.Before = l.base
		if next > 0 {
			m.Page.Before = l.records[next-1].At
		}
		m.At = m.Page.Before
		if limit := min(r.Limit, 20); len(rs) > limit {
			rs, m.Page.More = rs[:limit], true
		}
		if m.Page.Records = slices.Clone(rs); len(rs) > 0 {
			m.At = rs[len(rs)-1].At
		}
	}
	c.sayLater(m)
}

// sayLater queues a reply at some time: what comes first, a reply or a record, is not promised. sv.mu is held.
func (c *serverConn) sayLater(m wire.Message) {
	if c.sv.calm || c.sv.rnd.IntN(2) == 0 {
		c.say(m)
		return
	}
	time.AfterFunc(time.Duration(c.sv.rnd.IntN(300))*time.Millisecond, func() {
		c.sv.mu.Lock()
		defer c.sv.mu.Unlock()
		c.say(m)
	})
}

// say queues a message; sv.mu is held.
func (c *serverConn) say(m wire.Message) {
	c.out = append(c.out, m)
	c.more.Broadcast()
}

// write sends what is queued, then what the cursors are due.
func (c *serverConn) write() {
	for {
		c.sv.mu.Lock()
		var ms []wire.Message
		for {
			ms, c.out = c.out, nil
			if len(ms) == 0 {
				ms = c.due()
			}
			if len(ms) > 0 || c.ended {
				break
			}
			c.more.Wait()
		}
		ended := c.ended
		c.sv.mu.Unlock()
		if ended {
			return
		}
		for _, m := range ms {
			if c.p.send(m) != nil {
				return
			}
		}
	}
}

// due takes a few records, or word of a gap, from one cursor; sv.mu is held.
func (c *serverConn) due() (ms []wire.Message) {
	for n, at := range c.subs {
		l := c.sv.log(n)
		next, why := l.judge(at)
		if why == channel.GapNone && at != l.head && (len(l.records)-next > c.sv.chaos.ring || c.sv.chance(c.sv.chaos.slow)) {
			why = channel.GapSlow
		}
		if why != channel.GapNone {
			c.subs[n] = l.head
			return []wire.Message{{Type: wire.MsgGap, Channel: n, Gap: gapOf(why, at, l.head), At: l.head}}
		}
		for _, r := range l.records[next:min(next+4, len(l.records))] {
			c.subs[n] = r.At
			ms = append(ms, wire.Message{Type: wire.MsgRecord, Record: r})
		}
		if len(ms) > 0 {
			return ms
		}
	}
	return nil
}
