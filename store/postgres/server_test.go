package postgres

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/internal/servertest"
	"carillon/journal/journaltest"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// serverVar names, in the environment, the server of the process that started this one, so that one that is to be killed
// writes to the same.
const serverVar = "CARILLON_POSTGRES_TEST_SERVER"

// shared is the one server of all tests that do not harm it.
var shared struct {
	once sync.Once
	at   *servertest.Postgres
	ends []func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, end := range shared.ends {
		end()
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// lasting is a test whose cleanups wait for the end of the process.
type lasting struct{ testing.TB }

func (lasting) Cleanup(f func()) { shared.ends = append([]func(){f}, shared.ends...) }

// nameOf is the name of what belongs to a folder.
func nameOf(dir string) string {
	sum := sha1.Sum([]byte(dir))
	return "t" + hex.EncodeToString(sum[:8])
}

// makeThere runs a statement on the server of all tests, unless what it makes is there, and returns how to reach the server.
func makeThere(t testing.TB, text string) (dsn string) {
	t.Helper()
	if dsn = os.Getenv(serverVar); dsn == "" {
		shared.once.Do(func() { shared.at = servertest.StartPostgres(lasting{t}) })
		if shared.at == nil {
			t.Skip("there is no Postgres")
		}
		dsn = shared.at.DSN()
		t.Setenv(serverVar, dsn)
	}
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(context.Background(), text); err != nil && code(err) != "42P04" && code(err) != "42P06" { // it exists
		t.Fatal(err)
	}
	return dsn
}

// database is the address of a database of its own for a folder, made when it is asked for first.
func database(t testing.TB, dir string) string {
	t.Helper()
	dsn := makeThere(t, "CREATE DATABASE "+nameOf(dir))
	return strings.Replace(dsn, "/postgres?", "/"+nameOf(dir)+"?", 1)
}

// schema is the address of tables of its own for a folder: as apart from others as a database, and cheaper.
func schema(t testing.TB, dir string) string {
	t.Helper()
	return makeThere(t, "CREATE SCHEMA "+nameOf(dir)) + "&search_path=" + nameOf(dir)
}

func openStore(t testing.TB, dsn string, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func open(t testing.TB, dir string, o journaltest.Options) (journaltest.Journal, func()) {
	return openAt(t, database(t, dir), o)
}

func openSchema(t testing.TB, dir string, o journaltest.Options) (journaltest.Journal, func()) {
	return openAt(t, schema(t, dir), o)
}

// slowMachine is the patience of suites that are not about silence: others may be using the machine.
const slowMachine = 20 * time.Second

func openAt(t testing.TB, dsn string, o journaltest.Options) (journaltest.Journal, func()) {
	s, err := Open(context.Background(), dsn, Options{Clock: o.Clock, Policies: o.Policies, Carry: o.Carry, Patience: slowMachine})
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestJournal(t *testing.T) { journaltest.Run(t, openSchema) }

func TestTables(t *testing.T) { journaltest.TablesSuite(t, openSchema) }
