package sqlite

import (
	"context"
	"math"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// Due is journal.Agenda's. Where there is more of both than fits, sends and timers get half each.
func (s *Store) Due(ctx context.Context, f journal.Fence, after uint64, max int) (due []journal.Due, next time.Time, err error) {
	if s.shut.Load() {
		return nil, next, journal.ErrClosed
	}
	now := s.o.Clock()
	v, err := s.view(ctx)
	if err != nil {
		return nil, next, s.readError("agenda", err)
	}
	defer v.end()
	var id, n int64
	if err := scanOne(v.row(s.services.fence, f.Service, f.Shard), &id, &n); err != nil {
		return nil, next, s.readError("agenda", err)
	}
	if id == 0 || uint64(n) != f.N {
		return nil, next, journal.ErrFenced
	}
	sends, err := s.sends(v, id, after, max)
	if err != nil {
		return nil, next, s.readError("agenda", err)
	}
	timers, err := s.timers(v, id, now, max)
	if err != nil {
		return nil, next, s.readError("agenda", err)
	}
	due, next = store.Agenda(sends, timers, now, max)
	return due, next, nil
}

func (s *Store) sends(v *view, shard int64, after uint64, max int) (due []journal.Due, err error) {
	err = v.each(s.services.sends, []any{shard, int64(min(after, math.MaxInt64)), max}, func(scan func(...any) error) error {
		var r store.SendRow
		if err := scan(&r.Ticket, &r.Source, &r.Version, &r.Place, &r.Target, &r.Binary, &r.Body); err != nil {
			return err
		}
		due = append(due, r.Due())
		return nil
	})
	return due, err
}

// timers lists those that are due, by time, one more than wanted, and the first that is not.
func (s *Store) timers(v *view, shard int64, now time.Time, max int) (due []journal.Due, err error) {
	err = v.each(s.services.timers, []any{shard, max + 1}, func(scan func(...any) error) error {
		var n channel.Name
		var version, wake int64
		if err := scan(&n, &version, &wake); err != nil {
			return err
		}
		due = append(due, store.TimerDue(n, version, wake))
		if wake > now.UnixNano() {
			return errEnough
		}
		return nil
	})
	return due, err
}

// Sent is journal.Agenda's. Under a fence that is void it forgets nothing.
func (s *Store) Sent(ctx context.Context, f journal.Fence, tickets []uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &call{records: len(tickets)}
	c.do = func(ctx context.Context, w *writer, b *batchWork) error {
		st, err := w.fence(ctx, b, fenceKey{f.Service, f.Shard})
		c.refused = nil
		if err != nil {
			return err
		}
		if st == nil || st.n != f.N {
			c.refused = journal.ErrFenced
			return nil
		}
		args := make([]any, 0, 2*len(tickets))
		for _, t := range tickets {
			args = append(args, int64(t), st.id)
		}
		return w.service.dropSends.exec(ctx, args)
	}
	return s.await(c)
}
