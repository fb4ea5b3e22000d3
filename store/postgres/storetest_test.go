package postgres

import (
	"context"
	"testing"

	"carillon/store/storetest"

	"github.com/jackc/pgx/v5"
)

// foreign is a connection of somebody else to the database of a folder.
func foreign(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execAt(t testing.TB, dsn, text string, args ...any) int {
	t.Helper()
	conn := foreign(t, dsn)
	defer func() { _ = conn.Close(context.Background()) }()
	tag, err := conn.Exec(context.Background(), text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return int(tag.RowsAffected())
}

func countAt(t testing.TB, dsn, table string) (n int) {
	t.Helper()
	conn := foreign(t, dsn)
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(context.Background(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStore(t *testing.T) {
	schema(t, t.TempDir()) // the server is there before its users come side by side
	storetest.Run(t, storetest.Dialect{
		Open: func(dir string, o storetest.Options) (storetest.Store, error) {
			return Open(context.Background(), schema(t, dir), Options{Clock: o.Clock, Policies: o.Policies, Carry: o.Carry, Patience: slowMachine})
		},
		Exec:  func(t testing.TB, dir, text string) int { return execAt(t, schema(t, dir), text) },
		Count: func(t testing.TB, dir, table string) int { return countAt(t, schema(t, dir), table) },
		Bytes: func(hex string) string { return `'\x` + hex + "'" },
	})
}
