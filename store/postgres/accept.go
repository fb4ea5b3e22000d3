package postgres

import (
	"crypto/sha1"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// accessRow and sendRow stand for rows of their tables until all channels have their ids.
type (
	accessRow struct {
		accessKey
		rights  channel.Rights
		version uint64
	}
	accessKey struct {
		log  *logWork
		user string
	}
	sendRow struct {
		log     *logWork
		version uint64
		place   int
		command *channel.Command
	}
)

// change takes one change of an offer: it is stale, or true once the transaction is.
func (k *commit) change(o *offer, i int) {
	c, res := &o.changes[i], &o.results[i]
	st := k.b.logs[c.Channel]
	switch {
	case k.stale[c.Channel] || st.version != uint64(c.Prev):
		k.stale[c.Channel] = true
		*res = journal.Result{At: st.head, Version: journal.Version(st.version), Err: journal.ErrStale}
		return
	case c.Command.Channel == "":
		k.snapshot(st, c)
	case c.Reply.Code != 0:
		// The timer it was for must not come again; one armed since then must.
		if c.Timer != 0 && uint64(c.Timer) == st.version && st.wake != 0 {
			st.wake, st.moved = 0, true
		}
	default:
		k.accept(o, st, i)
	}
	if c.Command.ID != "" {
		k.b.ids = append(k.b.ids, idRow{key: o.sums[i].Key, hash: o.sums[i].Body, binary: c.Command.Binary, at: st.head, code: c.Reply.Code, reply: c.Reply.Body})
	}
	*res = journal.Result{At: st.head, Version: journal.Version(st.version)}
}

// accept takes the step that a command came to.
func (k *commit) accept(o *offer, st *logWork, i int) {
	c := &o.changes[i]
	if st.id == 0 {
		k.fresh[st.name] = st
	}
	base := st.head
	st.moved = true
	st.version++
	st.shard = o.id
	st.commanded = c.Command.Time.UnixMilli()
	st.wake = 0
	if !c.WakeAt.IsZero() {
		st.wake = c.WakeAt.UnixNano()
	}
	for j := range c.Events {
		k.event(st, c, &c.Events[j], o.sums[i].Events[j])
	}
	k.keep(st, base, &c.Command)
	for _, a := range c.Access {
		k.grant(accessRow{accessKey{st, a.User}, a.Rights, st.version})
	}
	for j := range c.Sends {
		k.sends = append(k.sends, sendRow{st, st.version, j, &c.Sends[j]})
	}
	k.states[o.fence.Service].add(c.Rows)
	if c.Snapshot != nil {
		k.snapshot(st, c)
	}
	k.urgent = k.urgent || len(c.Access) > 0 || len(c.Erase) > 0
	o.steps.Add(c.Channel, st.version, st.head, c.Erase, c.Access)
}

// event makes a record of what a machine said, of which only class, key, kind, body and sender count; hash is that of a
// Logged body.
func (k *commit) event(st *logWork, c *journal.Change, e *channel.Record, hash [sha1.Size]byte) {
	ms := c.Command.Time.UnixMilli()
	r := channel.Record{Channel: c.Channel, Class: e.Class, Time: time.UnixMilli(ms).UTC(), From: e.From, Binary: e.Binary, Body: e.Body}
	if e.Class == channel.Latest {
		// Without a sender it is the service's own key, whoever asked.
		r.Key = e.Key
		k.b.set(st, r)
		return
	}
	if r.From == "" {
		r.From = c.Command.User
	}
	if e.Class == channel.Logged {
		k.b.log(st, &r, hash, ms)
	} else {
		k.b.records = append(k.b.records, r)
	}
}

// grant notes an entry; of several for a user the last one counts.
func (k *commit) grant(r accessRow) {
	i, twice := k.granted[r.accessKey]
	if !twice {
		i = len(k.access)
		k.granted[r.accessKey] = i
		k.access = append(k.access, r)
	}
	k.access[i] = r
}

func (k *commit) machine(st *logWork) *machineWork {
	m := k.logs[st]
	if m == nil {
		m = &machineWork{log: st}
		k.logs[st] = m
	}
	return m
}

// keep notes a command for the next Load.
func (k *commit) keep(st *logWork, base channel.Position, c *channel.Command) {
	m := k.machine(st)
	m.pack.Add(st.version, base, st.head, c)
	if m.pack.Full() {
		m.flush()
	}
}

// flush makes a row of the commands gathered so far. Rows end where snapshots stand, so that they can go as a whole.
func (m *machineWork) flush() {
	if p := &m.pack; p.First != 0 {
		m.commands = append(m.commands, store.CommandRow{First: p.First, Last: p.Last, Seal: store.SealPlace(m.log.name, p.Last, p.Body), Body: p.Body})
		*p = store.CommandPack{}
	}
}

// snapshot keeps the state of a channel as of now; if the change erases, it is the only thing that is left from before.
func (k *commit) snapshot(st *logWork, c *journal.Change) {
	if st.version == 0 || c.Snapshot == nil {
		return // of a channel without a change there is nothing to keep
	}
	m := k.machine(st)
	erases := c.Command.Channel != "" && len(c.Erase) > 0
	if erases {
		m.pack, m.commands, m.snapshots, m.wiped = store.CommandPack{}, nil, nil, st.version
		k.erase(st, c.Erase)
	}
	m.flush()
	row := store.SnapshotRow{Version: journal.Version(st.version), At: st.head, Seal: store.SealPlace(st.name, st.version, c.Snapshot), Body: c.Snapshot}
	if n := len(m.snapshots); n > 0 && m.snapshots[n-1].Version == row.Version {
		m.snapshots = m.snapshots[:n-1]
	}
	m.snapshots = append(m.snapshots, row)
}

// erase notes records that lose their bodies. One that is gone or empty already stays as it is.
func (k *commit) erase(st *logWork, offsets []uint64) {
	for _, offset := range offsets {
		p := place{st.name, offset}
		if _, kept := k.bodies[p]; !kept {
			for i := range k.b.rows { // what this transaction adds
				if r := &k.b.records[k.b.rows[i].record]; k.b.rows[i].log == st && r.At.Offset == offset {
					k.bodies[p] = r.Body
				}
			}
		}
		if _, kept := k.bodies[p]; kept {
			k.erased[p] = st
		}
	}
}
