package sqlite

import (
	"context"
	"math"
	"strconv"
	"time"

	"carillon/channel"
	"carillon/journal"
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
	timers, next, err := s.timers(v, id, max, now)
	if err != nil {
		return nil, next, s.readError("agenda", err)
	}
	room := max - min(len(sends), (max+1)/2)
	if len(timers) > room {
		next = timers[room].At
		timers = timers[:room]
	}
	sends = sends[:min(len(sends), max-len(timers))]
	return append(sends, timers...), next, nil
}

func (s *Store) sends(v *view, shard int64, after uint64, max int) (due []journal.Due, err error) {
	err = v.each(s.services.sends, []any{shard, int64(min(after, math.MaxInt64)), max}, func(scan func(...any) error) error {
		var ticket, version, place int64
		var source, target string
		var c channel.Command
		if err := scan(&ticket, &source, &version, &place, &target, &c.Binary, &c.Body); err != nil {
			return err
		}
		c.Channel, c.User = channel.Name(target), systemPrefix+source
		c.ID = strconv.FormatInt(version, 10) + "." + strconv.FormatInt(place, 10)
		due = append(due, journal.Due{Ticket: uint64(ticket), Source: channel.Name(source), Command: c})
		return nil
	})
	return due, err
}

// timers lists those that are due, and when the first one comes that is not listed.
func (s *Store) timers(v *view, shard int64, max int, now time.Time) (due []journal.Due, next time.Time, err error) {
	err = v.each(s.services.timers, []any{shard, max + 1}, func(scan func(...any) error) error {
		var name string
		var version, wake int64
		if err := scan(&name, &version, &wake); err != nil {
			return err
		}
		at := time.Unix(0, wake).UTC()
		if len(due) == max || at.After(now) {
			next = at
			return errEnough
		}
		n := channel.Name(name)
		due = append(due, journal.Due{Armed: journal.Version(version), At: at, Source: n,
			Command: channel.Command{Channel: n, User: systemPrefix + name, ID: "timer." + strconv.FormatInt(version, 10)}})
		return nil
	})
	return due, next, err
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
