package memory_test

import (
	"testing"

	"carillon/journal/journaltest"
	"carillon/journal/memory"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(_ testing.TB, _ string, o journaltest.Options) (journaltest.Journal, func()) {
	j := memory.New(memory.Options{Clock: o.Clock, Policies: o.Policies, Carry: o.Carry})
	return j, j.Close
}

func TestJournal(t *testing.T) { journaltest.Run(t, open) }

func TestTables(t *testing.T) { journaltest.TablesSuite(t, open) }
