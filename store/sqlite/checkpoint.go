package sqlite

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"
)

// Bounds of the log file, in pages of 4 KiB.
const (
	walPages = 4000         // beyond it the log begins anew
	walMost  = 4 * walPages // a commit that finds more carries it over by itself, and takes as long as that takes
)

const (
	carryAfter = 2000                  // rows, about, that are written between two rounds of a carrier
	carryRests = 20 * time.Millisecond // after one
)

// carrier carries the log file over into the database, beside the committer: SQLite by itself has the commit that finds the log
// long do it, and who comes then waits for 5 ms and more. The committer is left the last few pages, after which the log begins
// anew; while it writes, that cannot be.
type carrier struct {
	db    *sql.DB // of one connection
	pages int     // walPages
	after int     // carryAfter
	wake  chan struct{}
	short atomic.Bool // nearly all is carried over: the committer shall carry the rest
}

func newCarrier(from string) (*carrier, error) {
	db, err := sql.Open("sqlite", from)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &carrier{db: db, pages: walPages, after: carryAfter, wake: make(chan struct{}, 1)}, nil
}

// run works until ctx ends. What fails is left to walMost.
func (c *carrier) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		if n, err := carry(ctx, c.db); err == nil && n >= c.pages {
			if _, err = carry(ctx, c.db); err == nil { // what was written during the first
				c.short.Store(true)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(carryRests):
		}
	}
}

// carry carries over what it can without making anybody wait, and tells how many pages the log has.
func carry(ctx context.Context, on interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (pages int, err error) {
	var busy, carried int
	err = on.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &pages, &carried)
	return pages, err
}

// wrote tells the carrier of what was written, and carries the rest.
func (w *writer) wrote(ctx context.Context, rows int) {
	c := w.s.carrier
	if c == nil || w.conn == nil {
		return
	}
	if c.short.CompareAndSwap(true, false) {
		_, _ = carry(ctx, w.conn) // where it fails the log goes on to grow, up to walMost
	}
	if w.uncarried += rows; w.uncarried < c.after {
		return
	}
	w.uncarried = 0
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
