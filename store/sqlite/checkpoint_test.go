package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"carillon/channel"
	"carillon/journal"
)

// The log file begins anew while commits and reads go on without a pause, long before a commit would have to carry it over by itself.
func TestLogBeginsAnew(t *testing.T) {
	const pages, writers, each = 100, 4, 4000
	dir := t.TempDir()
	s, w, err := openIdle(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.carrier.pages, s.carrier.after = pages, pages
	s.work(w)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	var reading, writing sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.Read(t.Context(), "a:0", journal.Query{Limit: 10}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range writers {
		writing.Go(func() {
			room := make(chan struct{}, 8) // the committer always finds more
			for k := range each {
				room <- struct{}{}
				s.Append(record(channel.Name(fmt.Sprint("a:", i)), fmt.Sprint(k), "body"), func(_ channel.Position, err error) {
					if <-room; err != nil {
						t.Error(err)
					}
				})
			}
			for range cap(room) {
				room <- struct{}{}
			}
		})
	}
	writing.Wait()
	cancel()
	reading.Wait()
	info, err := os.Stat(filepath.Join(dir, fileName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Size() / 4096; got > 30*pages {
		t.Errorf("the log has grown to %d pages, and was to begin anew after %d", got, pages)
	} else {
		t.Logf("%d pages", got)
	}
}
