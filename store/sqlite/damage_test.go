package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"carillon/channel"
	"carillon/journal"
)

// writeLog makes a folder with one log of count records in a closed database; the bodies are different and long enough to
// fill most of the file.
func writeLog(t *testing.T, n channel.Name, count int) (dir string, at []channel.Position, bodies [][]byte) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	at = make([]channel.Position, count+1)
	heads, err := s.Heads(context.Background(), []channel.Name{n})
	if err != nil {
		t.Fatal(err)
	}
	at[0] = heads[0]
	var answers sync.WaitGroup
	for i := range count {
		body := bytes.Repeat([]byte{byte('a' + i%26)}, 500)
		bodies = append(bodies, fmt.Appendf(body, "%d", i))
		answers.Add(1)
		s.Append(channel.Record{Channel: n, From: "ann", ID: fmt.Sprint(i), Body: bodies[i]}, func(p channel.Position, err error) {
			if err != nil {
				t.Error(err)
			}
			at[i+1] = p
			answers.Done()
		})
	}
	answers.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, at, bodies
}

// Whatever column of a record is changed, it is not served; what lies before it is, and backwards what lies behind.
func TestChangedRecordIsNotServed(t *testing.T) {
	const n, bad = "a:rot", 30
	for _, change := range []string{
		"UPDATE records SET body = CAST('x' AS BLOB) WHERE offset = 30", "UPDATE records SET tag = tag + 1 WHERE offset = 30",
		"UPDATE records SET time = time + 1 WHERE offset = 30", "UPDATE records SET sender = 'eve' WHERE offset = 30",
		"UPDATE records SET binary = 1 WHERE offset = 30", "DELETE FROM records WHERE offset = 30",
	} {
		t.Run(change, func(t *testing.T) {
			dir, at, _ := writeLog(t, n, 50)
			db := foreign(t, dir)
			exec(t, db, change)
			_ = db.Close()
			s, err := Open(context.Background(), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			ctx := context.Background()
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

// A head that names no record gets nothing appended behind it.
func TestDamagedHead(t *testing.T) {
	for _, change := range []string{"UPDATE channels SET tag = tag + 1", "UPDATE channels SET head = head + 5", "DELETE FROM records WHERE offset = 50"} {
		dir, _, _ := writeLog(t, "a:head", 50)
		db := foreign(t, dir)
		exec(t, db, change)
		s, _, step := idle(t, dir, Options{})
		bad := s.ask(record("a:head", "", "1"))
		good := s.ask(record("a:other", "", "1"))
		step()
		if !errors.Is(bad.err, journal.ErrDamaged) || !errors.Is(bad.err, journal.ErrUnconfirmed) {
			t.Fatalf("%s: append behind it: %+v", change, bad)
		}
		if good.err != nil {
			t.Fatalf("%s: another channel: %v", change, good.err)
		}
	}
}

// F21: one bit is flipped somewhere in the file. Every record that is served is the one that was appended.
func TestF21_FlippedBits(t *testing.T) {
	const n, records = "a:flip", 200
	dir, at, bodies := writeLog(t, n, records)
	path := filepath.Join(dir, fileName)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	rng := rand.New(rand.NewPCG(1, 2))
	refused, named := 0, 0
	for range rounds {
		rotten := bytes.Clone(sound)
		place := rng.IntN(len(rotten))
		rotten[place] ^= 1 << rng.IntN(8)
		if rng.IntN(10) == 0 {
			rotten = sound[:place] // or the file is cut
		}
		_ = os.Remove(path + "-wal")
		_ = os.Remove(path + "-shm")
		if err := os.WriteFile(path, rotten, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(context.Background(), dir, Options{})
		if err != nil {
			refused++
			continue
		}
		for _, back := range []bool{false, true} {
			for after := 0; after <= records; after += 40 {
				p, err := s.Read(context.Background(), n, journal.Query{After: at[after], Back: back, Limit: 60})
				if err != nil {
					named++
					if !errors.Is(err, journal.ErrDamaged) {
						t.Errorf("byte %d flipped: %v", place, err)
					}
					continue
				}
				for _, r := range p.Records {
					if i := r.At.Offset; i > records || r.At != at[i] || !bytes.Equal(r.Body, bodies[i-1]) || r.From != "ann" {
						t.Errorf("byte %d flipped: served %+v", place, r.At)
					}
				}
			}
		}
		_ = s.Close()
	}
	t.Logf("%d rounds: %d times refused at opening, %d pages refused", rounds, refused, named)
}

func TestNotOurs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), dir, Options{}); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "restore") {
		t.Fatalf("%v", err)
	}
	dir, _, _ = writeLog(t, "a:x", 1)
	exec(t, foreign(t, dir), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	if _, err := Open(context.Background(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Fatalf("a newer schema: %v", err)
	}
}

func TestFolderIsLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd #1 100%? name&x=y")
	s, err := Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), dir, Options{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Fatalf("opened twice: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	s, err = Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatalf("after closing: %v", err)
	}
	_ = s.Close()
	for _, rest := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(filepath.Join(dir, fileName+rest)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("closing left %s behind: a connection is still open (%v)", rest, err)
		}
	}
}
