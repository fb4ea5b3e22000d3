package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scenarios that measure several nodes.
const (
	clusterName = "cluster"
	acrossName  = "across"
)

// What a cluster has unless the flags say otherwise.
const (
	usualNodes  = 10
	usualConns  = 15_000 // on each node
	acrossNodes = 2
)

// joinNodes reads the addresses of nodes that run already, separated by commas, as one target.
func joinNodes(urls string, anywhere bool) (*target, error) {
	all := &target{name: "cluster"}
	for raw := range strings.SplitSeq(urls, ",") {
		n, err := parseTarget(strings.TrimSpace(raw), anywhere)
		if err == nil {
			n.pid, err = ownerOf(n.port)
		}
		if err != nil {
			return nil, err
		}
		all.nodes = append(all.nodes, n)
	}
	all.follow()
	return all, nil
}

// follow has a cluster look like its first node to whoever wants one address.
func (t *target) follow() {
	first := t.nodes[0]
	t.address, t.inside, t.port, t.path, t.pid, t.dialect = first.address, first.inside, first.port, first.path, first.pid, first.dialect
}

// startCluster starts a Redis that keeps nothing, and nodes that meet there. Their plain channels live in it; where a scenario
// is about what lasts, a Postgres is started too, in which they run the services.
func (c *Command) startCluster(ctx context.Context) (t *target, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	started := &target{name: "cluster"}
	t = started
	defer func() {
		if err != nil {
			started.stop()
		}
	}()
	redis := []string{"redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--client-output-buffer-limit", "pubsub 256mb 64mb 60"}
	if t.redis, err = start(ctx, "redis", "", redis); err != nil {
		return nil, fmt.Errorf("a cluster needs a Redis, from the package redis-server: %w", err)
	}
	n := c.Load.Nodes
	if n == 0 {
		n = map[string]int{clusterName: usualNodes, acrossName: acrossNodes}[c.Scenario]
	}
	if c.Quick {
		n = min(n, 3)
	}
	env, services := []string{"CARILLON_REDIS_URL=redis://" + t.redis.address}, []string{"--set", "services="}
	if lasting[c.Scenario] {
		if t.postgres, err = startPostgres(ctx); err != nil {
			return nil, fmt.Errorf("a cluster in which things last: %w", err)
		}
		env, services = append(env, "CARILLON_POSTGRES_URL=postgres://postgres@"+t.postgres.address+"/postgres?sslmode=disable"), nil
	}
	for i := range n {
		args := append([]string{self, "dev", "--listen", "127.0.0.1:{port}", "--internal-listen", "127.0.0.1:{internal}", "--set", "node=n" + strconv.Itoa(i+1)}, services...)
		node, err := start(ctx, ours, c.Target.Protocol, args, env...)
		if err != nil {
			return nil, err
		}
		t.nodes = append(t.nodes, node)
	}
	t.follow()
	return t, nil
}

// addresses are those that lines go to.
func (t *target) addresses() (all []string) {
	for _, n := range t.nodes {
		all = append(all, n.address)
	}
	if len(all) == 0 {
		all = []string{t.address}
	}
	return all
}

// each takes the figures of each process of the server, without the Redis.
func (t *target) each() (all []Sample, err error) {
	pids := []int{t.pid}
	if len(t.nodes) > 0 {
		pids = nil
	}
	for _, n := range t.nodes {
		if !slices.Contains(pids, n.pid) { // nodes of one process
			pids = append(pids, n.pid)
		}
	}
	for _, pid := range pids {
		s, err := probe(pid)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// probe takes the figures of all processes of the server together, without the Redis.
func (t *target) probe() (sum Sample, err error) {
	all, err := t.each()
	for i := range all {
		s := &all[i]
		sum.CPU, sum.Resident, sum.Threads = sum.CPU+s.CPU, sum.Resident+s.Resident, sum.Threads+s.Threads
		sum.Sockets, sum.Slab, sum.Stolen = s.Sockets, s.Slab, s.Stolen
	}
	return sum, err
}

// clusterScenario has one channel that everybody on every node follows, and says one thing after the other in it.
func clusterScenario(ctx context.Context, b *bench) error {
	nodes := len(b.t.addresses())
	before, err := b.t.each()
	if err != nil {
		return err
	}
	if err := b.bring(ctx, Group{Name: "cluster", Channels: 1, Members: b.conns(nodes * usualConns), Speakers: 1}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	rate := b.rate(0.5)
	one := speech{steps: []Step{{rate, 1 / rate}}}
	idle := b.redisLoad()
	if b.c.Load.Warm > 0 { // what a server does after a rush is not told as the cost of a message
		if _, _, err := b.watch(ctx, "after", 3*b.c.Load.Warm, tick, nil); err != nil {
			return err
		}
		if _, err := b.talk(ctx, "first", false, one); err != nil {
			return err
		}
	}
	quiet := idle()
	begin, busy := len(b.result.Phases), b.redisLoad()
	for i := range max(int(b.duration().Seconds()*rate+0.5), 1) {
		if _, err := b.talk(ctx, fmt.Sprintf("message %d", i+1), false, one); err != nil {
			return err
		}
	}
	b.noteMessages(b.result.Phases[begin:])
	if b.t.redis != nil {
		b.note("Redis: %.1f %% of a core, %.1f %% in the seconds before", 100*busy(), 100*quiet)
	}
	return b.noteProcesses(before)
}

// redisLoad measures what the Redis takes from now until what it returns is asked, in cores; 0 where it is not known.
func (b *bench) redisLoad() func() float64 {
	look := func() int64 {
		if b.t.redis == nil {
			return 0
		}
		s, err := probe(b.t.redis.pid)
		if err != nil {
			return 0 // it is gone, which the receipts will tell
		}
		return s.CPU
	}
	begin, was := time.Now(), look()
	return func() float64 { return float64(look()-was) / float64(time.Since(begin)) }
}

// noteMessages says how long messages took to reach everybody.
func (b *bench) noteMessages(ps []*Phase) {
	var p50, p99, last []float64
	for _, p := range ps {
		p50, p99, last = append(p50, p.Latency.P50), append(p99, p.Latency.P99), append(last, p.Latency.Max)
	}
	b.note("%d messages to %d connections on %d nodes, from due until received: p50 %.0f ms, p99 %.0f ms, the last %.0f ms (medians; the slowest message %.0f, %.0f and %.0f ms)",
		len(ps), b.f.groups[0].Members, len(b.t.addresses()), median(p50), median(p99), median(last), slices.Max(p50), slices.Max(p99), slices.Max(last))
}

// noteProcesses says what the processes took.
func (b *bench) noteProcesses(before []Sample) error {
	after, err := b.t.each()
	if err != nil {
		return err
	}
	var now, empty []float64
	sum := 0.0
	for i := range after {
		now, empty = append(now, mega(after[i].Resident)), append(empty, mega(before[i].Resident))
		sum += now[i] - empty[i]
	}
	each := sum * (1 << 20) / float64(b.f.groups[0].Members)
	b.note("each node process: %.0f to %.0f MB resident, %.0f to %.0f MB before the connections; %.2f KB a connection", slices.Min(now), slices.Max(now), slices.Min(empty), slices.Max(empty), each/1024)
	return nil
}
