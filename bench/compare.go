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
	tokens   bool      // Carillon checks a token of every connection
	measures []measure // each makes a table
}

// measure is a figure of a run.
type measure struct {
	unit   string
	better string // "less" or "more"
	figure func(*Result) float64
}

const ours = "carillon"

var everyServer = []string{"bare", ours, "ws", "gws", "socketio"}

// loadShapes are what the table of the comparison has rows for.
func loadShapes() []loadShape {
	steady := func(rate float64) func(string) Load {
		return func(string) Load { return Load{Rate: rate, Duration: 5 * time.Second} }
	}
	floor := []string{"bare", ours}
	rooms := func(rate float64) func(string) Load {
		return func(string) Load { return Load{Rate: rate, Channels: 500, Duration: 4 * time.Second} }
	}
	cost := []measure{{"µs of CPU per delivery", "less", func(r *Result) float64 { return lastPhase(r).PerDelivery }}}
	apart := []measure{
		{"µs of CPU per delivery, without what the publishes cost", "less", func(r *Result) float64 { return lastPhase(r).PerDelivery - r.share }},
		{"µs of CPU per publish that nobody hears", "less", func(r *Result) float64 { return r.publish }},
	}
	delivered := measure{"1,000 deliveries a second", "more", func(r *Result) float64 { return lastPhase(r).Delivered / 1000 }}
	late := measure{"ms until 99 of 100 have it", "less", func(r *Result) float64 { return lastPhase(r).Latency.P99 }}
	opened := measure{"µs of CPU per connection", "less", func(r *Result) float64 { return lastPhase(r).PerOpened }}
	pace := measure{"ms of time per 1,000 connections", "less", func(r *Result) float64 { return lastPhase(r).Seconds * 1e6 / float64(lastPhase(r).Connections) }}
	kept := measure{"KB resident per connection", "less", func(r *Result) float64 { return r.idle }}
	return []loadShape{
		{"fanout-10", everyServer, "fanout", steady(10), false, cost},
		{"fanout-25", floor, "fanout", steady(25), false, cost},
		{"flood", everyServer, "fanout", flood, false, []measure{delivered}},
		{"latency", floor, "fanout", steady(halfway), false, []measure{late}},
		{"rooms-2000", floor, "rooms", rooms(2000), false, apart},
		{"rooms-5000", floor, "rooms", rooms(5000), false, apart},
		{"rooms-20000", floor, "rooms", rooms(20_000), false, []measure{delivered}},
		{"connect", everyServer, "connect", connecting, true, []measure{opened, pace}},
		{"idle", everyServer, "idle", idling, false, []measure{kept}},
	}
}

// halfway is half of the messages a second with which the bare loop is saturated at 5,000 subscribers.
const halfway = 17

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
		ks := make([]*Comparison, len(s.measures))
		for m := range ks {
			ks[m] = &Comparison{Shape: s.name, Unit: s.measures[m].unit, Better: s.measures[m].better}
			for _, name := range s.servers {
				ks[m].Servers = append(ks[m].Servers, Side{Server: name})
			}
		}
		latencies := make([][]float64, len(s.servers))
		for round := range rounds {
			for i := range s.servers {
				at := (i + round) % len(s.servers) // nobody is always the first
				r, err := c.one(ctx, &s, s.servers[at])
				if err != nil {
					return fmt.Errorf("%s of %s: %w", s.name, s.servers[at], err)
				}
				latencies[at] = append(latencies[at], lastPhase(r).Latency.P99)
				for m, k := range ks {
					figure := s.measures[m].figure(r)
					k.Servers[at].Figures = append(k.Servers[at].Figures, figure)
					screen.line(fmt.Sprintf("%s, round %d of %d: %s %.2f %s", s.name, round+1, rounds, s.servers[at], figure, k.Unit))
				}
			}
		}
		for _, k := range ks {
			k.judge(latencies)
		}
		all = append(all, ks...)
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
