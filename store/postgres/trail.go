package postgres

import (
	"context"
	"errors"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

const (
	findTrails = `SELECT id, service, shard, steps FROM fences WHERE steps > 0 ORDER BY id`

	findSteps = `SELECT first, last, time, body FROM steps WHERE shard = $1 AND last > $2 ORDER BY last LIMIT $3`

	// Each entry that may hold is looked up by itself, which OFFSET 0 keeps the planner to: it likes to read all entries of a
	// channel.
	findRights = `SELECT g.name, g.asker, a."user", a.rights, a.version FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS g (name, asker, "user")
		JOIN channels c ON c.name = g.name
		CROSS JOIN LATERAL (SELECT * FROM access WHERE channel = c.id AND "user" = g."user" OFFSET 0) AS a`

	// Given a time (ms) and how many at most. Nodes that clear away at the same time pass each other by.
	dropSteps = `DELETE FROM steps WHERE ctid = ANY(ARRAY(SELECT ctid FROM steps WHERE time < $1 ORDER BY time LIMIT $2 FOR UPDATE SKIP LOCKED))`
)

// Ends is journal.Trail's.
func (s *Store) Ends(ctx context.Context) (marks []journal.Mark, err error) {
	trails, err := s.trails(ctx)
	for i := range trails {
		marks = append(marks, trails[i].End)
	}
	return marks, err
}

// trails reads the ends of all shards that have steps.
func (s *Store) trails(ctx context.Context) (trails []store.ShardTrail, err error) {
	err = s.glance(ctx, "trail", func(ctx context.Context, w *work) error {
		trails = nil
		b := w.batch()
		each(b, func(scan func(...any) error) error {
			var t store.ShardTrail
			if err := scan(&t.ID, &t.End.Service, &t.End.Shard, &t.End.Seq); err != nil {
				return err
			}
			trails = append(trails, t)
			return nil
		}, findTrails)
		return w.send(ctx, b)
	})
	return trails, err
}

// Follow is journal.Trail's. While nothing happens it asks one question, however many shards there are. A step is numbered under
// the lock of its fence, so no number becomes visible after a higher one.
func (s *Store) Follow(ctx context.Context, after []journal.Mark, max int) (steps []journal.Step, err error) {
	trails, err := s.trails(ctx)
	if err != nil {
		return nil, err
	}
	moved, err := store.Moved(trails, after)
	if err != nil || len(moved) == 0 {
		return nil, err
	}
	trimmed := false
	err = s.view(ctx, "trail", func(ctx context.Context, w *work) error {
		steps, err = s.follow(ctx, w, moved, max)
		if trimmed = errors.Is(err, journal.ErrTrimmed); trimmed {
			return nil
		}
		return err
	})
	if trimmed {
		return nil, journal.ErrTrimmed
	}
	return steps, err
}

// follow reads the steps of shards that have new ones.
func (s *Store) follow(ctx context.Context, w *work, moved []store.ShardTrail, max int) (steps []journal.Step, err error) {
	found := make([][]store.StepRow, len(moved))
	var now time.Time
	b := w.batch()
	s.askTime(b, &now)
	for i := range moved {
		each(b, func(scan func(...any) error) error {
			var r store.StepRow
			if err := scan(&r.First, &r.Last, &r.MS, &r.Body); err != nil {
				return err
			}
			found[i] = append(found[i], r)
			return nil
		}, findSteps, moved[i].ID, int64(moved[i].After), max)
	}
	if err := w.commit(ctx, b); err != nil {
		return nil, err
	}
	limit := now.Add(-journal.TrailKept).UnixMilli()
	for i := 0; i < len(moved) && len(steps) < max; i++ {
		more, err := moved[i].Steps(s.identity.Epoch, found[i], limit, max-len(steps))
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// Rights is journal.Trail's.
func (s *Store) Rights(ctx context.Context, gs []journal.Grant) (as []channel.Access, err error) {
	err = s.glance(ctx, "rights", func(ctx context.Context, w *work) error {
		rights := store.NewRights(gs)
		var names, askers, users []string
		for _, g := range rights.Grants() {
			names, askers, users = append(names, string(g.Channel)), append(askers, g.User), append(users, g.User)
			if g.User != "" {
				names, askers, users = append(names, string(g.Channel)), append(askers, g.User), append(users, "")
			}
		}
		b := w.batch()
		each(b, func(scan func(...any) error) error {
			var a channel.Access
			var asker, user []byte
			if err := scan(&a.Channel, &asker, &user, &a.Rights, &a.Version); err != nil {
				return err
			}
			a.User = string(user)
			rights.Found(journal.Grant{Channel: a.Channel, User: string(asker)}, a)
			return nil
		}, findRights, names, askers, users)
		err := w.send(ctx, b)
		as = rights.Answers()
		return err
	})
	return as, err
}
