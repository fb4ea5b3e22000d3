package observe

import (
	"fmt"
	"strings"
)

// Document writes the catalogue as a page in Markdown.
func Document(catalogue []*Metric) string {
	var b strings.Builder
	b.WriteString(`# Metrics

The internal listener serves these at ` + "`/metrics`" + ` in the text format of Prometheus and in OpenMetrics. This page is made
from the table in the code by ` + "`go test ./observe -run TestDocument -update`" + `.

Every label has a closed list of values, so the number of series has a bound that no client can raise: ` +
		fmt.Sprintf("%d series\nof %d metrics", seriesCount(catalogue), len(catalogue)) + ` on this page, a histogram counted as one. Names say the unit. Counters begin at 0 with the process.

Histograms have a classic bucket at every power of two, from 2⁻²⁰ s (0.95 µs) to 64 s, or from 1 to 67,108,864 for
records. A server that scrapes native histograms gets four buckets for each of these (schema 2).

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for _, m := range catalogue {
		labels := "–"
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Names(), "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s. |\n", m.Name, m.Kind, labels, m.Help)
	}
	b.WriteString("\n## Labels\n\n| label | of | values |\n|---|---|---|\n")
	seen := map[*Label]bool{}
	for _, m := range catalogue {
		for _, l := range m.Labels {
			if !seen[l] {
				seen[l] = true
				fmt.Fprintf(&b, "| `%s` | %s | `%s` |\n", l.name, strings.Join(users(catalogue, l), ", "), strings.Join(l.values, "` `"))
			}
		}
	}
	b.WriteString(`
## Of the Go runtime and the process

The usual ` + "`go_…` and `process_…`" + ` metrics are there too: heap and garbage collection, goroutines, scheduling, open files,
processor time, and ` + "`go_build_info`" + ` with the version.
`)
	return b.String()
}

func seriesCount(catalogue []*Metric) (sum int) {
	for _, m := range catalogue {
		n := 1
		for _, l := range m.Labels {
			n *= len(l.values)
		}
		sum += n
	}
	return sum
}

// users are the metrics that have a label.
func users(catalogue []*Metric, l *Label) (names []string) {
	for _, m := range catalogue {
		for _, have := range m.Labels {
			if have == l {
				names = append(names, "`"+m.Name+"`")
			}
		}
	}
	return names
}
