package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/observe"
	"carillon/store"

	"github.com/pressly/goose/v3"
)

// change is the change of a channel from version prev on, with one event of that body.
func change(n channel.Name, prev journal.Version, body string) journal.Change {
	return journal.Change{
		Channel: n, Prev: prev, Reply: channel.Reply{Body: []byte("1")}, Events: []channel.Record{{Body: []byte(body)}},
		Command: channel.Command{ID: fmt.Sprint(prev), Channel: n, User: "ann", Time: time.UnixMilli(1000), Body: []byte(body)},
	}
}

// inShards are names of a service, one in each of its shards.
func inShards(count int) (ns []channel.Name) {
	for shard := range count {
		for i := 0; ; i++ {
			if n := channel.Name(fmt.Sprintf("svc:%d", i)); n.Shard(count) == shard {
				ns = append(ns, n)
				break
			}
		}
	}
	return ns
}

// pending is a call that waits for the committer of an idle store.
type pending struct {
	rs   []journal.Result
	f    journal.Fence
	err  error
	over chan struct{}
}

// start starts a call and returns once it stands in the queue.
func (s *Store) start(t *testing.T, f func(p *pending)) *pending {
	t.Helper()
	p := &pending{over: make(chan struct{})}
	before := s.Waiting()
	var asking sync.WaitGroup
	asking.Go(func() {
		f(p)
		close(p.over)
	})
	for s.Waiting() == before {
		select {
		case <-p.over: // refused at once
			return p
		default:
			runtime.Gosched()
		}
	}
	return p
}

func (s *Store) startCommit(t *testing.T, f journal.Fence, cs ...journal.Change) *pending {
	t.Helper()
	return s.start(t, func(p *pending) { p.rs, p.err = s.Commit(context.Background(), f, cs) })
}

func (s *Store) claimAll(t *testing.T, ns []channel.Name, step func()) (fs []journal.Fence) {
	t.Helper()
	for _, n := range ns {
		p := s.start(t, func(p *pending) { p.f, p.err = s.Claim(context.Background(), "svc", n.Shard(s.Shards())) })
		step()
		<-p.over
		if p.err != nil {
			t.Fatal(p.err)
		}
		fs = append(fs, p.f)
	}
	return fs
}

// Commits and records that wait for each other's transaction share the next one; if it fails for one Commit, that one is
// alone with its error, and what it wrote is not half there.
func TestCulpritIsAlone(t *testing.T) {
	dir := t.TempDir()
	carried := map[channel.Name]int{}
	stepped := 0
	transactions := observe.NewHistogram()
	s, _, step := idle(t, dir, Options{
		Carry: func(rs []channel.Record) {
			for _, r := range rs {
				carried[r.Channel]++
			}
		},
		Stepped: func() { stepped++ },
		Commits: transactions,
	})
	ns := inShards(s.Shards())[:3]
	fs := s.claimAll(t, ns, step)
	db := foreign(t, dir)
	begun := transactions.Snapshot().Count
	admits := change(ns[0], 0, "1")
	admits.Access = []channel.Access{{User: "ann", Rights: channel.Read}}
	together := []*pending{s.startCommit(t, fs[0], admits)}
	together = append(together, s.startCommit(t, fs[1], change(ns[1], 0, "1")), s.startCommit(t, fs[0], change(ns[0], 1, "2")))
	plain := s.ask(record("a:x", "1", "1"))
	step()
	for _, p := range together {
		<-p.over
		if p.err != nil || p.rs[0].Err != nil {
			t.Fatalf("%+v, %v", p.rs, p.err)
		}
	}
	if plain.err != nil || transactions.Snapshot().Count-begun != 1 || stepped != 1 {
		t.Fatalf("%d transactions, stepped %d times, %v", transactions.Snapshot().Count-begun, stepped, plain.err)
	}
	exec(t, db, "CREATE TRIGGER planted BEFORE INSERT ON records WHEN NEW.body = CAST('bad' AS BLOB) BEGIN SELECT RAISE(ABORT, 'planted'); END")
	a := s.startCommit(t, fs[0], change(ns[0], 2, "3"), change(ns[0], 3, "4"))
	bad := s.startCommit(t, fs[1], change(ns[1], 1, "2"), change(ns[1], 2, "bad"))
	behind := s.startCommit(t, fs[1], change(ns[1], 2, "3"))
	plain = s.ask(record("a:x", "2", "2"))
	c := s.startCommit(t, fs[2], change(ns[2], 0, "1"))
	step()
	for _, p := range []*pending{a, bad, behind, c} {
		<-p.over
	}
	if a.err != nil || c.err != nil || plain.err != nil || a.rs[1].Version != 4 {
		t.Fatalf("beside the culprit: %v, %v, %v", a.err, c.err, plain.err)
	}
	if !errors.Is(bad.err, journal.ErrUnconfirmed) {
		t.Fatalf("the culprit: %v", bad.err)
	}
	if behind.err != nil || !errors.Is(behind.rs[0].Err, journal.ErrStale) {
		t.Fatalf("behind the culprit: %+v, %v", behind.rs, behind.err)
	}
	if carried[ns[0]] != 4 || carried[ns[1]] != 1 || carried["a:x"] != 2 {
		t.Fatalf("carried %v", carried)
	}
	exec(t, db, "DROP TRIGGER planted")
	again := s.startCommit(t, fs[1], change(ns[1], 1, "2"), change(ns[1], 2, "bad"))
	step()
	<-again.over
	if again.err != nil || again.rs[1].Version != 3 || again.rs[1].At.Offset != 3 {
		t.Fatalf("asked again: %+v, %v", again.rs, again.err)
	}
}

// Claims and Commits that wait in one batch keep their order: before the claim the old fence counts, behind it, it does not.
func TestClaimBetweenCommits(t *testing.T) {
	s, _, step := idle(t, t.TempDir(), Options{})
	n := inShards(s.Shards())[0]
	f := s.claimAll(t, []channel.Name{n}, step)[0]
	before := s.startCommit(t, f, change(n, 0, "1"))
	claim := s.start(t, func(p *pending) { p.f, p.err = s.Claim(context.Background(), "svc", 0) })
	behind := s.startCommit(t, f, change(n, 1, "2"))
	check := s.startCommit(t, f)
	step()
	for _, p := range []*pending{before, claim, behind, check} {
		<-p.over
	}
	if before.err != nil || claim.err != nil || !errors.Is(behind.err, journal.ErrFenced) || !errors.Is(check.err, journal.ErrFenced) {
		t.Fatalf("%v, %v, %v, %v", before.err, claim.err, behind.err, check.err)
	}
}

// A refusal on a channel that does not exist leaves its reply and no channel, or anybody could fill the disk with names for good.
func TestRefusalsLeaveNoChannels(t *testing.T) {
	dir := t.TempDir()
	s, _, step := idle(t, dir, Options{})
	ns := inShards(s.Shards())[:2]
	fs := s.claimAll(t, ns, step)
	refused := change(ns[0], 0, "1")
	refused.Reply.Code, refused.Events = 4, nil
	for _, p := range []*pending{
		s.startCommit(t, fs[0], refused), s.startCommit(t, fs[1], change(ns[1], 7, "1")),
		s.startCommit(t, fs[1], journal.Change{Channel: ns[1], Snapshot: []byte("0")}),
	} {
		step()
		<-p.over
		if p.err != nil {
			t.Fatal(p.err)
		}
	}
	db := foreign(t, dir)
	for table, want := range map[string]int{"channels": 0, "ids": 1, "steps": 0, "snapshots": 0, "commands": 0} {
		if got := count(t, db, table); got != want {
			t.Errorf("%d rows in %s, want %d", got, table, want)
		}
	}
}

// What was changed on the disk is said, and nothing wrong is loaded.
func TestChangedMachineIsNotLoaded(t *testing.T) {
	for _, text := range []string{
		"UPDATE commands SET body = CAST(body || 'x' AS BLOB) WHERE last = 4", "UPDATE commands SET seal = seal + 1 WHERE last = 4",
		"DELETE FROM commands WHERE last = 4", "UPDATE snapshots SET body = CAST('other' AS BLOB)", "DELETE FROM commands WHERE last = 5",
		"UPDATE channels SET version = version + 1", "UPDATE snapshots SET version = version - 1",
	} {
		dir := t.TempDir()
		s, _, step := idle(t, dir, Options{})
		n := inShards(s.Shards())[0]
		f := s.claimAll(t, []channel.Name{n}, step)[0]
		for v := range 5 {
			c := change(n, journal.Version(v), fmt.Sprint(v))
			if v == 2 {
				c.Snapshot = []byte("state")
			}
			p := s.startCommit(t, f, c)
			step()
			<-p.over
		}
		if st, err := s.Load(context.Background(), n); err != nil || len(st.Commands) != 2 {
			t.Fatalf("%+v, %v", st, err)
		}
		exec(t, foreign(t, dir), text)
		if st, err := s.Load(context.Background(), n); !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("%s: loaded %+v, %v", text, st, err)
		}
	}
}

// The log file is emptied after an erasure, while the store goes on.
func TestErasedLeavesTheLogFile(t *testing.T) {
	dir := t.TempDir()
	s, w, step := idle(t, dir, Options{})
	n := inShards(s.Shards())[0]
	f := s.claimAll(t, []channel.Name{n}, step)[0]
	erase := change(n, 1, "2")
	erase.Erase, erase.Snapshot = []uint64{1}, []byte("clean")
	for _, c := range []journal.Change{change(n, 0, "what nobody may read"), erase} {
		p := s.startCommit(t, f, c)
		step()
		<-p.over
		if p.err != nil {
			t.Fatal(p.err)
		}
	}
	w.housekeep(context.Background())
	for _, name := range []string{fileName, fileName + "-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("what nobody may read")) {
			t.Errorf("%s holds it", name)
		}
	}
}

// A database of the first schema is brought up to date; its records and ids are what they were.
func TestOlderSchema(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	db := foreign(t, dir)
	p, err := goose.NewProvider(goose.DialectSQLite3, db, store.SQLite(), goose.WithDisableGlobalRegistry(true))
	if err == nil {
		_, err = p.UpTo(ctx, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	var d store.Identity
	var epoch int64
	if err := db.QueryRow("SELECT epoch, seed FROM meta").Scan(&epoch, &d.Seed); err != nil {
		t.Fatal(err)
	}
	d.Epoch = uint64(epoch)
	const n = channel.Name("a:old")
	base := d.First(n)
	r := channel.Record{Channel: n, From: "ann", Body: []byte("1"), At: base.Next([]byte("1")), Time: time.UnixMilli(5).UTC()}
	key, hash := d.Key(n, "ann", "id"), channel.BodyHash(r.Body)
	exec(t, db, "INSERT INTO channels VALUES (1, ?, 1, ?, 0, ?, 1, 5)", string(n), int64(r.At.Tag), int64(base.Tag))
	exec(t, db, "INSERT INTO records VALUES (1, 1, 1, ?, ?, 5, 'ann', 0, ?)", int64(r.At.Tag), store.SealRecord(&r), r.Body)
	exec(t, db, "INSERT INTO ids VALUES (1, ?, ?, 0, 1, ?, ?)", key[:], hash[:], int64(r.At.Tag), time.Now().UnixMilli())
	_ = db.Close()

	s, _, step := idle(t, dir, Options{})
	again := s.ask(record(n, "id", "1"))
	next := s.ask(record(n, "next", "2"))
	step()
	if again.err != nil || again.at != r.At || next.err != nil || next.at != r.At.Next([]byte("2")) {
		t.Fatalf("a resend %+v, the next %+v, before %+v", again, next, r.At)
	}
	if page, err := s.Read(ctx, n, journal.Query{}); err != nil || len(page.Records) != 2 || page.Base != base || s.Shards() != 16 {
		t.Fatalf("%+v, %v", page, err)
	}
}
