package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"carillon/channel"
	"carillon/journal"
)

// TestF19_DiskFull: the disk fills up while records are appended, and space comes back.
func TestF19_DiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("carillon", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a small disk cannot be mounted here (%v): F19 is not checked", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const n = channel.Name("a:full")
	kept := map[string]uint64{}
	var mu sync.Mutex
	refused := 0
	burst := func(from, to int) {
		var answers sync.WaitGroup
		for i := from; i < to; i++ {
			id := fmt.Sprint(i)
			answers.Add(1)
			body := append(make([]byte, 1000), id...)
			s.Append(channel.Record{Channel: n, From: "ann", ID: id, Binary: true, Body: body}, func(at channel.Position, err error) {
				defer answers.Done()
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					if before, ok := kept[id]; ok && before != at.Offset {
						t.Errorf("%s was acknowledged at %d and at %d", id, before, at.Offset)
					}
					kept[id] = at.Offset
				case errors.Is(err, journal.ErrFull):
					refused++
				case errors.Is(err, journal.ErrUnconfirmed):
				default:
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		answers.Wait()
	}
	for i := 0; i < 10_000 && refused == 0; i += 100 {
		burst(i, i+100)
	}
	if refused == 0 {
		t.Fatal("the disk never was full")
	}
	acked := len(kept)
	if p, err := s.Read(context.Background(), n, journal.Query{}); err != nil || len(p.Records) == 0 {
		t.Fatalf("reading from a full disk: %d records, %v", len(p.Records), err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	// The same ids once more, and new ones, without a restart.
	burst(0, acked+200)
	if len(kept) != acked+200 {
		t.Fatalf("%d of %d acknowledged after there was space again", len(kept), acked+200)
	}
	if err := s.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	found := 0
	for after := (channel.Position{}); ; {
		p, err := s.Read(context.Background(), n, journal.Query{After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			found++
			if id := string(r.Body[1000:]); kept[id] != r.At.Offset {
				t.Fatalf("%s stands at %d, acknowledged at %d", id, r.At.Offset, kept[id])
			}
		}
		if !p.More {
			break
		}
		after = p.Records[len(p.Records)-1].At
	}
	if found != len(kept) {
		t.Fatalf("%d records, %d acknowledged", found, len(kept))
	}
	t.Logf("%d acknowledged before the disk was full, %d refused", acked, refused)
}
