package hub

import (
	"time"
	"unsafe"

	"carillon/channel"
)

// entry is a record as the ring keeps it: what does not follow from its place in the ring and is shown to subscribers.
type entry struct {
	tag    uint64 // after the record; of a Fleeting one, when it arrived (Hub.now)
	milli  int64  // Time
	origin uint64
	from   string
	key    string
	body   []byte
	noEcho bool
	binary bool
}

const entryBytes = int64(unsafe.Sizeof(entry{}))

func newEntry(r *channel.Record) entry {
	return entry{
		tag: r.At.Tag, milli: r.Time.UnixMilli(), origin: r.Origin, from: r.From, key: r.Key,
		body: r.Body, noEcho: r.NoEcho, binary: r.Binary,
	}
}

// cost is what the entry weighs in the budget.
func (e *entry) cost() int64 {
	return entryBytes + int64(len(e.from)+len(e.key)+len(e.body))
}

// show writes to r what the entry and its ring know of the record; At, Prev, Channel and Class are up to the caller.
func (e *entry) show(r *channel.Record) {
	*r = channel.Record{
		Key: e.key, Time: time.UnixMilli(e.milli).UTC(), From: e.from, Origin: e.origin,
		NoEcho: e.noEcho, Binary: e.binary, Body: e.body,
	}
}

// ring is a circular buffer of records that follow each other without a break, the first right behind base.
type ring struct {
	base  channel.Position
	buf   []entry // length zero or a power of two
	first uint32  // index of the oldest
	n     uint32
	bytes int // of bodies
}

// offset is that of the newest record, or of the base where there is none.
func (g *ring) offset() uint64 { return g.base.Offset + uint64(g.n) }

// head is the position of the newest record.
func (g *ring) head() channel.Position { return g.position(g.offset()) }

// at returns the record with this offset, which the ring must hold.
func (g *ring) at(offset uint64) *entry {
	i := offset - g.base.Offset - 1
	if i >= uint64(g.n) {
		panic("hub: offset outside the ring")
	}
	return &g.buf[(uint64(g.first)+i)&uint64(len(g.buf)-1)]
}

// tag is the tag after this offset, from the base to the head.
func (g *ring) tag(offset uint64) uint64 {
	if offset == g.base.Offset {
		return g.base.Tag
	}
	return g.at(offset).tag
}

func (g *ring) position(offset uint64) channel.Position {
	return channel.Position{Epoch: g.base.Epoch, Offset: offset, Tag: g.tag(offset)}
}

// has tells whether the ring can prove anything about this offset.
func (g *ring) has(offset uint64) bool { return offset >= g.base.Offset && offset <= g.offset() }

// push adds the record behind the newest.
func (g *ring) push(e entry) {
	g.fit(g.n + 1)
	g.buf[(g.first+g.n)&uint32(len(g.buf)-1)] = e
	g.n++
	g.bytes += len(e.body)
}

// prepend adds the record before the oldest; prev is the tag before it.
func (g *ring) prepend(e entry, prev uint64) {
	g.fit(g.n + 1)
	g.first = (g.first - 1) & uint32(len(g.buf)-1)
	g.buf[g.first] = e
	g.n++
	g.bytes += len(e.body)
	g.base.Offset--
	g.base.Tag = prev
}

// shift removes the oldest record and returns what it weighed.
func (g *ring) shift() int64 {
	e := &g.buf[g.first]
	cost := e.cost()
	g.base.Offset++
	g.base.Tag = e.tag
	g.bytes -= len(e.body)
	*e = entry{}
	g.first = (g.first + 1) & uint32(len(g.buf)-1)
	g.n--
	return cost
}

// fit makes room for n records in all, or gives back what a ring that was cut no longer needs.
func (g *ring) fit(n uint32) {
	size := uint32(len(g.buf))
	if n <= size && (size <= minRing || n > size/8) {
		return
	}
	size = minRing
	for size < n {
		size *= 2
	}
	buf := make([]entry, size)
	for i := range g.n {
		buf[i] = g.buf[(g.first+i)&uint32(len(g.buf)-1)]
	}
	g.buf, g.first = buf, 0
}

// minRing is the smallest buffer of a ring that holds anything, in records.
const minRing = 1
