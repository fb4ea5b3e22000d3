package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"

	"pgregory.net/rapid"
)

// TablesSuite is the law of journal.Tables: what Run is for logs. What open returns must implement it.
func TablesSuite(t *testing.T, open Open) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, Open)
	}{
		{"values", checkValues},
		{"revs", checkRevs},
		{"apart from the log", checkApart},
		{"ids", checkTableIDs},
		{"bounds", checkTableBounds},
		{"age", checkTableAge},
		{"share of a user", checkShare},
		{"any writes", checkAnyWrites},
		{"many writers", checkManyWriters},
		{"refusals", checkTableRefusals},
		{"reopen", checkTableReopen},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, open) })
	}
}

// put writes an entry and waits; "" deletes.
func (w *world) put(n channel.Name, user, key, body string) {
	w.t.Helper()
	at, err := w.try(channel.Record{Channel: n, Class: channel.Latest, From: user, Key: key, Body: []byte(body)})
	if err != nil || !at.IsZero() {
		w.t.Fatalf("put %s/%s in %s: %+v, %v", user, key, n, at, err)
	}
}

// table reads a table and checks what is true of each: one epoch, ascending revs up to Rev, no deletions, and that
// whoever folded what was carried since the journal was opened holds the same.
func (w *world) table(t tb, n channel.Name) journal.Table {
	t.Helper()
	table, err := w.j.(journal.Tables).Latest(context.Background(), n)
	if err != nil {
		t.Fatalf("table of %s: %v", n, err)
	}
	last := uint64(0)
	for _, r := range table.Records {
		if r.Rev <= last || r.Rev > table.Rev || r.At != (channel.Position{Epoch: table.Epoch}) || len(r.Body) == 0 ||
			r.Channel != n || r.Class != channel.Latest || r.Time.IsZero() {
			t.Fatalf("record of %s after rev %d, table to rev %d of epoch %x: %+v", n, last, table.Rev, table.Epoch, r)
		}
		last = r.Rev
	}
	if head := w.head(t, n); head.Epoch != table.Epoch {
		t.Fatalf("the table of %s has epoch %x, its log %x", n, table.Epoch, head.Epoch)
	}
	return table
}

// words is a table as one string: user/key=body, by rev.
func words(rs []channel.Record) string {
	var out []string
	for _, r := range rs {
		out = append(out, fmt.Sprintf("%s/%s=%s", r.From, r.Key, r.Body))
	}
	return strings.Join(out, " ")
}

func (w *world) is(n channel.Name, want string) {
	w.t.Helper()
	if got := words(w.table(w.t, n).Records); got != want {
		w.t.Fatalf("the table of %s is %q, not %q", n, got, want)
	}
}

// folded is what somebody holds who heard everything that was carried.
func (w *world) folded(t tb, n channel.Name) []channel.Record {
	t.Helper()
	held := map[[2]string]channel.Record{}
	last := uint64(0)
	for _, r := range w.carriedOf(n) {
		if r.Class != channel.Latest {
			continue
		}
		if r.Rev <= last || r.At.Offset != 0 || r.At.Epoch == 0 {
			t.Fatalf("carried in %s after rev %d: %+v", n, last, r)
		}
		last = r.Rev
		delete(held, [2]string{r.From, r.Key})
		if len(r.Body) > 0 {
			held[[2]string{r.From, r.Key}] = r
		}
	}
	var rs []channel.Record
	for _, r := range held {
		rs = append(rs, r)
	}
	slices.SortFunc(rs, func(a, b channel.Record) int { return int(int64(a.Rev - b.Rev)) })
	return rs
}

func (w *world) carriedAll(t tb, n channel.Name) {
	t.Helper()
	table := w.table(t, n)
	folded := w.folded(t, n)
	same := slices.EqualFunc(table.Records, folded, func(a, b channel.Record) bool {
		return a.Rev == b.Rev && a.From == b.From && a.Key == b.Key && a.Binary == b.Binary && bytes.Equal(a.Body, b.Body) && a.Time.Equal(b.Time)
	})
	if !same {
		t.Fatalf("%s holds %q, what was carried makes %q", n, words(table.Records), words(folded))
	}
}

func checkValues(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = channel.Name("a:table")
	w.is(n, "")
	w.put(n, "ann", "x", "1")
	w.put(n, "", "x", `"of the server"`)
	w.put(n, "bob", "x", "null")
	w.put(n, "ann", "y", "2")
	w.is(n, `ann/x=1 /x="of the server" bob/x=null ann/y=2`)
	w.put(n, "ann", "x", "3") // goes to the end
	w.put(n, "bob", "x", "")
	w.put(n, "bob", "never", "")
	w.is(n, `/x="of the server" ann/y=2 ann/x=3`)
	carried := w.carriedOf(n)
	if len(carried) != 6 || len(carried[5].Body) != 0 || carried[5].From != "bob" || carried[5].Key != "x" {
		t.Fatalf("carried %q", words(carried))
	}
	if table := w.table(t, n); table.Rev != carried[5].Rev {
		t.Fatalf("the table is at rev %d, the deletion has %d", table.Rev, carried[5].Rev)
	}
	raw := channel.Record{Channel: n, Class: channel.Latest, Key: "raw", Binary: true, Body: []byte{0, 255}}
	if _, err := w.try(raw); err != nil {
		t.Fatal(err)
	}
	if r := w.carriedOf(n)[6]; !r.Binary || r.Channel != n || r.Class != channel.Latest {
		t.Fatalf("carried %+v", r)
	}
	w.carriedAll(t, n)
	w.is("a:other", "")
}

// checkRevs: revs are the clock in microseconds where that moves, and go up where it does not.
func checkRevs(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = channel.Name("a:revs")
	for _, step := range []time.Duration{0, time.Second, 0, 0, -time.Hour, 0, 2 * time.Hour} {
		w.clock.add(step)
		before := w.table(t, n).Rev
		w.put(n, "ann", "x", "1")
		now := uint64(w.clock.Now().UnixMicro())
		if rev := w.table(t, n).Rev; rev <= before || rev < now || rev > max(now, before+1) {
			t.Fatalf("rev %d at %d after %d", rev, now, before)
		}
	}
	var last time.Time
	for _, r := range w.carriedOf(n) {
		if r.Time.Before(last) {
			t.Fatal("time goes back")
		}
		last = r.Time
	}
}

// checkApart: the table moves no head and stands in no page, and answers come in the order of the calls.
func checkApart(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = channel.Name("a:apart")
	var mu sync.Mutex
	var order []int
	var answered sync.WaitGroup
	for i := range 60 {
		r := channel.Record{Channel: n, From: "ann", Body: []byte("1")}
		if i%3 == 0 {
			r.Class, r.Key = channel.Latest, fmt.Sprint("k", i%2)
		}
		answered.Add(1)
		w.j.Append(r, func(at channel.Position, err error) {
			defer answered.Done()
			mu.Lock()
			defer mu.Unlock()
			if err != nil || at.IsZero() != (r.Class == channel.Latest) {
				t.Errorf("%d: %+v, %v", i, at, err)
			}
			order = append(order, i)
		})
	}
	waitGroup(t, &answered)
	if !slices.IsSorted(order) {
		t.Fatalf("answers came in the order %v", order)
	}
	if log := w.all(t, n); len(log) != 40 || w.head(t, n).Offset != 40 {
		t.Fatalf("%d records in the log, head %+v", len(log), w.head(t, n))
	}
	if table := w.table(t, n); len(table.Records) != 2 {
		t.Fatalf("the table is %q", words(table.Records))
	}
	w.carriedAll(t, n)
}

func checkTableIDs(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	w.clock.add(time.Minute)
	const n = channel.Name("a:ids")
	first := channel.Record{Channel: n, Class: channel.Latest, From: "ann", Key: "x", ID: "1", Body: []byte("1")}
	for range 2 {
		if at, err := w.try(first); err != nil || !at.IsZero() {
			t.Fatalf("%+v, %v", at, err)
		}
		w.put(n, "bob", "x", "2") // a resend must not bring the old value back to the end
	}
	w.is(n, "ann/x=1 bob/x=2")
	gone := channel.Record{Channel: n, Class: channel.Latest, From: "ann", Key: "x", ID: "2"}
	for range 2 {
		if _, err := w.try(gone); err != nil {
			t.Fatal(err)
		}
	}
	w.is(n, "bob/x=2")
	logged, otherKey, otherBody, late := first, first, first, first
	logged.Class, logged.Key = channel.Logged, ""
	otherKey.Key, otherBody.Body = "y", []byte("2")
	late.ID, late.Age = "late", 1000*time.Hour
	for _, c := range []struct {
		r    channel.Record
		want error
	}{{logged, journal.ErrReuse}, {otherKey, journal.ErrReuse}, {otherBody, journal.ErrReuse}, {late, journal.ErrUnknown}} {
		if _, err := w.try(c.r); !errors.Is(err, c.want) {
			t.Fatalf("%+v: %v, want %v", c.r, err, c.want)
		}
	}
	if got := len(w.carriedOf(n)); got != 4 {
		t.Fatalf("%d carried", got)
	}
}

func checkTableBounds(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	for i := range 5 {
		w.put("latest3:x", "", fmt.Sprint(i), "1")
	}
	w.is("latest3:x", "/2=1 /3=1 /4=1")
	w.put("latest3:x", "", "2", "2")
	w.put("latest3:x", "", "5", "1")
	w.is("latest3:x", "/4=1 /2=2 /5=1")
	w.carriedAll(t, "latest3:x")

	w.put("heavy10:x", "", "a", "1234")
	w.put("heavy10:x", "", "b", "1234")
	w.put("heavy10:x", "", "a", "123456")
	w.is("heavy10:x", "/b=1234 /a=123456")
	w.put("heavy10:x", "", "c", "12345")
	w.is("heavy10:x", "/c=12345")
	w.put("heavy10:x", "", "d", "12345678901234567890")
	w.is("heavy10:x", "/d=12345678901234567890")
	w.carriedAll(t, "heavy10:x")
}

func checkTableAge(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = channel.Name("fresh60:x")
	w.put(n, "", "a", "1")
	w.put(n, "", "b", "1")
	w.clock.add(30 * time.Second)
	w.put(n, "", "b", "2")
	w.clock.add(29 * time.Second)
	w.is(n, "/a=1 /b=2")
	w.clock.add(time.Second)
	w.is(n, "/b=2")
	w.put(n, "ann", "c", "3")
	w.is(n, "/b=2 ann/c=3")
	w.carriedAll(t, n)
	w.clock.add(time.Hour)
	w.is(n, "")
	rev := w.table(t, n).Rev
	w.put(n, "", "d", "1")
	if r := w.table(t, n).Records; len(r) != 1 || r[0].Rev <= rev {
		t.Fatalf("after all were too old: %+v, before rev %d", r, rev)
	}
	w.carriedAll(t, n)
}

func checkShare(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = channel.Name("each2:x")
	for _, key := range []string{"1", "2", "3"} {
		w.put(n, "", key, "0")
		w.put(n, "ann", key, "0")
		w.put(n, "bob", key, "0")
		w.put(n, "bob", key, "1")
	}
	w.is(n, "/1=0 /2=0 ann/2=0 bob/2=1 /3=0 ann/3=0 bob/3=1")
	w.carriedAll(t, n)
}

// checkAnyWrites compares with the plainest table there is.
func checkAnyWrites(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		n := channel.Name(fmt.Sprintf("%s:%d", rapid.SampledFrom([]string{"a", "latest3", "heavy12", "each2"}).Draw(t, "policy"), run))
		p := policies(n)
		var model []channel.Record
		for range rapid.IntRange(1, 25).Draw(t, "writes") {
			r := channel.Record{
				Channel: n, Class: channel.Latest, From: rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(t, "user"),
				Key: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key"), Body: bytes.Repeat([]byte("1"), rapid.IntRange(0, 6).Draw(t, "body")),
			}
			if o := wait(t, w.start(r)); o.err != nil {
				t.Fatalf("%v", o.err)
			}
			model = modelPut(model, r, p)
		}
		if got, want := words(w.table(t, n).Records), words(model); got != want {
			t.Fatalf("%s holds %q, not %q", n, got, want)
		}
		w.carriedAll(t, n)
	})
}

func modelPut(model []channel.Record, r channel.Record, p channel.Policy) []channel.Record {
	model = slices.DeleteFunc(model, func(o channel.Record) bool { return o.From == r.From && o.Key == r.Key })
	if len(r.Body) > 0 {
		model = append(model, r)
	}
	mine, size := 0, 0
	for _, o := range model {
		size += len(o.Body)
		if o.From == r.From {
			mine++
		}
	}
	if r.From != "" && p.LatestEach > 0 && mine > p.LatestEach {
		i := slices.IndexFunc(model, func(o channel.Record) bool { return o.From == r.From })
		model = slices.Delete(model, i, i+1)
	}
	for len(model) > 1 && (p.Latest.Records > 0 && len(model) > p.Latest.Records || p.Latest.Bytes > 0 && size > p.Latest.Bytes) {
		size -= len(model[0].Body)
		model = model[1:]
	}
	return model
}

func checkManyWriters(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	var writing, answered sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			for k := range 100 {
				answered.Add(1)
				r := channel.Record{
					Channel: channel.Name(fmt.Sprint("latest5:", k%2)), Class: channel.Latest, From: fmt.Sprint("u", i), Key: fmt.Sprint(k % 3), Body: []byte("1"),
				}
				if k%7 == 0 {
					r.Body = nil
				}
				w.j.Append(r, func(_ channel.Position, err error) {
					if err != nil {
						t.Error(err)
					}
					answered.Done()
				})
			}
		})
	}
	writing.Wait()
	waitGroup(t, &answered)
	for _, n := range []channel.Name{"latest5:0", "latest5:1"} {
		if table := w.table(t, n); len(table.Records) == 0 || len(table.Records) > 5 {
			t.Fatalf("the table of %s is %q", n, words(table.Records))
		}
		w.carriedAll(t, n)
	}
}

func checkTableRefusals(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	w.put("a:x", "", "k", "1")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.j.(journal.Tables).Latest(ended, "a:x"); !errors.Is(err, context.Canceled) {
		t.Fatalf("with a context that has ended: %v", err)
	}
	w.end()
	if _, err := w.try(channel.Record{Channel: "a:x", Class: channel.Latest, Key: "k", Body: []byte("2")}); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("after close: %v", err)
	}
	if _, err := w.j.(journal.Tables).Latest(context.Background(), "a:x"); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("after close: %v", err)
	}
}

// checkTableReopen: a table that lasts is there again, its revs go on, and deletions hold; any other begins another epoch.
func checkTableReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enter(t, open, dir)
	w.put("a:x", "ann", "k", "1")
	w.put("a:x", "", "k", "2")
	w.put("a:x", "bob", "k", "3")
	w.put("a:x", "bob", "k", "")
	before := w.table(t, "a:x")
	w.end()
	w.clock.add(-time.Hour)
	w.open(open, dir)
	after := w.table(t, "a:x")
	if !lasts(w.j) {
		if after.Epoch == before.Epoch || len(after.Records) != 0 {
			t.Fatalf("a table that lasts no longer than its process: %+v", after)
		}
		return
	}
	if after.Epoch != before.Epoch || after.Rev != before.Rev || words(after.Records) != words(before.Records) {
		t.Fatalf("before %+v, after %+v", before, after)
	}
	w.put("a:x", "bob", "k", "4")
	if table := w.table(t, "a:x"); table.Rev <= before.Rev || words(table.Records) != "ann/k=1 /k=2 bob/k=4" {
		t.Fatalf("revs do not go on: %+v", table)
	}
}
