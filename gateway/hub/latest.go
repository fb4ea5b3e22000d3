package hub

import (
	"time"
	"unsafe"

	"carillon/channel"
)

// maxDead bounds the deletions that a room remembers one by one; a cursor that lacks older ones gets the table whole.
const maxDead = 256

// latest is the Latest records of a room, the newest of each entry, by rev; guarded by the lock of the room. A room has
// one from its first such record on. NoEcho does not count here: a table that comes whole and late would bring back what
// its reader has replaced. Each change is encoded once per format, when the first cursor takes it; so is the
// whole table.
type latest struct {
	epoch   uint64
	rev     uint64 // highest known
	floor   uint64 // a cursor below it gets the table whole: deletions up to there are forgotten
	past    uint32 // counts replacements of the table; a cursor that knows another one gets it whole
	entries map[identity]*item
	end     item   // sentinel of the ring of items: end.older is the newest
	dead    int    // items that are deletions
	changes uint64 // counts updates
	wholes  []whole
}

// identity is what a Latest record replaces.
type identity struct{ user, key string }

// item is the newest of an entry; without a body it is its deletion.
type item struct {
	identity
	rev    uint64
	milli  int64
	body   []byte
	binary bool
	frames [][]byte // by format; nil until somebody takes it
	newer  *item
	older  *item
}

// whole is the table as one message, as it was at rev.
type whole struct {
	bytes   []byte
	rev     uint64
	records int
	changes uint64
}

const (
	latestBytes = int64(unsafe.Sizeof(latest{}))
	itemBytes   = int64(unsafe.Sizeof(item{})) + 64 // with its place in the map
)

func (e *item) cost() (n int64) {
	n = itemBytes + int64(len(e.user)+len(e.key)+len(e.body))
	for _, f := range e.frames {
		n += int64(cap(f)) + int64(unsafe.Sizeof(f))
	}
	return n
}

func newItem(rec *channel.Record) *item {
	return &item{
		identity: identity{rec.From, rec.Key}, rev: rec.Rev, milli: rec.Time.UnixMilli(), body: rec.Body, binary: rec.Binary,
	}
}

// table is the room's, made if there is none.
func (r *room) table(epoch uint64) *latest {
	if r.latest == nil {
		l := &latest{epoch: epoch, entries: make(map[identity]*item), wholes: make([]whole, len(r.hub.formats))}
		l.end.older, l.end.newer = &l.end, &l.end
		r.latest = l
		r.charge(latestBytes)
	}
	return r.latest
}

// newest is the rev of the last change that a cursor can be given.
func (l *latest) newest() uint64 { return l.end.older.rev }

func (l *latest) live() int { return len(l.entries) - l.dead }

// update takes in a Latest record. One that comes after a newer one of another entry has its place before what was
// handed out already: then the journal's table is to be read, and takes the place of this one.
func (r *room) update(rec *channel.Record) Need {
	if r.hub.tables == nil {
		return NeedNone
	}
	l := r.table(rec.At.Epoch)
	known := l.entries[identity{rec.From, rec.Key}]
	switch {
	case l.epoch != rec.At.Epoch:
		return NeedHole
	case rec.Rev > l.rev:
		l.rev = rec.Rev
		r.place(newItem(rec)) // a deletion of what is unknown too: a read under way may still bring that
		r.bury()
		r.kick()
	case known == nil || known.rev < rec.Rev:
		return NeedHole
	}
	return NeedNone
}

// place puts an item, which must be the newest, in the place of what its entry had.
func (r *room) place(e *item) {
	l := r.latest
	if old := l.entries[e.identity]; old != nil {
		r.unplace(old)
	}
	l.entries[e.identity] = e
	e.older, e.newer = l.end.older, &l.end
	e.older.newer, l.end.older = e, e
	if len(e.body) == 0 {
		l.dead++
	}
	r.charge(e.cost())
	l.changes++
	for f := range l.wholes {
		// Of a large table one that is a little older does, with the changes since behind it: where many come while it
		// changes, it is not encoded for each.
		if l.changes-l.wholes[f].changes > uint64(l.live()/16) {
			r.dropWhole(f)
		}
	}
}

func (r *room) unplace(e *item) {
	l := r.latest
	delete(l.entries, e.identity)
	e.older.newer, e.newer.older = e.newer, e.older
	if len(e.body) == 0 {
		l.dead--
	}
	r.charge(-e.cost())
}

// bury forgets the older half of the deletions when they are too many.
func (r *room) bury() {
	l := r.latest
	if l.dead <= maxDead {
		return
	}
	for e := l.end.newer; l.dead > maxDead/2; {
		next := e.newer
		if len(e.body) == 0 {
			l.floor = e.rev
			r.unplace(e)
		}
		e = next
	}
}

func (r *room) dropWhole(format int) {
	w := &r.latest.wholes[format]
	r.charge(-int64(cap(w.bytes)))
	*w = whole{}
}

// unencode lets go of what is encoded of the table in one format.
func (r *room) unencode(format int) {
	l := r.latest
	if l == nil {
		return
	}
	r.dropWhole(format)
	for e := l.end.newer; e != &l.end; e = e.newer {
		if e.frames != nil {
			r.charge(-int64(cap(e.frames[format])))
			e.frames[format] = nil
		}
	}
}

// fillTable takes over the table as it was read from the journal, and what came since. If that is not what the room
// holds, every cursor gets it whole. With anew the journal went back, and nothing of what the room holds stands.
func (r *room) fillTable(t Table, anew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone || r.hub.tables == nil || r.latest == nil && t.Rev == 0 {
		return
	}
	l := r.table(t.Epoch)
	anew = anew || l.epoch != t.Epoch
	if !anew && l.agrees(t) {
		l.rev = max(l.rev, t.Rev)
		return
	}
	var since []*item
	for e := l.end.newer; e != &l.end; {
		next := e.newer
		r.unplace(e)
		if !anew && e.rev > t.Rev {
			since = append(since, e)
		}
		e = next
	}
	if anew {
		l.rev = 0
	}
	l.epoch, l.rev = t.Epoch, max(l.rev, t.Rev)
	for i := range t.Records {
		r.place(newItem(&t.Records[i]))
	}
	for _, e := range since {
		r.place(e)
	}
	l.floor = 0
	if l.past++; l.past == noPast {
		l.past = 0
	}
	for f := range l.wholes {
		r.dropWhole(f)
	}
	r.kick()
}

// agrees tells whether a table read from the journal and what came since make what the room holds.
func (l *latest) agrees(t Table) bool {
	same := 0
	for i := range t.Records {
		rec := &t.Records[i]
		e := l.entries[identity{rec.From, rec.Key}]
		switch {
		case e != nil && e.rev == rec.Rev:
			same++
		case e == nil || e.rev <= t.Rev:
			return false
		}
	}
	for e := l.end.newer; e != &l.end && e.rev <= t.Rev; e = e.newer {
		if len(e.body) > 0 {
			same--
		}
	}
	return same == 0
}

// reading is a cursor's place in the table of its room. pieces is the holder's of the write state, the rest belongs to the
// lock of the room.
type reading struct {
	rev    uint64 // everything up to it went out
	past   uint32 // of the table that went out, noPast: it is due whole
	turn   bool   // the last turn was the table's: the log's is next
	pieces []piece
}

const noPast = ^uint32(0)

// piece is something handed out by the last Ready.
type piece struct {
	bytes   []byte
	rev     uint64 // where the cursor stands when it went out
	past    uint32
	records int
}

// Bounds of the pieces of a cursor.
const (
	maxPieces  = 64 // handed out by one Ready
	keepPieces = 4  // room for them that a cursor keeps
)

// follow is the cursor's place; one that came before there was a table stands before its beginning.
func (c *Cursor) follow() *reading {
	if c.table == nil {
		c.table = &reading{}
	}
	return c.table
}

// tableDue tells whether the cursor lacks anything of the table.
func (c *Cursor) tableDue() bool {
	l := c.room.latest
	if l == nil {
		return false
	}
	at := c.table
	if at == nil {
		return l.newest() > 0 || l.past > 0
	}
	return at.rev < l.newest() || at.wants(l)
}

// wants tells whether only the whole table will do.
func (at *reading) wants(l *latest) bool { return at.past != l.past || at.rev < l.floor }

// tableTurn tells whether the table is to be handed out now. Whole it goes before everything; changes and the log take turns.
func (c *Cursor) tableTurn(busy bool) bool {
	if !c.tableDue() {
		return false
	}
	at := c.follow()
	at.turn = at.wants(c.room.latest) || !busy || !at.turn
	return at.turn
}

// gatherTable adds what the cursor lacks of the table: all of it as one message, or the newest of each entry that changed.
// More says that there is more of it.
func (c *Cursor) gatherTable(dst [][]byte, left int) (_ [][]byte, more bool) {
	r, l, at := c.room, c.room.latest, c.table
	if at.wants(l) {
		w := r.encodeTable(int(c.format))
		at.hand(c, piece{bytes: w.bytes, rev: w.rev, past: l.past, records: w.records})
		return append(dst, w.bytes[:len(w.bytes):len(w.bytes)]), w.rev < l.newest()
	}
	e := &l.end
	for e.older.rev > at.rev {
		e = e.older
	}
	for encoded := 0; e != &l.end && len(at.pieces) < maxPieces && encoded < maxEncode; e = e.newer {
		frame, made := r.encodeItem(e, int(c.format))
		encoded += made
		if len(at.pieces) > 0 && int(c.handed)+len(frame) > left {
			break
		}
		at.hand(c, piece{bytes: frame, rev: e.rev, past: at.past, records: 1})
		dst = append(dst, frame[:len(frame):len(frame)])
	}
	return dst, e != &l.end
}

func (at *reading) hand(c *Cursor, p piece) {
	at.pieces = append(at.pieces, p)
	c.handed += uint32(len(p.bytes))
}

// wroteTable is Wrote for a turn of the table.
func (c *Cursor) wroteTable(n int) (cut []byte) {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	at := c.table
	records := 0
	for _, p := range at.pieces {
		if n == 0 {
			break
		}
		if n < len(p.bytes) {
			cut = append(cut, p.bytes[n:]...)
		}
		n -= min(n, len(p.bytes))
		at.rev, at.past = p.rev, p.past
		records += p.records
	}
	at.drop()
	c.handed = 0
	c.room.hub.count.out[channel.Latest].Add(uint64(records))
	return cut
}

// drop forgets what was handed out.
func (at *reading) drop() {
	if cap(at.pieces) > keepPieces {
		at.pieces = nil
		return
	}
	clear(at.pieces)
	at.pieces = at.pieces[:0]
}

// encodeItem encodes one change, unless it is.
func (r *room) encodeItem(e *item, format int) (frame []byte, made int) {
	if e.frames == nil {
		e.frames = make([][]byte, len(r.hub.formats))
		r.charge(int64(len(e.frames)) * int64(unsafe.Sizeof(frame)))
	}
	if e.frames[format] == nil {
		rec := r.hub.scratch.Get().(*channel.Record)
		*rec = e.show(r)
		frame = r.hub.formats[format](make([]byte, 0, 96+len(e.user)+len(e.key)+len(r.name)+len(e.body)), rec)
		rec.Body = nil
		r.hub.scratch.Put(rec)
		e.frames[format] = frame
		r.charge(int64(cap(frame)))
		r.hub.count.encoded.Add(1)
		made = len(frame)
	}
	return e.frames[format], made
}

// encodeTable encodes the whole table, unless it is and no deletion since is forgotten.
func (r *room) encodeTable(format int) *whole {
	l, w := r.latest, &r.latest.wholes[format]
	if w.bytes != nil && w.rev >= l.floor {
		return w
	}
	r.dropWhole(format)
	rs := make([]channel.Record, 0, l.live())
	for e := l.end.newer; e != &l.end; e = e.newer {
		if len(e.body) > 0 {
			rs = append(rs, e.show(r))
		}
	}
	size := len(r.name) + 96
	for i := range rs {
		size += len(rs[i].From) + len(rs[i].Key) + len(rs[i].Body) + 96
	}
	*w = whole{bytes: r.hub.tables[format](make([]byte, 0, size), r.name, l.epoch, rs), rev: l.rev, records: len(rs), changes: l.changes}
	r.charge(int64(cap(w.bytes)))
	r.hub.count.encoded.Add(1)
	return w
}

// show is the item as subscribers are shown it.
func (e *item) show(r *room) channel.Record {
	return channel.Record{
		Channel: r.name, At: channel.Position{Epoch: r.latest.epoch}, Rev: e.rev, Class: channel.Latest, Key: e.key,
		Time: time.UnixMilli(e.milli).UTC(), From: e.user, Binary: e.binary, Body: e.body,
	}
}
