package worker_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/app"
	"carillon/bus"
	"carillon/bus/local"
	"carillon/channel"
	"carillon/journal"
	"carillon/store/postgres"
	"carillon/store/sqlite"
	"carillon/worker"

	"go.uber.org/goleak"
)

const patience = 30 * time.Second

// order is a command of the test service: a counter that can be told to do everything an application may do.
type order struct {
	Op   string `json:"op"`
	N    int64  `json:"n,omitempty"`
	To   string `json:"to,omitempty"`
	Pad  int    `json:"pad,omitempty"`
	Wake int64  `json:"wake,omitempty"` // ms after the command's time
}

// tally is its machine.
type tally struct {
	sum, steps, timers int64
	lastMS             int64
	seed               [32]byte // all chance so far, mixed
	pad                int
	s                  *script
}

// script is what tests change about the machines of a world.
type script struct {
	step  func(c channel.Command) // called in each step, if set
	other bool                    // the rules of another program
}

func (s *script) service(name string) app.Service {
	return app.Service{
		Name: name,
		New:  func(channel.Name) app.Machine { return &tally{s: s} },
		Restore: func(_ channel.Name, b []byte) (app.Machine, error) {
			if len(b) < 64 {
				return nil, errors.New("a snapshot of fewer than 64 bytes")
			}
			m := &tally{s: s}
			m.sum, m.steps = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
			m.timers, m.lastMS = int64(binary.BigEndian.Uint64(b[16:])), int64(binary.BigEndian.Uint64(b[24:]))
			copy(m.seed[:], b[32:])
			m.pad = len(b) - 64
			return m, nil
		},
	}
}

func (m *tally) Snapshot(dst []byte) []byte {
	for _, v := range []int64{m.sum, m.steps, m.timers, m.lastMS} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(v))
	}
	dst = append(dst, m.seed[:]...)
	return append(dst, make([]byte, m.pad)...)
}

func (m *tally) Apply(c channel.Command) app.Outcome {
	if m.s.step != nil {
		m.s.step(c)
	}
	if app.IsTimer(c) {
		m.timers++
		m.did(c)
		return m.told(app.Outcome{})
	}
	var o order
	if err := json.Unmarshal(c.Body, &o); err != nil {
		return app.Outcome{Refused: 1, Reply: []byte(`"what?"`)}
	}
	var out app.Outcome
	switch o.Op {
	case "get":
		return app.Outcome{ReadOnly: true, Reply: fmt.Appendf(nil, `{"sum":%d,"timers":%d}`, m.sum, m.timers)}
	case "refuse":
		return app.Outcome{Refused: 7, Reply: []byte(`"no"`)}
	case "panic":
		m.sum += 1000 // half done
		panic("as ordered")
	case "bad":
		return app.Outcome{Events: []channel.Record{{Body: []byte("{")}}}
	case "send":
		out.Sends = []channel.Command{{Channel: channel.Name(o.To), Body: fmt.Appendf(nil, `{"op":"add","n":%d}`, o.N)}}
		if o.N == 0 {
			out.Sends[0].Body = []byte(`{"op":"refuse"}`)
		}
	case "grant":
		out.Access = []channel.Access{{User: o.To, Rights: channel.Read}}
	case "erase":
		out.Erase = []uint64{uint64(o.N)}
	}
	if o.Op == "add" {
		m.sum += o.N
		if m.s.other {
			m.sum++
		}
	}
	if o.Wake != 0 {
		out.WakeAt = c.Time.Add(time.Duration(o.Wake) * time.Millisecond)
	}
	m.pad = max(m.pad, o.Pad)
	m.did(c)
	return m.told(out)
}

func (m *tally) did(c channel.Command) {
	if c.Time.UnixMilli() < m.lastMS {
		panic("time goes back")
	}
	m.lastMS = c.Time.UnixMilli()
	m.steps++
	for i, b := range c.Seed {
		m.seed[i] = m.seed[i]*31 + b
	}
}

func (m *tally) told(out app.Outcome) app.Outcome {
	out.Reply = fmt.Appendf(nil, `{"sum":%d,"steps":%d}`, m.sum, m.steps)
	out.Events = append(out.Events, channel.Record{Body: fmt.Appendf(nil, `{"sum":%d,"by":"%x"}`, m.sum, m.seed[:4])})
	return out
}

// truth is a store of any kind.
type truth interface {
	journal.Reader
	journal.Stage
	journal.Agenda
	watched
	Close() error
}

// watched is what others than the worker ask of it.
type watched interface {
	journal.Trail
	journal.Archive
	journal.Finder
	journal.Pulse
}

// openTruth opens the store at an address of Postgres, or in a folder.
func openTruth(where string) (truth, error) {
	if strings.HasPrefix(where, "postgres://") {
		return postgres.Open(context.Background(), where, postgres.Options{Policies: policy})
	}
	return sqlite.Open(context.Background(), where, sqlite.Options{Policies: policy})
}

// world is a store, a desk and a worker.
type world struct {
	testing.TB
	store truth
	desk  *local.Desk
	s     script
	o     worker.Options
	w     *worker.Worker
	stop  func()
	ids   atomic.Int64
}

// open makes a world in memory, or over Postgres in TestOverPostgres, with a running worker; change may alter its options first.
func open(t testing.TB, change func(*world)) *world {
	var s truth
	var err error
	if dsn := database(t); dsn != "" {
		s, err = openTruth(dsn)
	} else {
		s, err = sqlite.OpenMemory(context.Background(), sqlite.Options{Policies: policy})
	}
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, s, change)
}

func policy(channel.Name) channel.Policy { return channel.Policy{Durable: true, Service: true} }

func openOn(t testing.TB, s truth, change func(*world)) *world {
	x := &world{TB: t, store: s, desk: local.NewDesk()}
	x.o = worker.Options{Service: x.s.service("tally"), Stage: s, Agenda: s, Desk: x.desk, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(x)
	}
	x.start()
	t.Cleanup(func() {
		x.stop()
		x.desk.Close()
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return x
}

// start runs a worker; stop ends it.
func (x *world) start() {
	x.Helper()
	w, err := worker.New(x.o)
	if err != nil {
		x.Fatal(err)
	}
	x.w = w
	var ran sync.WaitGroup
	ran.Go(func() {
		if err := w.Run(context.Background()); err != nil {
			x.Errorf("run: %v", err)
		}
	})
	x.stop = sync.OnceFunc(func() {
		w.Close()
		ran.Wait()
	})
	for { // until the desk knows the service
		if _, err := x.ask("tally:start", "start", `{"op":"get"}`); !errors.Is(err, bus.ErrNoService) {
			return
		}
	}
}

func (x *world) restart() {
	x.stop()
	x.start()
}

type answer struct {
	r   channel.Reply
	err error
}

// post asks and gives where the answer comes.
func (x *world) post(c channel.Command) <-chan answer {
	got := make(chan answer, 2)
	x.desk.Ask(c, func(r channel.Reply, err error) { got <- answer{r, err} })
	return got
}

func (x *world) wait(got <-chan answer) (channel.Reply, error) {
	x.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a := <-got:
		return a.r, a.err
	case <-timer.C:
		x.Fatalf("no answer within %v; %+v", patience, x.w.Stats())
		return channel.Reply{}, nil
	}
}

// ask asks under an id and waits.
func (x *world) ask(n channel.Name, id, body string) (channel.Reply, error) {
	x.Helper()
	return x.wait(x.post(channel.Command{ID: id, Channel: n, User: "ann", Body: []byte(body)}))
}

// do asks under a fresh id; it must succeed.
func (x *world) do(n channel.Name, body string) channel.Reply {
	x.Helper()
	r, err := x.ask(n, fmt.Sprintf("do%d", x.ids.Add(1)), body)
	if err != nil {
		x.Fatalf("%s on %s: %v", body, n, err)
	}
	return r
}

func (x *world) add(n channel.Name) channel.Reply { x.Helper(); return x.do(n, `{"op":"add","n":1}`) }

// sum asks for the sum.
func (x *world) sum(n channel.Name) (sum, timers int64) {
	x.Helper()
	var v struct{ Sum, Timers int64 }
	if err := json.Unmarshal(x.do(n, `{"op":"get"}`).Body, &v); err != nil {
		x.Fatal(err)
	}
	return v.Sum, v.Timers
}

// until waits for something that comes true by itself.
func (x *world) until(what string, ok func() bool) {
	x.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			x.Fatalf("%s: not within %v; %+v", what, patience, x.w.Stats())
		}
	}
}

// replays proves a channel.
func (x *world) replays(n channel.Name) worker.Report {
	x.Helper()
	r, err := worker.Replay(context.Background(), x.o.Service, x.store, n)
	if err != nil {
		x.Errorf("replay: %v (%+v)", err, r)
	}
	return r
}

// stage stands around a real Stage and lets tests in.
type stage struct {
	journal.Stage
	mu     sync.Mutex
	before func(f journal.Fence, cs []journal.Change) error // of Commit; an error is returned, and nothing committed
	after  func(f journal.Fence, cs []journal.Change) error // of Commit: an error is returned, although it was committed
	seen   func() error
	hang   bool  // Seen and Load wait until their context ends
	claim  error // of Claim
}

func (s *stage) set(change func(*stage)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *stage) hooks() (before, after func(journal.Fence, []journal.Change) error, seen func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.before, s.after, s.seen
}

// hung waits for the end of ctx, if that is wanted.
func (s *stage) hung(ctx context.Context) error {
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	if !hang {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *stage) Load(ctx context.Context, n channel.Name) (journal.State, error) {
	if err := s.hung(ctx); err != nil {
		return journal.State{}, err
	}
	return s.Stage.Load(ctx, n)
}

func (s *stage) Claim(ctx context.Context, service string, shard int) (journal.Fence, error) {
	s.mu.Lock()
	err := s.claim
	s.mu.Unlock()
	if err != nil {
		return journal.Fence{}, err
	}
	return s.Stage.Claim(ctx, service, shard)
}

func (s *stage) Seen(ctx context.Context, cs []channel.Command) ([]journal.Known, error) {
	if err := s.hung(ctx); err != nil {
		return nil, err
	}
	if _, _, seen := s.hooks(); seen != nil {
		if err := seen(); err != nil {
			return nil, err
		}
	}
	return s.Stage.Seen(ctx, cs)
}

func (s *stage) Commit(ctx context.Context, f journal.Fence, cs []journal.Change) ([]journal.Result, error) {
	before, after, _ := s.hooks()
	if before != nil {
		if err := before(f, cs); err != nil {
			return nil, err
		}
	}
	rs, err := s.Stage.Commit(ctx, f, cs)
	if err == nil && after != nil {
		if err = after(f, cs); err != nil {
			return nil, err
		}
	}
	return rs, err
}

// staged puts a stage around that of a world.
func staged(s *stage) func(*world) {
	return func(x *world) {
		s.Stage = x.store
		x.o.Stage = s
	}
}

// has tells whether a change of a batch has this text in its body.
func has(cs []journal.Change, text string) bool {
	for i := range cs {
		if bytes.Contains(cs[i].Command.Body, []byte(text)) {
			return true
		}
	}
	return false
}

func TestMain(m *testing.M) {
	if isChild() {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}
