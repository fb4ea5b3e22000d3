package postgres

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carillon/journal/journaltest"
)

func TestStage(t *testing.T) { journaltest.StageSuite(t, openCopied) }

// originFile names, in the folder that stands for a database, the database itself: where the folder is a copy of another, so must
// the database be.
const originFile = "database"

// openCopied is open for a suite that copies folders.
func openCopied(t testing.TB, dir string, o journaltest.Options) (journaltest.Journal, func()) {
	own := database(t, dir)
	origin := filepath.Join(dir, originFile)
	from, err := os.ReadFile(origin)
	if err == nil && string(from) != own {
		copyDatabase(t, string(from), own)
	}
	if err := os.WriteFile(origin, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, dir, o)
}

// copyDatabase fills an empty database with what another one holds, which is in use.
func copyDatabase(t testing.TB, from, to string) {
	t.Helper()
	bin := ""
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump"); len(found) > 0 {
		bin = filepath.Dir(found[len(found)-1])
	}
	dump := exec.CommandContext(context.Background(), filepath.Join(bin, "pg_dump"), from)
	sql, err := dump.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	fill := exec.CommandContext(context.Background(), filepath.Join(bin, "psql"), "-qX", "-v", "ON_ERROR_STOP=1", to)
	fill.Stdin = strings.NewReader(string(sql))
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
}
