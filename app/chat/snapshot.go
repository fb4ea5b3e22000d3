package chat

import (
	"encoding/binary"

	"carillon/app"
	"carillon/channel"
)

// version is the first byte of every snapshot.
const version = 1

// A snapshot is a version, then numbers as varints and strings with their length, in the order of the fields. Tables are
// in the order of their keys, so that equal states give equal bytes.

func number(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }
func moment(dst []byte, ms int64) []byte { return binary.AppendVarint(dst, ms) }

func rows[V any](dst []byte, t table[V], val func([]byte, V) []byte) []byte {
	dst = number(dst, uint64(len(t)))
	for _, r := range t {
		dst = val(app.AppendText(dst, r.key), r.val)
	}
	return dst
}

func nothing(dst []byte, _ struct{}) []byte { return dst }

// increasing writes numbers that grow by what each adds to the one before.
func increasing(dst []byte, ns []uint64) []byte {
	dst = number(dst, uint64(len(ns)))
	before := uint64(0)
	for _, n := range ns {
		dst, before = number(dst, n-before), n
	}
	return dst
}

// reader takes one apart.
type reader struct {
	app.SnapshotReader
	names map[string]string // so that a name that stands at many messages is kept once
}

func (r *reader) text() string {
	b := r.Bytes()
	if s, ok := r.names[string(b)]; ok {
		return s
	}
	if r.names == nil {
		r.names = map[string]string{}
	}
	s := string(b)
	r.names[s] = s
	return s
}

func (r *reader) flag(bits byte, i int) bool { return bits&(1<<i) != 0 }

func (r *reader) increasing() (ns []uint64) {
	before := uint64(0)
	for range r.Count() {
		before += r.Uint()
		ns = append(ns, before)
	}
	return ns
}

func readRows[V any](r *reader, val func() V) table[V] {
	n := r.Count()
	if n == 0 {
		return nil
	}
	t := make(table[V], 0, n)
	for range n {
		key := r.text()
		if len(t) > 0 && key <= t[len(t)-1].key {
			r.Must(false)
		}
		t = append(t, row[V]{key, val()})
	}
	return t
}

func readNothing() (none struct{}) { return none }

// Snapshot appends the state of the room.
func (r *room) Snapshot(dst []byte) []byte {
	dst = append(dst, version, byte(r.phase))
	dst = app.AppendFlags(dst, r.public)
	dst = app.AppendText(dst, r.title)
	dst = moment(dst, r.slow)
	dst = number(dst, r.number)
	dst = moment(dst, r.lastTime)
	dst = moment(dst, r.stale)
	dst = rows(dst, r.members, func(dst []byte, m member) []byte { return moment(append(dst, byte(m.role)), m.last) })
	dst = rows(dst, r.mutes, moment)
	dst = rows(dst, r.bans, nothing)
	dst = rows(dst, r.invites, nothing)
	dst = number(dst, uint64(len(r.window)))
	before := uint64(0)
	for i := range r.window {
		m := &r.window[i]
		dst, before = number(dst, m.at-before), m.at
		dst = app.AppendFlags(app.AppendText(dst, m.author), m.gone)
		dst = increasing(dst, m.edits)
		dst = number(dst, uint64(len(m.kinds)))
		for _, k := range m.kinds {
			dst = app.AppendText(dst, k)
		}
	}
	return dst
}

func readRoom(n channel.Name, r *reader) *room {
	m := newRoom(n)
	m.phase = phase(r.Byte())
	m.public = r.flag(r.Byte(), 0)
	m.title = r.text()
	m.slow = r.Int()
	m.number = r.Uint()
	m.lastTime = r.Int()
	m.stale = r.Int()
	m.members = readRows(r, func() member { return member{role: role(r.Byte()), last: r.Int()} })
	m.mutes = readRows(r, r.Int)
	m.bans = readRows(r, readNothing)
	m.invites = readRows(r, readNothing)
	at := uint64(0)
	for range r.Count() {
		at += r.Uint()
		g := message{at: at, author: r.text()}
		g.gone = r.flag(r.Byte(), 0)
		g.edits = r.increasing()
		for range r.Count() {
			g.kinds = append(g.kinds, r.text())
		}
		m.window = append(m.window, g)
	}
	m.check(r)
	m.findMuteEnd()
	return m
}

// check refuses a state that no step could have reached and that would make later ones fail.
func (r *room) check(rd *reader) {
	bad := r.phase > closed || uint64(len(r.window)) > r.number || len(r.window) > MaxWindow ||
		(r.number > 0) != (len(r.window) > 0) || r.direct && r.phase == open && len(r.members) != 2
	for i := range r.members {
		bad = bad || r.members[i].val.role < plain || r.members[i].val.role > owner
	}
	if bad {
		rd.Must(false)
	}
}
