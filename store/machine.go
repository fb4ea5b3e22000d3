package store

import (
	"fmt"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// Machine is what a database holds of a service's channel.
type Machine struct {
	Name      channel.Name
	Head      channel.Position
	Version   journal.Version
	Commanded int64         // time of the last command, ms
	Wake      int64         // ns; 0: never
	Snapshots []SnapshotRow // by version: all of them, or the newest alone to begin there
	Commands  []CommandRow  // after From, by version
}

// SnapshotRow is a row of snapshots; At is the head at Version.
type SnapshotRow struct {
	Version journal.Version
	At      channel.Position
	Seal    int64
	Body    []byte
}

// CommandRow is a row of commands, as CommandPack made it.
type CommandRow struct {
	First, Last uint64
	Seal        int64
	Body        []byte
}

// From is the version after which commands are needed. With all snapshots that is the older one's, so that the commands
// prove the newer; and all commands there are, where there is but one.
func (m *Machine) From(all bool) journal.Version {
	if len(m.Snapshots) > 0 && (!all || len(m.Snapshots) > 1) {
		return m.Snapshots[0].Version
	}
	return 0
}

// Past puts the rows together, as State or, with all, as journal.Past. What is missing or was changed is
// journal.ErrDamaged.
func (m *Machine) Past(d *Identity, all bool) (p journal.Past, err error) {
	p.Head, p.Version, p.Start = m.Head, m.Version, m.Head
	if m.Version == 0 {
		return p, nil
	}
	p.Start = d.First(m.Name)
	p.Time = time.UnixMilli(m.Commanded).UTC()
	if m.Wake != 0 {
		p.WakeAt = time.Unix(0, m.Wake).UTC()
	}
	for i := range m.Snapshots {
		if s := &m.Snapshots[i]; s.Seal != SealPlace(m.Name, uint64(s.Version), s.Body) {
			return journal.Past{}, m.damage(uint64(s.Version), "the snapshot was changed")
		}
	}
	if m.From(all) > 0 {
		m.begin(&p)
	}
	if err := m.commands(d, &p); err != nil {
		return journal.Past{}, err
	}
	if n := len(m.Snapshots); n > 1 || n == 1 && p.At == 0 {
		newest := &m.Snapshots[n-1]
		p.Newer, p.NewerAt = Blob(newest.Body), newest.Version
	}
	return p, nil
}

// begin has the state begin with the first of the snapshots.
func (m *Machine) begin(p *journal.Past) {
	s := &m.Snapshots[0]
	p.Snapshot, p.At, p.Start, p.Commands = Blob(s.Body), s.Version, s.At, nil
}

// commands follows them to the version of the channel.
func (m *Machine) commands(d *Identity, p *journal.Past) error {
	next := uint64(p.At) + 1
	if p.Snapshot == nil && len(m.Snapshots) > 0 && (len(m.Commands) == 0 || m.Commands[0].First > 1) {
		m.begin(p) // an erasure took what came before the only snapshot
		next = uint64(p.At) + 1
	}
	for i := range m.Commands {
		row := &m.Commands[i]
		base, commands, err := unpack(m.Name, d.Epoch, row)
		if err != nil || row.First != next || row.Seal != SealPlace(m.Name, row.Last, row.Body) {
			return m.damage(row.First, "a command is missing or was changed")
		}
		if row.First == 1 {
			p.Start = base
		}
		next = row.Last + 1
		p.Commands = append(p.Commands, commands...)
	}
	if next != uint64(p.Version)+1 {
		return m.damage(next, "a command is missing")
	}
	return nil
}

func (m *Machine) damage(version uint64, why string) error {
	return fmt.Errorf("%s, change %d: %s: %w", m.Name, version, why, journal.ErrDamaged)
}
