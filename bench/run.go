package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// bench is one run of a scenario: a server, the fleet that loads it, and what was seen.
type bench struct {
	c      *Command
	t      *target
	f      *fleet
	result *Result
	screen *screen
	resume bool // lines come back where they broke
}

// Timing of the coordinator.
const (
	tick     = time.Second            // of the time series
	lead     = 200 * time.Millisecond // before a schedule begins
	poll     = 100 * time.Millisecond // for the end of something
	glance   = 20 * time.Millisecond  // for the end of something short
	openTime = 2 * time.Minute        // for all lines to open,
	openEach = 2 * time.Millisecond   // and for each of them more
)

func (b *bench) close() {
	if b.f != nil {
		b.f.close()
		b.f = nil
	}
	b.screen.done()
}

// bring starts the fleet for these groups; its lines are not open yet.
func (b *bench) bring(ctx context.Context, groups ...Group) error {
	if b.f != nil {
		b.f.close()
		b.f = nil
	}
	s := setup{
		Dialect: b.t.dialect, Nodes: b.t.addresses(), Path: b.t.path, Secret: b.t.secret,
		Groups: groups, Payload: b.c.Load.Payload, Bare: b.c.Load.Handshake, Resume: b.resume,
	}
	run := strings.ToLower(rand.Text()[:8])
	for i := range groups {
		groups[i].Run = run
	}
	f, err := startFleet(ctx, s, b.c.Load.Workers)
	if err != nil {
		return err
	}
	b.f = f
	return nil
}

// open opens all lines and measures it.
func (b *bench) open(ctx context.Context) (*Phase, error) {
	if err := b.f.order(ctx, order{Do: doOpen, Group: -1, Window: b.c.Load.Window}); err != nil {
		return nil, err
	}
	want := 0
	for i := range b.f.groups {
		want += b.f.groups[i].conns()
	}
	most := openTime + time.Duration(want)*openEach
	p, m, err := b.watch(ctx, "open", most, glance, func(m *mark) bool { return m.Opening == 0 })
	if err != nil {
		return nil, err
	}
	if m.Open < want {
		return nil, fmt.Errorf("only %d of %d connections opened: %s", m.Open, want, m.Failure)
	}
	p.PerOpened = p.ServerCPU * p.Seconds * 1e6 / float64(want)
	return p, nil
}

// speech is a schedule for one group.
type speech struct {
	group int
	steps []Step
	mix   Mix
	act   string
	quiet bool
}

// length is how long a speech takes.
func (s *speech) length() (d time.Duration) {
	for _, p := range s.steps {
		d += time.Duration(p.Seconds * float64(time.Second))
	}
	return d
}

// talk publishes by these schedules and measures it; then it waits for what is on its way, unless flooded.
func (b *bench) talk(ctx context.Context, name string, flooded bool, speeches ...speech) (*Phase, error) {
	begin := time.Now().Add(lead)
	long, asked := time.Duration(0), 0.0
	for i := range speeches {
		s := &speeches[i]
		long = max(long, s.length())
		for _, p := range s.steps {
			asked += p.Rate * p.Seconds
		}
		if err := b.f.order(ctx, order{Do: doTalk, Group: s.group, Start: begin.UnixNano(), Steps: s.steps, Mix: s.mix, Act: s.act, Quiet: s.quiet}); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, time.Until(begin)); err != nil {
		return nil, err
	}
	p, _, err := b.watch(ctx, name, long, tick, nil)
	if err != nil {
		return nil, err
	}
	p.Asked, p.Flooded = asked/long.Seconds(), flooded
	return p, b.settle(ctx, p)
}

// settle waits for what is owed and books it.
func (b *bench) settle(ctx context.Context, p *Phase) error {
	wait := b.c.Load.Settle
	if p.Flooded {
		wait = 0
	}
	end := time.Now().Add(wait)
	for {
		missing, err := b.f.missing(ctx)
		if err != nil {
			return err
		}
		m, err := b.f.mark(ctx)
		if err != nil {
			return err
		}
		p.merged.Merge(m.latency)
		p.apart.Merge(m.beside)
		p.replies.Merge(m.replies)
		p.whole.Merge(m.whole)
		if missing == 0 && m.Pending == 0 && m.Commands.Open == 0 || !time.Now().Before(end) {
			p.finish(m, missing)
			return nil
		}
		if err := pause(ctx, poll); err != nil {
			return err
		}
	}
}

// watch measures until over says so or the time is up.
func (b *bench) watch(ctx context.Context, name string, most, every time.Duration, over func(*mark) bool) (*Phase, *mark, error) {
	p := &Phase{Name: name, sums: newSums()}
	first, before, err := b.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	begin := time.Now()
	last, sample := first, before
	for due := begin.Add(every); ; due = due.Add(every) {
		if err := pause(ctx, min(time.Until(due), time.Until(begin.Add(most)))); err != nil {
			return nil, nil, err
		}
		m, s, err := b.look(ctx)
		if err != nil {
			return nil, nil, err
		}
		p.add(m, last, s, sample, first.At)
		last, sample = m, s
		b.screen.show(b, p, m)
		if over != nil && over(m) || time.Since(begin) >= most {
			break
		}
	}
	p.sum(first, last, before, sample)
	p.finish(last, 0)
	b.result.Phases = append(b.result.Phases, p)
	return p, last, nil
}

// look takes the figures of the fleet and of the server at about the same moment.
func (b *bench) look(ctx context.Context) (*mark, Sample, error) {
	s, err := b.t.probe()
	if err != nil {
		return nil, s, err
	}
	m, err := b.f.mark(ctx)
	return m, s, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(max(d, 0)):
		return nil
	}
}

// add books one tick.
func (p *Phase) add(m, before *mark, s, was Sample, begin int64) {
	p.merged.Merge(m.latency)
	p.apart.Merge(m.beside)
	p.late.Merge(m.lateness)
	p.opening.Merge(m.opened)
	p.replies.Merge(m.replies)
	p.whole.Merge(m.whole)
	seconds := float64(m.At-before.At) / 1e9
	now := spread(m.latency)
	p.now = Point{
		At: float64(m.At-begin) / 1e9, Delivered: float64(receipts(m)-receipts(before)) / seconds,
		P50: now.P50, P99: now.P99, Max: now.Max, ServerCPU: float64(s.CPU-was.CPU) / 1e9 / seconds,
		Resident: s.Resident, Sockets: s.Sockets, Open: m.Open,
	}
	if seconds > 0.9*tick.Seconds() { // glances are too short for figures of their own
		p.Series = append(p.Series, p.now)
	}
}

// receipts is all that arrived.
func receipts(m *mark) uint64 {
	return m.Count.Delivered + m.Count.Fleeting + m.Count.Latest + m.Side.Delivered + m.Side.Fleeting + m.Side.Latest
}

// sum computes what holds for the window as a whole.
func (p *Phase) sum(first, last *mark, before, after Sample) {
	p.Seconds = float64(last.At-first.At) / 1e9
	cpu := float64(after.CPU - before.CPU)
	p.ServerCPU = cpu / 1e9 / p.Seconds
	p.ClientCPU = float64(last.CPU-first.CPU) / 1e9 / p.Seconds
	p.Stolen = float64(after.Stolen-before.Stolen) / 1e9 / p.Seconds
	p.Resident, p.Sockets, p.Slab = after.Resident, after.Sockets, after.Slab
	n, published := float64(receipts(last)-receipts(first)), float64(last.Published-first.Published)
	p.Delivered, p.Published = n/p.Seconds, published/p.Seconds
	p.Answered = float64(last.Commands.Answered-first.Commands.Answered) / p.Seconds
	if n > 0 {
		p.PerDelivery = cpu / 1e3 / n
	}
	if published > 0 {
		p.PerPublish = cpu / 1e3 / published
	}
	if last.Open > 0 {
		p.PerIdle = cpu / 1e3 / float64(last.Open) / p.Seconds
	}
}

// finish books what is known only when everything has arrived.
func (p *Phase) finish(m *mark, missing uint64) {
	p.Connections = m.Open
	p.Count, p.Side = m.Count, m.Side
	p.Count.Missing = missing
	p.Refused, p.Refusal = m.Refused, m.Refusal
	p.Commands = m.Commands
	p.Replies, p.Whole = spread(p.replies), spread(p.whole)
	p.Latency, p.Beside = spread(p.merged), spread(p.apart)
	p.Lateness, p.Opened = spread(p.late), spread(p.opening)
	p.Shape = shape(p.merged)
}

// sums of a phase under way.
type sums struct {
	now                                          Point
	merged, apart, late, opening, replies, whole *hdrhistogram.Histogram
}

func newSums() sums {
	return sums{merged: newHistogram(), apart: newHistogram(), late: newHistogram(), opening: newHistogram(), replies: newHistogram(), whole: newHistogram()}
}
