package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/channel"
	"carillon/journal"
)

// TestStoreWithdrawn: what stands at the path of a running store is deleted, moved away or replaced. Nothing is
// acknowledged that the next server would not find, and where the very same files come back, the store goes on.
func TestStoreWithdrawn(t *testing.T) {
	remove := func(t *testing.T, path string) func() {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	move := func(t *testing.T, path string) func() {
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name     string
		file     string // in the data folder; "": the folder
		withdraw func(t *testing.T, path string) func()
		want     error
	}{
		{"folder deleted", "", remove, journal.ErrClosed},
		{"folder moved", "", move, journal.ErrClosed},
		{"database deleted", fileName, remove, journal.ErrClosed},
		{"database moved", fileName, move, journal.ErrClosed},
		{"log deleted", fileName + "-wal", remove, journal.ErrUnconfirmed},
		{"database replaced", fileName, func(t *testing.T, path string) func() {
			whole, err := os.ReadFile(path)
			if err == nil {
				err = errors.Join(os.Remove(path), os.WriteFile(path, whole, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			return nil
		}, journal.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			var told []error
			s, err := Open(context.Background(), dir, Options{Trouble: func(err error) { told = append(told, err) }})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			appended := func() error {
				answer := make(chan error, 1)
				s.Append(channel.Record{Channel: "a:b", From: "ann", Body: []byte(`1`)}, func(_ channel.Position, err error) { answer <- err })
				return <-answer
			}
			if err := appended(); err != nil || len(told) != 0 {
				t.Fatal(err, told)
			}
			back := c.withdraw(t, filepath.Join(dir, c.file))
			for range 3 {
				if err := appended(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "start again") {
					t.Fatalf("answered %v, want %v and what to do", err, c.want)
				}
			}
			if c.want == journal.ErrClosed && !errors.Is(s.Present(), errGone) {
				t.Errorf("the store is said to be present: %v", s.Present())
			}
			if len(told) == 0 || told[0] == nil {
				t.Fatalf("trouble told: %v", told)
			}
			if back == nil {
				return
			}
			back()
			if err := appended(); err != nil || s.Present() != nil {
				t.Errorf("after it came back: %v, %v", err, s.Present())
			}
			if len(told) != 2 || told[1] != nil {
				t.Errorf("trouble told: %v", told)
			}
		})
	}
}

// TestStoreWithdrawnWhileIdle: a round of housekeeping notices too.
func TestStoreWithdrawnWhileIdle(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	told := make(chan error, 1)
	s, w, err := openIdle(context.Background(), dir, Options{Trouble: func(err error) { told <- err }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.housekeep(context.Background())
	if err := <-told; !errors.Is(err, errGone) {
		t.Error(err)
	}
	w.disconnect()
	_ = s.closeAll()
}
