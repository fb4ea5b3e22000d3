package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/channel"
	"carillon/internal/fault"
	"carillon/internal/servertest"
	"carillon/journal"
)

// longest is how long a test waits for what must come.
const longest = 60 * time.Second

// owner commits to one channel as a worker does: what a commit came to that was not answered, it reads back.
type owner struct {
	testing.TB
	s       *Store
	name    channel.Name
	fence   journal.Fence
	version journal.Version
	acked   []string // ids of commands, in order
	after   int      // commits that were answered with an error and were true
}

func (o *owner) claim() {
	for until := time.Now().Add(longest); time.Now().Before(until); {
		var err error
		if o.fence, err = o.s.Claim(context.Background(), o.name.Namespace(), o.name.Shard(o.s.Shards())); err == nil {
			return
		}
	}
	o.Errorf("%s cannot be claimed", o.name)
}

// change is the next command; its event is its id.
func (o *owner) change(version journal.Version, id string) journal.Change {
	return journal.Change{
		Channel: o.name, Prev: version, Reply: channel.Reply{Body: []byte(`"` + id + `"`)},
		Command: channel.Command{ID: id, Channel: o.name, User: "ann", Time: time.UnixMilli(int64(version) + 1), Head: uint64(version), Body: []byte("1")},
		Events:  []channel.Record{{Body: []byte(`"` + id + `"`)}},
		Access:  []channel.Access{{User: id, Rights: channel.Read}},
	}
}

// commit commits a few changes until they are true. It gives up when the shard is another's.
func (o *owner) commit(ids ...string) error {
	for until := time.Now().Add(longest); time.Now().Before(until); {
		var cs []journal.Change
		for i, id := range ids {
			cs = append(cs, o.change(o.version+journal.Version(i), id))
		}
		rs, err := o.s.Commit(context.Background(), o.fence, cs)
		if err == nil && rs[0].Err != nil {
			return rs[0].Err
		}
		if errors.Is(err, journal.ErrFenced) {
			return err
		}
		if err == nil || o.settled(cs) {
			o.version += journal.Version(len(ids))
			o.acked = append(o.acked, ids...)
			return nil
		}
		if !errors.Is(err, journal.ErrUnconfirmed) || errors.Is(err, journal.ErrClosed) {
			return err
		}
	}
	return fmt.Errorf("%s: not committed within %v", o.name, longest)
}

// settled reads back whether a commit was made true after all.
func (o *owner) settled(cs []journal.Change) bool {
	ends := []channel.Command{cs[0].Command, cs[len(cs)-1].Command}
	ends[0].Age, ends[1].Age = time.Second, time.Second
	for until := time.Now().Add(longest); time.Now().Before(until); {
		known, err := o.s.Seen(context.Background(), ends)
		if err != nil {
			continue
		}
		first, last := known[0].Reply != nil, known[1].Reply != nil
		if first != last {
			o.Errorf("%s: of one commit a part is true", o.name)
		}
		if first {
			o.after++
		}
		return first
	}
	return false
}

// check holds the log, the version and the trail of the channel against what was acknowledged.
func (o *owner) check(s *Store) {
	o.Helper()
	ctx := context.Background()
	var log []string
	for after := (channel.Position{}); ; {
		p, err := s.Read(ctx, o.name, journal.Query{After: after})
		if err != nil || p.Gap != channel.GapNone {
			o.Fatalf("%s: %v, gap %v", o.name, err, p.Gap)
		}
		for _, r := range p.Records {
			log = append(log, strings.Trim(string(r.Body), `"`))
			after = r.At
		}
		if !p.More {
			break
		}
	}
	if fmt.Sprint(log) != fmt.Sprint(o.acked) {
		o.Errorf("%s holds %d records %v; %d were acknowledged: %v", o.name, len(log), log, len(o.acked), o.acked)
	}
	st, err := s.Load(ctx, o.name)
	if err != nil || int(st.Version) != len(o.acked) || len(st.Commands) != len(o.acked) {
		o.Errorf("%s is at version %d with %d commands, %v", o.name, st.Version, len(st.Commands), err)
	}
}

// through is the address of a database behind a proxy.
func through(t testing.TB, dsn string, p *fault.Proxy) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.Address()
	return u.String()
}

func hostOf(t testing.TB, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestCutCommits cuts lines in the place of what the server says, the answer of COMMIT too: nothing is done twice, and
// nothing that was acknowledged is lost.
func TestCutCommits(t *testing.T) {
	wanted := int64(3) // answers of COMMIT that were lost
	if os.Getenv("CARILLON_LONG") != "" {
		wanted = 100
	}
	dsn := database(t, t.TempDir())
	p, err := fault.NewProxy(hostOf(t, dsn), 1, fault.Plan{Eat: func(r *rand.Rand, n int) bool { return r.IntN(12) == 0 }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := openStore(t, dsn, Options{}) // the schema is not made through such a line
	var carried sync.Map
	cut := openCut(t, through(t, dsn, p), Options{Carry: func(rs []channel.Record) {
		for i := range rs {
			if _, twice := carried.LoadOrStore(string(rs[i].Body), true); twice {
				t.Errorf("%s was carried twice", rs[i].Body)
			}
		}
	}})
	owners := make([]*owner, 4)
	var working sync.WaitGroup
	var after atomic.Int64
	for i := range owners {
		o := &owner{TB: t, s: cut, name: channel.Name(fmt.Sprintf("cut%d:x", i))}
		owners[i] = o
		working.Go(func() {
			o.claim()
			for round := 0; round < 5 || after.Load() < wanted; round++ {
				if err := o.commit(fmt.Sprintf("%d.%d", i, 2*round), fmt.Sprintf("%d.%d", i, 2*round+1)); err != nil {
					t.Errorf("%s: %v", o.name, err)
					after.Store(wanted)
					return
				}
				after.Add(int64(o.after))
				o.after = 0
			}
		})
	}
	working.Wait()
	for _, o := range owners {
		o.check(s)
	}
	t.Logf("%d lines cut; %d commits were true though nobody said so", p.Cuts(), after.Load())
}

// openCut opens a store over a line that breaks, trying until it can.
func openCut(t testing.TB, dsn string, o Options) *Store {
	for until := time.Now().Add(longest); ; {
		s, err := Open(context.Background(), dsn, o)
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

// TestTakeOvers has two nodes take the same shards from one another while they commit. Gateways on both follow every step,
// in order and without a gap; every record is carried by exactly one of the nodes.
func TestTakeOvers(t *testing.T) {
	const channels, target = 3, 60
	dsn := database(t, t.TempDir())
	var mu sync.Mutex
	carried := map[string]int{}
	carry := func(rs []channel.Record) {
		mu.Lock()
		defer mu.Unlock()
		for i := range rs {
			carried[string(rs[i].Channel)+string(rs[i].Body)]++
		}
	}
	nodes := []*Store{openStore(t, dsn, Options{Carry: carry}), openStore(t, dsn, Options{Carry: carry})}
	var over atomic.Bool
	var following, working sync.WaitGroup
	var seen [2]map[string]bool
	for i, s := range nodes {
		following.Go(func() { seen[i] = followAll(t, s, &over) })
	}
	for i := range channels {
		for j, s := range nodes {
			o := &owner{TB: t, s: s, name: channel.Name(fmt.Sprintf("taken:%d", i))}
			working.Go(func() { fight(o, j, target) })
		}
	}
	working.Wait()
	over.Store(true)
	following.Wait()
	mu.Lock()
	defer mu.Unlock()
	for i := range channels {
		n := channel.Name(fmt.Sprintf("taken:%d", i))
		p, err := nodes[0].Read(context.Background(), n, journal.Query{})
		if err != nil || len(p.Records) < target {
			t.Fatalf("%s: %d records, %v", n, len(p.Records), err)
		}
		for k, r := range p.Records {
			if k > 0 && string(r.Body) == string(p.Records[k-1].Body) {
				t.Errorf("%s: %s stands there twice", n, r.Body)
			}
			if got := carried[string(n)+string(r.Body)]; got != 1 {
				t.Errorf("%s: %s was carried %d times", n, r.Body, got)
			}
			for node := range nodes {
				if step := fmt.Sprintf("%s %d", n, k+1); !seen[node][step] {
					t.Errorf("node %d did not see step %s", node, step)
				}
			}
		}
	}
}

// fight commits to a channel that another node wants too, until it is at a version.
func fight(o *owner, node int, target journal.Version) {
	for round := 0; o.version < target; round++ {
		o.claim()
		st, err := o.s.Load(context.Background(), o.name)
		if err != nil {
			o.Errorf("load: %v", err)
			return
		}
		o.version = st.Version
		for i := 0; i < 10 && err == nil && o.version < target; i++ {
			err = o.commit(fmt.Sprintf("%d.%d.%d", node, round, i))
		}
		// Behind a claim nobody else changes anything: whoever is late is told so by his fence, not by a version.
		if err != nil && !errors.Is(err, journal.ErrFenced) {
			o.Errorf("commit: %v", err)
			return
		}
	}
}

// followAll follows the trail as a gateway does, until it is over and nothing more comes; it gives the steps it saw.
func followAll(t testing.TB, s *Store, over *atomic.Bool) map[string]bool {
	seen := map[string]bool{}
	marks := map[fenceKey]journal.Mark{}
	for until := time.Now().Add(longest); ; {
		last := over.Load()
		var after []journal.Mark
		for _, m := range marks {
			after = append(after, m)
		}
		steps, err := s.Follow(context.Background(), after, 100)
		if err != nil && !errors.Is(err, journal.ErrTrimmed) && time.Now().Before(until) {
			continue // on a crowded machine the database is silent at times: a gateway asks again
		}
		if err != nil {
			t.Errorf("follow: %v", err)
			return seen
		}
		for _, step := range steps {
			k := fenceKey{step.Service, step.Shard}
			if step.Seq != marks[k].Seq+1 {
				t.Errorf("step %+v after %d", step.Mark, marks[k].Seq)
			}
			marks[k] = step.Mark
			seen[fmt.Sprintf("%s %d", step.Channel, step.Version)] = true
		}
		if last && len(steps) == 0 {
			return seen
		}
	}
}

// TestHeldShard: a process that halts in the middle of a commit does not keep the shard from the next owner, and what it says
// when it goes on counts for nothing.
func TestHeldShard(t *testing.T) {
	dsn := database(t, t.TempDir())
	s, next := openStore(t, dsn, Options{Patience: time.Second}), openStore(t, dsn, Options{})
	o := &owner{TB: t, s: s, name: "held:x"}
	o.claim()
	if err := o.commit("1"); err != nil {
		t.Fatal(err)
	}
	halted, goOn := make(chan struct{}), make(chan struct{})
	var halt sync.WaitGroup
	var late error
	var once sync.Once
	halt.Go(func() {
		_, late = s.change(s.pool, func(ctx context.Context, w *work) error {
			b := w.batch()
			b.Queue(lockFence, "held", o.fence.Shard)
			if err := w.send(ctx, b); err != nil {
				return err
			}
			once.Do(func() { close(halted); <-goOn })
			b = w.batch()
			b.Queue("UPDATE fences SET steps = 1000")
			return w.commit(context.Background(), b)
		})
	})
	<-halted
	o.s = next
	o.claim()
	close(goOn)
	halt.Wait()
	if late == nil {
		t.Error("it went on as if nothing had happened")
	}
	if err := o.commit("2"); err != nil {
		t.Fatal(err)
	}
	o.check(next)
}

// TestServicesAway: whatever is asked while the database halts or is dead is answered with an error, and as soon as it is
// there again everything goes on.
func TestServicesAway(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a server")
	}
	server := servertest.StartPostgres(t)
	s := openStore(t, server.DSN(), Options{Patience: time.Second})
	o := &owner{TB: t, s: s, name: "away:x"}
	o.claim()
	if err := o.commit("before"); err != nil {
		t.Fatal(err)
	}
	round := 0
	for _, c := range []struct {
		name     string
		out, add func()
	}{{"halted", server.Freeze, server.Thaw}, {"dead", server.Kill, server.Start}} {
		c.out()
		calls := callsOf(o)
		for name, call := range calls {
			if err := call(); err == nil || errors.Is(err, journal.ErrFenced) || errors.Is(err, journal.ErrTrimmed) {
				t.Errorf("%s, %s: %v", c.name, name, err)
			}
		}
		c.add()
		for name, call := range callsOf(o) {
			var err error
			for until := time.Now().Add(longest); time.Now().Before(until); {
				if err = call(); err == nil {
					break
				}
			}
			if err != nil {
				t.Errorf("%s, and there again, %s: %v", c.name, name, err)
			}
		}
		st, err := s.Load(context.Background(), o.name)
		if err != nil {
			t.Fatal(err)
		}
		o.version = st.Version
		round++
		if err := o.commit(fmt.Sprintf("after %d", round)); err != nil {
			t.Fatal(err)
		}
	}
}

// callsOf are the ways to ask a store of services.
func callsOf(o *owner) map[string]func() error {
	ctx, s := context.Background(), o.s
	return map[string]func() error{
		"Commit": func() error {
			id := fmt.Sprintf("away %d", time.Now().UnixNano())
			rs, err := s.Commit(ctx, o.fence, []journal.Change{o.change(o.version, id)})
			if err != nil && !errors.Is(err, journal.ErrUnconfirmed) {
				o.Errorf("commit: %v", err)
			}
			if err == nil && rs[0].Err == nil {
				o.version++
			}
			if err == nil {
				err = rs[0].Err
			}
			if errors.Is(err, journal.ErrStale) { // one of before was true after all
				o.version = rs[0].Version
			}
			return err
		},
		"look": func() error { _, err := s.Commit(ctx, o.fence, nil); return err },
		"Seen": func() error {
			_, err := s.Seen(ctx, []channel.Command{{Channel: o.name, ID: "1", Age: time.Second}})
			return err
		},
		"Load":   func() error { _, err := s.Load(ctx, o.name); return err },
		"Past":   func() error { _, err := s.Past(ctx, o.name); return err },
		"Due":    func() error { _, _, err := s.Due(ctx, o.fence, 0, 1); return err },
		"Sent":   func() error { return s.Sent(ctx, o.fence, []uint64{1}) },
		"Ends":   func() error { _, err := s.Ends(ctx); return err },
		"Follow": func() error { _, err := s.Follow(ctx, nil, 10); return err },
		"Rights": func() error { _, err := s.Rights(ctx, []journal.Grant{{Channel: o.name}}); return err },
		"Find":   func() error { _, err := s.Find(ctx, journal.Search{Service: "away", Kind: "x"}); return err },
		"Alive":  func() error { return s.Alive(ctx, []journal.Fence{o.fence}) },
	}
}

// TestStepsGo: what is past its time is cleared away, and nothing else.
func TestStepsGo(t *testing.T) {
	var ahead atomic.Int64
	s := openStore(t, database(t, t.TempDir()), Options{Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	o := &owner{TB: t, s: s, name: "steps:x"}
	o.claim()
	for i := range 4 {
		if i == 3 {
			ahead.Store(int64(journal.TrailKept + time.Second))
		}
		if err := o.commit(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	s.forget(dropSteps, journal.TrailKept)
	var first, count int
	if err := s.pool.QueryRow(context.Background(), "SELECT min(first), count(*) FROM steps").Scan(&first, &count); err != nil || first != 4 || count != 1 {
		t.Fatalf("%d rows of steps from %d on, %v", count, first, err)
	}
}
