package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/internal/servertest"
	"carillon/node"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// mill is the load of F05: askers who count up and read counters through one gateway, while workers die and come to.
type mill struct {
	channels, askers int
	pace             time.Duration // between two commands of an asker
	gateway          string
	began            time.Time

	clients []*client.Client
	lives   []*life
	subs    []*client.Subscription

	asking sync.RWMutex // held by who asks: to take it stops them all

	mu      sync.Mutex
	resting bool // only the first counters are asked for
	done    []counted

	logs  map[string][]client.Record
	reads []handed
	book  []entry
}

// counted is a command with its answer, and between which moments it was open.
type counted struct {
	asker       int
	channel, id string
	add         bool // one; else it reads
	value       int  // in the answer
	at          client.Position
	call, ret   time.Duration // since mill.began
}

func (m *mill) channel(i int) string { return fmt.Sprintf("counter:m%d", i%m.channels) }

// open makes the counters, and somebody who follows each of them from its first record.
func (m *mill) open(t *testing.T) {
	m.began = time.Now()
	for range 4 {
		l := &life{}
		c := client.New(m.gateway, client.Options{OnState: l.hear, Backoff: client.Backoff{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond}})
		t.Cleanup(func() { _ = c.Close() })
		m.clients, m.lives = append(m.clients, c), append(m.lives, l)
	}
	for i := range m.channels {
		m.ask(t, 0, m.channel(i), fmt.Sprintf("open%d", i), true)
		s, err := m.clients[i%len(m.clients)].Subscribe(t.Context(), m.channel(i), client.SubscribeOptions{Rewind: 1})
		if err != nil {
			t.Fatal(err)
		}
		m.subs = append(m.subs, s)
	}
}

func body(add bool) []byte {
	if add {
		return []byte(`{"do":"add","by":1}`)
	}
	return []byte(`{"do":"get"}`)
}

// ask asks until there is an answer, and notes it.
func (m *mill) ask(t *testing.T, asker int, name, id string, add bool) {
	c := counted{asker: asker, channel: name, id: id, add: add, call: time.Since(m.began)}
	r, err := m.send(t, c)
	if err != nil {
		t.Errorf("command %s of %s: %v", id, name, err)
		return
	}
	c.ret, c.at, c.value = time.Since(m.began), r.At, valueOf(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = append(m.done, c)
}

func (m *mill) send(t *testing.T, c counted) (client.Reply, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := m.clients[c.asker%len(m.clients)].Command(ctx, c.channel, body(c.add), client.CommandOptions{ID: c.id})
	if err == nil && r.Refused != 0 {
		err = fmt.Errorf("refused with %d, %s", r.Refused, r.Body)
	}
	return r, err
}

func valueOf(r client.Reply) (v int) {
	_, _ = fmt.Sscanf(string(r.Body), `{"value":%d}`, &v)
	return v
}

// run has everybody ask while during lasts.
func (m *mill) run(t *testing.T, during func()) {
	over := make(chan struct{})
	var asking sync.WaitGroup
	for a := range m.askers {
		asking.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				case <-time.After(m.pace):
				}
				if m.rests(a % m.channels) {
					continue
				}
				m.asking.RLock()
				m.ask(t, a, m.channel(a), fmt.Sprintf("%d.%d", a, i), rand.IntN(3) > 0)
				m.asking.RUnlock()
			}
		})
	}
	defer asking.Wait()
	defer close(over)
	during()
}

// rests tells whether nobody asks for a counter now.
func (m *mill) rests(i int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resting && i >= 2
}

func (m *mill) rest(resting bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resting = resting
}

// settle reads what is true in the end.
func (m *mill) settle(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m.logs, m.reads = map[string][]client.Record{}, make([]handed, m.channels)
	for i, s := range m.subs {
		m.ask(t, 0, s.Channel(), fmt.Sprintf("end%d", i), false)
		log, err := wholeLog(ctx, m.clients[0], s.Channel())
		if err != nil {
			t.Fatal(err)
		}
		m.logs[s.Channel()] = log
		m.reads[i] = collect(ctx, s, uint64(len(log)))
	}
}

// check wants each command done once, in one order that all answers fit, by nobody but who had the shard.
func (m *mill) check() error {
	wrong := []error{stolen(m.book)}
	for name, log := range m.logs {
		var values []int
		for _, c := range m.done {
			if c.add && c.channel == name {
				values = append(values, c.value)
			}
		}
		slices.Sort(values)
		for i, v := range values {
			if v != i+1 {
				wrong = append(wrong, fmt.Errorf("SET, DUP: the additions to %s were answered %d as the %dth", name, v, i+1))
				break
			}
		}
		if len(log) != len(values) {
			wrong = append(wrong, fmt.Errorf("SET, DUP: %s has %d records, and %d additions were acknowledged", name, len(log), len(values)))
		}
		for i, r := range log {
			if want := fmt.Sprintf(`{"by":1,"value":%d}`, i+1); string(r.Body) != want || r.At.Offset != uint64(i+1) {
				wrong = append(wrong, fmt.Errorf("SET, DUP: record %d of %s is %s at offset %d", i+1, name, r.Body, r.At.Offset))
				break
			}
		}
	}
	for i := range m.reads {
		if err := m.reads[i].check(m.logs[m.reads[i].channel]); err != nil {
			wrong = append(wrong, fmt.Errorf("the follower of %s: %w", m.reads[i].channel, err))
		}
	}
	var ops []porcupine.Operation
	for _, c := range m.done {
		ops = append(ops, porcupine.Operation{ClientId: c.asker, Input: c, Call: int64(c.call), Output: c.value, Return: int64(c.ret)})
	}
	if !porcupine.CheckOperations(tally(), ops) {
		wrong = append(wrong, errors.New("LIN: the answers fit no order in which the commands could have been done"))
	}
	return errors.Join(wrong...)
}

// tally is what a counter is to those who ask.
func tally() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			of := map[string]int{}
			for _, o := range history {
				i, ok := of[o.Input.(counted).channel]
				if !ok {
					i = len(parts)
					of[o.Input.(counted).channel], parts = i, append(parts, nil)
				}
				parts[i] = append(parts[i], o)
			}
			return parts
		},
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			n := state.(int)
			if input.(counted).add {
				n++
			}
			return output.(int) == n, n
		},
	}
}

// judge runs the checkers, and then again with each bug planted.
func (m *mill) judge(t *testing.T) {
	t.Helper()
	if err := m.check(); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(*mill){
		"an addition done twice": func(w *mill) {
			n := w.done[0].channel
			w.logs[n] = append(w.logs[n], w.logs[n][len(w.logs[n])-1])
		},
		"an addition that is lost": func(w *mill) {
			n := w.done[0].channel
			w.logs[n] = w.logs[n][:len(w.logs[n])-1]
		},
		"two additions with one answer": func(w *mill) { w.done[1].value = w.done[0].value; w.done[1].channel = w.done[0].channel },
		"a stale answer": func(w *mill) {
			i := slices.IndexFunc(w.done, func(c counted) bool { return !c.add && c.value > 1 && c.call > w.done[m.channels].ret })
			w.done[i].value = 0
		},
		"a write of one who lost the shard": func(w *mill) {
			for i, late := range w.book {
				owns := func(e entry) bool {
					return late.kind != claimed && e.kind == claimed && e.shard == late.shard && e.n > late.n
				}
				if at := slices.IndexFunc(w.book[i:], owns); at >= 0 {
					w.book = slices.Insert(w.book, i+at+1, late)
					return
				}
			}
		},
		"a record handed over twice": func(w *mill) { w.reads[0].events = append(w.reads[0].events[:1:1], w.reads[0].events...) },
	} {
		twin := &mill{channels: m.channels, done: slices.Clone(m.done), logs: map[string][]client.Record{}, reads: slices.Clone(m.reads), book: slices.Clone(m.book)}
		for k, v := range m.logs {
			twin.logs[k] = slices.Clone(v)
		}
		plant(twin)
		if twin.check() == nil {
			t.Errorf("the checkers did not notice %s", name)
		}
	}
}

// entry is a line of the book that Postgres itself keeps, in the order in which writes to a shard became true.
type entry struct {
	shard int
	n     int64  // of the fence
	kind  string // claimed, or what was written
	node  string // whose connection it was
	at    time.Time
}

const (
	claimed = "claimed"
	shards  = 16 // of a service
)

// keepBook has Postgres note who raises a fence, and who writes under it. All of it happens under the lock of the fence's row,
// but that the product should have checked the fence: the book does not rely on it.
const keepBook = `
CREATE TABLE book (seq BIGSERIAL PRIMARY KEY, shard INTEGER, n BIGINT, kind TEXT, node TEXT, at TIMESTAMPTZ DEFAULT clock_timestamp());
CREATE INDEX ON book (seq) WHERE kind = 'claimed';
CREATE FUNCTION book_fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO book (shard, n, kind, node) VALUES (NEW.shard, NEW.n, CASE WHEN TG_OP = 'INSERT' OR NEW.n <> OLD.n THEN 'claimed'
		WHEN NEW.steps <> OLD.steps THEN 'steps' ELSE 'served' END, current_setting('application_name'));
	RETURN NULL;
END $$;
CREATE FUNCTION book_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO book (shard, n, kind, node) SELECT f.shard, f.n, TG_TABLE_NAME, current_setting('application_name')
		FROM channels c JOIN fences f ON f.id = c.shard WHERE c.id = NEW.channel;
	RETURN NULL;
END $$;
CREATE TRIGGER book AFTER INSERT OR UPDATE ON fences FOR EACH ROW EXECUTE FUNCTION book_fence();
CREATE TRIGGER book AFTER INSERT ON commands FOR EACH ROW EXECUTE FUNCTION book_kept();
CREATE TRIGGER book AFTER INSERT ON snapshots FOR EACH ROW EXECUTE FUNCTION book_kept();`

// stolen finds a write to a shard by another than who claimed it last.
func stolen(book []entry) error {
	owner := map[int]entry{}
	for i, e := range book {
		has := owner[e.shard]
		switch {
		case e.kind == claimed:
			if e.n <= has.n {
				return fmt.Errorf("FENCE: shard %d goes from fence %d to %d", e.shard, has.n, e.n)
			}
			owner[e.shard] = e
		case e.node != has.node || e.n != has.n:
			return fmt.Errorf("FENCE: entry %d: %s wrote %s under fence %d to shard %d, which %s has under fence %d",
				i, e.node, e.kind, e.n, e.shard, has.node, has.n)
		}
	}
	return nil
}

// workers are the processes that die, and the book about them.
type workers struct {
	t     *testing.T
	w     *world
	db    *pgx.Conn
	all   []*child
	lives []int // that each began
	log   string
	last  int // whom it befell
	took  []time.Duration
	falls []fall
}

// fall is what befell a worker.
type fall struct {
	at     time.Time
	shards []int // that it had
}

func newWorkers(t *testing.T, w *world) *workers {
	db, err := pgx.Connect(t.Context(), w.dsn)
	if err == nil {
		_, err = db.Exec(t.Context(), keepBook)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	ws := &workers{t: t, w: w, db: db, log: filepath.Join(t.TempDir(), "workers.log"), lives: make([]int, 2)}
	t.Cleanup(func() {
		if b, err := os.ReadFile(ws.log); t.Failed() && err == nil {
			t.Logf("what the workers wrote:\n%s", b)
		}
	})
	for i := range ws.lives {
		own := *w
		own.dsn = ws.dsn(i)
		ws.all = append(ws.all, own.child(t, childSpec{
			Name: fmt.Sprint("worker", i), Services: []string{"counter"}, Roles: node.Roles{Worker: true}, Log: ws.log,
		}))
	}
	return ws
}

// name is that of a worker in this life.
func (ws *workers) name(i int) string { return fmt.Sprintf("worker%d.%d", i, ws.lives[i]) }

// dsn is how it reaches Postgres, so that Postgres knows who it is.
func (ws *workers) dsn(i int) string { return ws.w.dsn + "&application_name=" + ws.name(i) }

// revive starts one that was killed.
func (ws *workers) revive(i int) {
	ws.lives[i]++
	ws.all[i].spec.Postgres = ws.dsn(i)
	ws.all[i].start()
}

// read is the book, or the claims in it.
func (ws *workers) read(where string) []entry {
	ws.t.Helper()
	rows, err := ws.db.Query(ws.t.Context(), "SELECT shard, n, kind, node, at FROM book "+where+" ORDER BY seq")
	if err != nil {
		ws.t.Fatal(err)
	}
	book, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (e entry, err error) {
		return e, r.Scan(&e.shard, &e.n, &e.kind, &e.node, &e.at)
	})
	if err != nil {
		ws.t.Fatal(err)
	}
	return book
}

// owners are the last claims of each shard.
func (ws *workers) owners() map[int]entry {
	owners := map[int]entry{}
	for _, e := range ws.read("WHERE kind = 'claimed'") {
		owners[e.shard] = e
	}
	return owners
}

// of are the shards that a worker has in this life.
func (ws *workers) of(i int) (shards []int) {
	for shard, e := range ws.owners() {
		if e.node == ws.name(i) {
			shards = append(shards, shard)
		}
	}
	return shards
}

// victim is who has the most shards; if both have as many, not the one of last time.
func (ws *workers) victim() int {
	first, second := 1-ws.last, ws.last
	if len(ws.of(second)) > len(ws.of(first)) {
		first = second
	}
	ws.last = first
	return first
}

// fell has something befall a worker, and what it had be taken over by others.
func (ws *workers) fell(i int, what func()) {
	ws.t.Helper()
	name, at := ws.name(i), time.Now()
	what()
	shards := ws.of(i)
	eventually(ws.t, "its shards are taken over", func() bool {
		owners := ws.owners()
		return !slices.ContainsFunc(shards, func(s int) bool { return owners[s].node == name })
	})
	for _, s := range shards {
		claims := ws.read(fmt.Sprintf("WHERE kind = 'claimed' AND shard = %d", s))
		for k := len(claims) - 1; k > 0; k-- {
			if claims[k-1].node == name {
				ws.took = append(ws.took, claims[k].at.Sub(at))
				break
			}
		}
	}
	ws.falls = append(ws.falls, fall{at, shards})
}

// kill ends one as kill -9 does, and starts it anew.
func (ws *workers) kill() {
	i := ws.victim()
	ws.fell(i, ws.all[i].kill)
	ws.revive(i)
}

// stop halts a worker for so long and until others have all it had, and lets it go on, late. It is over when the zombie has
// found out and takes part again. Amid commits it is halted while it waits for locks, and gets them in its sleep. Else it is halted
// while it waits for work, so that nothing tells it that it slept: then it tries to keep snapshots of all that it had.
func (ws *workers) stop(m *mill, asleep time.Duration, amid bool) {
	ws.t.Helper()
	i := ws.victim()
	began := time.Now()
	release := func() {}
	if amid {
		release = ws.hold(ws.of(i))
	} else {
		m.asking.Lock()
		<-time.After(200 * time.Millisecond) // for what counters send to the leaderboard
		m.rest(true)
		release = m.asking.Unlock
	}
	ws.fell(i, func() {
		ws.all[i].signal(syscall.SIGSTOP)
		release()
	})
	if left := asleep - time.Since(began); left > 0 {
		<-time.After(left)
	}
	ws.all[i].signal(syscall.SIGCONT)
	eventually(ws.t, "the zombie takes part again", func() bool { return len(ws.of(i)) > 0 })
	m.rest(false)
}

// hold keeps the locks of some shards, and returns when somebody waits for one of them.
func (ws *workers) hold(shards []int) (release func()) {
	ws.t.Helper()
	ctx := ws.t.Context()
	var tx pgx.Tx
	eventually(ws.t, "the locks are had", func() bool {
		var err error
		if tx, err = ws.db.Begin(ctx); err == nil {
			_, err = tx.Exec(ctx, "SELECT FROM fences WHERE shard = ANY($1) ORDER BY id FOR UPDATE", shards)
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "40P01" { // a commit had some of them, in another order
			_ = tx.Rollback(ctx)
			return false
		}
		if err != nil {
			ws.t.Fatal(err)
		}
		return true
	})
	eventually(ws.t, "a commit waits for its lock", func() (waits bool) {
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waits); err != nil {
			ws.t.Fatal(err)
		}
		return waits
	})
	return func() { _ = tx.Rollback(ctx) }
}

// refused is how often a worker wrote that a shard was claimed by another: commands that it tried to commit came too late. Of
// snapshots that come too late it says nothing.
func (ws *workers) refused() int {
	b, err := os.ReadFile(ws.log)
	if err != nil {
		ws.t.Fatal(err)
	}
	return strings.Count(string(b), "the shard was claimed by another")
}

// percentile is the p-th of some durations, of which there is one at least.
func percentile(ds []time.Duration, p int) time.Duration {
	slices.Sort(ds)
	return ds[min(len(ds)*p/100, len(ds)-1)].Round(time.Millisecond)
}

// TestF05WorkersKilled: workers die and are started anew, and are halted for longer than their leases last, while people count.
// Everything is done once, in an order that all answers fit; what a worker writes after its shards were taken over is refused;
// and no line of a client is lost.
func TestF05WorkersKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("take-overs take seconds")
	}
	mostlyWaits(t)
	kills, every, stops, asleep := 1, time.Duration(0), 1, time.Duration(0)
	m := &mill{channels: 8, askers: 24, pace: 20 * time.Millisecond}
	if long() {
		kills, every, stops, asleep = 12, 5*time.Second, 4, 15*time.Second
	}
	s := &servers{redis: servertest.StartRedis(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	w := s.world()
	gateway := w.child(t, childSpec{Name: "gateway", Services: []string{"counter"}, Served: true, Roles: node.Roles{Gateway: true, API: true}})
	m.gateway = "ws://" + gateway.spec.Listen + "/ws"
	ws := newWorkers(t, w)
	eventually(t, "both have shards", func() bool { return len(ws.of(0)) > 0 && len(ws.of(1)) > 0 })
	m.open(t)
	m.run(t, func() {
		for range kills {
			next := time.After(every)
			ws.kill()
			<-next
		}
		for i := range stops {
			ws.stop(m, asleep, i%2 > 0)
		}
	})
	m.settle(t)
	m.book = ws.read("")
	m.judge(t)
	m.again(t)
	for i, l := range m.lives {
		if n := l.count(client.Reconnecting); n > 0 {
			t.Errorf("client %d lost its line %d times: %v", i, n, l.phases)
		}
	}
	m.report(t, ws)
}

// again sends commands once more under their ids: they are answered as they were.
func (m *mill) again(t *testing.T) {
	for i := 0; i < len(m.done); i += 1 + len(m.done)/400 {
		c := m.done[i]
		if !c.add {
			continue
		}
		if r, err := m.send(t, c); err != nil || valueOf(r) != c.value || r.At != c.at {
			t.Errorf("command %s of %s was answered %d at %v, and now %s at %v, %v", c.id, c.channel, c.value, c.at, r.Body, r.At, err)
		}
	}
}

// report tells how long it took until shards had another owner, and until those who asked had an answer again.
func (m *mill) report(t *testing.T, ws *workers) {
	var waits []time.Duration
	for _, f := range ws.falls {
		first := map[string]time.Duration{}
		since := f.at.Sub(m.began)
		for _, c := range m.done {
			if best, ok := first[c.channel]; c.call > since && (!ok || c.ret-since < best) {
				first[c.channel] = c.ret - since
			}
		}
		for name, d := range first {
			if slices.Contains(f.shards, channel.Name(name).Shard(shards)) {
				waits = append(waits, d)
			}
		}
	}
	t.Logf("%d commands, %d entries in the book; %d batches of commands refused as late, 0 late writes accepted", len(m.done), len(m.book), ws.refused())
	t.Logf("%d shards taken over: p50 %s, p99 %s, most %s", len(ws.took), percentile(ws.took, 50), percentile(ws.took, 99), percentile(ws.took, 100))
	t.Logf("%d counters answered again: p50 %s, p99 %s, most %s", len(waits), percentile(waits, 50), percentile(waits, 99), percentile(waits, 100))
	all := make([]time.Duration, len(m.done))
	for i, c := range m.done {
		all[i] = c.ret - c.call
	}
	t.Logf("a command: p50 %s, p99 %s, most %s", percentile(all, 50), percentile(all, 99), percentile(all, 100))
	if p99 := max(percentile(ws.took, 99), percentile(waits, 99)); long() && p99 > 10*time.Second {
		t.Errorf("take-over p99 %s, more than 10 s", p99)
	}
}
