package node_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/journal"
	"carillon/journal/memory"
	"carillon/store/sqlite"
)

// erratic is a clock that the test sets.
type erratic struct {
	mu sync.Mutex
	at time.Time
}

func (e *erratic) now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at
}

func (e *erratic) step(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at = e.at.Add(d)
}

// TestF22_Clock: the wall clock jumps an hour ahead and back, and then goes to and fro by a second at every record. No
// journal loses or reorders anything, or shows a time before the one it showed last; a resend is known for one; and of
// all tokens those end whose time has come by the clock, and no others.
func TestF22_Clock(t *testing.T) {
	type journals interface {
		journal.Appender
		journal.Reader
	}
	// As much as a journal keeps by number; what it is told to keep by age goes by the clock on purpose.
	keep := func(channel.Name) channel.Policy {
		return channel.Policy{Durable: true, Retention: channel.Keep{Records: 10_000}}
	}
	for name, open := range map[string]func(t *testing.T, c *erratic) journals{
		"memory": func(t *testing.T, c *erratic) journals {
			j := memory.New(memory.Options{Policies: keep, Clock: c.now})
			t.Cleanup(j.Close)
			return j
		},
		"sqlite": func(t *testing.T, c *erratic) journals {
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data"), sqlite.Options{Policies: keep, Clock: c.now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &erratic{at: time.Now().Round(0)}
			clockJumps(t, open(t, clock), clock)
		})
	}
	t.Run("tokens", tokensByTheClock)
}

func clockJumps(t *testing.T, j interface {
	journal.Appender
	journal.Reader
}, clock *erratic) {
	const n = channel.Name("demo:clock")
	appended := func(i int, d time.Duration) (at channel.Position) {
		t.Helper()
		clock.step(d)
		done := make(chan error, 1)
		j.Append(channel.Record{Channel: n, From: "ann", ID: fmt.Sprint(i), Body: fmt.Appendf(nil, "%d", i)}, func(p channel.Position, err error) {
			at = p
			done <- err
		})
		if err := <-done; err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		return at
	}
	total := 0
	for _, d := range []time.Duration{0, time.Hour, -time.Hour, -time.Hour, time.Hour} {
		first := appended(total, d)
		if again := appended(total, 0); again != first {
			t.Errorf("after a jump of %v the resend of record %d is answered with %v, the first with %v", d, total, again, first)
		}
		total++
		for saw := time.Second; total%50 != 0; saw = -saw {
			appended(total, saw)
			total++
		}
	}
	p, err := j.Read(t.Context(), n, journal.Query{Limit: journal.MaxPage})
	if err != nil || p.Gap != channel.GapNone || p.More {
		t.Fatalf("reading: %v, gap %v, more %v", err, p.Gap, p.More)
	}
	if len(p.Records) != total {
		t.Fatalf("%d of %d records are there", len(p.Records), total)
	}
	at, shown := p.Base, time.Time{}
	for i, r := range p.Records {
		if want := at.Next(r.Body); r.At != want || string(r.Body) != fmt.Sprint(i) {
			t.Fatalf("record %d is %s at %v, want %v", i, r.Body, r.At, want)
		}
		if r.Time.Before(shown) {
			t.Fatalf("record %d shows %v, the one before it %v", i, r.Time, shown)
		}
		at, shown = r.At, r.Time
	}
	if resumed, err := j.Read(t.Context(), n, journal.Query{After: p.Records[total/2].At, Limit: journal.MaxPage}); err != nil || resumed.Gap != channel.GapNone ||
		len(resumed.Records) != total-total/2-1 {
		t.Errorf("a resume in the middle: %d records, gap %v, %v", len(resumed.Records), resumed.Gap, err)
	}
}

func tokensByTheClock(t *testing.T) {
	clock := &erratic{at: time.Now().Round(time.Second)}
	keys, err := auth.NewKeys([]byte(secret), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	token := func(ttl time.Duration) string {
		t.Helper()
		s, err := keys.Sign("ann", nil, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	short, long := token(30*time.Minute), token(2*time.Hour)
	for _, c := range []struct {
		step        time.Duration
		short, long bool
	}{{0, true, true}, {time.Hour, false, true}, {-time.Hour, true, true}, {time.Second, true, true}, {-time.Second, true, true}, {3 * time.Hour, false, false}} {
		clock.step(c.step)
		_, errShort := keys.Verify(short)
		_, errLong := keys.Verify(long)
		if (errShort == nil) != c.short || (errLong == nil) != c.long {
			t.Errorf("after a jump of %v: short %v, long %v", c.step, errShort, errLong)
		}
	}
}
