package observe

import (
	"fmt"
	"sync"
	"time"
)

// Registry knows where the value of each metric comes from, and reads them when asked. node makes one and wires it;
// a mistake in that wiring (a wrong kind, a value of another label, a series twice) panics at the start.
type Registry struct {
	mu      sync.Mutex
	sources []source
	taken   map[series]bool
}

type source struct {
	metric *Metric
	gather func(*Family)
}

type series struct {
	metric *Metric
	place  int // -1: all of them
}

// Family is one metric with its present series.
type Family struct {
	Metric *Metric
	Series []Series
}

// Series is one value of a metric: Number, or for a histogram Snapshot.
type Series struct {
	Values   []Value // in the order of the metric's labels
	Number   float64
	Snapshot *Snapshot
}

// NewRegistry makes an empty Registry.
func NewRegistry() *Registry { return &Registry{taken: make(map[series]bool)} }

// Count has a counter read from a function, which must never go back and is called at each reading.
func (r *Registry) Count(m *Metric, read func() uint64, values ...Value) {
	r.add(m, KindCounter, values, func(s *Series) { s.Number = float64(read()) })
}

// Time has a counter of seconds read from a function.
func (r *Registry) Time(m *Metric, read func() time.Duration, values ...Value) {
	r.add(m, KindCounter, values, func(s *Series) { s.Number = read().Seconds() })
}

// Gauge has a gauge read from a function.
func (r *Registry) Gauge(m *Metric, read func() float64, values ...Value) {
	r.add(m, KindGauge, values, func(s *Series) { s.Number = read() })
}

// Histogram has a histogram of durations read.
func (r *Registry) Histogram(m *Metric, h *Histogram, values ...Value) {
	r.add(m, KindHistogram, values, func(s *Series) { v := h.Snapshot(); s.Snapshot = &v })
}

// Sizes has a histogram of sizes read.
func (r *Registry) Sizes(m *Metric, h *Sizes, values ...Value) {
	r.add(m, KindHistogram, values, func(s *Series) { v := h.Snapshot(); s.Snapshot = &v })
}

// Counters has a counter read with all combinations of its labels' values.
func (r *Registry) Counters(m *Metric, c *Counters) {
	r.claim(m, KindCounter, -1)
	r.append(m, func(f *Family) {
		for i := range c.cells {
			f.Series = append(f.Series, Series{Values: unplace(m.Labels, i), Number: float64(c.cells[i].Load())})
		}
	})
}

// Each has a counter or a gauge read as a whole: read calls put for the combinations of values it knows, and what is
// put twice is added up. The others are not shown.
func (r *Registry) Each(m *Metric, read func(put func(v float64, values ...Value))) {
	if m.Kind == KindHistogram {
		panic("observe: " + m.Name + " is a histogram")
	}
	r.claim(m, m.Kind, -1)
	r.append(m, func(f *Family) {
		at := make(map[int]int)
		read(func(v float64, values ...Value) {
			p := place(m.Labels, values)
			i, ok := at[p]
			if !ok {
				i = len(f.Series)
				at[p] = i
				f.Series = append(f.Series, Series{Values: unplace(m.Labels, p)})
			}
			f.Series[i].Number += v
		})
	})
}

func (r *Registry) add(m *Metric, k Kind, values []Value, read func(*Series)) {
	at := place(m.Labels, values)
	r.claim(m, k, at)
	fixed := unplace(m.Labels, at)
	r.append(m, func(f *Family) {
		s := Series{Values: fixed}
		read(&s)
		f.Series = append(f.Series, s)
	})
}

func (r *Registry) claim(m *Metric, k Kind, place int) {
	if m.Kind != k {
		panic(fmt.Sprintf("observe: %s is a %s, not a %s", m.Name, m.Kind, k))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all, this := series{m, -1}, series{m, place}
	if r.taken[all] || r.taken[this] || place < 0 && r.has(m) {
		panic("observe: " + m.Name + " is read from two places")
	}
	r.taken[this] = true
}

// has tells whether there is a source for any series of a metric; r.mu is held.
func (r *Registry) has(m *Metric) bool {
	for _, s := range r.sources {
		if s.metric == m {
			return true
		}
	}
	return false
}

func (r *Registry) append(m *Metric, gather func(*Family)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources = append(r.sources, source{m, gather})
}

// Gather reads everything, metrics in the order in which they were first named.
func (r *Registry) Gather() []Family {
	r.mu.Lock()
	sources := r.sources[:len(r.sources):len(r.sources)]
	r.mu.Unlock()
	var families []Family
	at := make(map[*Metric]int)
	for _, s := range sources {
		i, ok := at[s.metric]
		if !ok {
			i = len(families)
			at[s.metric] = i
			families = append(families, Family{Metric: s.metric})
		}
		s.gather(&families[i])
	}
	return families
}

// Unread lists the metrics of a catalogue that nothing is read for yet.
func (r *Registry) Unread(catalogue []*Metric) (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range catalogue {
		if !r.has(m) {
			names = append(names, m.Name)
		}
	}
	return names
}
