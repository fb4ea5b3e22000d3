package sqlite

import (
	"context"
	"crypto/sha1"
	"fmt"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// Seen is journal.Stage's. Commands that are asked for several times in a call are looked up once.
func (s *Store) Seen(ctx context.Context, cs []channel.Command) ([]journal.Known, error) {
	if s.shut.Load() {
		return nil, journal.ErrClosed
	}
	asked := make([]idKey, len(cs))
	found := make(map[idKey]*seen, len(cs))
	var keys []any
	for i := range cs {
		if cs[i].ID == "" {
			continue
		}
		asked[i] = s.identity.key(cs[i].Channel, cs[i].User, cs[i].ID)
		if _, twice := found[asked[i]]; !twice {
			found[asked[i]] = nil
			keys = append(keys, asked[i][:])
		}
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, s.readError("ids of commands", err)
	}
	defer v.end()
	err = v.many(&s.services.ids, keys, func(scan func(...any) error) error {
		var k seen
		var key, hash []byte
		var offset, tag int64
		if err := scan(&key, &hash, &k.binary, &offset, &tag, &k.reply.Code, &k.reply.Body); err != nil {
			return err
		}
		copy(k.hash[:], hash)
		k.reply.At = s.identity.position(offset, tag)
		found[idKey(key)] = &k
		return nil
	})
	if err != nil {
		return nil, s.readError("ids of commands", err)
	}
	known := make([]journal.Known, len(cs))
	for i := range cs {
		if cs[i].ID != "" {
			known[i] = found[asked[i]].judge(&cs[i])
		}
	}
	return known, nil
}

// seen is what an id got the first time.
type seen struct {
	hash   [sha1.Size]byte
	binary bool
	reply  channel.Reply
}

func (k *seen) judge(c *channel.Command) journal.Known {
	switch {
	case k == nil && c.Age > store.IDsKnown:
		return journal.Known{Err: journal.ErrUnknown}
	case k == nil:
		return journal.Known{}
	case k.hash != channel.BodyHash(c.Body) || k.binary != c.Binary:
		return journal.Known{Err: journal.ErrReuse}
	}
	reply := k.reply
	reply.ID = c.ID
	return journal.Known{Reply: &reply}
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
	m := &machineRead{s: s, v: v, name: n}
	if err := m.read(oldest); err != nil {
		return journal.Past{}, s.readError(string(n), err)
	}
	return m.past, nil
}

// machineRead is one Load or Past, in one snapshot of the database.
type machineRead struct {
	s    *Store
	v    *view
	name channel.Name
	id   int64
	past journal.Past
}

func (m *machineRead) read(oldest bool) error {
	first := m.s.identity.first(m.name)
	p := &m.past
	p.Head, p.Start = first, first
	head, tag := int64(first.Offset), int64(first.Tag)
	var version, commanded, wake int64
	if err := scanOne(m.v.row(m.s.services.machine, string(m.name)), &m.id, &head, &tag, &version, &commanded, &wake); err != nil {
		return err
	}
	p.Head, p.Version = m.s.identity.position(head, tag), journal.Version(version)
	if m.id == 0 || version == 0 {
		p.Start = p.Head
		return nil
	}
	p.Time = time.UnixMilli(commanded).UTC()
	if wake != 0 {
		p.WakeAt = time.Unix(0, wake).UTC()
	}
	snapshots, err := m.snapshots(oldest)
	if err != nil {
		return err
	}
	if err := m.commands(snapshots, oldest); err != nil {
		return err
	}
	if len(snapshots) > 1 || len(snapshots) == 1 && p.At == 0 {
		newest := snapshots[len(snapshots)-1]
		p.Newer, p.NewerAt = newest.body, newest.version
	}
	return nil
}

// commands reads from the snapshot that the state begins with: the newest, or the oldest from which commands are kept,
// which may be the beginning.
func (m *machineRead) commands(snapshots []kept, oldest bool) error {
	p := &m.past
	begin := func(k kept) { p.Snapshot, p.At, p.Start, p.Commands = k.body, k.version, k.at, nil }
	if len(snapshots) > 0 && (!oldest || len(snapshots) > 1) {
		begin(snapshots[0])
	}
	next := p.At + 1
	rows := [...]any{m.id, int64(p.At)}
	err := m.v.each(m.s.services.commands, rows[:], func(scan func(...any) error) error {
		var first, last, seal int64
		var body []byte
		if err := scan(&first, &last, &seal, &body); err != nil {
			return err
		}
		if len(p.Commands) == 0 && p.Snapshot == nil && len(snapshots) > 0 && first > 1 {
			// An erasure took what came before the only snapshot.
			begin(snapshots[0])
			next = p.At + 1
		}
		base, commands, err := unpack(m.name, m.s.identity.epoch, uint64(first), uint64(last), body)
		if err != nil || journal.Version(first) != next || seal != placeSeal(m.name, uint64(last), body) {
			return m.damage(uint64(first), "a command is missing or was changed")
		}
		if first == 1 {
			p.Start = base
		}
		next = journal.Version(last) + 1
		p.Commands = append(p.Commands, commands...)
		return nil
	})
	if err != nil {
		return err
	}
	if len(p.Commands) == 0 && p.Snapshot == nil && len(snapshots) > 0 {
		begin(snapshots[0])
		next = p.At + 1
	}
	if next != p.Version+1 {
		return m.damage(uint64(next), "a command is missing")
	}
	return nil
}

// kept is a snapshot as it was read.
type kept struct {
	version journal.Version
	at      channel.Position
	body    []byte
}

func (m *machineRead) snapshots(oldest bool) (found []kept, err error) {
	stmt := m.s.services.newest
	if oldest {
		stmt = m.s.services.snapshots
	}
	err = m.v.each(stmt, []any{m.id}, func(scan func(...any) error) error {
		var version, offset, tag, seal int64
		var body []byte
		if err := scan(&version, &offset, &tag, &seal, &body); err != nil {
			return err
		}
		if seal != placeSeal(m.name, uint64(version), body) {
			return m.damage(uint64(version), "the snapshot was changed")
		}
		found = append(found, kept{journal.Version(version), m.s.identity.position(offset, tag), blob(body)})
		return nil
	})
	return found, err
}

func (m *machineRead) damage(version uint64, why string) error {
	return fmt.Errorf("change %d: %s: %w", version, why, journal.ErrDamaged)
}
