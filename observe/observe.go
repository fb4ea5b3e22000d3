// Package observe is how a node is watched: counters, gauges and histograms cheap enough for the hot path, the table of
// all metrics (catalogue.go, from which docs/metrics.md is made), a Registry that reads them when somebody asks, and a
// log that leaks no secret and cannot be flooded. A label has a closed list of values, so that no client can make the
// number of series grow. It knows no Prometheus (observe/scrape does), opens no socket and holds no global state: node
// makes a Registry and says where each value comes from. Start with Registry, then Histogram.
package observe

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// maxStripes bounds how far a counter is spread out against processors that fight over a cache line.
const maxStripes = 8

// stripeCount is a power of two, enough for the processors there are.
func stripeCount() int {
	n := min(runtime.GOMAXPROCS(0), maxStripes)
	return 1 << bits.Len(uint(n-1))
}

// stripe picks one of n stripes, a power of two, by the stack of the calling goroutine: the same goroutine mostly gets
// the same one, and goroutines spread evenly.
func stripe(n int) int {
	var here byte
	h := uint64(uintptr(unsafe.Pointer(&here))>>11) * 0x9e3779b97f4a7c15
	return int(h>>56) & (n - 1)
}

// line is a number alone on its cache line, and on that which processors fetch along with it.
type line struct {
	n atomic.Uint64
	_ [120]byte
}

// Counter counts up from many goroutines at once. The zero Counter is ready; a nil one counts nothing. It takes 1 KiB:
// where one goroutine counts, or counting is rare, an atomic.Uint64 does as well.
type Counter struct{ stripes [maxStripes]line }

// Add counts n more.
func (c *Counter) Add(n uint64) {
	if c != nil {
		c.stripes[stripe(maxStripes)].n.Add(n)
	}
}

// Load returns the count. It never goes back.
func (c *Counter) Load() (sum uint64) {
	if c == nil {
		return 0
	}
	for i := range c.stripes {
		sum += c.stripes[i].n.Load()
	}
	return sum
}

// Gauge is a number that goes up and down. The zero Gauge is ready; a nil one is always 0.
type Gauge struct{ n atomic.Int64 }

// Add changes the number by n.
func (g *Gauge) Add(n int64) {
	if g != nil {
		g.n.Add(n)
	}
}

// Set replaces the number.
func (g *Gauge) Set(n int64) {
	if g != nil {
		g.n.Store(n)
	}
}

// Load returns the number.
func (g *Gauge) Load() int64 {
	if g == nil {
		return 0
	}
	return g.n.Load()
}

// Counters is one count for each combination of values of some labels. A nil Counters counts nothing.
type Counters struct {
	labels []*Label
	cells  []atomic.Uint64
}

// NewCounters makes the counters of a metric, one for each combination of the values of its labels.
func NewCounters(m *Metric) *Counters {
	n := 1
	for _, l := range m.Labels {
		n *= len(l.values)
	}
	return &Counters{labels: m.Labels, cells: make([]atomic.Uint64, n)}
}

// Add counts n more for these values, in the order of the metric's labels.
func (c *Counters) Add(n uint64, values ...Value) {
	if c != nil {
		c.cells[place(c.labels, values)].Add(n)
	}
}

// Load returns one of the counts.
func (c *Counters) Load(values ...Value) uint64 {
	if c == nil {
		return 0
	}
	return c.cells[place(c.labels, values)].Load()
}

// place numbers the combinations of values. Values of other labels are a mistake in the program.
func place(labels []*Label, values []Value) (at int) {
	if len(values) != len(labels) {
		panic("observe: a series needs one value for each label")
	}
	for i, v := range values {
		if v.label != labels[i] {
			panic("observe: a value of another label than " + labels[i].name)
		}
		at = at*len(labels[i].values) + v.at
	}
	return at
}

// unplace is the inverse of place.
func unplace(labels []*Label, at int) []Value {
	values := make([]Value, len(labels))
	for i := len(labels) - 1; i >= 0; i-- {
		n := len(labels[i].values)
		values[i] = Value{labels[i], at % n}
		at /= n
	}
	return values
}
