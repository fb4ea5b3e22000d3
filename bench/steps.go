package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Metrics of a server that say where the time of a command goes.
const (
	waitMetric  = "carillon_service_wait_seconds"
	stepMetric  = "carillon_service_step_seconds"
	storeMetric = "carillon_service_store_seconds"
)

const metricsTime = 5 * time.Second // for a server to tell its metrics

// spent is the time that a server has spent on something, and how often.
type spent struct{ seconds, count float64 }

// steps are the times of a server so far; nil: it does not tell them.
type steps map[string]spent

// steps asks the internal listeners of a server that was started here; of several nodes it adds up what they say.
func (t *target) steps(ctx context.Context) (steps, error) {
	nodes := t.nodes
	if len(nodes) == 0 {
		nodes = []*target{t}
	}
	s := steps{}
	for _, n := range nodes {
		if n.inside == "" {
			return nil, nil
		}
		if err := s.ask(ctx, n.inside); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ask adds what a server says of itself.
func (s steps) ask(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, metricsTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("metrics of the server: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		metric, part, _ := cutLast(name, "_")
		if metric != waitMetric && metric != stepMetric && metric != storeMetric {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		was := s[metric]
		switch part {
		case "sum":
			was.seconds += v
		case "count":
			was.count += v
		}
		s[metric] = was
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// since is the mean time of a metric between two looks, in milliseconds.
func (s steps) since(before steps, metric string) float64 {
	now, was := s[metric], before[metric]
	if now.count == was.count {
		return 0
	}
	return (now.seconds - was.seconds) / (now.count - was.count) * 1000
}

// noteSteps tells the share of each step of a command in the mean time from due until the last player has it.
func (b *bench) noteSteps(before, after steps, mean float64) {
	if before == nil || after == nil || mean <= 0 {
		return
	}
	received, validated, stored := after.since(before, waitMetric), after.since(before, stepMetric), after.since(before, storeMetric)
	rest := max(mean-received-validated-stored, 0)
	share := func(ms float64) float64 { return 100 * ms / mean }
	b.note("of a mean of %.2f ms: received and taken up %.2f ms (%.0f %%), validated %.3f ms (%.1f %%), stored %.2f ms (%.0f %%), broadcast and delivered to both sockets, with the way in, %.2f ms (%.0f %%)",
		mean, received, share(received), validated, share(validated), stored, share(stored), rest, share(rest))
}
