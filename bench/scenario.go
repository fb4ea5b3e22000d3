package bench

import (
	"context"
	"fmt"
	"time"
)

// scenarios by the name they have on the command line.
var scenarios = map[string]func(context.Context, *bench) error{
	"connect":   connectScenario,
	"idle":      idleScenario,
	"fanout":    fanoutScenario,
	"rooms":     roomsScenario,
	"beside":    besideScenario,
	"burst":     burstScenario,
	"flap":      flapScenario,
	"slow":      slowScenario,
	"herd":      herdScenario,
	"chat":      chatScenario,
	"chess":     chessScenario,
	"commands":  commandsScenario,
	"mixed":     mixedScenario,
	"articles":  articlesScenario,
	clusterName: clusterScenario,
	acrossName:  acrossScenario,
}

// or is v, or what a scenario has by default; quick runs have a small one.
func or[T int | float64 | time.Duration](b *bench, v, usual, quick T) T {
	switch {
	case v != 0:
		return v
	case b.c.Quick:
		return quick
	}
	return usual
}

func (b *bench) conns(usual int) int { return or(b, b.c.Load.Conns, usual, 100) }

func (b *bench) rate(usual float64) float64 { return or(b, b.c.Load.Rate, usual, usual) }

func (b *bench) duration() time.Duration {
	return or(b, b.c.Load.Duration, 10*time.Second, time.Second)
}

// steady is one rate for the length of the measured part.
func (b *bench) steady(group int, rate float64) speech {
	return speech{group: group, steps: []Step{{rate, b.duration().Seconds()}}}
}

// warm publishes for a while at a rate that nobody fails at, so that code is compiled, buffers have their size and
// every sender is known; it leaves no phase.
func (b *bench) warm(ctx context.Context, speeches ...speech) error {
	if b.c.Load.Warm <= 0 {
		return nil
	}
	for i := range speeches {
		s := &speeches[i]
		s.steps = []Step{{s.steps[0].Rate, min(b.c.Load.Warm.Seconds(), b.duration().Seconds())}}
	}
	phases := len(b.result.Phases)
	_, err := b.talk(ctx, "warm", false, speeches...)
	b.result.Phases = b.result.Phases[:phases]
	return err
}

// connectScenario opens connections as fast as the window allows.
func connectScenario(ctx context.Context, b *bench) error {
	if err := b.bring(ctx, Group{Name: "connect", Channels: 1, Members: b.conns(5000)}); err != nil {
		return err
	}
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	b.note("%d connections in %.2f s: %.0f a second, %.1f µs of server CPU each", p.Connections, p.Seconds, float64(p.Connections)/p.Seconds, p.PerOpened)
	return nil
}

// idleScenario holds subscribed connections on which nothing happens but heartbeats.
func idleScenario(ctx context.Context, b *bench) error {
	n := b.conns(15_000)
	before, err := probe(b.t.pid)
	if err != nil {
		return err
	}
	if err := b.bring(ctx, Group{Name: "idle", Channels: max(n/100, 1), Members: min(n, 100)}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	if b.c.Load.Warm > 0 { // what a server does after a rush is no cost of idling
		if _, _, err := b.watch(ctx, "after", 3*b.c.Load.Warm, tick, nil); err != nil {
			return err
		}
	}
	p, _, err := b.watch(ctx, "idle", or(b, b.c.Load.Duration, time.Minute, time.Second), tick, nil)
	if err != nil {
		return err
	}
	per := func(now, was int64) float64 { return float64(now-was) / 1024 / float64(p.Connections) }
	b.result.idle = per(p.Resident, before.Resident)
	b.note("%d connections: %.2f KB resident each (%.1f MB before them), %.2f KB of kernel structs each for both ends, %.2f µs of server CPU per connection and second",
		p.Connections, per(p.Resident, before.Resident), float64(before.Resident)/(1<<20), per(p.Slab+p.Sockets, before.Slab+before.Sockets), p.PerIdle)
	return nil
}

// fanoutScenario has one publisher and one channel that everybody follows.
func fanoutScenario(ctx context.Context, b *bench) error {
	if err := b.bring(ctx, Group{Name: "fanout", Channels: 1, Members: b.conns(5000), Speakers: 1}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	s := b.steady(0, b.rate(10))
	w := s
	w.steps = []Step{{min(b.rate(10), 10), 0}}
	if err := b.warm(ctx, w); err != nil {
		return err
	}
	_, err := b.talk(ctx, "fanout", b.c.Load.Flood, s)
	return err
}

// roomsScenario has rooms in which everybody talks, and before that the same talk where nobody listens: the difference
// is what delivering costs.
func roomsScenario(ctx context.Context, b *bench) error {
	channels, n := or(b, b.c.Load.Channels, 500, 10), b.conns(5000)
	members := max(n/channels, 1)
	if err := b.bring(ctx, Group{Name: "rooms", Channels: channels, Members: members, Talk: true}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	s := b.steady(0, b.rate(2000))
	if err := b.warm(ctx, s); err != nil {
		return err
	}
	alone := s
	alone.quiet = true
	quiet, err := b.talk(ctx, "publish alone", false, alone)
	if err != nil {
		return err
	}
	p, err := b.talk(ctx, "rooms", b.c.Load.Flood, s)
	if err != nil {
		return err
	}
	b.result.publish, b.result.share = quiet.PerPublish, quiet.PerPublish*p.Published/max(p.Delivered, 1)
	b.note("a publish that nobody hears costs %.2f µs; a delivery %.2f µs with its share of the publish, %.2f µs without", b.result.publish, p.PerDelivery,
		p.PerDelivery-b.result.share)
	return nil
}

// besideScenario has small rooms, measured apart, beside a large broadcast.
func besideScenario(ctx context.Context, b *bench) error {
	rooms := or(b, b.c.Load.Channels, 100, 5)
	if err := b.bring(ctx, Group{Name: "broadcast", Channels: 1, Members: b.conns(5000), Speakers: 1},
		Group{Name: "small", Channels: rooms, Members: 10, Talk: true, Side: true}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	small := b.steady(1, float64(rooms))
	if err := b.warm(ctx, b.steady(0, 10), small); err != nil {
		return err
	}
	if _, err := b.talk(ctx, "small rooms alone", false, small); err != nil {
		return err
	}
	_, err := b.talk(ctx, "beside the broadcast", false, b.steady(0, b.rate(20)), small)
	return err
}

// burstScenario triples the load within 5 s, from a third of what the server delivers at most.
func burstScenario(ctx context.Context, b *bench) error {
	n := b.conns(5000)
	if err := b.bring(ctx, Group{Name: "burst", Channels: 1, Members: n, Speakers: 1}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	rate := b.c.Load.Rate
	if rate == 0 {
		p, err := b.saturate(ctx, n)
		if err != nil {
			return err
		}
		rate = p.Delivered / float64(n) / 3
	}
	steps := []Step{{rate, 2}}
	for i := range 10 {
		steps = append(steps, Step{rate * (1 + 2*float64(i+1)/10), 0.5})
	}
	steps = append(steps, Step{3 * rate, 3})
	_, err := b.talk(ctx, "burst", false, speech{group: 0, steps: steps})
	return err
}

// saturate floods for a moment and waits until everything has come.
func (b *bench) saturate(ctx context.Context, n int) (*Phase, error) {
	const asked = 2_000_000 // deliveries a second: more than any server here makes
	p, err := b.talk(ctx, "saturation", false, speech{group: 0, steps: []Step{{asked / float64(n), 3}}})
	if err == nil && p.Count.Missing > 0 {
		err = fmt.Errorf("%d receipts of the flood before the burst did not come within %s: name a --rate", p.Count.Missing, b.c.Load.Settle)
	}
	return p, err
}

func (b *bench) note(format string, args ...any) {
	b.result.Notes = append(b.result.Notes, fmt.Sprintf(format, args...))
}
