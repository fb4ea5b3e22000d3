package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"carillon/channel"
	"carillon/internal/servertest"
	"carillon/journal"
)

// TestF19_DiskFull: the disk under the tables fills up while records are appended, and space comes back.
func TestF19_DiskFull(t *testing.T) {
	server := servertest.StartPostgres(t)
	dir := smallDisk(t, server, "24m")
	conn := foreign(t, server.DSN())
	for _, text := range []string{"CREATE TABLESPACE small LOCATION '" + filepath.Join(dir, "tables") + "'", "CREATE DATABASE small TABLESPACE small"} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, server.Database("small"), Options{})
	const n = channel.Name("a:full")
	kept := map[string]channel.Position{}
	refused := 0
	var last error
	burst := func(from, to int) {
		var waiting []<-chan answer
		for i := from; i < to; i++ {
			waiting = append(waiting, ask(s, channel.Record{Channel: n, From: "ann", ID: fmt.Sprint(i), Binary: true, Body: bulky(i)}))
		}
		for i := range waiting {
			id, got := fmt.Sprint(from+i), await(t, "an answer", waiting[i])
			switch before, known := kept[id]; {
			case got.err == nil && known && before != got.at:
				t.Errorf("%s was acknowledged at %d and at %d", id, before.Offset, got.at.Offset)
			case got.err == nil:
				kept[id] = got.at
			case errors.Is(got.err, journal.ErrFull):
				last = got.err
				refused++
			case !errors.Is(got.err, journal.ErrUnconfirmed):
				t.Errorf("%s: %v", id, got.err)
			}
		}
	}
	for i := 0; i < 20_000 && refused == 0; i += 100 {
		burst(i, i+100)
	}
	if refused == 0 {
		t.Fatal("the disk never was full")
	}
	acked := len(kept)
	if got := len(readAll(t, s, n)); got != acked {
		t.Fatalf("%d records read from a full disk, %d acknowledged", got, acked)
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	// The same ids once more, and new ones, without a restart.
	burst(0, acked+200)
	rs := readAll(t, s, n)
	for _, r := range rs {
		if id := string(bytes.TrimLeft(r.Body, "\xff")); kept[id] != r.At {
			t.Fatalf("%s stands at %d, acknowledged at %d", id, r.At.Offset, kept[id].Offset)
		}
	}
	if len(kept) != acked+200 || len(rs) != len(kept) {
		t.Fatalf("%d of %d acknowledged after there was space again, %d stand there: %v", len(kept), acked+200, len(rs), last)
	}
	t.Logf("%d acknowledged before the disk was full, %d refused", acked, refused)
}

// bulky is a body that is told from all others.
func bulky(i int) []byte { return append(bytes.Repeat([]byte{0xff}, 1000), fmt.Sprint(i)...) }

// smallDisk mounts a disk of a size with a folder "tables" for the server and a file "ballast" of 4 MiB.
func smallDisk(t *testing.T, server *servertest.Postgres, size string) (dir string) {
	t.Helper()
	dir = server.Folder + "-small"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := syscall.Mount("carillon", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk cannot be mounted here (%v): F19 is not checked", err)
	}
	t.Cleanup(func() {
		server.Kill()
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tables"), 0o700); err != nil {
		t.Fatal(err)
	}
	if u, err := user.Lookup("postgres"); err == nil && os.Geteuid() == 0 {
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(filepath.Join(dir, "tables"), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
