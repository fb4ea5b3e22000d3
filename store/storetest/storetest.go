// Package storetest is the law of SQL stores, beside journal/journaltest: what lies in their tables, what becomes of it when it is
// damaged, too old or too much, and that a schema is brought up to date once. Every dialect runs it in a test of a few lines.
// It speaks the SQL that all of them understand, and never looks into a store but through Dialect. Start with Run.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// Store is what a dialect offers to the suite.
type Store interface {
	journal.Appender
	journal.Reader
	journal.Tables
	// Close ends it; nothing that was acknowledged is lost.
	Close() error
}

// Options are what the suite gives to a store it opens.
type Options struct {
	Clock    journal.Clock
	Policies journal.Policies
	Carry    journal.Carry
}

// Dialect is how the suite reaches one kind of database.
type Dialect struct {
	// Open opens the store that lives in dir, or begins one there.
	Open func(dir string, o Options) (Store, error)
	// Exec runs a statement as somebody else would, and tells the rows it changed. Nobody has the store open.
	Exec func(t testing.TB, dir, text string) int
	// Count is the number of rows of a table. The store may be open.
	Count func(t testing.TB, dir, table string) int
	// Bytes is the literal of a byte string that is given in hexadecimal digits.
	Bytes func(hex string) string
}

// patience is how long the suite waits for what must come.
const patience = 60 * time.Second

// Run checks a dialect.
func Run(t *testing.T, d Dialect) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, Dialect)
	}{
		{"reopen", checkReopen},
		{"newer schema", checkNewerSchema},
		{"changed record", checkChangedRecord},
		{"changed head", checkChangedHead},
		{"lost heads", checkLostHead},
		{"old ids outlive records", checkIDs},
		{"trimmed in slices", checkSlices},
		{"idle channels", checkIdle},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // some wait for housekeeping
			c.check(t, d)
		})
	}
}

func (d Dialect) open(t testing.TB, dir string, o Options) Store {
	t.Helper()
	s, err := d.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

type answer struct {
	at  channel.Position
	err error
}

func ask(s Store, r channel.Record) <-chan answer {
	got := make(chan answer, 2)
	s.Append(r, func(at channel.Position, err error) { got <- answer{at, err} })
	return got
}

func wait(t testing.TB, from <-chan answer) answer {
	t.Helper()
	select {
	case a := <-from:
		return a
	case <-time.After(patience):
		t.Fatal("an append was not answered")
		panic("not reached")
	}
}

func record(n channel.Name, id, body string) channel.Record {
	return channel.Record{Channel: n, From: "ann", ID: id, Body: []byte(body)}
}

// appended appends and insists on success.
func appended(t testing.TB, s Store, r channel.Record) channel.Position {
	t.Helper()
	a := wait(t, ask(s, r))
	if a.err != nil {
		t.Fatalf("append to %s: %v", r.Channel, a.err)
	}
	return a.at
}

// fill appends count records, each with its number as id and body, and returns all positions, that before the first included.
func fill(t testing.TB, s Store, n channel.Name, count int) []channel.Position {
	t.Helper()
	heads, err := s.Heads(context.Background(), []channel.Name{n})
	if err != nil {
		t.Fatal(err)
	}
	at := append(make([]channel.Position, 0, count+1), heads[0])
	var pending []<-chan answer
	for i := range count {
		pending = append(pending, ask(s, record(n, strconv.Itoa(i), strconv.Quote(strconv.Itoa(i)))))
	}
	for _, p := range pending {
		a := wait(t, p)
		if a.err != nil {
			t.Fatalf("append to %s: %v", n, a.err)
		}
		at = append(at, a.at)
	}
	return at
}

// written is a closed store with one log.
func (d Dialect) written(t testing.TB, n channel.Name, count int) (dir string, at []channel.Position) {
	t.Helper()
	dir = t.TempDir()
	s := d.open(t, dir, Options{})
	at = fill(t, s, n, count)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, at
}

// eventually waits for what housekeeping does.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// clock is a clock that moves when told.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func keep(k channel.Keep) journal.Policies {
	return func(channel.Name) channel.Policy { return channel.Policy{Durable: true, Retention: k} }
}

// checkReopen: the schema is made once, and who the journal is does not change.
func checkReopen(t *testing.T, d Dialect) {
	dir, at := d.written(t, "a:x", 3)
	versions := d.Count(t, dir, "goose_db_version")
	s := d.open(t, dir, Options{})
	heads, err := s.Heads(context.Background(), []channel.Name{"a:x", "a:never"})
	if err != nil || heads[0] != at[3] || heads[1].Epoch != at[0].Epoch {
		t.Fatalf("heads %+v, before %+v, %v", heads, at[3], err)
	}
	if now := d.Count(t, dir, "goose_db_version"); now != versions || d.Count(t, dir, "meta") != 1 {
		t.Fatalf("%d migrations, then %d", versions, now)
	}
}

func checkNewerSchema(t *testing.T, d Dialect) {
	dir, _ := d.written(t, "a:x", 1)
	d.Exec(t, dir, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1 = 1)")
	if _, err := d.Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Fatalf("a schema from the future: %v", err)
	}
}

// checkChangedRecord: whatever column of a record is changed, it is not served; what lies before it is, and backwards what
// lies behind.
func checkChangedRecord(t *testing.T, d Dialect) {
	const n, count, bad = channel.Name("a:rot"), 50, 30
	for _, change := range []string{
		"UPDATE records SET body = " + d.Bytes("78") + ` WHERE "offset" = 30`, `UPDATE records SET tag = tag + 1 WHERE "offset" = 30`,
		`UPDATE records SET time = time + 1 WHERE "offset" = 30`, `UPDATE records SET sender = 'eve' WHERE "offset" = 30`,
		`UPDATE records SET "binary" = NOT "binary" WHERE "offset" = 30`, `UPDATE records SET seal = seal + 1 WHERE "offset" = 30`,
		`DELETE FROM records WHERE "offset" = 30`,
	} {
		t.Run(change, func(t *testing.T) {
			dir, at := d.written(t, n, count)
			if got := d.Exec(t, dir, change); got != 1 {
				t.Fatalf("%d rows changed", got)
			}
			s, ctx := d.open(t, dir, Options{}), context.Background()
			p, err := s.Read(ctx, n, journal.Query{})
			if err != nil || len(p.Records) != bad-1 || !p.More {
				t.Fatalf("forwards: %d records, more %v, %v", len(p.Records), p.More, err)
			}
			_, err = s.Read(ctx, n, journal.Query{After: at[bad-1]})
			var damage *journal.Damage
			if !errors.As(err, &damage) || !errors.Is(err, journal.ErrDamaged) || damage.Channel != n || damage.Offset != bad {
				t.Fatalf("at the damage: %v", err)
			}
			p, err = s.Read(ctx, n, journal.Query{Back: true})
			if err != nil || len(p.Records) == 0 || p.Records[0].At.Offset <= bad || !p.More {
				t.Fatalf("backwards: %d records, %v", len(p.Records), err)
			}
			if p, err = s.Read(ctx, n, journal.Query{Back: true, After: at[bad-1]}); err != nil || len(p.Records) != bad-1 {
				t.Fatalf("backwards before the damage: %d records, %v", len(p.Records), err)
			}
		})
	}
}

// checkChangedHead: behind a head that names no record nothing is appended, and other channels go on.
func checkChangedHead(t *testing.T, d Dialect) {
	for _, change := range []string{
		"UPDATE channels SET tag = tag + 1", "UPDATE channels SET head = head + 5", `DELETE FROM records WHERE "offset" = 50`,
	} {
		t.Run(change, func(t *testing.T) {
			dir, _ := d.written(t, "a:head", 50)
			d.Exec(t, dir, change)
			s := d.open(t, dir, Options{})
			bad, good := ask(s, record("a:head", "", "1")), ask(s, record("a:other", "", "1"))
			if a := wait(t, bad); !errors.Is(a.err, journal.ErrDamaged) || !errors.Is(a.err, journal.ErrUnconfirmed) {
				t.Fatalf("append behind it: %+v", a)
			}
			if a := wait(t, good); a.err != nil {
				t.Fatalf("another channel: %v", a.err)
			}
		})
	}
}

// checkLostHead: what nobody can append to is still told from what is empty.
func checkLostHead(t *testing.T, d Dialect) {
	dir, at := d.written(t, "a:gone", 5)
	if got := d.Exec(t, dir, "DELETE FROM records"); got != 5 {
		t.Fatalf("%d records", got)
	}
	s := d.open(t, dir, Options{})
	for _, q := range []journal.Query{{}, {Back: true}, {After: at[2]}} {
		if p, err := s.Read(context.Background(), "a:gone", q); !errors.Is(err, journal.ErrDamaged) {
			t.Fatalf("%+v: %+v, %v", q, p, err)
		}
	}
}

// checkIDs: ids outlive the records and are dropped when they are old, not before.
func checkIDs(t *testing.T, d Dialect) {
	dir, c := t.TempDir(), &clock{at: time.Now()}
	s := d.open(t, dir, Options{Clock: c.now, Policies: keep(channel.Keep{Records: 1})})
	at := fill(t, s, "a:ids", 50)
	if records, ids := d.Count(t, dir, "records"), d.Count(t, dir, "ids"); records != 1 || ids != 50 {
		t.Fatalf("%d records, %d ids", records, ids)
	}
	const known = 24 * time.Hour
	c.add(3 * time.Hour)
	young := appended(t, s, record("a:ids", "young", "1"))
	c.add(known)
	appended(t, s, record("a:ids", "new", "2"))
	eventually(t, "the end of old ids", func() bool { return d.Count(t, dir, "ids") <= 2 })
	again := record("a:ids", "young", "1")
	again.Age = known
	if got := appended(t, s, again); got != young {
		t.Fatalf("after %v: %+v, first %+v", known, got, young)
	}
	late := record("a:ids", "7", `"7"`)
	late.Age = known + 3*time.Hour
	if a := wait(t, ask(s, late)); !errors.Is(a.err, journal.ErrUnknown) {
		t.Fatalf("resend of what was forgotten: %+v, first %+v", a, at[8])
	}
}

// checkSlices: a bound that is far lower than what is kept is shown at once, and reached little by little.
func checkSlices(t *testing.T, d Dialect) {
	const n, count, slice = channel.Name("a:long"), 2600, 1000
	dir, at := d.written(t, n, count)
	s := d.open(t, dir, Options{Policies: keep(channel.Keep{Records: 10})})
	p, err := s.Read(context.Background(), n, journal.Query{})
	if err != nil || len(p.Records) != 10 || p.Oldest != at[count-10] {
		t.Fatalf("%d records of 10, oldest %+v, %v", len(p.Records), p.Oldest, err)
	}
	left := count
	for i := 0; left > 11; i++ {
		appended(t, s, record(n, fmt.Sprint("more", i), "1"))
		now := d.Count(t, dir, "records")
		if now > left || left+1-now > slice {
			t.Fatalf("%d records, then %d: not in slices of %d", left, now, slice)
		}
		left = now
	}
}

// checkIdle: records past their age leave the disk though nobody touches their channel; heads stay.
func checkIdle(t *testing.T, d Dialect) {
	dir, c := t.TempDir(), &clock{at: time.Now()}
	s := d.open(t, dir, Options{Clock: c.now, Policies: func(channel.Name) channel.Policy {
		return channel.Policy{Retention: channel.Keep{Age: time.Minute}, Latest: channel.Keep{Age: time.Minute}}
	}})
	for i := range 60 {
		n := channel.Name(fmt.Sprint("a:", i))
		appended(t, s, record(n, "", "1"))
		appended(t, s, channel.Record{Channel: n, Class: channel.Latest, Key: "k", Body: []byte("1")})
	}
	last := appended(t, s, record("a:0", "", "2"))
	c.add(2 * time.Minute)
	eventually(t, "the end of old records", func() bool { return d.Count(t, dir, "records") == 0 && d.Count(t, dir, "latest") == 0 })
	if next := appended(t, s, record("a:0", "", "3")); next != last.Next([]byte("3")) {
		t.Fatalf("goes on at %+v after %+v", next, last)
	}
}
