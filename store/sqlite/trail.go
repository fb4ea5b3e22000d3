package sqlite

import (
	"context"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// Ends is journal.Trail's.
func (s *Store) Ends(ctx context.Context) ([]journal.Mark, error) {
	if s.shut.Load() {
		return nil, journal.ErrClosed
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, s.readError("trail", err)
	}
	defer v.end()
	shards, err := s.trails(v)
	if err != nil {
		return nil, s.readError("trail", err)
	}
	marks := make([]journal.Mark, len(shards))
	for i := range shards {
		marks[i] = shards[i].End
	}
	return marks, nil
}

func (s *Store) trails(v *view) (shards []store.ShardTrail, err error) {
	err = v.each(s.services.fences, nil, func(scan func(...any) error) error {
		var t store.ShardTrail
		var steps int64
		if err := scan(&t.ID, &t.End.Service, &t.End.Shard, &steps); err != nil {
			return err
		}
		t.End.Seq = uint64(steps)
		shards = append(shards, t)
		return nil
	})
	return shards, err
}

// Follow is journal.Trail's. While nothing happens it asks one question, however many shards there are.
func (s *Store) Follow(ctx context.Context, after []journal.Mark, max int) ([]journal.Step, error) {
	if s.shut.Load() {
		return nil, journal.ErrClosed
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, s.readError("trail", err)
	}
	defer v.end()
	shards, err := s.trails(v)
	if err != nil {
		return nil, s.readError("trail", err)
	}
	moved, err := store.Moved(shards, after)
	if err != nil {
		return nil, err
	}
	var steps []journal.Step
	for i := 0; i < len(moved) && len(steps) < max; i++ {
		found, err := s.follow(v, &moved[i], max-len(steps))
		if err != nil {
			return nil, err
		}
		steps = append(steps, found...)
	}
	return steps, nil
}

// follow gives the steps of one shard.
func (s *Store) follow(v *view, t *store.ShardTrail, max int) ([]journal.Step, error) {
	limit := s.o.Clock().Add(-journal.TrailKept).UnixMilli()
	var rows []store.StepRow
	err := v.each(s.services.steps, []any{t.ID, int64(t.After), max}, func(scan func(...any) error) error {
		var r store.StepRow
		if err := scan(&r.First, &r.Last, &r.MS, &r.Body); err != nil {
			return err
		}
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		return nil, s.readError("trail", err)
	}
	steps, err := t.Steps(s.identity.Epoch, rows, limit, max)
	if err != nil && err != journal.ErrTrimmed {
		return nil, s.readError("trail", err)
	}
	return steps, err
}

// Rights is journal.Trail's.
func (s *Store) Rights(ctx context.Context, gs []journal.Grant) ([]channel.Access, error) {
	if s.shut.Load() {
		return nil, journal.ErrClosed
	}
	rights := store.NewRights(gs)
	args := make([]any, 0, 2*len(gs))
	for _, g := range rights.Grants() {
		args = append(args, string(g.Channel), g.User)
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, s.readError("rights", err)
	}
	defer v.end()
	err = v.many(&s.services.rights, args, func(scan func(...any) error) error {
		var g journal.Grant
		var a channel.Access
		var version int64
		if err := scan(&g.Channel, &g.User, &a.User, &a.Rights, &version); err != nil {
			return err
		}
		a.Channel, a.Version = g.Channel, uint64(version)
		rights.Found(g, a)
		return nil
	})
	if err != nil {
		return nil, s.readError("rights", err)
	}
	return rights.Answers(), nil
}
