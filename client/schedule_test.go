package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
)

// TestSchedules runs random schedules of cuts, delays, refusals and gaps, each from a seed that a failure names. Set
// CARILLON_SCHEDULES to run more than the usual number, CARILLON_SEED to run one again.
func TestSchedules(t *testing.T) {
	n := 400
	if testing.Short() {
		n = 60
	}
	if s, err := strconv.Atoi(os.Getenv("CARILLON_SCHEDULES")); err == nil {
		n = s
	}
	if s, err := strconv.ParseUint(os.Getenv("CARILLON_SEED"), 10, 64); err == nil {
		runSchedule(t, s)
		return
	}
	first := rand.Uint64() >> 16
	for i := range uint64(n) {
		if runSchedule(t, first+i); t.Failed() {
			t.Fatalf("seed %d", first+i)
		}
	}
	for _, seed := range regressions {
		runSchedule(t, seed)
	}
}

// regressions are seeds that once failed.
var regressions = []uint64{}

// schedule is one run.
type schedule struct {
	t    *testing.T
	seed uint64
	sv   *logServer
	ch   chaos

	mu       sync.Mutex
	rnd      *rand.Rand
	acked    map[string]Position
	json     bool
	checkers [2]*checker
}

const scheduled = channel.Name("room:1")

// kinds of chaos, one per seed in turn.
func chaosOf(rnd *rand.Rand) chaos {
	ch := chaos{unconfirmed: 20, history: 50, slow: 30, ring: 4 + rnd.IntN(40)}
	switch rnd.IntN(5) {
	case 0:
		ch.busy = 50
	case 1:
		ch.keep = 10 + rnd.IntN(30)
	case 2:
		ch.lose = 15
	case 3:
		ch.rollback = 15
	}
	return ch
}

func runSchedule(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		s := &schedule{t: t, seed: seed, rnd: rnd, ch: chaosOf(rnd), acked: map[string]Position{}, json: rnd.IntN(2) == 0}
		s.sv = newLogServer(seed, s.ch)
		s.sv.net.plan = s.plan
		start := s.sv.headOf(scheduled)

		ctx, cancel := context.WithCancel(t.Context())
		var readers, writers sync.WaitGroup
		for i := range 2 {
			readers.Go(func() { s.read(ctx, i, start) })
		}
		for i := range 2 {
			writers.Go(func() { s.write(ctx, i) })
		}
		writers.Wait()
		s.sv.heal()
		s.checkLog()
		done := make(chan struct{})
		go func() { readers.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Hour):
			t.Errorf("seed %d: readers do not arrive at the head", seed)
			s.sv.mu.Lock()
			lg := s.sv.log(scheduled)
			t.Logf("chaos %+v head %v base %v breaks %d", s.ch, lg.head, lg.base, lg.breaks)
			s.sv.mu.Unlock()
			for _, k := range s.checkers {
				k.c.mu.Lock()
				for _, sub := range k.c.subs {
					t.Logf("at %v follow %+v queue %d", k.at, sub.follow, sub.queue.len())
				}
				k.c.mu.Unlock()
			}
		}
		cancel()
		<-done
		s.sv.close()
	})
}

func (sv *logServer) headOf(n channel.Name) Position {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	return sv.log(n).head
}

// plan is what becomes of the next line.
func (s *schedule) plan() plan {
	s.sv.mu.Lock()
	calm := s.sv.calm
	s.sv.mu.Unlock()
	if calm {
		return plan{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := plan{rnd: rand.New(rand.NewPCG(s.rnd.Uint64(), 3)), delay: time.Duration(s.rnd.IntN(60)) * time.Millisecond, rst: s.rnd.IntN(2) == 0, hush: s.rnd.IntN(4) == 0}
	for side := range p.cut {
		if s.rnd.IntN(3) > 0 {
			p.cut[side] = 100 + s.rnd.IntN(4000)
		}
	}
	return p
}

func (s *schedule) roll(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rnd.IntN(n)
}

func (s *schedule) client() *Client {
	return New("ws://test/ws", Options{NetDial: s.sv.net.dial, JSON: s.json, ConnectTimeout: 3 * time.Second})
}

// write publishes a numbered series, some at a time.
func (s *schedule) write(ctx context.Context, who int) {
	c := s.client()
	defer func() { _ = c.Close() }()
	for i := 0; i < 40; {
		var ps []*Pending
		for range 1 + s.roll(12) {
			p, err := c.PublishAsync(ctx, string(scheduled), fmt.Appendf(nil, `{"who":%d,"n":%d}`, who, i), PublishOptions{})
			if err != nil {
				s.t.Errorf("seed %d: publish: %v", s.seed, err)
				return
			}
			ps = append(ps, p)
			i++
		}
		for _, p := range ps {
			ack, err := p.Wait()
			if err != nil {
				s.t.Errorf("seed %d: publish ended with %v", s.seed, err)
				return
			}
			s.mu.Lock()
			s.acked[string(p.req.Body)] = ack.At
			s.mu.Unlock()
		}
		time.Sleep(time.Duration(s.roll(2000)) * time.Millisecond)
	}
}

// checkLog: what was acknowledged is in the log once, and in the order in which it was published.
func (s *schedule) checkLog() {
	if s.ch.lose+s.ch.rollback+s.ch.keep > 0 {
		return // the server itself forgets; see read for what must hold then
	}
	s.sv.mu.Lock()
	defer s.sv.mu.Unlock()
	times, last := map[string]int{}, map[int]int{}
	for _, r := range s.sv.log(scheduled).records {
		body := string(r.Body)
		times[body]++
		if s.acked[body] != r.At {
			s.t.Errorf("seed %d: %s stands at %d, acknowledged at %d", s.seed, body, r.At.Offset, s.acked[body].Offset)
		}
		var who, n int
		_, _ = fmt.Sscanf(body, `{"who":%d,"n":%d}`, &who, &n)
		if s.ch.busy == 0 && n < last[who] {
			s.t.Errorf("seed %d: %s comes after %d", s.seed, body, last[who])
		}
		last[who] = n
	}
	for body := range s.acked {
		if times[body] != 1 {
			s.t.Errorf("seed %d: %s is in the log %d times", s.seed, body, times[body])
		}
	}
}

// read follows the log, in life after life, until it stands at the head of a log that is at rest. Between two records
// there is no hole, or a Gap that says the truth.
func (s *schedule) read(ctx context.Context, who int, at Position) {
	k := &checker{s: s, who: who, at: at}
	s.checkers[who] = k
	for {
		c := s.client()
		k.c = c
		sub, err := c.Subscribe(ctx, string(scheduled), SubscribeOptions{After: k.at, BufferRecords: 1 + s.roll(40)})
		for n := s.roll(200); err == nil && (n > 0 || s.calm()) && !s.arrived(k.at); n-- {
			var e Event
			soon, cancel := context.WithTimeout(ctx, time.Second)
			if e, err = sub.Next(soon); err == nil {
				k.take(e)
			} else if ctx.Err() == nil && soon.Err() != nil {
				err = nil
			}
			cancel()
			if s.roll(4) == 0 {
				time.Sleep(time.Duration(s.roll(800)) * time.Millisecond)
			}
		}
		_ = c.Close()
		if err != nil || s.arrived(k.at) || s.t.Failed() {
			if err != nil {
				s.t.Errorf("seed %d: reader %d: %v", s.seed, who, err)
			}
			return
		}
	}
}

func (s *schedule) calm() bool {
	s.sv.mu.Lock()
	defer s.sv.mu.Unlock()
	return s.sv.calm
}

// arrived tells that nothing more will come.
func (s *schedule) arrived(at Position) bool {
	s.sv.mu.Lock()
	defer s.sv.mu.Unlock()
	return s.sv.calm && s.sv.log(scheduled).head == at
}

// checker compares what is handed over with the log. Nothing in these schedules is kept from anybody, so every record
// continues the one before it.
type checker struct {
	s     *schedule
	who   int
	at    Position // behind the last event
	loose bool     // a Gap said that the log is another
	voids int
	c     *Client
}

func (k *checker) take(e Event) {
	if e.Gap != nil {
		k.gap(*e.Gap)
		return
	}
	r := e.Record
	switch {
	case k.loose:
		k.loose = false
	case k.at.Next(r.Body) != r.At:
		k.s.t.Errorf("seed %d: reader %d at %v got the record %v %s", k.s.seed, k.who, k.at, r.At, r.Body)
	}
	k.at = r.At
}

func (k *checker) gap(g Gap) {
	k.s.sv.mu.Lock()
	l := k.s.sv.log(scheduled)
	trimmed, breaks := l.trimmed[g.At.Epoch], l.breaks
	k.s.sv.mu.Unlock()
	if voids(g.Reason) {
		if k.voids++; k.voids > 2*breaks {
			k.s.t.Errorf("seed %d: reader %d got %d gaps %v of a log that broke %d times", k.s.seed, k.who, k.voids, g, breaks)
		}
		k.loose = g.Reason == channel.GapEpoch && g.At == k.at
		k.at = g.At
		return
	}
	if !k.loose && g.From != k.at.Offset+1 || g.To != g.At.Offset || g.To > trimmed {
		k.s.t.Errorf("seed %d: reader %d at %d got %+v of a log trimmed up to %d", k.s.seed, k.who, k.at.Offset, g, trimmed)
	}
	k.at, k.loose = g.At, false
}
