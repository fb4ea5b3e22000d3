package bench

import (
	"context"
	"fmt"
	"time"
)

// slowScenario has one reader in ten stop, or read a trickle, and measures the others apart from them.
func slowScenario(ctx context.Context, b *bench) error {
	b.resume = true
	if err := b.bring(ctx, Group{Name: "slow", Channels: 1, Members: b.conns(1000), Speakers: 1}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	s := b.steady(0, b.rate(100))
	if err := b.warm(ctx, s); err != nil {
		return err
	}
	all, err := b.talk(ctx, "all read", false, s)
	if err != nil {
		return err
	}
	if err := b.f.order(ctx, order{Do: doStall, Group: 0, Every: 10, Bytes: b.c.Load.Trickle}); err != nil {
		return err
	}
	some, err := b.talk(ctx, "one in ten does not", true, s)
	if err != nil {
		return err
	}
	if some.Unsent, err = unsent(b.t.port); err != nil {
		return err
	}
	if err := b.f.order(ctx, order{Do: doRelease}); err != nil {
		return err
	}
	back, _, err := b.watch(ctx, "they read again", b.c.Load.Settle, poll, nil)
	if err != nil {
		return err
	}
	if err := b.settle(ctx, back); err != nil {
		return err
	}
	b.note("resident %+.1f MB and TCP buffers of both ends %+.1f MB while one in ten did not read; %.1f MB lay in the server's send queues; p99 of the others %.2f ms against %.2f ms",
		mega(some.Resident-all.Resident), mega(some.Sockets-all.Sockets), mega(some.Unsent), some.Latency.P99, all.Latency.P99)
	b.note("the slow ones were told of %d missing records, and got the rest", back.Side.Told+back.Count.Told)
	return nil
}

func mega(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// flapScenario cuts every line for two seconds while the talk goes on.
func flapScenario(ctx context.Context, b *bench) error {
	b.resume = true
	if err := b.bring(ctx, Group{Name: "flap", Channels: 1, Members: b.conns(5000), Speakers: 1}); err != nil {
		return err
	}
	return b.leaveAndReturn(ctx, 2*time.Second, b.c.Load.Window, b.steady(0, b.rate(20)))
}

// herdScenario has everybody come back at once, while bystanders, measured apart, stay.
func herdScenario(ctx context.Context, b *bench) error {
	b.resume = true
	bystanders := or(b, 0, 100, 10)
	if err := b.bring(ctx, Group{Name: "herd", Channels: 1, Members: b.conns(15_000), Speakers: 1},
		Group{Name: "bystanders", Channels: 1, Members: bystanders, Speakers: 1, Side: true}); err != nil {
		return err
	}
	const atOnce = 4000 // what a listener's queue of 4096 takes
	return b.leaveAndReturn(ctx, 0, atOnce, b.steady(0, b.rate(2)), b.steady(1, 20))
}

// comeback is how much longer than the measured part the talk goes on, so that it does not end before all are back.
const comeback = 4 * time.Second

// leaveAndReturn cuts all lines of the first group a second into the talk and has them come back after the pause.
func (b *bench) leaveAndReturn(ctx context.Context, gone time.Duration, window int, speeches ...speech) error {
	if _, err := b.open(ctx); err != nil {
		return err
	}
	if err := b.warm(ctx, speeches...); err != nil {
		return err
	}
	begin := time.Now().Add(lead)
	for _, s := range speeches {
		s.steps = []Step{{s.steps[0].Rate, (b.duration() + gone + or(b, 0, comeback, time.Second)).Seconds()}}
		if err := b.f.order(ctx, order{Do: doTalk, Group: s.group, Start: begin.UnixNano(), Steps: s.steps}); err != nil {
			return err
		}
	}
	if _, _, err := b.watch(ctx, "before", time.Second+lead, tick, nil); err != nil {
		return err
	}
	if err := b.f.order(ctx, order{Do: doDrop, Group: 0, Every: 1}); err != nil {
		return err
	}
	if gone > 0 {
		if _, _, err := b.watch(ctx, "gone", gone, tick, nil); err != nil {
			return err
		}
	}
	if err := b.f.order(ctx, order{Do: doOpen, Group: 0, Window: window}); err != nil {
		return err
	}
	p, m, err := b.watch(ctx, "return", openTime, poll, func(m *mark) bool { return m.Opening == 0 })
	if err != nil {
		return err
	}
	want := b.f.groups[0].conns()
	p.PerOpened = p.ServerCPU * p.Seconds * 1e6 / float64(want)
	b.note("%d lines were cut; all were back and subscribed after %.2f s; %d attempts failed", b.f.groups[0].Members, p.Seconds, m.Failed)
	rest, _, err := b.watch(ctx, "after", b.duration()+comeback, tick, func(m *mark) bool { return m.Pending == 0 })
	if err != nil {
		return err
	}
	if err := b.settle(ctx, rest); err != nil {
		return err
	}
	c := rest.Count
	b.note("%d receipts: %d lost, %d twice, %d told as gaps, %d never came", c.Delivered, c.Lost, c.Twice, c.Told, c.Missing)
	return nil
}

// article is a load that an article of the field claims, and what it says it saw.
type article struct {
	name                 string
	rooms, members, rate int
	claim                string
	p99                  float64 // ms; 0: none claimed
	service              string  // that carries it; plain channels where empty
}

var articles = []article{
	{"chat", 40, 50, 200, "2,000 connections, below 100 ms", 100, chatService},
	{"dice", 32, 100, 15, "3,200 connections, p50 32 ms, p99 87 ms, 850 bets a minute", 87, ""},
	{"docs", 1000, 10, 1000, "10,000 connections and more", 0, ""},
}

// articlesScenario runs the loads that the articles describe and sets their figures beside those measured.
func articlesScenario(ctx context.Context, b *bench) error {
	for _, a := range articles {
		if b.c.Quick {
			a.rooms = max(a.rooms/20, 1)
		}
		if err := b.bring(ctx, Group{Name: a.name, Channels: a.rooms, Members: a.members, Talk: true, Service: a.service}); err != nil {
			return err
		}
		if _, err := b.open(ctx); err != nil {
			return err
		}
		s := b.steady(0, float64(a.rate))
		if a.service != "" {
			s.act = actSend
		}
		if err := b.warm(ctx, s); err != nil {
			return err
		}
		p, err := b.talk(ctx, a.name, false, s)
		if err != nil {
			return err
		}
		seen, of := p.Latency, "seen by each"
		if a.service != "" {
			seen, of = p.Whole, "seen by the last member of the room"
		}
		verdict := ""
		if a.p99 > 0 {
			verdict = fmt.Sprintf(": %.1f times sooner", a.p99/max(seen.P99, 0.001))
		}
		b.note("%s: the article has %s; measured %d connections, %.0f messages a second, %s p50 %.2f ms, p99 %.2f ms, max %.2f ms%s",
			a.name, a.claim, p.Connections, p.Published, of, seen.P50, seen.P99, seen.Max, verdict)
	}
	return nil
}
