package memory

import (
	"math/rand/v2"
	"strings"
	"time"

	"carillon/channel"
)

// log is the tail of one channel's log; guarded by its shard's mu. An idle one without records costs, with its
// entry in the map, at most 200 bytes beside its name.
type log struct {
	name    channel.Name
	offset  uint64 // of the head
	tag     uint64 // at the head
	base    uint64 // tag before the oldest record kept
	rev     uint64 // highest of its Latest records, deletions too
	lastMS  int64  // time of the last record; time never decreases
	age     time.Duration
	tail    *tail    // nil: no records
	table   *table   // nil: no Latest records
	waiting *waiting // results behind the ones being handed out; nil: none
	newer   *log     // order of use within the shard
	older   *log
	busy    bool // somebody hands out results
}

// A log begins with a random tag: nobody may take it for an earlier one of the same name.
func newLog(n channel.Name, rev uint64) *log {
	tag := rand.Uint64()
	return &log{name: channel.Name(strings.Clone(string(n))), tag: tag, base: tag, rev: rev}
}

func (l *log) len() int {
	if l.tail == nil {
		return 0
	}
	return l.tail.n
}

func (l *log) head(epoch uint64) channel.Position {
	return channel.Position{Epoch: epoch, Offset: l.offset, Tag: l.tag}
}

func (l *log) oldest(epoch uint64) channel.Position {
	return channel.Position{Epoch: epoch, Offset: l.offset - uint64(l.len()), Tag: l.base}
}

func (l *log) append(r channel.Record, epoch uint64, hash [20]byte, nowMS int64, keep channel.Keep, spent *int) channel.Record {
	l.lastMS = max(l.lastMS, nowMS)
	l.age = keep.Age
	r.Prev = l.tag
	r.At = l.head(epoch).NextHash(hash)
	r.Time = time.UnixMilli(l.lastMS).UTC()
	r.Channel = l.name
	r.Rev, r.Key = 0, ""
	l.offset, l.tag = r.At.Offset, r.At.Tag
	if l.tail == nil {
		l.tail = &tail{spent: spent}
	}
	l.tail.push(kept{tag: l.tag, ms: l.lastMS, origin: r.Origin, from: r.From, body: r.Body, binary: r.Binary, noEcho: r.NoEcho})
	l.trim(keep, nowMS)
	return r
}

// trim drops what is beyond keep. The newest record falls to age alone, never to the bounds of size.
func (l *log) trim(keep channel.Keep, nowMS int64) {
	t := l.tail
	if t == nil {
		return
	}
	for t.n > 0 {
		over := keep.Records > 0 && t.n > max(keep.Records, 1) ||
			keep.Bytes > 0 && t.bytes > keep.Bytes && t.n > 1 ||
			keep.Age > 0 && nowMS-t.at(0).ms >= keep.Age.Milliseconds()
		if !over {
			return
		}
		l.base = t.at(0).tag
		t.drop()
	}
	l.tail = nil
}

// empty drops all records. The head stays: who was there is told that the log no longer reaches back.
func (l *log) empty() {
	*l.tail.spent -= l.tail.bytes
	l.base, l.tail = l.tag, nil
}

// record is the i-th of those kept.
func (l *log) record(i int, epoch uint64) channel.Record {
	k := l.tail.at(i)
	return channel.Record{
		Channel: l.name,
		At:      channel.Position{Epoch: epoch, Offset: l.offset - uint64(l.tail.n-1-i), Tag: k.tag},
		Prev:    l.before(i),
		Time:    time.UnixMilli(k.ms).UTC(),
		From:    k.from, Origin: k.origin, NoEcho: k.noEcho, Binary: k.binary, Body: k.body,
	}
}

// before is the tag before the i-th record kept.
func (l *log) before(i int) uint64 {
	if i == 0 {
		return l.base
	}
	return l.tail.at(i - 1).tag
}

// kept is what a log keeps of a record; the rest follows from its place.
type kept struct {
	tag    uint64
	ms     int64
	origin uint64
	from   string
	body   []byte
	binary bool
	noEcho bool
}

// tail is a ring buffer of records whose capacity is a power of two.
type tail struct {
	buf   []kept
	start int
	n     int
	bytes int  // of bodies
	spent *int // bytes of the shard
}

func (t *tail) at(i int) *kept { return &t.buf[(t.start+i)&(len(t.buf)-1)] }

func (t *tail) push(k kept) {
	if t.n == len(t.buf) {
		t.resize(max(2*len(t.buf), 4))
	}
	t.n++
	*t.at(t.n - 1) = k
	t.bytes += len(k.body)
	*t.spent += len(k.body)
}

func (t *tail) drop() {
	k := t.at(0)
	t.bytes -= len(k.body)
	*t.spent -= len(k.body)
	*k = kept{} // the garbage collector gets the body at once
	t.start = (t.start + 1) & (len(t.buf) - 1)
	t.n--
}

func (t *tail) resize(size int) {
	buf := make([]kept, size)
	for i := range t.n {
		buf[i] = *t.at(i)
	}
	t.buf, t.start = buf, 0
}

// shrink gives back what a burst left behind.
func (t *tail) shrink() {
	size := len(t.buf)
	for size > 4 && t.n <= size/4 {
		size /= 2
	}
	if size < len(t.buf) {
		t.resize(size)
	}
}
