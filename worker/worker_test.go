package worker_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/journal"
	"carillon/worker"
)

func TestCommands(t *testing.T) {
	x := open(t, nil)
	for i := 1; i <= 5; i++ {
		r := x.add("tally:a")
		if want := fmt.Sprintf(`{"sum":%d,"steps":%d}`, i, i); string(r.Body) != want || r.At.Offset != uint64(i) || r.Code != 0 {
			t.Errorf("command %d was answered %+v, want %s at offset %d", i, r, want, i)
		}
	}
	page, err := x.store.Read(t.Context(), "tally:a", journal.Query{})
	if err != nil || len(page.Records) != 5 {
		t.Fatalf("the log has %d records, %v", len(page.Records), err)
	}
	if last := page.Records[4]; last.From != "ann" || !bytes.Contains(last.Body, []byte(`"sum":5`)) {
		t.Errorf("the last record is from %s: %s", last.From, last.Body)
	}
	x.replays("tally:a")
}

func TestDuplicates(t *testing.T) {
	x := open(t, nil)
	body := `{"op":"add","n":3}`
	first, err := x.ask("tally:d", "one", body)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := x.ask("tally:d", "one", body)
		if err != nil || again.At != first.At || string(again.Body) != string(first.Body) || again.ID != "one" {
			t.Errorf("the first answer was %+v, the next is %+v, %v", first, again, err)
		}
		x.add("tally:d")
	}
	if _, err := x.ask("tally:d", "one", `{"op":"add","n":4}`); !errors.Is(err, journal.ErrReuse) {
		t.Errorf("another body under the same id: %v", err)
	}
	if _, err := x.wait(x.post(channel.Command{ID: "one", Channel: "tally:d", User: "bob", Body: []byte(body)})); err != nil {
		t.Errorf("another user's id: %v", err)
	}
	refused, _ := x.ask("tally:d", "two", `{"op":"refuse"}`)
	x.restart()
	again, err := x.ask("tally:d", "two", `{"op":"refuse"}`)
	if err != nil || refused.Code != 7 || again.Code != 7 || string(again.Body) != string(refused.Body) || again.At != refused.At {
		t.Errorf("a refusal was answered %+v, and then %+v, %v", refused, again, err)
	}
	if sum, _ := x.sum("tally:d"); sum != 3+3+3 {
		t.Errorf("the sum is %d", sum)
	}
}

// TestStorm: ten thousand duplicates of one command, before and after its commit, are answered alike and load nothing.
func TestStorm(t *testing.T) {
	hold := make(chan struct{})
	var s stage
	x := open(t, staged(&s))
	x.add("tally:storm")
	s.set(func(s *stage) {
		s.before = func(journal.Fence, []journal.Change) error { <-hold; return nil }
	})
	loads := x.w.Stats().Loads
	c := channel.Command{ID: "storm", Channel: "tally:storm", User: "ann", Body: []byte(`{"op":"add","n":1}`)}
	var all []<-chan answer
	for range 5000 {
		all = append(all, x.post(c))
	}
	wrong := c
	wrong.Body = []byte(`{"op":"add","n":2}`)
	reuse := x.post(wrong)
	close(hold)
	first, err := x.wait(all[0])
	if err != nil {
		t.Fatal(err)
	}
	_, _ = x.wait(all[len(all)-1])
	for range 5000 {
		all = append(all, x.post(c))
	}
	for i, got := range all[1:] {
		if i == 4999-1 {
			continue // taken above
		}
		if r, err := x.wait(got); err != nil || r.At != first.At || string(r.Body) != string(first.Body) {
			t.Fatalf("duplicate %d: %+v, %v; the first: %+v", i, r, err, first)
		}
	}
	if _, err := x.wait(reuse); !errors.Is(err, journal.ErrReuse) {
		t.Errorf("another body under an id in hand: %v", err)
	}
	if sum, _ := x.sum("tally:storm"); sum != 2 {
		t.Errorf("the sum is %d, want 2", sum)
	}
	if st := x.w.Stats(); st.Loads != loads {
		t.Errorf("the storm caused %d loads: %+v", st.Loads-loads, st)
	}
}

// TestRepeated: commands that come again without saying so, to a process that has not seen them, are answered as they were; what
// comes with them is done once.
func TestRepeated(t *testing.T) {
	where := database(t)
	if where == "" {
		where = t.TempDir()
	}
	open := func() (*world, truth) {
		s, err := openTruth(where)
		if err != nil {
			t.Fatal(err)
		}
		return openOn(t, s, nil), s
	}
	x, s := open()
	const n, count = channel.Name("tally:again"), 20
	var first [count]channel.Reply
	for i := range first {
		var err error
		if first[i], err = x.ask(n, fmt.Sprint(i), inc); err != nil {
			t.Fatal(err)
		}
	}
	x.stop()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	x, _ = open()
	var old, fresh, plain []<-chan answer
	for i := range first {
		plain = append(plain, x.post(channel.Command{Channel: n, User: "ann", Body: []byte(inc)}))
		old = append(old, x.post(channel.Command{ID: fmt.Sprint(i), Channel: n, User: "ann", Body: []byte(inc)}))
		fresh = append(fresh, x.post(channel.Command{ID: fmt.Sprint("fresh", i), Channel: n, User: "ann", Body: []byte(inc)}))
	}
	for i := range first {
		if r, err := x.wait(old[i]); err != nil || r.At != first[i].At || !bytes.Equal(r.Body, first[i].Body) {
			t.Errorf("command %d was answered %+v, and again %+v, %v", i, first[i], r, err)
		}
		for _, got := range []<-chan answer{fresh[i], plain[i]} {
			if r, err := x.wait(got); err != nil || r.Code != 0 {
				t.Errorf("beside a command that comes again: %+v, %v", r, err)
			}
		}
	}
	if sum, _ := x.sum(n); sum != 3*count {
		t.Errorf("the sum is %d, not %d", sum, 3*count)
	}
	x.replays(n)
}

// TestQuestions: a question sees all before it, names the head it saw, changes nothing and is not kept.
func TestQuestions(t *testing.T) {
	x := open(t, nil)
	n := channel.Name("tally:q")
	var all []<-chan answer
	for i := range 200 {
		body := `{"op":"add","n":1}`
		if i%2 == 1 {
			body = `{"op":"get"}`
		}
		all = append(all, x.post(channel.Command{ID: fmt.Sprint(i), Channel: n, User: "ann", Body: []byte(body)}))
	}
	var head channel.Position
	for i, got := range all {
		r, err := x.wait(got)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 && (r.At != head || !bytes.Contains(r.Body, fmt.Appendf(nil, `"sum":%d,`, i/2+1))) {
			t.Fatalf("question %d was answered %s at %v; the change before it at %v", i, r.Body, r.At, head)
		}
		head = r.At
	}
	before := x.w.Stats()
	for range 3 {
		if r, err := x.ask(n, "1", `{"op":"get"}`); err != nil || !bytes.Contains(r.Body, []byte(`"sum":100,`)) {
			t.Errorf("asked again: %s, %v", r.Body, err)
		}
	}
	after := x.w.Stats()
	if after.Questions-before.Questions != 3 || after.Commands != before.Commands || after.Duplicates != before.Duplicates {
		t.Errorf("three questions: %+v, and before them %+v", after, before)
	}
}

// TestSnapshots: machines are brought back from them, whether by age, by passing out of memory or by a drain.
func TestSnapshots(t *testing.T) {
	x := open(t, nil)
	n := channel.Name("tally:snap")
	for range 1100 {
		x.post(channel.Command{Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1}`)})
	}
	if sum, _ := x.sum(n); sum != 1100 {
		t.Fatalf("the sum is %d", sum)
	}
	if st, err := x.store.Load(t.Context(), n); err != nil || st.At != 1000 || len(st.Commands) != 100 {
		t.Errorf("the snapshot is of version %d, %d commands follow, %v", st.At, len(st.Commands), err)
	}
	x.restart()
	if st, err := x.store.Load(t.Context(), n); err != nil || st.At != 1100 || len(st.Commands) != 0 {
		t.Errorf("after the drain the snapshot is of version %d, %d commands follow, %v", st.At, len(st.Commands), err)
	}
	if sum, _ := x.sum(n); sum != 1100 {
		t.Errorf("after the drain the sum is %d", sum)
	}
	x.add(n)
	if r := x.replays(n); r.Snapshots != 2 || r.To != 1101 {
		t.Errorf("replay proved %+v", r)
	}
}

func TestPassivation(t *testing.T) {
	x := open(t, func(x *world) { x.o.Machines = 2 * x.store.Shards() })
	const channels = 400
	for round := range 3 {
		for i := range channels {
			n := channel.Name(fmt.Sprintf("tally:p%d", i))
			if r := x.add(n); !bytes.Contains(r.Body, fmt.Appendf(nil, `"sum":%d,`, round+1)) {
				t.Fatalf("%s in round %d: %s", n, round, r.Body)
			}
		}
	}
	st := x.w.Stats()
	if st.Machines > int64(2*x.store.Shards()) || st.Passivated < channels {
		t.Errorf("%d machines are in memory, %d left it", st.Machines, st.Passivated)
	}
	if s, err := x.store.Load(t.Context(), "tally:p0"); err != nil || s.Snapshot == nil {
		t.Errorf("no snapshot of a machine that left: %v", err)
	}
}

func TestPassivationByBytesAndAge(t *testing.T) {
	x := open(t, func(x *world) {
		x.o.MachineBytes = int64(x.store.Shards()) * 100_000
		x.o.Idle = 200 * time.Millisecond
	})
	for i := range 100 {
		x.do(channel.Name(fmt.Sprintf("tally:b%d", i)), `{"op":"add","n":1,"pad":30000}`)
	}
	if m := x.w.Stats().Machines; m > int64(4*x.store.Shards()) {
		t.Errorf("%d machines of 30 kB each are in memory", m)
	}
	x.until("all idle machines leave", func() bool { return x.w.Stats().Machines == 0 })
	if sum, _ := x.sum("tally:b0"); sum != 1 {
		t.Errorf("the sum is %d", sum)
	}
}

// TestApplyAhead: while a commit is under way the next batch is taken and applied.
func TestApplyAhead(t *testing.T) {
	var s stage
	var applied sync.Map
	x := open(t, func(x *world) {
		staged(&s)(x)
		x.s.step = func(c channel.Command) { applied.Store(c.ID, true) }
	})
	n := channel.Name("tally:ahead")
	x.add(n)
	held, let := make(chan struct{}), make(chan struct{})
	s.set(func(s *stage) {
		var once sync.Once
		s.before = func(journal.Fence, []journal.Change) error {
			once.Do(func() { close(held); <-let })
			return nil
		}
	})
	first := x.post(channel.Command{ID: "first", Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1}`)})
	<-held
	var all []<-chan answer
	for i := range 100 {
		all = append(all, x.post(channel.Command{ID: fmt.Sprint(i), Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1}`)}))
	}
	x.until("the next batch is applied while the first is not committed", func() bool { _, ok := applied.Load("50"); return ok })
	select {
	case a := <-all[0]:
		t.Errorf("answered before the commit: %+v", a)
	case a := <-first:
		t.Errorf("answered before the commit: %+v", a)
	default:
	}
	close(let)
	for _, got := range append(all, first) {
		if _, err := x.wait(got); err != nil {
			t.Error(err)
		}
	}
	x.replays(n)
}

func TestGrantAndErase(t *testing.T) {
	x := open(t, nil)
	n := channel.Name("tally:g")
	x.add(n)
	x.do(n, `{"op":"grant","to":"bob"}`)
	x.do(n, `{"op":"erase","n":1}`)
	x.add(n)
	as, err := x.store.Rights(t.Context(), []journal.Grant{{Channel: n, User: "bob"}, {Channel: n, User: "eve"}})
	if err != nil || as[0].Rights != channel.Read || as[1].Rights != 0 {
		t.Errorf("rights are %+v, %v", as, err)
	}
	page, err := x.store.Read(t.Context(), n, journal.Query{})
	if err != nil || len(page.Records) != 4 || len(page.Records[0].Body) != 0 || len(page.Records[1].Body) == 0 {
		t.Errorf("the page is %+v, %v", page.Records, err)
	}
	x.restart()
	if sum, _ := x.sum(n); sum != 2 {
		t.Errorf("the sum is %d", sum)
	}
	x.replays(n)
}

// TestReplayFinds: other rules than those of the log stop the channel, and Replay says where.
func TestReplayFinds(t *testing.T) {
	x := open(t, nil)
	n := channel.Name("tally:m")
	for range 1002 {
		x.post(channel.Command{Channel: n, User: "ann", Body: []byte(`{"op":"add","n":1}`)})
	}
	x.sum(n)
	other := script{other: true}
	r, err := worker.Replay(t.Context(), other.service("tally"), x.store, n)
	if !errors.Is(err, worker.ErrMismatch) || r.To != 0 {
		t.Errorf("replay by other rules: %+v, %v", r, err)
	}
	x.stop()
	x.o.Service = other.service("tally")
	x.do2(n)
}

func (x *world) do2(n channel.Name) {
	x.Helper()
	// The drain kept a snapshot, so that the other program begins with it; what it does from there is its own.
	x.start()
	x.add(n)
	x.o.Service = x.s.service("tally")
	if _, err := worker.Replay(x.Context(), x.o.Service, x.store, n); !errors.Is(err, worker.ErrMismatch) {
		x.Errorf("the rules changed in between, and replay says %v", err)
	}
}

func TestNoService(t *testing.T) {
	x := open(t, nil)
	if _, err := x.ask("other:1", "1", `1`); !errors.Is(err, bus.ErrNoService) {
		t.Errorf("a namespace without a service: %v", err)
	}
}
