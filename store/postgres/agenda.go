package postgres

import (
	"context"
	"errors"
	"math"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

const (
	fenceN = `SELECT n FROM fences WHERE service = $1 AND shard = $2`

	findSends = `SELECT ticket, source, version, place, target, "binary", body FROM sends
		WHERE shard = (SELECT id FROM fences WHERE service = $1 AND shard = $2) AND ticket > $3 ORDER BY ticket LIMIT $4`

	// Those up to a time, and the first after it: a shard has as many timers as games are played in it.
	findTimers = `WITH f AS (SELECT id FROM fences WHERE service = $1 AND shard = $2)
		(SELECT name, version, wake FROM channels WHERE shard = (SELECT id FROM f) AND wake <= $4 ORDER BY wake LIMIT $3)
		UNION ALL
		(SELECT name, version, wake FROM channels WHERE shard = (SELECT id FROM f) AND wake > $4 ORDER BY wake LIMIT 1)
		ORDER BY wake`

	soon = time.Second // beyond what a clock that was told may be wrong by

	dropSends = `DELETE FROM sends USING fences f
		WHERE f.service = $1 AND f.shard = $2 AND f.n = $3 AND sends.shard = f.id AND sends.ticket = ANY($4)`
)

// Due is journal.Agenda's. Where there is more of both than fits, sends and timers get half each.
func (s *Store) Due(ctx context.Context, f journal.Fence, after uint64, max int) (due []journal.Due, next time.Time, err error) {
	var n uint64
	err = s.view(ctx, "agenda", func(ctx context.Context, w *work) error {
		var sends, timers []journal.Due
		b := w.batch()
		var now time.Time
		s.askTime(b, &now)
		until := int64(math.MaxInt64)
		if s.clock.fresh() {
			until = s.clock.now().Add(soon).UnixNano()
		}
		askFence(b, f, &n)
		each(b, func(scan func(...any) error) error {
			var r store.SendRow
			if err := scan(&r.Ticket, &r.Source, &r.Version, &r.Place, &r.Target, &r.Binary, &r.Body); err != nil {
				return err
			}
			sends = append(sends, r.Due())
			return nil
		}, findSends, f.Service, f.Shard, int64(min(after, math.MaxInt64)), max)
		each(b, func(scan func(...any) error) error {
			var name channel.Name
			var version, wake int64
			if err := scan(&name, &version, &wake); err != nil {
				return err
			}
			timers = append(timers, store.TimerDue(name, version, wake))
			return nil
		}, findTimers, f.Service, f.Shard, max+1, until)
		err := w.commit(ctx, b)
		due, next = store.Agenda(sends, timers, now, max)
		if last := len(timers) - 1; next.IsZero() && last >= 0 && timers[last].At.UnixNano() > until {
			next = timers[last].At // the question took so long that there may be others behind it
		}
		return err
	})
	if err == nil && n != f.N {
		err = journal.ErrFenced
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	return due, next, nil
}

// Sent is journal.Agenda's. Under a fence that is void it forgets nothing.
func (s *Store) Sent(ctx context.Context, f journal.Fence, tickets []uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	done := make([]int64, len(tickets))
	for i, t := range tickets {
		done[i] = int64(min(t, math.MaxInt64))
	}
	var n uint64
	_, err = s.change(s.pool, func(ctx context.Context, w *work) error {
		b := w.batch()
		b.Queue(dropSends, f.Service, f.Shard, int64(f.N), done)
		askFence(b, f, &n) // read after the deletion: if it holds now, it held then
		return w.commit(ctx, b)
	})
	if err == nil && n != f.N {
		return journal.ErrFenced
	}
	return err
}

// askFence asks for the number of a shard's fence; 0: it was never claimed.
func askFence(b *pgx.Batch, f journal.Fence, n *uint64) {
	b.Queue(fenceN, f.Service, f.Shard).QueryRow(func(r row) error {
		*n = 0
		if err := r.Scan(n); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return nil
	})
}
