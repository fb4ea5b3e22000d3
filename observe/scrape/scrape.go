// Package scrape shows an observe.Registry to Prometheus. It hides the client library: nobody else speaks its types, and
// what counts something needs none of it. It adds the metrics of the Go runtime and of the process. Each scrape reads
// the Registry once; between scrapes it costs nothing. Start with Handler.
package scrape

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"carillon/observe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// Bounds of the endpoint.
const (
	maxScrapes = 4                // at a time; more are answered 503
	timeout    = 10 * time.Second // for one
)

// Handler answers scrapes with what r holds, in the text format of Prometheus, in OpenMetrics, or, with native
// histograms, in protocol buffers: as the client asks. It belongs on the internal listener only.
func Handler(r *observe.Registry, log *slog.Logger) (http.Handler, error) {
	p := prometheus.NewPedanticRegistry()
	err := errors.Join(
		p.Register(NewCollector(r)),
		p.Register(collectors.NewGoCollector()),
		p.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		p.Register(collectors.NewBuildInfoCollector()),
	)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return promhttp.HandlerFor(p, promhttp.HandlerOpts{
		ErrorLog: logger{log}, ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true,
		MaxRequestsInFlight: maxScrapes, Timeout: timeout,
	}), nil
}

type logger struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l logger) Println(v ...any) { l.log.Warn("scrape failed", "error", fmt.Sprint(v...)) }

// Collector is a prometheus.Collector over a Registry.
type Collector struct {
	registry *observe.Registry
	born     time.Time
}

// NewCollector makes a Collector. Metrics may be added to the Registry afterwards.
func NewCollector(r *observe.Registry) *Collector {
	return &Collector{registry: r, born: time.Now()}
}

// Describe implements prometheus.Collector. It describes nothing: the Registry has checked its metrics already, and may
// still grow.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	for _, f := range c.registry.Gather() {
		desc := prometheus.NewDesc(f.Metric.Name, f.Metric.Help+".", f.Metric.Names(), nil)
		for i := range f.Series {
			m, err := c.metric(desc, f.Metric.Kind, &f.Series[i])
			if err != nil {
				m = prometheus.NewInvalidMetric(desc, err)
			}
			out <- m
		}
	}
}

func (c *Collector) metric(desc *prometheus.Desc, k observe.Kind, s *observe.Series) (prometheus.Metric, error) {
	values := make([]string, len(s.Values))
	for i, v := range s.Values {
		values[i] = v.String()
	}
	switch k {
	case observe.KindCounter:
		return prometheus.NewConstMetricWithCreatedTimestamp(desc, prometheus.CounterValue, s.Number, c.born, values...)
	case observe.KindGauge:
		return prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.Number, values...)
	}
	return c.histogram(desc, s.Snapshot, values)
}

// histogram shows a distribution both ways: in classic buckets, and in native ones for a server that takes them.
func (c *Collector) histogram(desc *prometheus.Desc, s *observe.Snapshot, values []string) (prometheus.Metric, error) {
	bounds, cumulative := s.Classic()
	classic := make(map[float64]uint64, len(bounds))
	for i, b := range bounds {
		classic[b] = cumulative[i]
	}
	old, err := prometheus.NewConstHistogram(desc, s.Count, s.Sum, classic, values...)
	if err != nil {
		return nil, err
	}
	zero, positive := s.Native()
	native, err := prometheus.NewConstNativeHistogram(desc, s.Count, s.Sum, positive, nil, zero, observe.Schema, s.Unit.Lowest(), c.born, values...)
	if err != nil {
		return nil, err
	}
	return both{native, old}, nil
}

// both is a histogram in classic and native buckets at once, which the library makes only of histograms of its own.
type both struct {
	prometheus.Metric
	classic prometheus.Metric
}

// Write implements prometheus.Metric.
func (b both) Write(out *dto.Metric) error {
	if err := b.Metric.Write(out); err != nil {
		return err
	}
	var old dto.Metric
	if err := b.classic.Write(&old); err != nil {
		return err
	}
	out.Histogram.Bucket = old.Histogram.Bucket
	return nil
}
