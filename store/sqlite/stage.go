package sqlite

import (
	"context"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// Seen is journal.Stage's. Commands that are asked for several times in a call are looked up once.
func (s *Store) Seen(ctx context.Context, cs []channel.Command) ([]journal.Known, error) {
	if s.shut.Load() {
		return nil, journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	seen := store.NewSeen(&s.identity, cs)
	var v *view // for those that are to be read: most ids are new, and then there are none
	query := func(m *many, args []any, row func(func(...any) error) error) (err error) {
		if v == nil {
			if v, err = s.view(ctx); err != nil {
				return err
			}
		}
		return v.many(m, args, row)
	}
	err := s.ids.find(seen.Keys(), &s.services.ids, query, func(k store.IDKey, a *store.Answered, offset, tag int64) {
		a.Reply.At = s.identity.Position(offset, tag)
		seen.Found(k, a)
	})
	if v != nil {
		v.end()
	}
	if err != nil {
		return nil, s.readError("ids of commands", err)
	}
	return seen.Known(), nil
}

// Load is journal.Stage's.
func (s *Store) Load(ctx context.Context, n channel.Name) (journal.State, error) {
	p, err := s.past(ctx, n, false)
	return p.State, err
}

// Past is journal.Archive's.
func (s *Store) Past(ctx context.Context, n channel.Name) (journal.Past, error) {
	return s.past(ctx, n, true)
}

func (s *Store) past(ctx context.Context, n channel.Name, oldest bool) (journal.Past, error) {
	if s.shut.Load() {
		return journal.Past{}, journal.ErrClosed
	}
	v, err := s.view(ctx)
	if err != nil {
		return journal.Past{}, s.readError(string(n), err)
	}
	defer v.end()
	p, err := s.machine(v, n, oldest)
	if err != nil {
		return journal.Past{}, s.readError(string(n), err)
	}
	return p, nil
}

// machine reads one channel in one snapshot of the database.
func (s *Store) machine(v *view, n channel.Name, oldest bool) (journal.Past, error) {
	m := store.Machine{Name: n}
	first := s.identity.First(n)
	var id int64
	head, tag := int64(first.Offset), int64(first.Tag)
	if err := scanOne(v.row(s.services.machine, string(n)), &id, &head, &tag, &m.Version, &m.Commanded, &m.Wake); err != nil {
		return journal.Past{}, err
	}
	m.Head = s.identity.Position(head, tag)
	snapshots := s.services.newest
	if oldest {
		snapshots = s.services.snapshots
	}
	err := v.each(snapshots, []any{id}, func(scan func(...any) error) error {
		var r store.SnapshotRow
		var offset, tag int64
		if err := scan(&r.Version, &offset, &tag, &r.Seal, &r.Body); err != nil {
			return err
		}
		r.At = s.identity.Position(offset, tag)
		m.Snapshots = append(m.Snapshots, r)
		return nil
	})
	if err != nil {
		return journal.Past{}, err
	}
	err = v.each(s.services.commands, []any{id, int64(m.From(oldest))}, func(scan func(...any) error) error {
		var r store.CommandRow
		if err := scan(&r.First, &r.Last, &r.Seal, &r.Body); err != nil {
			return err
		}
		m.Commands = append(m.Commands, r)
		return nil
	})
	if err != nil {
		return journal.Past{}, err
	}
	return m.Past(&s.identity, oldest)
}
