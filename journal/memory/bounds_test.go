package memory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// put appends and returns the answer; without others under way a memory journal answers within Append.
func put(t *testing.T, j *Journal, r channel.Record) (at channel.Position, err error) {
	t.Helper()
	answers := 0
	j.Append(r, func(p channel.Position, e error) { at, err, answers = p, e, answers+1 })
	if answers != 1 {
		t.Fatalf("%d answers", answers)
	}
	return at, err
}

func record(n channel.Name, id string) channel.Record {
	return channel.Record{Channel: n, From: "ann", ID: id, Body: []byte("1")}
}

// An id is known for at least one generation and forgotten after two; a resend from before what is remembered is
// answered "unknown", never appended.
func TestGenerations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New(Options{})
		defer j.Close()
		time.Sleep(time.Second)
		first, err := put(t, j, record("a:x", "1"))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		resend := func() (channel.Position, error) {
			r := record("a:x", "1")
			r.Age = time.Since(begin)
			return put(t, j, r)
		}
		for time.Since(begin) < generation {
			if at, err := resend(); err != nil || at != first {
				t.Fatalf("resend after %v: %+v, %v", time.Since(begin), at, err)
			}
			time.Sleep(20 * time.Second)
		}
		time.Sleep(generation + ageSlack)
		if at, err := resend(); !errors.Is(err, journal.ErrUnknown) {
			t.Fatalf("resend after %v: %+v, %v", time.Since(begin), at, err)
		}
		young := record("a:x", "2")
		young.Age = generation - ageSlack - sweepEvery
		if _, err := put(t, j, young); err != nil {
			t.Fatalf("a first sending that is less than a generation old: %v", err)
		}
		if heads, _ := j.Heads(context.Background(), []channel.Name{"a:x"}); heads[0].Offset != 2 {
			t.Fatalf("head %+v", heads[0])
		}
	})
}

// A map that is full is swapped early, and then the journal remembers less and says so.
func TestFullGenerations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New(Options{MaxIDs: 10})
		defer j.Close()
		time.Sleep(time.Minute)
		for i := range 25 {
			if _, err := put(t, j, record("a:x", fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := len(j.ids.young) + len(j.ids.old); n > 20 {
			t.Fatalf("%d ids kept, bound is 10 in each of two", n)
		}
		gone := record("a:x", "3")
		gone.Age = 22 * time.Second
		if _, err := put(t, j, gone); !errors.Is(err, journal.ErrUnknown) {
			t.Fatalf("id 3 of 25: %v", err)
		}
		kept := record("a:x", "24")
		kept.Age = time.Second
		if at, err := put(t, j, kept); err != nil || at.Offset != 25 {
			t.Fatalf("id 24 of 25: %+v, %v", at, err)
		}
	})
}

// The sweeper gives back what idle channels hold.
func TestSweeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New(Options{Policies: func(channel.Name) channel.Policy {
			return channel.Policy{Retention: channel.Keep{Age: time.Minute}}
		}})
		defer j.Close()
		for range 1000 {
			_, _ = put(t, j, record("a:burst", ""))
		}
		time.Sleep(50 * time.Second)
		_, _ = put(t, j, record("a:burst", ""))
		s := j.shard("a:burst")
		slots := func() int {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if l := s.logs["a:burst"]; l.tail != nil {
				return len(l.tail.buf)
			}
			return 0
		}
		if n := slots(); n < 1000 {
			t.Fatalf("%d slots for 1001 records", n)
		}
		time.Sleep(10*time.Second + sweepEvery)
		if n := slots(); n == 0 || n > 4 {
			t.Fatalf("%d slots for the one record that is left", n)
		}
		time.Sleep(time.Minute)
		if n := slots(); n != 0 {
			t.Fatalf("%d slots for no records", n)
		}
	})
}

// The number of logs is bounded; empty ones go first, and a log that comes back is not taken for its former self.
func TestForgottenLogs(t *testing.T) {
	const bound = 20
	j := New(Options{MaxLogs: bound})
	defer j.Close()
	kept, _ := put(t, j, record("a:kept", ""))
	heads := map[channel.Name]channel.Position{}
	for i := range 3 * bound {
		n := channel.Name(fmt.Sprintf("a:empty%d", i))
		hs, err := j.Heads(context.Background(), []channel.Name{n})
		if err != nil {
			t.Fatal(err)
		}
		heads[n] = hs[0]
	}
	if n := len(j.shards[0].logs); n > bound {
		t.Fatalf("%d logs known, bound is %d", n, bound)
	}
	if p, _ := j.Read(context.Background(), "a:kept", journal.Query{}); len(p.Records) != 1 || p.Head != kept {
		t.Fatalf("a log with records was forgotten before empty ones: %+v", p)
	}
	if p, _ := j.Read(context.Background(), "a:empty0", journal.Query{After: heads["a:empty0"]}); p.Gap != channel.GapDiverged {
		t.Fatalf("the next life of a forgotten log continues it: gap %q", p.Gap)
	}
	// Where none is empty, the longest untouched goes.
	for i := range 2 * bound {
		_, _ = put(t, j, record(channel.Name(fmt.Sprintf("a:full%d", i)), ""))
	}
	if n := len(j.shards[0].logs); n > bound {
		t.Fatalf("%d logs known, bound is %d", n, bound)
	}
	if p, _ := j.Read(context.Background(), "a:kept", journal.Query{After: kept}); p.Gap != channel.GapAhead {
		t.Fatalf("the longest untouched log is still there: %+v", p)
	}
}

// While somebody is stuck in a done, others append and return, up to the bound; nothing is lost, nothing overtakes.
func TestStuckDone(t *testing.T) {
	j := New(Options{})
	entered, leave := make(chan struct{}), make(chan struct{})
	stuck := make(chan struct{})
	go func() {
		defer close(stuck)
		j.Append(record("a:x", ""), func(channel.Position, error) { close(entered); <-leave })
	}()
	<-entered
	var order []uint64
	busy := 0
	for range maxWaiting + 5 {
		j.Append(record("a:x", ""), func(at channel.Position, err error) {
			if errors.Is(err, journal.ErrBusy) {
				busy++
				return
			}
			order = append(order, at.Offset)
		})
	}
	if busy != 5 || len(order) != 0 {
		t.Fatalf("%d busy, %d answered", busy, len(order))
	}
	if at, err := put(t, j, record("a:other", "")); err != nil || at.Offset != 1 {
		t.Fatalf("another channel: %+v, %v", at, err)
	}
	close(leave)
	<-stuck
	j.Close()
	if len(order) != maxWaiting {
		t.Fatalf("%d answered of %d", len(order), maxWaiting)
	}
	for i, offset := range order {
		if offset != uint64(i+2) {
			t.Fatalf("answer %d is for offset %d", i, offset)
		}
	}
}

// An appender whose channel never comes to rest gets away: the relay goes on for him.
func TestRelay(t *testing.T) {
	j := New(Options{})
	const rounds = 1000
	calls := 0
	over := make(chan struct{})
	var again func(channel.Position, error)
	var returned chan struct{} = make(chan struct{})
	again = func(channel.Position, error) {
		switch calls++; {
		case calls == rounds:
			close(over)
			return
		case calls == drainTurns+2:
			<-returned // only the relay can be here: the appender has returned
		}
		j.Append(record("a:x", ""), again)
	}
	j.Append(record("a:x", ""), again)
	close(returned)
	<-over
	j.Close()
	if n := j.shard("a:x").logs["a:x"].offset; n != rounds {
		t.Fatalf("head %d of %d", n, rounds)
	}
}
