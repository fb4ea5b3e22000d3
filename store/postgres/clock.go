package postgres

import (
	"context"
	"sync"
	"time"

	"carillon/journal"

	"github.com/jackc/pgx/v5"
)

// clockText asks for the time of the database, in µs.
const clockText = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

// toldFor is how long this process counts on from the time that the database told: crystals drift by far less than a
// millisecond in it.
const toldFor = 10 * time.Second

// clock is the time of all nodes: that of the database, or Options.Clock.
type clock struct {
	own journal.Clock // nil: the database's

	mu   sync.Mutex
	told time.Time // by the database
	at   time.Time // when it did, by this process
}

// now is about the time: what was told last, and what passed since.
func (c *clock) now() time.Time {
	if c.own != nil {
		return c.own()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told.Add(time.Since(c.at))
}

// fresh tells that now can be relied on.
func (c *clock) fresh() bool {
	if c.own != nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.at.IsZero() && time.Since(c.at) < toldFor
}

func (c *clock) note(told time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.at = told, time.Now()
}

// askTime has a batch ask for the time.
func (s *Store) askTime(b *pgx.Batch, now *time.Time) {
	if s.clock.own != nil {
		*now = s.clock.own()
		return
	}
	b.Queue(clockText).QueryRow(func(r row) error {
		var us int64
		err := r.Scan(&us)
		if *now = time.UnixMicro(us); err == nil {
			s.clock.note(*now)
		}
		return err
	})
}

// now asks for the time in a transaction under way.
func (s *Store) now(ctx context.Context, w *work) (now time.Time, err error) {
	if s.clock.own != nil {
		return s.clock.own(), nil
	}
	b := w.batch()
	s.askTime(b, &now)
	err = w.send(ctx, b)
	return now, err
}
