package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// foreign is a connection of somebody else to the database of a folder.
func foreign(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", source(filepath.Join(dir, fileName), "busy_timeout(5000)"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, text string, args ...any) {
	t.Helper()
	if _, err := db.Exec(text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func count(t testing.TB, db *sql.DB, table string) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// idle opens a store whose committer moves only when step is called: what was appended, batch after batch.
func idle(t *testing.T, dir string, o Options) (s *Store, w *writer, step func()) {
	t.Helper()
	s, w, err := openIdle(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.disconnect()
		if err := s.closeAll(); err != nil {
			t.Error(err)
		}
	})
	return s, w, func() {
		for {
			batch, _ := s.take()
			if len(batch) == 0 {
				return
			}
			w.write(context.Background(), batch)
		}
	}
}

type answer struct {
	at    channel.Position
	err   error
	times int
}

func (s *Store) ask(r channel.Record) *answer {
	a := &answer{}
	s.Append(r, func(at channel.Position, err error) { a.at, a.err, a.times = at, err, a.times+1 })
	return a
}

func record(n channel.Name, id, body string) channel.Record {
	return channel.Record{Channel: n, From: "ann", ID: id, Body: []byte(body)}
}

// A commit that fails is answered "unconfirmed" to all in it and to all behind them on their channels, leaves nothing
// behind, and what is resent with the same ids is appended once.
func TestFailedCommit(t *testing.T) {
	for _, raise := range []string{"ABORT", "ROLLBACK"} {
		t.Run(raise, func(t *testing.T) {
			dir := t.TempDir()
			carried := 0
			s, _, step := idle(t, dir, Options{Carry: func(rs []channel.Record) { carried += len(rs) }})
			db := foreign(t, dir)
			before := s.ask(record("a:x", "before", "1"))
			step()
			exec(t, db, "CREATE TRIGGER planted BEFORE INSERT ON records WHEN NEW.body = CAST('bad' AS BLOB) BEGIN SELECT RAISE("+raise+", 'planted'); END")

			var failed, passed []*answer
			failed = append(failed, s.ask(record("a:x", "bad", "bad")))
			for i := range maxBatch - 1 {
				failed = append(failed, s.ask(record("a:y", fmt.Sprint(i), "2")))
			}
			for i := range 10 { // the next batch
				failed = append(failed, s.ask(record("a:x", fmt.Sprint("behind", i), "3")))
				passed = append(passed, s.ask(record("a:z", fmt.Sprint(i), "4")))
			}
			step()
			for i, a := range failed {
				if !errors.Is(a.err, journal.ErrUnconfirmed) || a.times != 1 {
					t.Fatalf("failed %d: %+v", i, a)
				}
			}
			for i, a := range passed {
				if a.err != nil || a.at.Offset != uint64(i+1) || a.times != 1 {
					t.Fatalf("passed %d: %+v", i, a)
				}
			}
			if got := count(t, db, "records"); got != 11 || carried != 11 {
				t.Fatalf("%d records, %d carried, want 11", got, carried)
			}
			exec(t, db, "DROP TRIGGER planted")
			again := s.ask(record("a:x", "bad", "bad"))
			twice := s.ask(record("a:x", "bad", "bad"))
			first := s.ask(record("a:x", "before", "1"))
			step()
			if again.err != nil || again.at != before.at.Next([]byte("bad")) || twice.at != again.at || first.at != before.at {
				t.Fatalf("resent: %+v, twice: %+v, first: %+v", again, twice, first)
			}
		})
	}
}

// Ids outlive the records and are dropped when they are old, not before.
func TestIDsAreForgotten(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	s, w, step := idle(t, dir, Options{
		Clock:    func() time.Time { return now },
		Policies: func(channel.Name) channel.Policy { return channel.Policy{Retention: channel.Keep{Records: 1}} },
	})
	db := foreign(t, dir)
	var old []*answer
	for i := range 50 {
		old = append(old, s.ask(record("a:ids", fmt.Sprint(i), "1")))
	}
	step()
	if records, ids := count(t, db, "records"), count(t, db, "ids"); records != 1 || ids != 50 {
		t.Fatalf("%d records, %d ids", records, ids)
	}
	now = now.Add(store.IDsKnown)
	r := record("a:ids", "7", "1")
	r.Age = store.IDsKnown
	again := s.ask(r)
	step()
	if again.err != nil || again.at != old[7].at {
		t.Fatalf("after %v: %+v, first %+v", store.IDsKnown, again, old[7])
	}
	now = now.Add(3 * time.Hour)
	s.ask(record("a:ids", "new", "2"))
	step()
	w.housekeep(context.Background())
	if ids := count(t, db, "ids"); ids > 1 {
		t.Fatalf("%d ids left, want the young one", ids)
	}
	r.Age = store.IDsKnown + time.Minute
	late := s.ask(r)
	step()
	if !errors.Is(late.err, journal.ErrUnknown) {
		t.Fatalf("resend of what was forgotten: %+v", late)
	}
}

// Records past their age leave the disk though nobody touches their channel; heads stay.
func TestIdleChannelsAreTrimmed(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	s, w, step := idle(t, dir, Options{
		Clock:    func() time.Time { return now },
		Policies: func(channel.Name) channel.Policy { return channel.Policy{Retention: channel.Keep{Age: time.Minute}} },
	})
	db := foreign(t, dir)
	for i := range keepLogs + 50 {
		s.ask(record(channel.Name(fmt.Sprintf("a:%d", i)), "", "1"))
	}
	last := s.ask(record("a:0", "", "2"))
	step()
	now = now.Add(2 * time.Minute)
	for range (keepLogs+50)/keepLogs + 1 {
		w.housekeep(context.Background())
	}
	if n := count(t, db, "records"); n != 0 {
		t.Fatalf("%d records left", n)
	}
	next := s.ask(record("a:0", "", "3"))
	step()
	if next.err != nil || next.at != last.at.Next([]byte("3")) {
		t.Fatalf("goes on at %+v after %+v", next, last)
	}
}

func TestBounds(t *testing.T) {
	s, _, step := idle(t, t.TempDir(), Options{Waiting: 3, WaitingBytes: 100})
	full := bytes.Repeat([]byte("7"), 100)
	for range 3 {
		if a := s.ask(record("a:x", "", "1")); a.times != 0 {
			t.Fatalf("answered before the commit: %+v", a)
		}
	}
	if a := s.ask(record("a:x", "", "1")); !errors.Is(a.err, journal.ErrBusy) {
		t.Fatalf("the fourth of three: %+v", a)
	}
	step()
	one := s.ask(channel.Record{Channel: "a:x", Body: full})
	if a := s.ask(record("a:x", "", "1")); !errors.Is(a.err, journal.ErrBusy) {
		t.Fatalf("beyond the bytes: %+v", a)
	}
	step()
	if one.err != nil || one.at.Offset != 4 {
		t.Fatalf("%+v", one)
	}
}

// The state of logs is bounded in memory and read back where it was dropped.
func TestStatesAreReadBack(t *testing.T) {
	s, w, step := idle(t, t.TempDir(), Options{})
	for round := range 3 {
		var as []*answer
		for i := range 20 {
			as = append(as, s.ask(record(channel.Name(fmt.Sprintf("a:%d", i)), "", "1")))
		}
		step()
		for _, a := range as {
			if a.err != nil || a.at.Offset != uint64(round+1) {
				t.Fatalf("round %d: %+v", round, a)
			}
		}
		w.logs, w.older = map[channel.Name]logState{}, nil
	}
}
