package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/internal/servertest"
	"carillon/journal"
)

// waitAtMost is how long a test waits for what must come.
const waitAtMost = 60 * time.Second

type answer struct {
	at  channel.Position
	err error
}

// ask appends without waiting.
func ask(s *Store, r channel.Record) <-chan answer {
	got := make(chan answer, 2)
	s.Append(r, func(at channel.Position, err error) { got <- answer{at, err} })
	return got
}

func await[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(waitAtMost):
		t.Fatalf("%s did not come", what)
		panic("not reached")
	}
}

func record(n channel.Name, id, body string) channel.Record {
	return channel.Record{Channel: n, From: "ann", ID: id, Body: []byte(body)}
}

// insist appends until it is acknowledged, as a client does: with the same id.
func insist(t testing.TB, s *Store, r channel.Record) channel.Position {
	t.Helper()
	for deadline := time.Now().Add(waitAtMost); ; {
		got := await(t, "an answer", ask(s, r))
		if got.err == nil {
			return got.at
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s of %s: %v", r.ID, r.Channel, got.err)
		}
		<-time.After(time.Millisecond)
	}
}

// troubles collects what Options.Trouble is told: that the database is away, that it is back, and so on by turns.
type troubles struct {
	t *testing.T

	mu   sync.Mutex
	s    *Store
	told int
	away bool
}

func (c *troubles) tell(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told++; c.away == (err != nil) || c.s != nil && err != nil && c.s.Present() == nil {
		c.t.Errorf("told twice, or late: %v", err)
	}
	c.away = err != nil
}

// becomes waits until it was told that the database is away, or back.
func (c *troubles) becomes(away bool) {
	c.t.Helper()
	for deadline := time.Now().Add(waitAtMost); ; <-time.After(time.Millisecond) {
		c.mu.Lock()
		is := c.away
		c.mu.Unlock()
		if is == away {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("nobody is told: away %v", away)
		}
	}
}

// TestAway: a server that is frozen, and one that is killed. Those who wait are answered, those who come are refused at once,
// trouble is told once each way, and all heals by itself.
func TestAway(t *testing.T) {
	server := servertest.StartPostgres(t)
	for _, c := range []struct {
		name       string
		away, back func()
	}{
		{"frozen", server.Freeze, server.Thaw},
		{"killed", server.Kill, server.Start},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := &troubles{t: t}
			s := openStore(t, server.Create("away_"+c.name), Options{Trouble: told.tell})
			told.mu.Lock()
			told.s = s
			told.mu.Unlock()
			const n = channel.Name("a:away")
			first := insist(t, s, record(n, "first", "1"))
			c.away()
			var waiting []<-chan answer
			for i := range 300 {
				waiting = append(waiting, ask(s, record(channel.Name(fmt.Sprintf("a:%d", i%30)), fmt.Sprint(i), "2")))
			}
			waiting = append(waiting, ask(s, record(n, "lost", "2")))
			for _, w := range waiting {
				got := await(t, "an answer from a database that is away", w)
				if !errors.Is(got.err, journal.ErrUnconfirmed) && !errors.Is(got.err, journal.ErrClosed) {
					t.Fatalf("%+v", got)
				}
			}
			told.becomes(true)
			refuseAtOnce(t, s, n)
			c.back()
			told.becomes(false)
			if again := insist(t, s, record(n, "first", "1")); again != first {
				t.Fatalf("the first id got %+v, then %+v", first, again)
			}
			lost := insist(t, s, record(n, "lost", "2"))
			p, err := s.Read(context.Background(), n, journal.Query{})
			if err != nil || len(p.Records) != 2 || p.Head != lost || lost.Offset != 2 {
				t.Fatalf("%d records, head %+v, %+v, %v", len(p.Records), p.Head, lost, err)
			}
			t.Logf("told %d times", told.told)
		})
	}
}

// refuseAtOnce: nobody waits and nothing queues while the database is away.
func refuseAtOnce(t *testing.T, s *Store, n channel.Name) {
	t.Helper()
	ctx := context.Background()
	for range 1000 {
		got := ask(s, record(n, "refused", "3"))
		select {
		case a := <-got:
			if !errors.Is(a.err, journal.ErrClosed) {
				t.Fatalf("%+v", a)
			}
		default:
			t.Fatal("an append waits for a database that is away")
		}
		_, err := s.Read(ctx, n, journal.Query{})
		_, failed := s.Heads(ctx, []channel.Name{n})
		_, none := s.Latest(ctx, n)
		for _, err := range []error{err, failed, none, s.Present()} {
			if !errors.Is(err, journal.ErrClosed) {
				t.Fatalf("%v", err)
			}
		}
	}
	if s.Waiting() != 0 {
		t.Fatalf("%d wait", s.Waiting())
	}
}

// A store is closed while its database is frozen: everything is answered.
func TestCloseWhileFrozen(t *testing.T) {
	server := servertest.StartPostgres(t)
	s := openStore(t, server.Create("closed"), Options{Patience: 500 * time.Millisecond})
	insist(t, s, record("a:x", "1", "1"))
	server.Freeze()
	defer server.Thaw()
	var answers sync.WaitGroup
	for i := range 100 {
		answers.Add(1)
		s.Append(record("a:x", fmt.Sprint("late", i), "2"), func(_ channel.Position, err error) {
			if err == nil {
				t.Error("a frozen database acknowledged")
			}
			answers.Done()
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	answers.Wait()
}
