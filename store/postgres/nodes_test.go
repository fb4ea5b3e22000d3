package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// Several nodes that start at once over an empty database make one journal.
func TestOpensAtOnce(t *testing.T) {
	dsn := database(t, t.TempDir())
	const nodes = 4
	var opening sync.WaitGroup
	heads := make([]channel.Position, nodes)
	for i := range nodes {
		opening.Go(func() {
			s, err := Open(context.Background(), dsn, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = s.Close() }()
			got, err := s.Heads(context.Background(), []channel.Name{"a:x"})
			if err != nil {
				t.Error(err)
				return
			}
			heads[i] = got[0]
		})
	}
	opening.Wait()
	for _, h := range heads {
		if h.IsZero() || h != heads[0] {
			t.Fatalf("heads %+v", heads)
		}
	}
}

// TestManyNodes: nodes that write the same channels, tables and ids at once make one log of each, and every id gets one answer.
func TestManyNodes(t *testing.T) {
	const count, channels, ids = 3, 4, 150
	dsn := schema(t, t.TempDir())
	var nodes []*Store
	for range count {
		nodes = append(nodes, openStore(t, dsn, Options{Patience: slowMachine}))
	}
	var mu sync.Mutex
	answers := map[string]channel.Position{}
	var writing sync.WaitGroup
	for i, s := range nodes {
		for c := range channels {
			writing.Go(func() {
				n := channel.Name(fmt.Sprint("a:many", c))
				for id := range ids {
					r := record(n, fmt.Sprint(id), fmt.Sprint(id))
					if id%3 == i { // ids that one node alone sends, and new channels
						r.ID += "own" + fmt.Sprint(i)
						r.Channel += channel.Name(fmt.Sprint("-", id%7))
					}
					at := insist(t, s, r)
					mu.Lock()
					key := string(r.Channel) + " " + r.ID
					if before, ok := answers[key]; ok && before != at {
						t.Errorf("%s got %+v and %+v", key, before, at)
					}
					answers[key] = at
					mu.Unlock()
					if id%10 == 0 {
						insist(t, s, channel.Record{Channel: n, Class: channel.Latest, From: fmt.Sprint(i), Key: "k", Body: []byte("1")})
					}
				}
			})
		}
	}
	writing.Wait()
	total := 0
	for c := range channels {
		n := channel.Name(fmt.Sprint("a:many", c))
		total += len(readAll(t, nodes[0], n))
		for k := range 7 {
			total += len(readAll(t, nodes[1], n+channel.Name(fmt.Sprint("-", k))))
		}
		if table, err := nodes[2].Latest(context.Background(), n); err != nil || len(table.Records) != count {
			t.Errorf("table of %s: %+v, %v", n, table, err)
		}
	}
	if total != len(answers) {
		t.Fatalf("%d records, %d ids", total, len(answers))
	}
}

// TestTimesOfNodes: the database's clock counts, and where it goes back the times of a channel do not.
func TestTimesOfNodes(t *testing.T) {
	dsn := schema(t, t.TempDir())
	slow := time.Now().Add(-time.Hour)
	a, b := openStore(t, dsn, Options{}), openStore(t, dsn, Options{Clock: func() time.Time { return slow }})
	for i := range 20 {
		insist(t, []*Store{a, b}[i%2], record("a:time", "", "1"))
	}
	last := time.Time{}
	for _, r := range readAll(t, a, "a:time") {
		if r.Time.Before(last) {
			t.Fatalf("%v after %v", r.Time, last)
		}
		last = r.Time
	}
	if time.Since(last).Abs() > time.Minute {
		t.Fatalf("the last record has the time %v", last)
	}
}

// TestHeldChannel: a node that stops in the middle of a transaction holds up the others no longer than their patience, and its
// channels alone.
func TestHeldChannel(t *testing.T) {
	dsn := schema(t, t.TempDir())
	s := openStore(t, dsn, Options{Waiting: 50})
	before := insist(t, s, record("a:held", "", "1"))
	holder := foreign(t, dsn)
	if _, err := holder.Exec(context.Background(), "BEGIN; SELECT * FROM channels WHERE name = 'a:held' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	held := ask(s, record("a:held", "k", "2"))
	var behind []<-chan answer
	refused := 0
	for range 200 {
		a := ask(s, record("a:held", "", "3"))
		select {
		case got := <-a:
			if !errors.Is(got.err, journal.ErrBusy) {
				t.Fatalf("%+v", got)
			}
			refused++
		default:
			behind = append(behind, a)
		}
	}
	if refused < 100 {
		t.Fatalf("%d of 200 refused, though 50 may wait", refused)
	}
	for _, a := range append(behind, held) {
		if got := await(t, "an answer", a); !errors.Is(got.err, journal.ErrBusy) {
			t.Fatalf("%+v", got)
		}
	}
	if s.Present() != nil {
		t.Fatalf("a lock is no reason to be away: %v", s.Present())
	}
	if _, err := holder.Exec(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if at := insist(t, s, record("a:held", "k", "2")); at != before.Next([]byte("2")) {
		t.Fatalf("goes on at %+v after %+v", at, before)
	}
}

// TestFailedRow: what cannot be written fails its channel and what waits behind it there, and no other.
func TestFailedRow(t *testing.T) {
	dsn := schema(t, t.TempDir())
	s := openStore(t, dsn, Options{})
	execAt(t, dsn, `CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.body = 'full' THEN RAISE EXCEPTION 'planted' USING ERRCODE = 'disk_full'; END IF;
		IF NEW.body = 'bad' THEN RAISE EXCEPTION 'planted'; END IF; RETURN NEW; END $$`)
	execAt(t, dsn, "CREATE TRIGGER planted BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION planted()")
	for body, want := range map[string]error{"bad": journal.ErrUnconfirmed, "full": journal.ErrFull} {
		n := channel.Name("a:" + body)
		bad := ask(s, record(n, body, body))
		good := ask(s, record("a:good", body, "1"))
		if got := await(t, "an answer", bad); !errors.Is(got.err, want) {
			t.Fatalf("%s: %+v", body, got)
		}
		if got := await(t, "an answer", good); got.err != nil && body == "bad" {
			t.Fatalf("beside %s: %+v", body, got)
		}
		if p, err := s.Read(context.Background(), n, journal.Query{}); err != nil || p.Head.Offset != 0 {
			t.Fatalf("%s: %+v, %v", body, p.Head, err)
		}
	}
	execAt(t, dsn, "DROP TRIGGER planted ON records")
	for _, body := range []string{"bad", "full"} {
		if at := insist(t, s, record(channel.Name("a:"+body), body, body)); at.Offset != 1 {
			t.Fatalf("%s is at %+v", body, at)
		}
	}
}
