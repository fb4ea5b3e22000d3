//go:build !race

package sqlite_test

import (
	"testing"

	"carillon/journal/journaltest"
)

// Under the race detector a database in memory shows nothing that one in a file does not, and takes a minute.

func TestMemoryJournal(t *testing.T) { journaltest.Run(t, openMemory) }

func TestMemoryStage(t *testing.T) { journaltest.StageSuite(t, openMemory) }
