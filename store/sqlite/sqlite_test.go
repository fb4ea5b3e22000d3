package sqlite_test

import (
	"context"
	"testing"

	"carillon/journal/journaltest"
	"carillon/store/sqlite"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, o journaltest.Options) (journaltest.Journal, func()) {
	s, err := sqlite.Open(context.Background(), dir, sqlite.Options{Clock: o.Clock, Policies: o.Policies, Carry: o.Carry})
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestJournal(t *testing.T) { journaltest.Run(t, open) }

func TestTables(t *testing.T) { journaltest.TablesSuite(t, open) }

func openMemory(t testing.TB, _ string, o journaltest.Options) (journaltest.Journal, func()) {
	s, err := sqlite.OpenMemory(context.Background(), sqlite.Options{Clock: o.Clock, Policies: o.Policies, Carry: o.Carry})
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMemoryTables(t *testing.T) { journaltest.TablesSuite(t, openMemory) }

func TestStage(t *testing.T) { journaltest.StageSuite(t, open) }
