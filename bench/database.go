package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// startPostgres makes an empty database in a folder that goes with the target, and starts its server. It syncs, so that a
// commit costs what it costs, and has room in its log, so that neither a checkpoint nor a new file falls into a short run.
func startPostgres(ctx context.Context) (*target, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "carillon-bench-postgres-")
	if err != nil {
		return nil, err
	}
	t, err := startPostgresIn(ctx, dir, bin)
	if err != nil {
		_ = os.RemoveAll(dir) // in the folder for temporary files
		return nil, err
	}
	t.dir = dir
	err = t.ready(ctx, filepath.Join(bin, "pg_isready"))
	if err == nil {
		err = t.runIn(ctx, filepath.Join(bin, "psql"))
	}
	if err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// runIn gives a new Postgres files of its log to use again, as one has that has run for a while. A new one writes each of them
// full of zeros first, and nothing is committed meanwhile.
func (t *target) runIn(ctx context.Context, program string) error {
	const use = "DO $$ BEGIN FOR i IN 1..24 LOOP PERFORM pg_logical_emit_message(false, '', ''); PERFORM pg_switch_wal(); END LOOP; END $$"
	return build(ctx, t.dir, program, "-q", "-U", "postgres", "-h", "127.0.0.1", "-p", strconv.Itoa(t.port), "-c", use, "-c", "CHECKPOINT")
}

func startPostgresIn(ctx context.Context, dir, bin string) (*target, error) {
	as, err := asPostgres(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	create := append(slices.Clone(as), filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
	if err := build(ctx, dir, create[0], create[1:]...); err != nil {
		return nil, err
	}
	return start(ctx, "postgres", "", append(slices.Clone(as), filepath.Join(bin, "postgres"), "-D", data, "-p", "{port}", "-h", "127.0.0.1", "-k", dir,
		"-c", "shared_buffers=256MB", "-c", "min_wal_size=1GB", "-c", "max_wal_size=4GB"))
}

// postgresBin is the folder of the newest Postgres; Debian keeps it out of the PATH.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	if path, err := exec.LookPath("initdb"); err == nil && len(found) == 0 {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", errors.New("it needs a Postgres, from the package postgresql")
	}
	return filepath.Dir(slices.Max(found)), nil
}

// asPostgres begins the command line of what runs in a folder as the user postgres, where this process is root: then Postgres
// refuses to run.
func asPostgres(dir string) (words []string, err error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("postgres does not run as root, and there is nobody to run it as: %w", err)
	}
	uid, _ := strconv.Atoi(u.Uid) // they are numbers, on Linux
	gid, _ := strconv.Atoi(u.Gid)
	return []string{"setpriv", "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups"}, os.Chown(dir, uid, gid)
}

// ready waits until a Postgres that listens answers too.
func (t *target) ready(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := build(ctx, t.dir, program, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(t.port))
		if err == nil || pause(ctx, knockTime) != nil {
			return err
		}
	}
}

// familyCPU is what a process and its children computed so far, in ns, those that ended included.
func familyCPU(pid int) (sum int64, err error) {
	own := strconv.Itoa(pid)
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		b, err := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(b), ") ") // behind the name: the state, then the parent
		f := strings.Fields(rest)
		if err != nil || len(f) < 15 || f[1] != own && filepath.Base(filepath.Dir(path)) != own {
			continue // it is gone, or another's
		}
		for _, ticks := range f[11:15] { // its own times, and those of the children it waited for
			n, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("times of process %s: %w", own, err)
			}
			sum += n * (1e9 / ticksPerSecond)
		}
	}
	return sum, err
}

// stores takes what the Redis and the Postgres of a cluster computed so far, in ns; 0 where there is none, or it is gone.
func (t *target) stores() (redis, postgres int64) {
	if t.redis != nil {
		redis, _ = familyCPU(t.redis.pid)
	}
	if t.postgres != nil {
		postgres, _ = familyCPU(t.postgres.pid)
	}
	return redis, postgres
}
