package chat

import (
	"encoding/binary"
	"errors"
	"fmt"

	"carillon/channel"
)

// version is the first byte of every snapshot.
const version = 1

// A snapshot is a version, then numbers as varints and strings with their length, in the order of the fields. Tables are
// in the order of their keys, so that equal states give equal bytes.

func number(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }
func moment(dst []byte, ms int64) []byte { return binary.AppendVarint(dst, ms) }

func text(dst []byte, s string) []byte { return append(number(dst, uint64(len(s))), s...) }

func flags(dst []byte, bits ...bool) []byte {
	b := byte(0)
	for i, on := range bits {
		if on {
			b |= 1 << i
		}
	}
	return append(dst, b)
}

func rows[V any](dst []byte, t table[V], val func([]byte, V) []byte) []byte {
	dst = number(dst, uint64(len(t)))
	for _, r := range t {
		dst = val(text(dst, r.key), r.val)
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

// reader takes a snapshot apart. After its first error everything reads as zero.
type reader struct {
	rest  []byte
	err   error
	names map[string]string // so that a name that stands at many messages is kept once
}

var (
	errVersion = errors.New("it was written by a newer version: run that one")
	errDamaged = errors.New("it is damaged: take the one before it, or a backup")
)

// end is the error of the whole, if any.
func (r *reader) end(n channel.Name) error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = errDamaged
	}
	if r.err != nil {
		return fmt.Errorf("chat: the snapshot of %s cannot be read: %w", n, r.err)
	}
	return nil
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail(errDamaged)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) version() {
	if v := r.byte(); r.err == nil && v != version {
		r.fail(errVersion)
	}
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errDamaged)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) moment() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(errDamaged)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count is a number of things of which each takes at least one byte.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.fail(errDamaged)
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count()
	b := r.rest[:n]
	r.rest = r.rest[n:]
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
	for range r.count() {
		before += r.number()
		ns = append(ns, before)
	}
	return ns
}

func readRows[V any](r *reader, val func() V) table[V] {
	n := r.count()
	if n == 0 {
		return nil
	}
	t := make(table[V], 0, n)
	for range n {
		key := r.text()
		if len(t) > 0 && key <= t[len(t)-1].key {
			r.fail(errDamaged)
		}
		t = append(t, row[V]{key, val()})
	}
	return t
}

func readNothing() (none struct{}) { return none }

// Snapshot appends the state of the room.
func (r *room) Snapshot(dst []byte) []byte {
	dst = append(dst, version, byte(r.phase))
	dst = flags(dst, r.public)
	dst = text(dst, r.title)
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
		dst = flags(text(dst, m.author), m.gone)
		dst = increasing(dst, m.edits)
		dst = number(dst, uint64(len(m.kinds)))
		for _, k := range m.kinds {
			dst = text(dst, k)
		}
	}
	return dst
}

func readRoom(n channel.Name, r *reader) *room {
	m := newRoom(n)
	r.version()
	m.phase = phase(r.byte())
	m.public = r.flag(r.byte(), 0)
	m.title = r.text()
	m.slow = r.moment()
	m.number = r.number()
	m.lastTime = r.moment()
	m.stale = r.moment()
	m.members = readRows(r, func() member { return member{role: role(r.byte()), last: r.moment()} })
	m.mutes = readRows(r, r.moment)
	m.bans = readRows(r, readNothing)
	m.invites = readRows(r, readNothing)
	at := uint64(0)
	for range r.count() {
		at += r.number()
		g := message{at: at, author: r.text()}
		g.gone = r.flag(r.byte(), 0)
		g.edits = r.increasing()
		for range r.count() {
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
		rd.fail(errDamaged)
	}
}
