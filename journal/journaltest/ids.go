package journaltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

func checkIDs(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	first := channel.Record{Channel: "a:ids", From: "ann", ID: "1", Body: []byte(`"x"`)}
	at := w.append(first)
	other := w.append(channel.Record{Channel: "a:ids", From: "ann", ID: "2", Body: []byte(`"x"`)})
	if other.Offset != at.Offset+1 {
		t.Fatalf("another id: %+v after %+v", other, at)
	}
	for range 3 {
		if again := w.append(first); again != at {
			t.Fatalf("resend got %+v, first %+v", again, at)
		}
	}
	changed, binary := first, first
	changed.Body = []byte(`"y"`)
	binary.Binary = true
	for _, r := range []channel.Record{changed, binary} {
		if _, err := w.try(r); !errors.Is(err, journal.ErrReuse) {
			t.Fatalf("other body: %v", err)
		}
	}
	if again := w.append(first); again != at {
		t.Fatalf("after a reuse the first id got %+v", again)
	}
	// The id belongs to its user and channel; parts that read alike when joined are not alike.
	for i, r := range []channel.Record{
		{Channel: "a:ids", From: "bob", ID: "1"}, {Channel: "a:ids2", From: "ann", ID: "1"}, {Channel: "a:ids", From: "ann1", ID: ""},
		{Channel: "a:ids", From: "an", ID: "n1"}, {Channel: "a:id", From: "sann", ID: "1"}, {Channel: "a:ids", From: "", ID: "ann1"},
	} {
		r.Body = first.Body
		before := w.head(t, r.Channel)
		if got := w.append(r); got.Offset != before.Offset+1 {
			t.Fatalf("scope %d: got %+v, head was %+v", i, got, before)
		}
	}
	// Without an id nothing is a resend.
	plain := channel.Record{Channel: "a:ids", From: "ann", Body: first.Body}
	if a, b := w.append(plain), w.append(plain); a == b {
		t.Fatal("records without an id were taken for one")
	}
	if got, want := len(w.carriedOf("a:ids")), int(w.head(t, "a:ids").Offset); got != want {
		t.Fatalf("%d carried of %d", got, want)
	}
}

// checkStorm resends ids from many sides at once, most while their first sending is still under way.
func checkStorm(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	w.clock.add(time.Second) // ages reach back to before the opening otherwise
	const n, senders, ids, times = channel.Name("a:storm"), 8, 50, 6
	var mu sync.Mutex
	answers := map[string]channel.Position{}
	var sending, answering sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(s), 1))
			for range ids * times {
				id := fmt.Sprint(rng.IntN(ids))
				r := channel.Record{Channel: n, From: "ann", ID: id, Body: []byte(`"` + id + `"`), Age: time.Millisecond}
				spoilt := rng.IntN(10) == 0
				if spoilt {
					r.Body = []byte(`"spoilt"`)
					r.From = "eve"
					r.ID = "same"
				}
				answering.Add(1)
				w.j.Append(r, func(at channel.Position, err error) {
					defer answering.Done()
					mu.Lock()
					defer mu.Unlock()
					if before, ok := answers[r.From+id]; err != nil || ok && before != at && !spoilt {
						t.Errorf("id %s: %+v, %v, before %+v", id, at, err, before)
					}
					answers[r.From+id] = at
				})
			}
		})
	}
	sending.Wait()
	waitGroup(t, &answering)
	seen := map[string]int{}
	for _, r := range w.all(t, n) {
		seen[r.From+string(r.Body)]++
	}
	for body, times := range seen {
		if times != 1 {
			t.Errorf("%s stands %d times", body, times)
		}
	}
	if len(seen) != ids+1 || len(w.carriedOf(n)) != len(seen) {
		t.Fatalf("%d distinct records and %d carried of %d", len(seen), len(w.carriedOf(n)), ids+1)
	}
}

func checkTooOld(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	w.clock.add(time.Minute)
	known := channel.Record{Channel: "a:old", From: "ann", ID: "known", Body: []byte("1"), Age: time.Second}
	at := w.append(known)
	late := channel.Record{Channel: "a:old", From: "ann", ID: "late", Body: []byte("2"), Age: 1000 * time.Hour}
	for range 2 {
		if _, err := w.try(late); !errors.Is(err, journal.ErrUnknown) {
			t.Fatalf("an id of 1000 hours ago: %v", err)
		}
	}
	if h := w.head(t, "a:old"); h != at {
		t.Fatalf("head moved to %+v", h)
	}
	known.Age = 1000 * time.Hour
	if again := w.append(known); again != at {
		t.Fatalf("a known id is known at any age: %+v, first %+v", again, at)
	}
	late.Age = 0
	if got := w.append(late); got.Offset != at.Offset+1 {
		t.Fatalf("first sending after unknown: %+v", got)
	}
}
