package sqlite

import (
	"context"
	"fmt"

	"carillon/channel"
	"carillon/journal"
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
		marks[i] = shards[i].end
	}
	return marks, nil
}

// trailShard is a shard that has steps.
type trailShard struct {
	id  int64
	end journal.Mark
}

func (s *Store) trails(v *view) (shards []trailShard, err error) {
	err = v.each(s.services.fences, nil, func(scan func(...any) error) error {
		var t trailShard
		var steps int64
		if err := scan(&t.id, &t.end.Service, &t.end.Shard, &steps); err != nil {
			return err
		}
		t.end.Seq = uint64(steps)
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
	seen := make(map[fenceKey]uint64, len(after))
	for _, m := range after {
		seen[fenceKey{m.Service, m.Shard}] = m.Seq
	}
	var steps []journal.Step
	for _, t := range shards {
		k := fenceKey{t.end.Service, t.end.Shard}
		from := seen[k]
		delete(seen, k)
		if from == t.end.Seq || len(steps) >= max {
			continue
		}
		if from > t.end.Seq {
			return nil, journal.ErrTrimmed // the mark is of a trail that was lost
		}
		if steps, err = s.follow(v, t, from, max, steps); err != nil {
			return nil, err
		}
	}
	for _, unknown := range seen {
		if unknown > 0 {
			return nil, journal.ErrTrimmed
		}
	}
	return steps, nil
}

// follow appends the steps of one shard after a mark. What is past its time counts as gone, whether its row is or not.
func (s *Store) follow(v *view, t trailShard, after uint64, max int, steps []journal.Step) ([]journal.Step, error) {
	limit := s.o.Clock().Add(-journal.TrailKept).UnixMilli()
	next := after + 1
	err := v.each(s.services.steps, []any{t.id, int64(after), max}, func(scan func(...any) error) error {
		var first, last, ms int64
		var body []byte
		if err := scan(&first, &last, &ms, &body); err != nil {
			return err
		}
		if uint64(first) > next || ms < limit {
			return journal.ErrTrimmed
		}
		mark := t.end
		mark.Seq = uint64(first)
		found, err := unpackSteps(s.identity.epoch, mark, uint64(last), body)
		if err != nil {
			return fmt.Errorf("steps of %s %d: %w: %w", mark.Service, mark.Shard, journal.ErrDamaged, err)
		}
		found = found[next-uint64(first):]
		found = found[:min(len(found), max-len(steps))]
		steps = append(steps, found...)
		next = uint64(last) + 1
		if len(steps) == max {
			return errEnough
		}
		return nil
	})
	switch {
	case err == journal.ErrTrimmed:
		return nil, err
	case err != nil:
		return nil, s.readError("trail", err)
	case next == after+1:
		return nil, journal.ErrTrimmed // all of them are gone
	}
	return steps, nil
}

// Rights is journal.Trail's.
func (s *Store) Rights(ctx context.Context, gs []journal.Grant) ([]channel.Access, error) {
	if s.shut.Load() {
		return nil, journal.ErrClosed
	}
	held := make(map[journal.Grant]channel.Access, len(gs))
	args := make([]any, 0, 2*len(gs))
	for _, g := range gs {
		if _, twice := held[g]; !twice {
			held[g] = channel.Access{Channel: g.Channel, User: g.User}
			args = append(args, string(g.Channel), g.User)
		}
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, s.readError("rights", err)
	}
	defer v.end()
	own := map[journal.Grant]bool{}
	err = v.many(&s.services.rights, args, func(scan func(...any) error) error {
		var name, asker string
		var a channel.Access
		var rights, version int64
		if err := scan(&name, &asker, &a.User, &rights, &version); err != nil {
			return err
		}
		g := journal.Grant{Channel: channel.Name(name), User: asker}
		a.Channel, a.Rights, a.Version = g.Channel, channel.Rights(rights), uint64(version)
		if a.User == g.User {
			own[g] = true
		} else if own[g] {
			return nil
		}
		held[g] = a
		return nil
	})
	if err != nil {
		return nil, s.readError("rights", err)
	}
	as := make([]channel.Access, len(gs))
	for i, g := range gs {
		as[i] = held[g]
	}
	return as, nil
}
