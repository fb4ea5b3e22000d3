package postgres

import (
	"context"
	"errors"
	"fmt"

	"carillon/journal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// row, rows and commandTag are what a statement of a batch answers.
type (
	row        = pgx.Row
	rows       = pgx.Rows
	commandTag = pgconn.CommandTag
)

const (
	beginChange = "BEGIN" // READ COMMITTED: after a lock is had, the next statement sees what its holder wrote
	beginView   = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
	noBegin     = "" // of what is one statement, and a snapshot by itself
	maxTries    = 6  // of one transaction, if others were in the way or its line broke before COMMIT was sent
)

// work is one transaction. BEGIN travels with its first batch and COMMIT with its last: a transaction of two batches takes two
// round trips.
type work struct {
	conn       *pgx.Conn
	begin      string
	begun      bool // BEGIN was sent
	committing bool // COMMIT was sent
	over       bool // and answered
}

// batch makes a batch for send or commit. A statement's callback is called when its answer comes; none may use w.
func (w *work) batch() *pgx.Batch {
	b := &pgx.Batch{}
	if !w.begun && w.begin != "" {
		b.Queue(w.begin)
		w.begun = true
	}
	return b
}

// send runs a batch. After an error the transaction is over.
func (w *work) send(ctx context.Context, b *pgx.Batch) error {
	return w.conn.SendBatch(ctx, b).Close()
}

// commit runs the last batch of the transaction.
func (w *work) commit(ctx context.Context, b *pgx.Batch) error {
	var said string
	b.Queue("COMMIT").Exec(func(tag commandTag) error {
		said = tag.String()
		return nil
	})
	w.committing = true
	lendBuffer(w.conn)
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	w.over = true
	if said != "COMMIT" {
		return fmt.Errorf("COMMIT was answered %s", said)
	}
	return nil
}

// change runs f in a transaction that may write, on a connection of the pool. f commits by itself (work.commit), or the
// transaction is rolled back; it is called anew when other transactions were in the way, so it must begin anew each time.
// Caller's errors come back as they are; those of the database as journal.ErrUnconfirmed, ErrFull, ErrBusy or ErrClosed,
// and certain tells that nothing of f is or will become true.
func (s *Store) change(pool *pgxpool.Pool, f func(context.Context, *work) error) (certain bool, err error) {
	// The caller's context is not heeded: who gives up waiting for a commit would not know what became of it.
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.o.Patience, errSilent)
	defer cancel()
	for try := 1; ; try++ {
		certain, err = s.attempt(ctx, pool, beginChange, f)
		if err == nil || !certain || try == maxTries || !again(err) || ctx.Err() != nil {
			return certain, outcome(err, certain)
		}
	}
}

// view runs f in one snapshot of the database.
func (s *Store) view(ctx context.Context, what string, f func(context.Context, *work) error) error {
	return s.read(ctx, what, beginView, f)
}

// glance runs an f that sends one statement, which needs no transaction around it.
func (s *Store) glance(ctx context.Context, what string, f func(context.Context, *work) error) error {
	return s.read(ctx, what, noBegin, f)
}

func (s *Store) read(ctx context.Context, what, begin string, f func(context.Context, *work) error) error {
	if s.shut.Load() {
		return journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	within, cancel := context.WithTimeoutCause(ctx, s.o.Patience, errSilent)
	defer cancel()
	for try := 1; ; try++ {
		_, err := s.attempt(within, s.pool, begin, f)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("read %s: %w", what, ctx.Err())
		case try < maxTries && again(err) && within.Err() == nil:
			continue
		case s.shut.Load():
			return journal.ErrClosed
		}
		var damage *journal.Damage
		if errors.As(err, &damage) {
			return err
		}
		return fmt.Errorf("read %s: %w", what, refined(err))
	}
}

// attempt is one try of a transaction.
func (s *Store) attempt(ctx context.Context, pool *pgxpool.Pool, begin string, f func(context.Context, *work) error) (certain bool, err error) {
	if err := s.gone(); err != nil {
		return true, err
	}
	c, err := pool.Acquire(ctx)
	if err != nil {
		if at := pool.Stat(); ctx.Err() != nil && at.AcquiredConns() == at.MaxConns() {
			return true, errBusy // those who have the connections know better whether the database is there
		}
		s.judge(ctx, err)
		return true, err
	}
	defer c.Release()
	w := &work{conn: c.Conn(), begin: begin}
	err = f(ctx, w)
	if w.begun && !w.over && !w.conn.IsClosed() {
		// Errors of ROLLBACK close the connection, and with it the transaction.
		if _, undone := w.conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll(); undone != nil {
			_ = w.conn.Close(ctx)
		}
	}
	if err == nil {
		return true, nil
	}
	if w.conn.IsClosed() && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errCut, err)
	}
	s.judge(ctx, err)
	return !w.committing || refused(err) || errors.Is(err, journal.ErrRepeated), err
}
