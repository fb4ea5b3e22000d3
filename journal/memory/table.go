package memory

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// table is the Latest records of a channel; guarded by its shard's mu. A channel without any has none. Deletions are not
// kept: the highest rev, which outlives them, is the log's.
type table struct {
	entries map[identity]*latest
	held    map[string]int // entries of each user
	end     latest         // sentinel of the ring of entries: end.newer is the one with the lowest rev
	bytes   int            // of bodies
	weight  int            // of bodies and names
	keep    channel.Keep   // of the policy when it was last written to
}

// identity is what a Latest record replaces. Entries of the server have no user.
type identity struct{ user, key string }

// latest is one entry.
type latest struct {
	identity
	rev    uint64
	ms     int64
	body   []byte
	binary bool
	newer  *latest // by rev
	older  *latest
}

func newTable() *table {
	t := &table{entries: make(map[identity]*latest), held: make(map[string]int)}
	t.end.older, t.end.newer = &t.end, &t.end
	return t
}

// put adds or replaces an entry, which becomes the newest.
func (t *table) put(e *latest) {
	if old := t.entries[e.identity]; old != nil {
		t.remove(old)
	}
	t.entries[e.identity] = e
	t.held[e.user]++
	e.older, e.newer = t.end.older, &t.end
	e.older.newer, t.end.older = e, e
	t.bytes += len(e.body)
	t.weight += e.weight()
}

func (t *table) remove(e *latest) {
	delete(t.entries, e.identity)
	if t.held[e.user]--; t.held[e.user] == 0 {
		delete(t.held, e.user)
	}
	e.older.newer, e.newer.older = e.newer, e.older
	t.bytes -= len(e.body)
	t.weight -= e.weight()
}

func (e *latest) weight() int { return len(e.user) + len(e.key) + len(e.body) }

// surplus is the next entry to go: one too many of the user who wrote last, else the oldest if that is too old or the
// table too large; nil if all may stay. The newest falls to age alone.
func (t *table) surplus(nowMS int64, user string, each int) *latest {
	if user != "" && each > 0 && t.held[user] > each {
		for e := t.end.newer; e != &t.end; e = e.newer {
			if e.user == user {
				return e
			}
		}
	}
	oldest, n := t.end.newer, len(t.entries)
	switch {
	case n == 0:
		return nil
	case t.keep.Records > 0 && n > max(t.keep.Records, 1), t.keep.Bytes > 0 && t.bytes > t.keep.Bytes && n > 1, t.aged(oldest, nowMS):
		return oldest
	}
	return nil
}

func (t *table) aged(e *latest, nowMS int64) bool {
	return t.keep.Age > 0 && nowMS-e.ms >= t.keep.Age.Milliseconds()
}

// set makes a Latest record true and returns what is to be carried: the record, and the deletions of what had to go for
// it. A deletion of what is not there changes nothing.
func (l *log) set(r channel.Record, epoch uint64, now time.Time, p channel.Policy, spent *int) (carry []channel.Record) {
	id := identity{r.From, r.Key}
	if len(r.Body) == 0 && (l.table == nil || l.table.entries[id] == nil) {
		return nil
	}
	if l.table == nil {
		l.table = newTable()
	}
	t := l.table
	before := t.weight
	t.keep = p.Latest
	l.lastMS = max(l.lastMS, now.UnixMilli())
	if len(r.Body) == 0 {
		carry = append(carry, l.unset(t.entries[id], epoch, now))
	} else {
		e := &latest{identity: id, rev: l.nextRev(now), ms: l.lastMS, body: r.Body, binary: r.Binary}
		t.put(e)
		carry = append(carry, l.show(e, epoch))
	}
	carry = append(carry, l.thin(epoch, now, r.From, p.LatestEach)...)
	*spent += t.weight - before
	if len(t.entries) == 0 {
		l.table = nil
	}
	return carry
}

// thin deletes what is beyond the bounds. The caller settles the weight.
func (l *log) thin(epoch uint64, now time.Time, user string, each int) (carry []channel.Record) {
	for e := l.table.surplus(l.lastMS, user, each); e != nil; e = l.table.surplus(l.lastMS, user, each) {
		carry = append(carry, l.unset(e, epoch, now))
	}
	return carry
}

// expire is thin for a table that nobody writes to.
func (l *log) expire(epoch uint64, now time.Time, spent *int) []channel.Record {
	if l.table == nil || !l.table.aged(l.table.end.newer, now.UnixMilli()) {
		return nil
	}
	l.lastMS = max(l.lastMS, now.UnixMilli())
	before := l.table.weight
	carry := l.thin(epoch, now, "", 0)
	*spent += l.table.weight - before
	if len(l.table.entries) == 0 {
		l.table = nil
	}
	return carry
}

// clear deletes all entries, as of the last moment the channel knows.
func (l *log) clear(epoch uint64, spent *int) (carry []channel.Record) {
	t := l.table
	l.table = nil
	*spent -= t.weight
	for e := t.end.newer; e != &t.end; e = t.end.newer {
		t.remove(e)
		carry = append(carry, l.gone(e, epoch, time.UnixMilli(l.lastMS)))
	}
	return carry
}

func (l *log) unset(e *latest, epoch uint64, now time.Time) channel.Record {
	l.table.remove(e)
	return l.gone(e, epoch, now)
}

// gone is the deletion of an entry, as it is carried.
func (l *log) gone(e *latest, epoch uint64, now time.Time) channel.Record {
	return l.show(&latest{identity: e.identity, rev: l.nextRev(now), ms: l.lastMS}, epoch)
}

// nextRev is the clock in microseconds, but always more than the last.
func (l *log) nextRev(now time.Time) uint64 {
	l.rev = max(l.rev+1, uint64(max(now.UnixMicro(), 0)))
	return l.rev
}

func (l *log) show(e *latest, epoch uint64) channel.Record {
	return channel.Record{
		Channel: l.name, At: channel.Position{Epoch: epoch}, Rev: e.rev, Class: channel.Latest, Key: e.key,
		Time: time.UnixMilli(e.ms).UTC(), From: e.user, Binary: e.binary, Body: e.body,
	}
}

// Latest is journal.Tables'. What is too old is left out, though its deletion may still have to be carried.
func (j *Journal) Latest(ctx context.Context, n channel.Name) (journal.Table, error) {
	if err := ctx.Err(); err != nil {
		return journal.Table{}, err
	}
	now := j.clock().UnixMilli()
	s := j.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return journal.Table{}, journal.ErrClosed
	}
	l := j.log(s, n)
	out := journal.Table{Epoch: j.epoch, Rev: l.rev}
	t := l.table
	if t == nil {
		return out, nil
	}
	out.Records = make([]channel.Record, 0, len(t.entries))
	for e := t.end.newer; e != &t.end; e = e.newer {
		if !t.aged(e, now) {
			out.Records = append(out.Records, l.show(e, j.epoch))
		}
	}
	return out, nil
}

// latestHash is what an idempotency id of a Latest record stands for: the same body under another key is another request.
func latestHash(r *channel.Record) (sum [sha1.Size]byte) {
	h := sha1.New()
	h.Write(binary.AppendUvarint([]byte("latest"), uint64(len(r.Key))))
	h.Write([]byte(r.Key))
	h.Write(r.Body)
	h.Sum(sum[:0])
	return sum
}
