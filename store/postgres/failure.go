package postgres

import (
	"context"
	"errors"
	"fmt"

	"carillon/journal"

	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of Postgres that mean something to us (its manual, appendix A).
const (
	codeDiskFull      = "53100"
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeUnique        = "23505"
	codeLockWait      = "55P03"
	codeReadOnly      = "25006" // the server became a standby
	codeCorrupted     = "XX001"
	codeIndexCorrupt  = "XX002"
)

// idsKey is the name of the primary key of ids.
const idsKey = "ids_pkey"

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// repeated tells that an id was in its table already.
func repeated(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == codeUnique && e.ConstraintName == idsKey
}

// refused tells that the server answered with an error and lives on: the transaction was undone.
func refused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.SeverityUnlocalized == "ERROR" || e.SeverityUnlocalized == "" && e.Severity == "ERROR")
}

var (
	errAgain  = errors.New("another node was faster") // asks for another try of a transaction of which nothing was committed
	errCut    = errors.New("the connection ended")
	errSilent = errors.New("the database is silent") // the cause of contexts that we end
	errBusy   = errors.New("all connections are in use")
)

// again tells that the same transaction may succeed when it is tried once more.
func again(err error) bool {
	switch code(err) {
	case codeSerialization, codeDeadlock, codeUnique:
		return true
	}
	return errors.Is(err, errAgain) || errors.Is(err, errCut)
}

// judge looks at a failure and notes if the database is away: it cannot be connected to, is silent, or no longer takes writes.
// A line that broke is no proof; the next try connects anew.
func (s *Store) judge(ctx context.Context, err error) {
	var connect *pgconn.ConnectError
	switch {
	case ctx.Err() != nil:
		if errors.Is(context.Cause(ctx), errSilent) {
			s.lose(fmt.Errorf("%w: %w", errSilent, err))
		}
	case errors.As(err, &connect), code(err) == codeReadOnly:
		s.lose(err)
	case errors.Is(err, errCut): // others are likely to be cut too
		s.leaveLines()
	}
}

// isAway tells from a failure that the database could not be asked.
func isAway(err error) bool {
	var connect *pgconn.ConnectError
	return errors.Is(err, journal.ErrClosed) || errors.As(err, &connect) || errors.Is(err, errCut) || errors.Is(err, context.DeadlineExceeded) ||
		code(err) == codeReadOnly
}

// outcome is what those are told whose change failed.
func outcome(err error, certain bool) error {
	switch {
	case err == nil, errors.Is(err, journal.ErrRepeated):
		return err
	case !certain:
		return fmt.Errorf("%w: %w", journal.ErrUnconfirmed, err)
	case isAway(err):
		return refined(err)
	case code(err) == codeDiskFull:
		return fmt.Errorf("%w: %w", journal.ErrFull, err)
	case code(err) == codeLockWait, errors.Is(err, errBusy), errors.Is(err, errAgain), code(err) == codeSerialization, code(err) == codeDeadlock:
		return fmt.Errorf("%w: %w", journal.ErrBusy, err)
	}
	return fmt.Errorf("%w: %w", journal.ErrUnconfirmed, refined(err))
}

// refined gives a failure of the database the name that callers know.
func refined(err error) error {
	switch c := code(err); {
	case c == codeCorrupted, c == codeIndexCorrupt:
		return fmt.Errorf("%w: %w", journal.ErrDamaged, err)
	case errors.Is(err, journal.ErrClosed):
		return err
	case errors.Is(err, errBusy):
		return fmt.Errorf("%w: %w", journal.ErrBusy, err)
	case isAway(err):
		return fmt.Errorf("%w: Postgres is away: %w", journal.ErrClosed, err)
	}
	return err
}
