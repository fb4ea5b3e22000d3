package bench

import (
	"context"
	"fmt"
	"time"
)

// way is how records go from who publishes to who listens.
type way struct {
	name string
	home bool
	t    *target

	p50, p99, cpu []float64
}

// acrossScenario compares records that go from one node to another with those whose publisher and subscriber are on the
// same node, of a cluster and of a node that is alone and keeps its channels in memory. The ways take turns.
func acrossScenario(ctx context.Context, b *bench) error {
	if len(b.t.nodes) < 2 {
		return fmt.Errorf("it takes nodes to compare: leave --url out, or name several, separated by commas")
	}
	ways := []*way{{name: "same node", home: true, t: b.t}, {name: "across", t: b.t}}
	if b.c.Target.URL == "" {
		alone, err := b.c.startCarillon(ctx)
		if err != nil {
			return err
		}
		defer alone.stop()
		alone.dialect = b.t.dialect
		ways = append(ways, &way{name: "alone", home: true, t: alone})
	}
	for range max(b.c.Rounds, 1) {
		for _, w := range ways {
			if err := w.measure(ctx, b); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	across := ways[1]
	for _, w := range ways {
		b.note("%s: p50 %.2f ms, p99 %.2f ms, %.2f cores of the nodes (medians of %d)", w.name, median(w.p50), median(w.p99), median(w.cpu), len(w.p50))
	}
	for _, w := range ways {
		if w != across {
			b.note("across adds to %s: p50 %+.2f ms, p99 %+.2f ms", w.name, median(across.p50)-median(w.p50), median(across.p99)-median(w.p99))
		}
	}
	return nil
}

// measure talks for a while. Each channel has one who publishes and one who listens.
func (w *way) measure(ctx context.Context, b *bench) error {
	all := b.t
	b.t = w.t
	defer func() { b.t = all }()
	if err := b.bring(ctx, Group{Name: "across", Channels: or(b, b.c.Load.Channels, 100, 10), Members: 1, Speakers: 1, Home: w.home}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	s := speech{steps: []Step{{or(b, b.c.Load.Rate, 10_000, 500), or(b, b.c.Load.Duration, 5*time.Second, time.Second).Seconds()}}}
	warm := speech{steps: []Step{s.steps[0]}}
	if err := b.warm(ctx, warm); err != nil {
		return err
	}
	p, err := b.talk(ctx, w.name, false, s)
	if err != nil {
		return err
	}
	w.p50, w.p99, w.cpu = append(w.p50, p.Latency.P50), append(w.p99, p.Latency.P99), append(w.cpu, p.ServerCPU)
	return nil
}
