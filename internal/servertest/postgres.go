package servertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postgres is a Postgres server. Address is where it listens, for the user postgres without a password.
type Postgres struct {
	*Process
	Address string
	Folder  string
	Bin     string // folder of its programs
}

// StartPostgres makes a database cluster in a temporary folder and starts it, with further settings such as
// "fsync=off". As root it runs as the user postgres, since it refuses root.
func StartPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	bin := postgresBin(t)
	as := postgresUser(t)
	folder, err := os.MkdirTemp("", "carillon-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if as != nil {
		if err := os.Chown(folder, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(program string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, program), args...)
		c.Dir = folder
		c.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		return c
	}
	data := filepath.Join(folder, "data")
	if out, err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port := Port(t)
	p := &Postgres{Address: loopback(port), Folder: folder, Bin: bin}
	args := []string{"-D", data, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", folder, "-c", "shared_buffers=64MB"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	ready := func(ctx context.Context) error {
		c := exec.CommandContext(ctx, filepath.Join(bin, "psql"), p.DSN(), "-qAtc", "SELECT 1")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	p.Process = start(t, func() *exec.Cmd { return run("postgres", args...) }, ready)
	return p
}

// DSN is how to reach the database postgres.
func (p *Postgres) DSN() string { return p.Database("postgres") }

// Database is how to reach a database.
func (p *Postgres) Database(name string) string {
	return "postgres://postgres@" + p.Address + "/" + name + "?sslmode=disable"
}

// Freeze halts the server and the processes that serve its connections.
func (p *Postgres) Freeze() {
	p.t.Helper()
	halted := p.signalAll(syscall.SIGSTOP)
	p.t.Cleanup(func() { // what is halted does not notice that its server is gone
		for _, pid := range halted {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	})
}

// Thaw lets a frozen server go on.
func (p *Postgres) Thaw() {
	p.t.Helper()
	p.signalAll(syscall.SIGCONT)
}

// signalAll reaches the children too, of which each leads a group of its own. The parent comes first, so that none is added.
func (p *Postgres) signalAll(s syscall.Signal) (children []int) {
	p.t.Helper()
	p.signal(s)
	parent := strconv.Itoa(p.PID())
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		b, err := os.ReadFile(path)
		_, rest, ok := strings.Cut(string(b), ") ") // behind the name: the state, then the parent
		if fields := strings.Fields(rest); err != nil || !ok || len(fields) < 2 || fields[1] != parent {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && syscall.Kill(pid, s) == nil {
			children = append(children, pid)
		}
	}
	return children
}

// Create makes a fresh database and returns how to reach it: cheaper than a server of one's own.
func (p *Postgres) Create(name string) string {
	p.t.Helper()
	c := exec.Command(filepath.Join(p.Bin, "psql"), p.DSN(), "-qc", "CREATE DATABASE "+strconv.Quote(name))
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Fatalf("creating database %s: %v\n%s", name, err, out)
	}
	return p.Database(name)
}

// postgresBin is the folder of the newest whole Postgres; Debian keeps it out of the PATH.
func postgresBin(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Reverse(found)
	if path, err := exec.LookPath("postgres"); err == nil {
		found = append(found, filepath.Dir(path))
	}
	for _, bin := range found {
		if !slices.ContainsFunc([]string{"postgres", "initdb", "psql"}, func(program string) bool {
			_, err := os.Stat(filepath.Join(bin, program))
			return err != nil
		}) {
			return bin
		}
	}
	t.Skip("postgresql is not installed: run scripts/test-deps.sh as root on Debian")
	return ""
}

// postgresUser is whom to run Postgres as; nil: as this process.
func postgresUser(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skip("Postgres refuses to run as root, and there is no user postgres")
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
