package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a scenario found.
type Result struct {
	Scenario string    `json:"scenario"`
	Server   string    `json:"server"`
	Protocol string    `json:"protocol"`
	Payload  int       `json:"payload"` // bytes
	Began    time.Time `json:"began"`
	Command  string    `json:"command"`
	Phases   []*Phase  `json:"phases"`
	Notes    []string  `json:"notes,omitempty"`

	idle    float64 // KB resident per idle connection
	publish float64 // µs of CPU of a publish that nobody hears
	share   float64 // of such publishes in a delivery
}

// Phase is a stretch of a run that was measured by itself. Rates and CPU are of its window, percentiles also of what
// arrived later; counts are since the connections were opened.
type Phase struct {
	Name        string  `json:"name"`
	Seconds     float64 `json:"seconds"`
	Connections int     `json:"connections"`
	Asked       float64 `json:"asked_per_second,omitempty"`     // messages to be published
	Published   float64 `json:"published_per_second,omitempty"` // and those that were
	Delivered   float64 `json:"delivered_per_second,omitempty"`
	PerDelivery float64 `json:"server_cpu_us_per_delivery,omitempty"`
	PerPublish  float64 `json:"server_cpu_us_per_publish,omitempty"`
	PerOpened   float64 `json:"server_cpu_us_per_opened,omitempty"`
	PerIdle     float64 `json:"server_cpu_us_per_connection_second,omitempty"`
	Machine
	Service
	Latency  Spread     `json:"latency"`
	Beside   Spread     `json:"beside"`   // of what is measured apart
	Lateness Spread     `json:"lateness"` // of the generator's own sends
	Opened   Spread     `json:"opened"`   // opening a connection
	Count    Count      `json:"count"`
	Side     Count      `json:"side"`
	Refused  uint64     `json:"refused,omitempty"`
	Refusal  string     `json:"refusal,omitempty"`
	Flooded  bool       `json:"flooded,omitempty"` // what was on its way at the end was given up on purpose
	Series   []Point    `json:"series,omitempty"`
	Shape    []Quantile `json:"shape,omitempty"` // of Latency

	sums
}

// Machine is what a phase cost.
type Machine struct {
	ServerCPU float64 `json:"server_cpu"` // cores
	ClientCPU float64 `json:"client_cpu"` // cores
	Stolen    float64 `json:"stolen"`     // cores of this machine that others on the same hardware had meanwhile
	Resident  int64   `json:"resident"`   // bytes of the server, at the end
	Sockets   int64   `json:"sockets"`    // bytes of all TCP buffers of the machine, at the end
	Slab      int64   `json:"slab"`       // bytes of the kernel's own structs, at the end
	Unsent    int64   `json:"unsent"`     // bytes in the server's send queues, where a scenario asks
}

// Service is how commands were answered in a phase.
type Service struct {
	Answered float64  `json:"answered_per_second,omitempty"` // commands, each once
	Commands Commands `json:"commands"`
	Replies  Spread   `json:"replies"` // from due to the final answer
	Whole    Spread   `json:"whole"`   // from due until the last member of the room had the message
}

// Spread is a distribution of times, in milliseconds.
type Spread struct {
	N    int64   `json:"n"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Quantile is a point of a distribution: this share of all took at most so many milliseconds.
type Quantile struct {
	Share float64 `json:"share"`
	Ms    float64 `json:"ms"`
}

// Point is one second of a phase.
type Point struct {
	At        float64 `json:"at"` // seconds since the phase began
	Delivered float64 `json:"delivered_per_second"`
	P50       float64 `json:"p50"` // ms
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
	ServerCPU float64 `json:"server_cpu"` // cores
	Resident  int64   `json:"resident"`   // bytes
	Sockets   int64   `json:"sockets"`
	Open      int     `json:"open"`
}

func spread(h *hdrhistogram.Histogram) Spread {
	if h.TotalCount() == 0 {
		return Spread{}
	}
	q := func(p float64) float64 { return float64(h.ValueAtQuantile(p)) / 1000 }
	return Spread{N: h.TotalCount(), P50: q(50), P95: q(95), P99: q(99), P999: q(99.9), Max: float64(h.Max()) / 1000}
}

// shape gives the distribution at steps that halve what is left, as percentile plots do.
func shape(h *hdrhistogram.Histogram) (qs []Quantile) {
	if h.TotalCount() == 0 {
		return nil
	}
	const steps = 4 // to each halving
	for left, floor := 1.0, 1/float64(h.TotalCount()); left > floor/2 && len(qs) < 25*steps; {
		for i := range steps {
			share := 1 - left + left/2*float64(i)/steps
			qs = append(qs, Quantile{share, float64(h.ValueAtQuantile(100*share)) / 1000})
		}
		left /= 2
	}
	return append(qs, Quantile{1, float64(h.Max()) / 1000})
}

// Err says what is wrong with the receipts, nil where nothing is.
func (r *Result) Err() error {
	var all []error
	for _, p := range r.Phases {
		count, side := p.Count, p.Side
		if p.Flooded {
			count.Missing, side.Missing = 0, 0
		}
		for _, err := range []error{count.Err(), side.Err(), p.Commands.Err()} {
			if err != nil {
				all = append(all, fmt.Errorf("%s: %w", p.Name, err))
			}
		}
	}
	return errors.Join(all...)
}
