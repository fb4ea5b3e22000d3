package bench

import (
	"fmt"
	"slices"
	"time"

	"carillon/channel"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of an engine.
const (
	readBytes  = 256 << 10 // bytes of one read
	turnEvents = 64        // events between two looks at the schedule
	maxUnsent  = 64 << 20  // bytes that wait for one line before it counts as broken
	maxRetry   = 20        // attempts of a line
	retryAfter = 200 * time.Millisecond
	slowTick   = 100 * time.Millisecond // between two small reads of a slow reader
	slowestLog = int64(120_000_000)     // µs: the end of the histograms
)

// crowd is a group as this worker has it.
type crowd struct {
	Group
	index   int
	lines   []*line
	who     []*line         // by channel and publisher; nil where another worker has it
	sent    [][]uint32      // by channel and publisher: how many
	newest  [][]uint32      // of Latest records
	whole   []bool          // by channel: all its members are lines of this worker
	seen    map[sequel]int  // messages that some members have and others lack
	retried map[sequel]bool // messages sent again because the server asked for it: these may come late
	names   []channel.Name
	matches []*match // by channel; of chess alone
	quiet   []channel.Name
}

// engine is the hot part of a worker: all its lines, served by one goroutine.
type engine struct {
	setup   *setup
	d       dialect
	facts   facts
	poll    *poller
	opening []byte // handshake
	byFD    []*line
	crowds  []*crowd
	queue   []*line // to be dialled
	later   []*line // to be queued again once their time has come
	window  int
	under   int // handshakes under way
	talks   []*talk
	slow    []*line
	slowAt  int64
	buf     []byte
	scratch []byte
	payload []byte
	began   time.Time
	mark    workerMark
	hist    *hdrhistogram.Histogram
	side    *hdrhistogram.Histogram
	lag     *hdrhistogram.Histogram
	opened  *hdrhistogram.Histogram
	asks    asker
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, slowestLog, 3) }

func record(h *hdrhistogram.Histogram, ns int64) {
	_ = h.RecordValue(min(max(ns/1000, 1), slowestLog)) // within its range, so it cannot fail
}

func newEngine(s *setup) (*engine, error) {
	d, err := newDialect(s.Dialect, s)
	if err != nil {
		return nil, err
	}
	p, err := newPoller(s.Nodes)
	if err != nil {
		return nil, err
	}
	e := &engine{
		setup: s, d: d, facts: d.facts(), poll: p, buf: make([]byte, readBytes), began: time.Now(),
		asks: newAsker(), hist: newHistogram(), side: newHistogram(), lag: newHistogram(), opened: newHistogram(),
	}
	if e.setup.Path == "" {
		e.setup.Path = e.facts.path
	}
	e.opening = handshake(s.Nodes[0], e.setup.Path, e.facts.protocol)
	number := 0
	for i := range s.Groups {
		number = e.gather(i, number)
	}
	return e, nil
}

// gather makes the lines of a group that are this worker's. Numbers count all connections of the run.
func (e *engine) gather(index, number int) int {
	g := &crowd{Group: e.setup.Groups[index], index: index, seen: map[sequel]int{}, retried: map[sequel]bool{}}
	publishers := g.publishers()
	if g.Service == chessService {
		all := games()
		for c := range g.Channels {
			g.matches = append(g.matches, &match{moves: all[c%len(all)]})
		}
	}
	g.who = make([]*line, g.Channels*publishers)
	for c := range g.Channels {
		g.names = append(g.names, g.channelName(c, false))
		g.quiet = append(g.quiet, g.channelName(c, true))
		g.sent = append(g.sent, make([]uint32, publishers))
		g.newest = append(g.newest, make([]uint32, publishers))
		members := 0
		for place := range g.Members + g.Speakers {
			number++
			if !e.share(&g.Group, c, place) {
				continue
			}
			l := &line{crowd: g, channel: c, number: number, fd: -1, speaks: place >= g.Members, node: g.node(c, place, len(e.setup.Nodes)), source: number / sourceLines}
			l.ledger = ledger{group: index, channel: c}
			if !l.speaks {
				l.ledger.next, l.ledger.newest = make([]uint32, publishers), make([]uint32, publishers)
				if g.Service != "" {
					l.ledger.retried = g.retried
				}
				members++
			}
			g.lines = append(g.lines, l)
			if p := place - g.speaker(0); p >= 0 && p < publishers {
				g.who[c*publishers+p] = l
				l.place = p
			}
		}
		g.whole = append(g.whole, members == g.Members)
	}
	e.crowds = append(e.crowds, g)
	return number
}

// share tells whether a connection of a group is this worker's. Groups that are measured apart have the last worker for
// themselves, so that their latency has nothing of the generator's own work for the others.
func (e *engine) share(g *Group, channel, place int) bool {
	worker, workers := e.setup.Worker, e.setup.Workers
	last := workers - 1
	switch {
	case workers == 1 || !apart(e.setup.Groups):
	case g.Side:
		return worker == last
	case worker == last:
		return false
	default:
		workers--
	}
	return g.mine(channel, place, worker, workers)
}

// now is the time in ns since the epoch, unmoved by changes of the wall clock while the process runs.
func (e *engine) now() int64 { return e.began.UnixNano() + int64(time.Since(e.began)) }

// run serves the lines until do says that it is over. do is called in between for what came from outside.
func (e *engine) run(do func() (over bool)) error {
	defer e.close()
	var events []ready
	for {
		wait := e.work(e.now())
		var err error
		if events, err = e.poll.wait(wait, events[:0]); err != nil {
			return fmt.Errorf("waiting for sockets: %w", err)
		}
		for i, ev := range events {
			if i%turnEvents == turnEvents-1 {
				e.publishDue(e.now())
			}
			if l := e.byFD[ev.fd]; l != nil {
				e.serve(l, ev)
			}
		}
		if do() {
			return nil
		}
	}
}

func (e *engine) close() {
	for _, l := range e.byFD {
		if l != nil {
			e.poll.hangUp(l.fd)
		}
	}
	e.poll.close()
}

// work does what time asks for and returns how long nothing else will be asked; below zero: nothing.
func (e *engine) work(now int64) time.Duration {
	next := earlier(e.publishDue(now), e.repeat(now))
	e.requeue(now)
	for len(e.queue) > 0 && e.under < e.window {
		l := e.queue[0]
		e.queue = e.queue[1:]
		e.dial(l, now)
	}
	if len(e.slow) > 0 {
		if now >= e.slowAt {
			e.sip(now)
		}
		next = earlier(next, e.slowAt)
	}
	for _, l := range e.later {
		next = earlier(next, l.since)
	}
	if next == 0 {
		return -1
	}
	return time.Duration(max(next-e.now(), 0))
}

// earlier is the sooner of two times, of which zero is never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (e *engine) requeue(now int64) {
	e.later = slices.DeleteFunc(e.later, func(l *line) bool {
		if l.since > now {
			return false
		}
		e.queue = append(e.queue, l)
		return true
	})
}

// open queues every line that is down. Their order is that of the channels, so that a room fills at once.
func (e *engine) open(group, window int) {
	e.window = max(window, 1)
	for _, g := range e.crowds {
		if group >= 0 && g.index != group {
			continue
		}
		for _, l := range g.lines {
			if l.state == down {
				l.state, l.attempts = queued, 0
				e.queue = append(e.queue, l)
			}
		}
	}
}

// drop cuts one in every members of a group, without a word.
func (e *engine) drop(group, every int) {
	for i, l := range e.crowds[group].lines {
		if !l.speaks && i%max(every, 1) == 0 && l.state != down {
			e.hangUp(l)
			l.state = down
		}
	}
	e.queue = slices.DeleteFunc(e.queue, func(l *line) bool { return l.state == down })
	e.later = slices.DeleteFunc(e.later, func(l *line) bool { return l.state == down })
}

// stall has one in every members of a group stop reading, or read so many bytes a second.
func (e *engine) stall(group, every, bytes int, now int64) error {
	for i, l := range e.crowds[group].lines {
		if l.speaks || i%max(every, 1) != 0 {
			continue
		}
		l.slow = true
		l.sip = bytes * int(slowTick) / int(time.Second)
		if l.state == open {
			if err := e.poll.want(l.fd, false, len(l.out) > 0); err != nil {
				return err
			}
		}
		if l.sip > 0 {
			e.slow = append(e.slow, l)
		}
	}
	e.slowAt = now + int64(slowTick)
	return nil
}

// release has everybody read again.
func (e *engine) release() error {
	e.slow = nil
	for _, g := range e.crowds {
		for _, l := range g.lines {
			if !l.slow {
				continue
			}
			l.slow = false
			l.was = true
			if l.state == open {
				if err := e.poll.want(l.fd, true, len(l.out) > 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sip gives the slow readers their share.
func (e *engine) sip(now int64) {
	e.slowAt += int64(slowTick)
	if e.slowAt < now {
		e.slowAt = now + int64(slowTick)
	}
	for _, l := range e.slow {
		if l.state == open {
			e.read(l, l.sip)
		}
	}
}

// flush gives the figures since the last mark.
func (e *engine) flush() *workerMark {
	m := e.mark
	m.At, m.CPU = e.now(), ownCPU()
	m.Opening = len(e.queue) + len(e.later) + e.under
	for _, g := range e.crowds {
		for _, l := range g.lines {
			if l.state == open {
				m.Open++
			}
		}
	}
	for _, t := range e.talks {
		m.Pending += t.left()
	}
	m.Latency, m.Beside = pack(e.hist), pack(e.side)
	m.Lateness, m.Opened = pack(e.lag), pack(e.opened)
	m.Commands, m.Replies, m.Whole = e.asks.count, pack(e.asks.replies), pack(e.asks.whole)
	m.Commands.Open = uint64(len(e.asks.open) + len(e.asks.later))
	return &m
}

// pack empties a histogram into bytes.
func pack(h *hdrhistogram.Histogram) []byte {
	if h.TotalCount() == 0 {
		return nil
	}
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	h.Reset()
	if err != nil {
		return nil // its own buffer cannot fail
	}
	return b
}

// missing counts what the lines still lack of what was sent.
func (e *engine) missing(sent, newest [][][]uint32) (n uint64) {
	for _, g := range e.crowds {
		for _, l := range g.lines {
			if !l.speaks {
				n += l.owes(sent[g.index][l.channel]) + l.ledger.stale(newest[g.index][l.channel])
			}
		}
	}
	return n
}

// sent is what this worker published, by group, channel and publisher.
func (e *engine) sent() (all, newest [][][]uint32) {
	for _, g := range e.crowds {
		all, newest = append(all, g.sent), append(newest, g.newest)
	}
	return all, newest
}
