package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"carillon/journal"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

func isDamage(err error) bool {
	switch code(err) & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return true
	}
	// The tables are STRICT: a value of another type was not written by us. database/sql has no error value for it.
	return errors.Is(err, journal.ErrDamaged) || strings.HasPrefix(err.Error(), "sql: Scan error")
}

// isOver tells from the outcome of ROLLBACK that no transaction is open any more: SQLite says SQLITE_ERROR where it has
// rolled back by itself.
func isOver(rollback error) bool { return rollback == nil || code(rollback) == lib.SQLITE_ERROR }

func isFull(err error) bool {
	c := code(err)
	// The index of the log is a file that grows too.
	return c&0xff == lib.SQLITE_FULL || c == lib.SQLITE_IOERR_SHMSIZE || errors.Is(err, syscall.ENOSPC)
}

// outcome is what those are told whose commit failed: journal.ErrFull only if it is certain that nothing was appended.
func outcome(err error, certain bool) error {
	switch {
	case errors.Is(err, errGone):
		return withdrawn(err, certain)
	case isFull(err) && certain:
		return fmt.Errorf("%w: %w", journal.ErrFull, err)
	default:
		return fmt.Errorf("%w: %w", journal.ErrUnconfirmed, err)
	}
}
