package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html
var reportPage string

// WriteHTML writes a report that is one file: nothing in it is fetched from anywhere.
func (r *Result) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"ms": milliseconds, "count": thousands, "mega": mega,
		"shape": drawShape, "series": drawSeries,
		"when": func(t time.Time) string { return t.Format("2 January 2006, 15:04 UTC") },
	}).Parse(reportPage)
	if err != nil {
		return fmt.Errorf("the page of the report: %w", err)
	}
	return t.Execute(w, r)
}

// Verdict is what the reader is to know first.
func (r *Result) Verdict() string {
	if err := r.Err(); err != nil {
		return err.Error()
	}
	return "Every message came once and in order, or its absence was told."
}

// Good tells whether the verdict is good.
func (r *Result) Good() bool { return r.Err() == nil }

func milliseconds(ms float64) string {
	switch {
	case ms == 0:
		return "–"
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f", ms)
	}
	return thousands(ms)
}

func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u2009" + s[i:]
	}
	return s
}

// drawShape draws a distribution: to the right, ever rarer; upwards, slower, both by factors.
func drawShape(qs []Quantile) template.HTML {
	if len(qs) < 2 {
		return ""
	}
	top, floor := qs[len(qs)-1].Ms, qs[0].Ms
	rarest := 1.0
	for _, q := range qs {
		if q.Share < 1 {
			rarest = 1 / (1 - q.Share)
		}
	}
	c := newChart(scaleBy(1, rarest*1.6), scaleBy(max(floor/1.5, 0.001), top*1.3))
	for n, name := 1.0, 0; n <= rarest; n, name = n*10, name+1 {
		c.column(n, rareName(name))
	}
	for v := 0.001; v <= top*1.3; v *= 10 {
		c.row(v, milliseconds(v)+" ms")
	}
	var path []xy
	for _, q := range qs {
		rare := rarest * 1.6
		if q.Share < 1 {
			rare = 1 / (1 - q.Share)
		}
		path = append(path, xy{rare, q.Ms})
	}
	c.line("latency", path)
	return c.svg("Distribution of latency: share of messages to the right, milliseconds upwards, both by factors of ten")
}

func rareName(n int) string {
	switch n {
	case 0:
		return "all"
	case 1:
		return "90 %"
	case 2:
		return "99 %"
	}
	return "99." + strings.Repeat("9", n-2) + " %"
}

// drawSeries draws one figure of a phase over time.
func drawSeries(ps []Point, what string) template.HTML {
	if len(ps) < 2 {
		return ""
	}
	figures := map[string][]struct {
		class string
		of    func(*Point) float64
	}{
		"latency":   {{"p50", func(p *Point) float64 { return p.P50 }}, {"p99", func(p *Point) float64 { return p.P99 }}},
		"delivered": {{"rate", func(p *Point) float64 { return p.Delivered }}},
		"cpu":       {{"cpu", func(p *Point) float64 { return p.ServerCPU }}},
	}
	lines := figures[what]
	top := 0.0
	for i := range ps {
		for _, l := range lines {
			top = max(top, l.of(&ps[i]))
		}
	}
	if top == 0 {
		return ""
	}
	end := ps[len(ps)-1].At
	c := newChart(scale(0, end), scale(0, top*1.1))
	for _, v := range ticks(end) {
		c.column(v, fmt.Sprintf("%g s", v))
	}
	for _, v := range ticks(top * 1.1) {
		c.row(v, axisName(v, what))
	}
	for _, l := range lines {
		var path []xy
		for i := range ps {
			path = append(path, xy{ps[i].At, l.of(&ps[i])})
		}
		c.line(l.class, path)
	}
	return c.svg(what + " over time")
}

func axisName(v float64, what string) string {
	switch what {
	case "latency":
		return fmt.Sprintf("%g ms", v)
	case "cpu":
		return fmt.Sprintf("%g cores", v)
	}
	return thousands(v)
}
