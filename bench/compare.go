package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// loadShape is a load that the servers are compared under.
type loadShape struct {
	name     string
	servers  []string
	scenario string
	load     func(server string) Load
	unit     string
	better   string // "less" or "more"
	tokens   bool   // Carillon checks a token of every connection
	figure   func(*Result) float64
}

const ours = "carillon"

var everyServer = []string{"bare", ours, "ws", "gws", "socketio"}

// loadShapes are what the table of the comparison has rows for.
func loadShapes() []loadShape {
	perDelivery := func(r *Result) float64 { return lastPhase(r).PerDelivery }
	steady := func(rate float64) func(string) Load {
		return func(string) Load { return Load{Rate: rate, Duration: 5 * time.Second} }
	}
	const cost = "µs of CPU per delivery"
	floor := []string{"bare", ours}
	rooms := func(rate float64) func(string) Load {
		return func(string) Load { return Load{Rate: rate, Channels: 500, Duration: 4 * time.Second} }
	}
	delivered := func(r *Result) float64 { return lastPhase(r).Delivered / 1000 }
	return []loadShape{
		{"fanout-10", everyServer, "fanout", steady(10), cost, "less", false, perDelivery},
		{"fanout-25", floor, "fanout", steady(25), cost, "less", false, perDelivery},
		{"flood", everyServer, "fanout", flood, "1,000 deliveries a second", "more", false, delivered},
		{"rooms-2000", floor, "rooms", rooms(2000), cost, "less", false, perDelivery},
		{"rooms-5000", floor, "rooms", rooms(5000), cost, "less", false, perDelivery},
		{"rooms-20000", floor, "rooms", rooms(20_000), "1,000 deliveries a second", "more", false, delivered},
		{"connect", everyServer, "connect", connecting, "µs of CPU per connection", "less", true, func(r *Result) float64 { return lastPhase(r).PerOpened }},
		{"idle", everyServer, "idle", idling, "KB resident per connection", "less", false, func(r *Result) float64 { return r.idle }},
	}
}

// connecting has Carillon check a token and subscribe, the others only upgrade.
func connecting(server string) Load { return Load{Handshake: server != ours} }

func idling(string) Load { return Load{Conns: 5000, Duration: 3 * time.Second} }

// flood asks of each server clearly more than it can deliver, and no more than its memory bears for five seconds.
func flood(server string) Load {
	rate := 50.0
	switch server {
	case ours:
		rate = 600
	case "bare", "gws":
		rate = 100
	}
	return Load{Rate: rate, Duration: 5 * time.Second, Flood: true}
}

func lastPhase(r *Result) *Phase { return r.Phases[len(r.Phases)-1] }

// Comparison is one shape over all rounds.
type Comparison struct {
	Shape   string `json:"shape"`
	Unit    string `json:"unit"`
	Better  string `json:"better"`
	Servers []Side `json:"servers"`
}

// Side is one server of a comparison. Ratios are Carillon's figure over this server's, each within one round.
type Side struct {
	Server  string    `json:"server"`
	Figures []float64 `json:"figures"` // by round
	Median  float64   `json:"median"`
	Ratios  []float64 `json:"ratios,omitempty"`
	Ratio   float64   `json:"ratio"` // median
	P99     float64   `json:"p99"`   // ms, median
}

// compare measures all servers in turn, round by round, so that what else the machine does hits them alike.
func (c *Command) compare(ctx context.Context) error {
	rounds, screen := c.Rounds, newScreen(os.Stderr)
	if c.Quick {
		rounds = 1
	}
	var all []*Comparison
	for _, s := range loadShapes() {
		if c.Only != "" && !slices.Contains(strings.Split(c.Only, ","), s.name) {
			continue
		}
		k := &Comparison{Shape: s.name, Unit: s.unit, Better: s.better}
		for _, name := range s.servers {
			k.Servers = append(k.Servers, Side{Server: name})
		}
		latencies := make([][]float64, len(s.servers))
		for round := range rounds {
			for i := range s.servers {
				at := (i + round) % len(s.servers) // nobody is always the first
				r, err := c.one(ctx, &s, s.servers[at])
				if err != nil {
					return fmt.Errorf("%s of %s: %w", s.name, s.servers[at], err)
				}
				figure := s.figure(r)
				k.Servers[at].Figures = append(k.Servers[at].Figures, figure)
				latencies[at] = append(latencies[at], lastPhase(r).Latency.P99)
				screen.line(fmt.Sprintf("%s, round %d of %d: %s %.2f %s", s.name, round+1, rounds, s.servers[at], figure, s.unit))
			}
		}
		k.judge(latencies)
		all = append(all, k)
	}
	screen.done()
	if c.Output.JSON {
		e := json.NewEncoder(c.Out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	return writeComparisons(c.Out, all)
}

// one measures one server under one shape.
func (c *Command) one(ctx context.Context, s *loadShape, server string) (*Result, error) {
	own := *c
	l := s.load(server)
	l.Payload, l.Warm, l.Settle, l.Window, l.Workers = c.Load.Payload, c.Load.Warm, c.Load.Settle, c.Load.Window, c.Load.Workers
	own.Scenario, own.Load = s.scenario, l
	if c.Quick {
		own.Load.Duration, own.Load.Conns, own.Load.Channels = time.Second, 100, min(l.Channels, 10)
	}
	if server != ours {
		own.Target.Peer = server
	} else if s.tokens {
		path, err := newSecret()
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.Remove(path) }() // in the folder for temporary files
		own.Target.Secret = path
	}
	t, err := own.target(ctx)
	if err != nil {
		return nil, err
	}
	defer t.stop()
	r, err := own.run(ctx, t)
	if err == nil {
		err = r.Err()
	}
	return r, err
}

// newSecret writes a fresh secret into a file.
func newSecret() (path string, err error) {
	f, err := os.CreateTemp("", "carillon-bench-secret-")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(rand.Text() + rand.Text())
	if e := f.Close(); err == nil {
		err = e
	}
	return f.Name(), err
}

// judge computes medians, and Carillon's ratio to each server within each round.
func (k *Comparison) judge(latencies [][]float64) {
	at := slices.IndexFunc(k.Servers, func(s Side) bool { return s.Server == ours })
	for i := range k.Servers {
		s := &k.Servers[i]
		s.Median, s.P99 = median(s.Figures), median(latencies[i])
		if i == at {
			continue
		}
		for round, f := range s.Figures {
			if f > 0 {
				s.Ratios = append(s.Ratios, k.Servers[at].Figures[round]/f)
			}
		}
		s.Ratio = median(s.Ratios)
	}
}

func median(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(vs))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func writeComparisons(w io.Writer, all []*Comparison) error {
	for _, k := range all {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintf(t, "%s: %s (%s is better)\tmedian\tlowest\thighest\tp99 ms\tcarillon is\tfrom\tto\n", k.Shape, k.Unit, k.Better)
		for _, s := range k.Servers {
			_, _ = fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.1f", s.Server, s.Median, slices.Min(s.Figures), slices.Max(s.Figures), s.P99)
			if len(s.Ratios) > 0 {
				_, _ = fmt.Fprintf(t, "\t%.2f ×\t%.2f\t%.2f", s.Ratio, slices.Min(s.Ratios), slices.Max(s.Ratios))
			} else {
				_, _ = fmt.Fprint(t, "\t\t\t")
			}
			_, _ = fmt.Fprintln(t)
		}
		_, _ = fmt.Fprintln(t)
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}
