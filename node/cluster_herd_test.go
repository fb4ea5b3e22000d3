package node_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/gateway/limit"
	"carillon/gateway/session"
	"carillon/internal/servertest"
	"carillon/node"
)

// served gives a node the heartbeats and the door of serve.
func served(o *node.Options) {
	o.Settings = session.DefaultSettings()
	o.Limits.Admission = limit.AdmissionBounds{PerSecond: 1000, Burst: 1000, Queue: 1000, Patience: 5 * time.Second}
}

// Channels of the herd, of which one lasts, and of the bystanders.
const (
	herdPlain, herdLasting = "demo:herd", "news:herd"
	herdSide               = "demo:side"
)

// herdSize is how large a herd is, and how long it is watched while nothing happens.
type herdSize struct {
	clients, bystanders int // at each of two nodes; at one of them
	quiet               time.Duration
}

// TestF25Herd: one of two full gateways is killed, and its clients go to the others; then all gateways that are left are
// killed at once and come back. Clients, each through its own client library, are all back soon, and lack nothing; the
// others hardly notice; and the database is not asked for what a ring can tell.
func TestF25Herd(t *testing.T) {
	if testing.Short() {
		t.Skip("herds take seconds")
	}
	mostlyWaits(t)
	size := herdSize{clients: 150, bystanders: 20, quiet: time.Second}
	if long() {
		size = herdSize{clients: 9500, bystanders: 100, quiet: 15 * time.Second}
	}
	h := gather(t, size)
	judge := func(what string, c *comeback) {
		t.Helper()
		t.Logf("%s: %s", what, c)
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	judge("one is killed", h.comeback(size.clients, h.nodes[0].kill))
	judge("all are killed and start again", h.comeback(2*size.clients, func() {
		for _, n := range h.nodes[1:] {
			n.kill()
		}
		for _, n := range h.nodes[1:] {
			n.start()
		}
	}))
	h.settle()
}

// herd is two full nodes, a third one that is empty, and everybody who is there.
type herd struct {
	t      *testing.T
	size   herdSize
	w      *world
	nodes  []*child
	fleets []*fleet // one of each full node
	side   *fleet   // bystanders of the second node

	publisher *client.Client
	publish   sync.WaitGroup
	over      context.CancelFunc

	mu      sync.Mutex
	pending map[string][]*client.Pending // by channel
}

// gather starts everything and waits until all are subscribed.
func gather(t *testing.T, size herdSize) *herd {
	t.Helper()
	s := &servers{
		redis:    servertest.StartRedis(t, append([]string{"--client-output-buffer-limit", "pubsub 64mb 16mb 60"}, servertest.RedisNone...)...),
		postgres: servertest.StartPostgres(t, "shared_preload_libraries=pg_stat_statements"),
	}
	h := &herd{t: t, size: size, w: s.world(), pending: map[string][]*client.Pending{}}
	h.sql("CREATE EXTENSION pg_stat_statements")
	var all []string
	for _, name := range []string{"a", "b", "c"} {
		n := h.w.child(t, childSpec{Name: name, Durable: []string{"news"}, Served: true})
		h.nodes, all = append(h.nodes, n), append(all, n.spec.Listen)
	}
	began := time.Now()
	for i, name := range []string{"at a", "at b"} {
		h.fleets = append(h.fleets, startFleet(t, fleetSpec{
			Name: name, Home: all[i], Nodes: all, Clients: size.clients, Channels: []string{herdPlain, herdLasting},
		}))
	}
	h.side = startFleet(t, fleetSpec{Name: "bystanders", Home: all[1], Nodes: all[1:], Clients: size.bystanders, Channels: []string{herdSide}})
	for _, f := range h.everybody() {
		h.until("fleet "+f.spec.Name+" is subscribed", func() bool { return f.report().Ready })
	}
	t.Logf("%d clients are subscribed after %s", 2*size.clients+size.bystanders, time.Since(began).Round(time.Millisecond))
	h.publisher = client.New("ws://"+all[1]+"/ws", client.Options{NetDial: homeThenAny(all[1], all[1:])})
	t.Cleanup(func() { _ = h.publisher.Close() })
	var ctx context.Context
	ctx, h.over = context.WithCancel(t.Context())
	for name, every := range map[string]time.Duration{herdPlain: 2 * time.Second, herdLasting: 2 * time.Second, herdSide: 50 * time.Millisecond} {
		h.publish.Go(func() { h.speak(ctx, name, every) })
	}
	return h
}

func (h *herd) everybody() []*fleet { return append([]*fleet{h.side}, h.fleets...) }

// until waits for something that takes a while.
func (h *herd) until(what string, holds func() bool) {
	h.t.Helper()
	for until := time.Now().Add(3 * time.Minute); !holds(); <-time.After(100 * time.Millisecond) {
		if time.Now().After(until) {
			h.t.Fatalf("it did not come about: %s", what)
		}
	}
}

// speak publishes what time it is, until ctx ends.
func (h *herd) speak(ctx context.Context, name string, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		p, err := h.publisher.PublishAsync(h.t.Context(), name, strconv.AppendInt(nil, time.Now().UnixNano(), 10), client.PublishOptions{})
		if err != nil {
			h.t.Errorf("publishing to %s: %v", name, err)
			return
		}
		h.mu.Lock()
		h.pending[name] = append(h.pending[name], p)
		h.mu.Unlock()
	}
}

// comeback is what was seen while a herd came back.
type comeback struct {
	clients      int // that lost their line
	lost         int // lines that were seen to be lost
	took         time.Duration
	before       time.Duration // p99 of the bystanders
	p99, slowest time.Duration // of the bystanders meanwhile; of those whose node is killed too it is no figure
	bystanders   bool          // they kept their lines
	steady, peak int64         // bytes of the largest node
	queries      float64       // of Postgres, more than while nothing happens
	asked        []string      // which, those that grew most first
}

func (c *comeback) String() string {
	aside := "the bystanders went too"
	if c.bystanders {
		aside = fmt.Sprintf("bystanders' p99 %s, before %s, slowest %s", c.p99.Round(100*time.Microsecond), c.before.Round(100*time.Microsecond), c.slowest.Round(100*time.Microsecond))
	}
	return fmt.Sprintf("%d lines lost, all back after %s; %s; a node has %d MB, at most %d MB; %.0f queries of Postgres more",
		c.lost, c.took.Round(time.Millisecond), aside, c.steady>>20, c.peak>>20, c.queries)
}

// check applies the bounds: in the short form those that do not depend on the machine.
func (c *comeback) check() error {
	var wrong []error
	if c.lost < c.clients {
		wrong = append(wrong, fmt.Errorf("%d lines were lost, of %d clients: nobody was killed in time", c.lost, c.clients))
	}
	most := max(0.01*float64(c.clients), leastQueries)
	if c.queries > most {
		wrong = append(wrong, fmt.Errorf("Postgres was asked %.0f times more, for %d clients: at most %.0f; most often\n%s", c.queries, c.clients, most, strings.Join(c.asked, "\n")))
	}
	if c.peak > 2*c.steady {
		wrong = append(wrong, fmt.Errorf("a node took %d MB, with %d MB before", c.peak>>20, c.steady>>20))
	}
	if !long() {
		return errors.Join(wrong...)
	}
	if c.took > time.Minute {
		wrong = append(wrong, fmt.Errorf("the last was back after %s, later than a minute", c.took))
	}
	if c.bystanders && c.p99 > 250*time.Millisecond {
		wrong = append(wrong, fmt.Errorf("p99 of the bystanders is %s, more than 250 ms", c.p99))
	}
	return errors.Join(wrong...)
}

// leastQueries is what two nodes ask when they start, whoever comes, and some: more than one in a hundred of a small herd.
const leastQueries = 50

// comeback kills, which ends the lines of so many clients, and watches until all are back.
func (h *herd) comeback(clients int, kill func()) *comeback {
	h.t.Helper()
	lost := h.lost()
	bystanders := h.side.report().Lost
	<-time.After(h.size.quiet) // nothing happens
	asked, since := h.queries(), time.Now()
	h.side.report()
	<-time.After(h.size.quiet)
	usual, watched := h.queries(), time.Since(since)
	for query := range usual {
		usual[query] -= asked[query]
	}
	c := &comeback{clients: clients, before: h.side.report().P99}
	for _, n := range h.nodes {
		if n.cmd != nil {
			c.steady = max(c.steady, h.memory(n, "VmRSS"))
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", n.cmd.Process.Pid), []byte("5"), 0); err != nil { // forgets the peak
				h.t.Log(err)
			}
		}
	}
	asked = h.queries()
	began := time.Now()
	kill()
	away := 0
	h.until("all are back", func() bool {
		away = 0
		for _, f := range h.everybody()[1:] {
			away += f.report().Away
		}
		c.lost = h.lost() - lost
		return away == 0 && c.lost >= clients
	})
	c.took = time.Since(began)
	r := h.side.report()
	c.p99, c.slowest, c.bystanders = r.P99, r.Max, r.Lost == bystanders
	for _, n := range h.nodes {
		if n.cmd != nil {
			c.peak = max(c.peak, h.memory(n, "VmHWM"))
		}
	}
	c.count(h.queries(), asked, usual, time.Since(began).Seconds()/watched.Seconds())
	return c
}

// count notes what was asked after the killing, without what is usual in so much time, given in parts of that in which it
// was counted.
func (c *comeback) count(after, before, usual map[string]float64, parts float64) {
	more := map[string]float64{}
	for query, n := range after {
		more[query] = n - before[query] - parts*usual[query]
		c.queries += more[query]
	}
	for query := range more {
		c.asked = append(c.asked, query)
	}
	slices.SortFunc(c.asked, func(a, b string) int { return cmp.Compare(more[b], more[a]) })
	c.asked = c.asked[:min(len(c.asked), 5)]
	for i, query := range c.asked {
		c.asked[i] = fmt.Sprintf("%.0f times %s", more[query], query)
	}
}

// lost counts lines of the herd that were lost so far.
func (h *herd) lost() (n int) {
	for _, f := range h.fleets {
		n += f.report().Lost
	}
	return n
}

// memory is a figure of a node's process, in bytes.
func (h *herd) memory(n *child, what string) int64 {
	h.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	m := regexp.MustCompile(what + `:\s+(\d+) kB`).FindSubmatch(b)
	if err != nil || m == nil {
		h.t.Skipf("this system does not tell of the memory of a process: %v", err)
	}
	kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10
}

// sql asks the database beside that of the nodes.
func (h *herd) sql(query string) string {
	h.t.Helper()
	out, err := exec.Command(filepath.Join(h.w.postgres.Bin, "psql"), h.w.postgres.DSN(), "-qAtc", query).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", query, err, out)
	}
	return strings.TrimSpace(string(out))
}

// queries counts what the nodes asked of their database so far, by the beginning of the query.
func (h *herd) queries() map[string]float64 {
	h.t.Helper()
	count := map[string]float64{}
	for line := range strings.Lines(h.sql(`SELECT calls, regexp_replace(left(query, 300), '\s+', ' ', 'g') FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname <> current_database() AND query !~* '^(begin|commit|rollback|set)'`)) {
		calls, query, _ := strings.Cut(strings.TrimSpace(line), "|")
		n, err := strconv.ParseFloat(calls, 64)
		if err != nil {
			h.t.Fatal(err)
		}
		count[query] += n
	}
	return count
}

// settle ends the publishing, and wants every client to have been handed every record that was acknowledged, and no other.
func (h *herd) settle() {
	h.t.Helper()
	h.over()
	h.publish.Wait()
	last := map[string]uint64{}
	for name, all := range h.pending {
		for _, p := range all {
			ack, err := p.Wait()
			if err != nil {
				h.t.Fatalf("a publish to %s: %v", name, err)
			}
			last[name] = max(last[name], ack.At.Offset)
		}
		if last[name] != uint64(len(all)) {
			h.t.Errorf("%d records were acknowledged in %s, and the last is number %d", len(all), name, last[name])
		}
	}
	for _, f := range h.everybody() {
		var r fleetReport
		h.until("fleet "+f.spec.Name+" has everything", func() bool {
			r = f.report()
			return r.complete(last) || r.Wrongs > 0
		})
		if r.Wrongs > 0 {
			h.t.Errorf("fleet %s: %d things are wrong, the first: %s", f.spec.Name, r.Wrongs, r.Wrong)
		}
	}
	h.t.Logf("records by channel, all of which everybody was handed: %v", last)
}

// complete tells whether everybody was handed the last record of his channel.
func (r *fleetReport) complete(last map[string]uint64) bool {
	for name, behind := range r.Behind {
		if behind != last[name] {
			return false
		}
	}
	return len(r.Behind) > 0
}

// What must not happen to a client is found, and so is a herd that takes too much.
func TestF25ChecksFind(t *testing.T) {
	at := func(offset uint64) client.Event {
		return client.Event{Record: client.Record{At: client.Position{Epoch: 1, Offset: offset, Tag: offset}, Prev: offset - 1}}
	}
	other := at(3)
	other.Record.Prev = 77
	for name, c := range map[string]struct {
		events []client.Event
		ok     bool
	}{
		"a log":           {[]client.Event{at(1), at(2), at(3)}, true},
		"the first lost":  {[]client.Event{at(2), at(3)}, false},
		"a hole":          {[]client.Event{at(1), at(3)}, false},
		"twice":           {[]client.Event{at(1), at(2), at(2)}, false},
		"of another past": {[]client.Event{at(1), at(2), other}, false},
		"a gap":           {[]client.Event{at(1), {Gap: &client.Gap{From: 2, To: 3, Reason: channel.GapTrimmed, At: at(3).Record.At}}}, false},
	} {
		var m member
		for _, e := range c.events {
			m.take(e)
		}
		if (len(m.wrong) == 0) != c.ok {
			t.Errorf("%s: %v", name, m.wrong)
		}
	}
	good := comeback{clients: 9500, lost: 9500, took: 20 * time.Second, p99: 100 * time.Millisecond, bystanders: true, steady: 200 << 20, peak: 390 << 20, queries: 90}
	for name, c := range map[string]struct {
		spoil func(c *comeback)
		ok    bool
	}{
		"as it should be":       {func(*comeback) {}, true},
		"memory":                {func(c *comeback) { c.peak = 401 << 20 }, false},
		"a query of each":       {func(c *comeback) { c.queries = 9500 }, false},
		"nobody lost a line":    {func(c *comeback) { c.lost = 10 }, false},
		"late":                  {func(c *comeback) { c.took = 61 * time.Second }, !long()},
		"slow":                  {func(c *comeback) { c.p99 = 251 * time.Millisecond }, !long()},
		"slow where all killed": {func(c *comeback) { c.p99, c.bystanders = time.Second, false }, true},
	} {
		bad := good
		c.spoil(&bad)
		if err := bad.check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := fleetReport{Behind: map[string]uint64{herdPlain: 7, herdLasting: 6}}
	if r.complete(map[string]uint64{herdPlain: 7, herdLasting: 7}) || !r.complete(map[string]uint64{herdPlain: 7, herdLasting: 6}) {
		t.Error("a record that somebody lacks is not found")
	}
}
