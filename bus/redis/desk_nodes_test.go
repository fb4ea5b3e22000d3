package redis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/internal/servertest"

	"github.com/redis/rueidis"
)

// muster is which worker has which shard, as their runs tell.
type muster struct {
	t       testing.TB
	mu      sync.Mutex
	holder  map[int]int // by shard: worker
	changes int         // shards that came to somebody
	moved   chan struct{}
}

func newMuster(t testing.TB) *muster {
	return &muster{t: t, holder: make(map[int]int), moved: make(chan struct{}, 1)}
}

// run is that of a worker.
func (m *muster) run(worker int) func(context.Context, bus.Shard) error {
	return func(ctx context.Context, s bus.Shard) error {
		m.mu.Lock()
		if other, held := m.holder[s.Number()]; held {
			m.t.Errorf("shard %d comes to worker %d while %d has it", s.Number(), worker, other)
		}
		m.holder[s.Number()] = worker
		m.changes++
		m.signal()
		m.mu.Unlock()
		defer func() {
			m.mu.Lock()
			delete(m.holder, s.Number())
			m.signal()
			m.mu.Unlock()
		}()
		return answering(ctx, s)
	}
}

func (m *muster) signal() {
	select {
	case m.moved <- struct{}{}:
	default:
	}
}

// await waits until the workers have so many shards each, and returns who has which.
func (m *muster) await(want ...int) map[int]int {
	m.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		m.mu.Lock()
		got := make([]int, len(want))
		for _, worker := range m.holder {
			got[worker]++
		}
		now := make(map[int]int)
		for shard, worker := range m.holder {
			now[shard] = worker
		}
		m.mu.Unlock()
		if slices.Equal(got, want) {
			return now
		}
		select {
		case <-m.moved:
		case <-deadline.C:
			m.t.Fatalf("the shards are divided as %v, not as %v", got, want)
		}
	}
}

// TestWorkersShare: who comes gets his share from the others and nothing else moves; who goes leaves only his own.
func TestWorkersShare(t *testing.T) {
	const shards = 12
	ds := desks(t, servertest.StartRedis(t, servertest.RedisNone...).URL(), 4)
	m := newMuster(t)
	inOwn(t, ds[0], "share", shards, m.run(0))
	m.await(shards, 0, 0, 0)
	inOwn(t, ds[1], "share", shards, m.run(1))
	m.await(6, 6, 0, 0)
	third := inOwn(t, ds[2], "share", shards, m.run(2))
	before := m.await(4, 4, 4, 0)
	inOwn(t, ds[3], "share", shards, m.run(3))
	after := m.await(3, 3, 3, 3)
	for shard, worker := range after {
		if worker != before[shard] && worker != 3 {
			t.Errorf("worker 3 came, and shard %d went from %d to %d", shard, before[shard], worker)
		}
	}
	third()
	last := m.await(4, 4, 0, 4)
	for shard, worker := range last {
		if worker != after[shard] && after[shard] != 2 {
			t.Errorf("worker 2 went, and shard %d went from %d to %d", shard, after[shard], worker)
		}
	}
	t.Logf("shards changed hands %d times, %d were needed", m.changes, shards+6+4+3+3)
	if err := ds[2].Own(context.Background(), "share", shards+1, m.run(9)); err == nil || errors.Is(err, bus.ErrClosed) {
		t.Errorf("an owner of %d shards where there are %d: %v", shards+1, shards, err)
	}
}

// deskChild tells a process of the test to be a worker of this Redis, which takes commands and never answers.
const deskChild = "CARILLON_TEST_DESK_CHILD"

func TestDeskChild(t *testing.T) {
	url := os.Getenv(deskChild)
	if url == "" {
		t.Skip("a part of TestWorkerKilled")
	}
	d := desksAt(t, url, "child", 1)[0]
	_ = d.Own(context.Background(), "k", 4, func(ctx context.Context, s bus.Shard) error {
		fmt.Println("has", s.Number())
		for {
			as, err := s.Next(ctx, 2)
			if err != nil {
				fmt.Println("gave up", s.Number())
				return err
			}
			for _, a := range as {
				fmt.Println("took", a.Command.ID)
			}
		}
	})
}

// child is a worker in a process of its own.
type child struct {
	t    testing.TB
	proc *os.Process
	out  *os.File
	said string
}

func startChild(t testing.TB, url string) *child {
	c := exec.Command(os.Args[0], "-test.run=^TestDeskChild$", "-test.v")
	c.Env = append(os.Environ(), deskChild+"="+url)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return &child{t: t, proc: c.Process, out: out.(*os.File)}
}

// await reads until it said something.
func (c *child) await(what string) {
	c.t.Helper()
	_ = c.out.SetReadDeadline(time.Now().Add(patience))
	for buf := make([]byte, 256); !strings.Contains(c.said, what); {
		n, err := c.out.Read(buf)
		if c.said += string(buf[:n]); err != nil {
			c.t.Fatalf("the worker ended: %v\n%s", err, c.said)
		}
	}
}

// signal sends one. A process that is to halt, or to die, does nothing any more when it returns.
func (c *child) signal(s syscall.Signal) {
	if err := c.proc.Signal(s); err != nil {
		c.t.Fatal(err)
	}
	for s == syscall.SIGSTOP || s == syscall.SIGKILL {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.proc.Pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		if err != nil || rest == "" || strings.Contains("TtZX", rest[:1]) {
			return // also where there is no such file
		}
		<-time.After(time.Millisecond)
	}
}

// TestWorkerKilled: commands that a worker had taken when its process was killed come to the next one, in order, as a
// further attempt, and soon enough for those who asked.
func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	takeOver(t, func(c *child) { c.signal(syscall.SIGKILL) })
}

// TestWorkerHalted: so they do when the process stands still; when it goes on it gives its shards up by itself.
func TestWorkerHalted(t *testing.T) {
	t.Parallel()
	c := takeOver(t, func(c *child) { c.signal(syscall.SIGSTOP) })
	c.signal(syscall.SIGCONT)
	c.await("gave up")
}

func takeOver(t *testing.T, end func(*child)) *child {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	c := startChild(t, r.URL())
	ds := desksAt(t, r.URL(), "child", 2)
	n := channel.Name("k:a")
	results := make(chan error, 6)
	ask := func(i int) {
		ds[0].Ask(channel.Command{ID: fmt.Sprintf("id%d", i), Channel: n, User: "ann"}, func(_ channel.Reply, err error) { results <- err })
	}
	c.await(fmt.Sprintf("has %d\n", n.Shard(4)))
	for i := range 3 {
		ask(i)
	}
	c.await("took id2")
	end(c)
	ended := time.Now()
	for i := 3; i < 6; i++ {
		ask(i)
	}
	got := make(chan bus.Asked, 64)
	inOwn(t, ds[1], "k", 4, func(ctx context.Context, s bus.Shard) error {
		for {
			as, err := s.Next(ctx, 8)
			if err != nil {
				return err
			}
			for _, a := range as {
				got <- a
				_ = s.Answer([]bus.Answered{{Ticket: a.Ticket}})
			}
		}
	})
	for i := range 6 {
		a := soon(t, got)
		if want := fmt.Sprintf("id%d", i); a.Command.ID != want {
			t.Errorf("command %d to come was %s, not %s", i, a.Command.ID, want)
		}
		if want := map[bool]int{true: 2, false: 1}[i < 3]; a.Attempt != want {
			t.Errorf("%s comes as attempt %d, not %d", a.Command.ID, a.Attempt, want)
		}
		if i == 0 {
			t.Logf("the shard was taken over after %v", time.Since(ended))
		}
		if a.Command.Waited <= 0 {
			t.Errorf("%s is said to have waited %v", a.Command.ID, a.Command.Waited)
		}
	}
	for range 6 {
		if err := soon(t, results); err != nil {
			t.Errorf("an ask was not answered in time: %v", err)
		}
	}
	return c
}

// soon waits for a value.
func soon[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatalf("nothing came within %v", patience)
	}
	return v
}

// TestBoundOfAShard: it holds for the commands of all nodes together.
func TestBoundOfAShard(t *testing.T) {
	ds := desks(t, servertest.StartRedis(t, servertest.RedisNone...).URL(), 3)
	work := make(chan struct{})
	inOwn(t, ds[2], "full", 1, func(ctx context.Context, s bus.Shard) error {
		as, err := s.Next(ctx, 1) // the one that proves that it is served
		if err != nil {
			return err
		}
		_ = s.Answer([]bus.Answered{{Ticket: as[0].Ticket}})
		<-work
		return answering(ctx, s)
	})
	untilServed(t, ds[0], "full:a")
	const each = redis.MaxCommands*2/3 + 100
	results := make(chan error, 2*each)
	for _, d := range ds[:2] {
		for i := range each {
			d.Ask(channel.Command{ID: fmt.Sprint(i), Channel: "full:a", User: "ann"}, func(_ channel.Reply, err error) { results <- err })
		}
	}
	busy := 0
	for range 2*each - redis.MaxCommands { // who is refused hears it while nobody works
		if err := soon(t, results); !errors.Is(err, bus.ErrBusy) {
			t.Fatalf("while nobody works: %v", err)
		}
		busy++
	}
	close(work)
	for range redis.MaxCommands {
		if err := soon(t, results); err != nil {
			t.Errorf("a command that was taken: %v", err)
		}
	}
	t.Logf("%d of %d were refused", busy, 2*each)
}

// TestBellsAmidTheEnd: an owner comes and goes while the bell of its shard rings without pause, as it does after a process was
// halted. What is heard besides is heard, and no subscription stays.
func TestBellsAmidTheEnd(t *testing.T) {
	t.Run("one Redis", func(t *testing.T) {
		t.Parallel()
		bellsAmidTheEnd(t, servertest.StartRedis(t, servertest.RedisNone...).URL(), "PUBLISH")
	})
	t.Run("a Cluster", func(t *testing.T) {
		t.Parallel()
		bellsAmidTheEnd(t, servertest.StartRedisCluster(t, servertest.RedisNone...).URL(), "SPUBLISH")
	})
}

func bellsAmidTheEnd(t *testing.T, url, publish string) {
	ds := desks(t, url, 2)
	client := reach(t, url).Client()
	bell := ds[0].BellOf("svc", 0)
	rung, stop := ringing(t, client, publish, bell)
	const rounds = 20
	late := 0
	for range rounds {
		before := rung.Load()
		end := inOwn(t, ds[0], "svc", 1, answering)
		untilServed(t, ds[1], "svc:a")
		for rung.Load() == before {
			<-time.After(time.Millisecond)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			end()
		}()
		began := time.Now()
		soon(t, ended)
		if time.Since(began) >= backbone.CallTimeout {
			late++
		}
	}
	if late > rounds/2 {
		t.Errorf("%d of %d ends waited in vain for Redis' word", late, rounds)
	}
	stop()
	count := map[string]string{"PUBLISH": "NUMSUB", "SPUBLISH": "SHARDNUMSUB"}[publish]
	for _, node := range client.Nodes() {
		counts, err := node.Do(t.Context(), client.B().Arbitrary("PUBSUB", count).Args(bell).Build()).AsIntMap()
		if err != nil || counts[bell] != 0 {
			t.Errorf("listeners after the last end: %v, %v", counts, err)
		}
	}
}

// TestAnsweredBeforeRemoved: Redis has the answer to a command before the command leaves the stream. If the owner dies between the
// two it is answered again; the other way round, who asked would wait for nothing.
func TestAnsweredBeforeRemoved(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	ds := desks(t, r.URL(), 2)
	inOwn(t, ds[1], "svc", 1, answering)
	untilServed(t, ds[0], "svc:a")
	for stream := strings.Replace(ds[0].BellOf("svc", 0), "desk-bell", "desk", 1); r.Do("xlen", stream) != "0"; {
		<-time.After(time.Millisecond)
	}
	watch, err := net.Dial("tcp", r.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Close() }()
	_ = watch.SetReadDeadline(time.Now().Add(patience))
	lines := bufio.NewScanner(watch)
	lines.Buffer(nil, 1<<20)
	if _, err := fmt.Fprint(watch, "MONITOR\r\n"); err != nil || !lines.Scan() {
		t.Fatalf("MONITOR: %v, %v", err, lines.Err())
	}
	const count = 300
	for i := range count {
		if _, err := askNow(ds[0], channel.Command{ID: fmt.Sprint(i), Channel: "svc:a", User: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	answered, removed := 0, 0
	for removed < count && lines.Scan() {
		words := strings.SplitN(lines.Text(), "\"", 4)
		switch {
		case len(words) < 4:
		case strings.EqualFold(words[1], "publish") && strings.Contains(words[3], "desk-inbox"):
			answered++
		case strings.EqualFold(words[1], "xdel"):
			if removed++; removed > answered {
				t.Fatalf("%d commands were removed after %d answers", removed, answered)
			}
		}
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
}

// ringing rings a bell without pause until stop, and counts how often somebody heard it.
func ringing(t testing.TB, client rueidis.Client, publish, bell string) (rung *atomic.Int64, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	rung = new(atomic.Int64)
	work.Go(func() {
		for ctx.Err() == nil {
			heard := int64(0)
			for _, r := range client.DoMulti(ctx, slices.Repeat([]rueidis.Completed{client.B().Arbitrary(publish).Keys(bell).Args("").Build().Pin()}, 200)...) {
				n, _ := r.AsInt64()
				heard += n
			}
			rung.Add(heard)
		}
	})
	stop = func() { cancel(); work.Wait() }
	t.Cleanup(stop)
	return rung, stop
}

// TestHeardTwice: who begins to hear a subject behind a pile of messages to one before him does not make the whole desk deaf.
func TestHeardTwice(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	ds := desks(t, r.URL(), 2)
	inOwn(t, ds[1], "svc", 1, answering)
	untilServed(t, ds[0], "svc:a")
	ctx, end := context.WithCancel(t.Context())
	var hearing sync.WaitGroup
	defer hearing.Wait()
	defer end()
	rung, stop := ringing(t, reach(t, r.URL()).Client(), "PUBLISH", "pile")
	for range 4 {
		hearing.Go(func() { ds[0].Hear(ctx, "pile") })
		for before := rung.Load(); rung.Load() < before+1000; {
			<-time.After(time.Millisecond)
		}
	}
	stop()
	untilServed(t, ds[0], "svc:a")
}

// TestForeignLines: what nobody can read is passed over and removed, and hurts nobody.
func TestForeignLines(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	ds := desksAt(t, r.URL(), "foreign", 2)
	inOwn(t, ds[0], "f", 1, answering)
	untilServed(t, ds[1], "f:a")
	stream := ""
	for _, key := range strings.Fields(r.Do("keys", "*:desk-state/f/0")) {
		stream = strings.Replace(key, "desk-state", "desk", 1)
	}
	if stream == "" {
		t.Fatal("no shard is there: " + r.Do("keys", "*"))
	}
	for _, junk := range []string{"", "x", "\x01", strings.Repeat("\x01\x01", 100), strings.Repeat("z", 100_000)} {
		r.Do("xadd", stream, "*", "c", junk)
		for _, inbox := range strings.Fields(r.Do("pubsub", "channels", "*desk-inbox*")) {
			r.Do("publish", inbox, junk)
			r.Do("publish", inbox, "a"+junk)
			r.Do("publish", inbox, "l"+junk)
		}
	}
	for i := range 20 {
		if _, err := askNow(ds[1], channel.Command{ID: fmt.Sprint(i), Channel: "f:a", User: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); r.Do("xlen", stream) != "0"; {
		if time.Now().After(deadline) {
			t.Fatalf("%s lines stay in the stream", r.Do("xlen", stream))
		}
	}
}
