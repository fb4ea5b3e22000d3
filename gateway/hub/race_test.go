package hub

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"carillon/channel"
)

// line is a connection whose socket takes as much as chance says.
type line struct {
	t      *testing.T
	hub    *Hub
	room   chan<- *line // lines whose socket is full; somebody makes room in it
	origin uint64

	mu      sync.Mutex
	state   lineState
	ready   []*Cursor
	readers map[*Cursor]*lineReader

	// of whoever holds the state "writing"
	rnd  *rand.Rand
	rest []byte
	cut  *lineReader // whose record it is
}

type lineState uint8

const (
	idle lineState = iota
	writing
	full
)

// lineReader is what came down for one cursor.
type lineReader struct {
	at     uint64
	stream []byte
	ended  func()
}

func (l *line) Wake(c *Cursor) {
	l.mu.Lock()
	l.ready = append(l.ready, c)
	if l.state != idle {
		l.mu.Unlock()
		return
	}
	l.state = writing
	l.mu.Unlock()
	l.write()
}

func (l *line) Resume() { l.write() }

// take is the next cursor with news, if there is one; otherwise the line is idle.
func (l *line) take() (c *Cursor, r *lineReader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) > 0 {
		c, l.ready = l.ready[0], l.ready[1:]
		if r := l.readers[c]; r != nil { // else its Attach has not returned yet, or it is gone
			return c, r
		}
	}
	l.state = idle
	return nil, nil
}

func (l *line) accepts(n int) int {
	if n == 0 || l.rnd.IntN(8) > 0 {
		return n
	}
	return l.rnd.IntN(n)
}

func (l *line) block() {
	l.mu.Lock()
	l.state = full
	l.mu.Unlock()
	l.room <- l
}

func (l *line) unblock() {
	l.mu.Lock()
	l.state = writing
	l.mu.Unlock()
	l.write()
}

func (l *line) write() {
	for range 4 {
		if len(l.rest) > 0 {
			n := l.accepts(len(l.rest))
			l.cut.stream = append(l.cut.stream, l.rest[:n]...)
			if l.rest = l.rest[n:]; len(l.rest) > 0 {
				l.block()
				return
			}
			l.judge(l.cut)
		}
		c, r := l.take()
		if c == nil {
			return
		}
		bufs, more, loss := c.Ready(nil, 1+l.rnd.IntN(2000))
		if loss != (Loss{}) {
			if loss.From != r.at+1 || loss.To < loss.From || loss.To != loss.At.Offset || len(bufs) > 0 {
				l.t.Errorf("at %d: %+v", r.at, loss)
			}
			r.at = loss.To
			r.end()
		}
		var all []byte
		for _, b := range bufs {
			all = append(all, b...)
		}
		n := l.accepts(len(all))
		r.stream = append(r.stream, all[:n]...)
		l.rest, l.cut = c.Wrote(n), r
		l.judge(r)
		if more || n < len(all) {
			l.mu.Lock()
			l.ready = append(l.ready, c)
			l.mu.Unlock()
		}
		if n < len(all) {
			l.block()
			return
		}
	}
	l.hub.Again(l)
}

// judge checks that the records that came down follow each other.
func (l *line) judge(r *lineReader) {
	fs, rest := deframe(r.stream)
	r.stream = append([]byte(nil), rest...)
	for _, f := range fs {
		if f.class == channel.Fleeting {
			continue
		}
		if f.offset != r.at+1 {
			l.t.Errorf("%d follows %d", f.offset, r.at)
		}
		r.at = f.offset
	}
	r.end()
}

const raceRecords = 1500 // of each room

func (r *lineReader) end() {
	if r.at == raceRecords && r.ended != nil {
		r.ended()
		r.ended = nil
	}
}

// publisher appends to a room's log and tells the hub, which hears of it out of order and now and then not at all.
type publisher struct {
	name channel.Name
	mu   sync.Mutex
	log  *truth
}

func (p *publisher) publish(h *Hub, rnd *rand.Rand) bool {
	p.mu.Lock()
	if len(p.log.rs) == raceRecords {
		p.mu.Unlock()
		return false
	}
	r := p.log.grow(p.name, make([]byte, rnd.IntN(200)), 0, false)
	p.mu.Unlock()
	if rnd.IntN(20) == 0 && r.At.Offset < raceRecords {
		return true // lost
	}
	if rnd.IntN(10) == 0 {
		h.Append(channel.Record{Channel: p.name, Class: channel.Fleeting, Body: []byte("typing")})
	}
	for need := h.Append(r); need != NeedNone; {
		_, head, _ := h.Head(p.name)
		p.mu.Lock()
		rs := p.log.rs[min(int(head.Offset), len(p.log.rs)):len(p.log.rs):len(p.log.rs)]
		p.mu.Unlock()
		need = h.Fill(p.name, head, rs)
	}
	return true
}

func (p *publisher) publishAll(h *Hub, rnd *rand.Rand) {
	for p.publish(h, rnd) {
		for range rnd.IntN(8) {
			runtime.Gosched()
		}
	}
}

func (l *line) comeAndGo(n channel.Name, rewind int) {
	c := l.attach(n, rewind, nil)
	c.At()
	c.Detach()
}

// attach puts a cursor on the line and wakes it, as a session does once its reply is queued.
func (l *line) attach(n channel.Name, rewind int, ended func()) *Cursor {
	c, start, err := l.hub.Attach(n, From{Rewind: rewind}, int(l.origin)%2, l.origin, l)
	if err != nil {
		l.t.Error(err)
		return nil
	}
	r := &lineReader{at: start.At.Offset, ended: ended}
	l.mu.Lock()
	l.readers[c] = r
	l.mu.Unlock()
	l.Wake(c)
	return c
}

func TestNoWakeUpIsLost(t *testing.T) {
	for _, window := range []time.Duration{0, time.Millisecond} {
		t.Run(fmt.Sprint(window), func(t *testing.T) { raceOnce(t, window, rand.Uint64()) })
	}
}

func raceOnce(t *testing.T, window time.Duration, seed uint64) {
	t.Logf("seed %d", seed)
	const rooms, lines, churners, publishers = 6, 60, 4, 3
	h := newHub(t, Options{Workers: 2, Policy: func(channel.Name) channel.Policy {
		return channel.Policy{Ring: channel.Keep{Records: 200, Bytes: 1 << 20}, BatchWindow: window}
	}})
	full, stop := make(chan *line, lines+churners), make(chan struct{})
	var ps [rooms]*publisher
	for i := range ps {
		ps[i] = &publisher{name: channel.Name(fmt.Sprint("race:", i)), log: newTruth(1, uint64(i))}
		h.Open(ps[i].name)
		h.Fill(ps[i].name, ps[i].log.base, nil)
	}
	newLine := func(i int) *line {
		return &line{t: t, hub: h, room: full, origin: uint64(i), readers: map[*Cursor]*lineReader{}, rnd: rand.New(rand.NewPCG(seed, uint64(i)))}
	}
	var ends, busy, kernel sync.WaitGroup
	for range 2 {
		kernel.Go(func() {
			for {
				select {
				case l := <-full:
					l.unblock()
				case <-stop:
					return
				}
			}
		})
	}
	for i := range lines {
		l := newLine(i)
		for k := range 2 { // two subscriptions a line
			ends.Add(1)
			l.attach(ps[(i+k)%rooms].name, 0, ends.Done)
		}
	}
	for i := range rooms * publishers {
		rnd := rand.New(rand.NewPCG(seed, uint64(1000+i)))
		busy.Go(func() { ps[i%rooms].publishAll(h, rnd) })
	}
	for i := range churners {
		l, rnd := newLine(lines+i), rand.New(rand.NewPCG(seed, uint64(2000+i)))
		busy.Go(func() {
			for range 500 {
				l.comeAndGo(ps[rnd.IntN(rooms)].name, rnd.IntN(50))
			}
		})
	}
	busy.Wait()
	all := make(chan struct{})
	go func() { ends.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		t.Fatalf("somebody was not woken: %+v", h.Stats())
	}
	h.Close()
	close(stop)
	kernel.Wait()
	t.Logf("%+v", h.Stats())
}
