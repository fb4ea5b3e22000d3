package scrape

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/observe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// everything is a Registry with every series there can be.
func everything() *observe.Registry {
	r := observe.NewRegistry()
	for _, m := range observe.Catalogue() {
		if m.Kind != observe.KindHistogram {
			r.Each(m, func(put func(float64, ...observe.Value)) {
				each(m.Labels, nil, func(values []observe.Value) { put(3, values...) })
			})
			continue
		}
		each(m.Labels, nil, func(values []observe.Value) {
			if strings.HasSuffix(m.Name, "_records") {
				s := observe.NewSizes()
				for n := range 200 {
					s.Record(n)
				}
				r.Sizes(m, s, values...)
				return
			}
			h := observe.NewHistogram()
			for n := range 200 {
				h.Record(time.Duration(n) * time.Millisecond)
			}
			h.Record(time.Hour)
			r.Histogram(m, h, values...)
		})
	}
	return r
}

func each(labels []*observe.Label, chosen []observe.Value, visit func([]observe.Value)) {
	if len(labels) == 0 {
		visit(chosen)
		return
	}
	for _, v := range labels[0].Values() {
		each(labels[1:], append(slices.Clone(chosen), labels[0].Value(v)), visit)
	}
}

func scrape(t *testing.T, url, accept string) (map[string]*dto.MetricFamily, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %s: %s", err, resp.Status, body)
	}
	families := map[string]*dto.MetricFamily{}
	if strings.Contains(accept, "openmetrics") {
		return nil, string(body)
	}
	d := expfmt.NewDecoder(strings.NewReader(string(body)), expfmt.ResponseFormat(resp.Header))
	for {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); err == io.EOF {
			return families, string(body)
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = f
	}
}

// TestExposition: what a server of Prometheus reads is what the catalogue says, in every format, and linted.
func TestExposition(t *testing.T) {
	h, err := Handler(everything(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	text, body := scrape(t, server.URL, "text/plain")
	for _, m := range observe.Catalogue() {
		if err := check(m, text[m.Name]); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	for _, name := range []string{"go_memstats_heap_alloc_bytes", "go_goroutines", "process_open_fds", "go_build_info"} {
		if text[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	ours := map[string]bool{}
	for name := range text {
		ours[name] = strings.HasPrefix(name, "carillon_")
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if ours[p.Metric] {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	if _, om := scrape(t, server.URL, "application/openmetrics-text; version=1.0.0"); !strings.HasSuffix(om, "# EOF\n") || !strings.Contains(om, "carillon_publish_write_seconds_bucket") {
		t.Error("no OpenMetrics")
	}
	native, _ := scrape(t, server.URL, "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
	checkNative(t, native["carillon_publish_write_seconds"].GetMetric()[0].GetHistogram())
}

var kinds = map[observe.Kind]dto.MetricType{
	observe.KindCounter: dto.MetricType_COUNTER, observe.KindGauge: dto.MetricType_GAUGE, observe.KindHistogram: dto.MetricType_HISTOGRAM,
}

// check compares a family with its row of the catalogue.
func check(m *observe.Metric, f *dto.MetricFamily) error {
	if f == nil {
		return fmt.Errorf("is missing")
	}
	if f.GetType() != kinds[m.Kind] || f.GetHelp() != m.Help+"." {
		return fmt.Errorf("is a %v with help %q", f.GetType(), f.GetHelp())
	}
	want := 1
	for _, l := range m.Labels {
		want *= len(l.Values())
	}
	if len(f.Metric) != want {
		return fmt.Errorf("has %d series, want %d", len(f.Metric), want)
	}
	for _, s := range f.Metric {
		if len(s.Label) != len(m.Labels) {
			return fmt.Errorf("has labels %v", s.Label)
		}
		for _, pair := range s.Label {
			i := slices.IndexFunc(m.Labels, func(l *observe.Label) bool { return l.Name() == pair.GetName() })
			if i < 0 || !slices.Contains(m.Labels[i].Values(), pair.GetValue()) {
				return fmt.Errorf("has label %v", pair)
			}
		}
		if h := s.GetHistogram(); h != nil {
			if err := checkClassic(h); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkClassic(h *dto.Histogram) error {
	last := uint64(0)
	for _, b := range h.Bucket {
		if b.GetCumulativeCount() < last {
			return fmt.Errorf("bucket %v holds less than the one before", b.GetUpperBound())
		}
		last = b.GetCumulativeCount()
	}
	end := h.Bucket[len(h.Bucket)-1]
	if len(h.Bucket) != 28 || !math.IsInf(end.GetUpperBound(), 1) || last != h.GetSampleCount() || last < 200 {
		return fmt.Errorf("%d buckets, the last at %v holds %d of %d", len(h.Bucket), end.GetUpperBound(), last, h.GetSampleCount())
	}
	return nil
}

// checkNative wants the native form of 0 to 199 ms and an hour, beside the classic one.
func checkNative(t *testing.T, h *dto.Histogram) {
	t.Helper()
	if h.GetSchema() != observe.Schema || len(h.Bucket) < 27 || h.GetZeroCount() != 1 || h.GetCreatedTimestamp() == nil {
		t.Fatalf("schema %d, %d classic buckets, %d zero", h.GetSchema(), len(h.Bucket), h.GetZeroCount())
	}
	index, count, sum, i := int32(0), int64(0), h.GetZeroCount(), 0
	for _, span := range h.PositiveSpan {
		index += span.GetOffset()
		for range span.GetLength() {
			count += h.PositiveDelta[i]
			low, high := math.Exp2(float64(index-1)/4), math.Exp2(float64(index)/4)
			want := int64(0)
			for ms := 1; ms < 200; ms++ {
				if v := float64(ms) * 1e-3; v > low && v <= high {
					want++
				}
			}
			if high > 64 {
				want = 1 // the hour, in the last bucket
			}
			if count != want {
				t.Errorf("bucket %d (%v to %v) holds %d, want %d", index, low, high, count, want)
			}
			sum += uint64(count)
			index, i = index+1, i+1
		}
	}
	if sum != 201 || h.GetSampleCount() != 201 {
		t.Errorf("%d in buckets of %d", sum, h.GetSampleCount())
	}
}

// TestWrongValuesAreSeen: a checker that never finds anything proves nothing.
func TestWrongValuesAreSeen(t *testing.T) {
	p := prometheus.NewRegistry()
	if err := p.Register(NewCollector(everything())); err != nil {
		t.Fatal(err)
	}
	families, err := p.Gather()
	if err != nil {
		t.Fatal(err)
	}
	m := observe.PublishAck
	f := families[slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == m.Name })]
	f.Metric[0].Histogram.Bucket = append(f.Metric[0].Histogram.Bucket, &dto.Bucket{
		CumulativeCount: f.Metric[0].Histogram.SampleCount, UpperBound: new(math.Inf(1)),
	})
	for _, series := range f.Metric[1:] {
		series.Histogram.Bucket = f.Metric[0].Histogram.Bucket
	}
	if err := check(m, f); err != nil {
		t.Fatal(err)
	}
	good := f.Metric[0].Label[0].Value
	for what, plant := range map[string]func(){
		"a foreign label value": func() { f.Metric[0].Label[0].Value = new("ann") },
		"a bucket that shrinks": func() { f.Metric[0].Histogram.Bucket[20].CumulativeCount = new(uint64(1)) },
		"a missing series":      func() { f.Metric = f.Metric[:1] },
		"a changed help":        func() { f.Help = new("Something else.") },
	} {
		bucket, series, help := f.Metric[0].Histogram.Bucket[20].CumulativeCount, f.Metric, f.Help
		plant()
		if check(m, f) == nil {
			t.Errorf("%s passes", what)
		}
		f.Metric, f.Help = series, help
		f.Metric[0].Histogram.Bucket[20].CumulativeCount, f.Metric[0].Label[0].Value = bucket, good
	}
	if !model.LegacyValidation.IsValidMetricName(m.Name) {
		t.Error("the name needs quoting")
	}
}

func BenchmarkScrape(b *testing.B) {
	h, err := Handler(everything(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), req)
	}
}
