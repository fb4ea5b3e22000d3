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
