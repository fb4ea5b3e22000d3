package hub

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"carillon/channel"

	"pgregory.net/rapid"
)

// told is a frame of these tests, behind its length: a record, or a whole table.
type told struct {
	Class channel.Class
	Key   string
	User  string
	Rev   uint64
	Body  string
	Table []told // nil: a record
	Whole bool
	Epoch uint64
}

func tell(r *channel.Record) told {
	return told{Class: r.Class, Key: r.Key, User: r.From, Rev: r.Rev, Body: string(r.Body), Epoch: r.At.Epoch}
}

func frameOf(dst []byte, v told) []byte {
	text, _ := json.Marshal(v)
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(text))), text...)
}

func tellRecord(dst []byte, r *channel.Record) []byte { return frameOf(dst, tell(r)) }

func tellTable(dst []byte, _ channel.Name, epoch uint64, rs []channel.Record) []byte {
	v := told{Class: channel.Latest, Whole: true, Epoch: epoch}
	for i := range rs {
		v.Table = append(v.Table, tell(&rs[i]))
	}
	return frameOf(dst, v)
}

// holder is a subscriber as a client is one: it keeps what it is told.
type holder struct {
	c      *Cursor
	origin uint64
	stream []byte
	held   map[identity]told
	rev    uint64
	frames int
	wholes int
	logged int
}

func newHolder(held map[identity]told) *holder {
	return &holder{held: maps.Clone(held)}
}

// take is one turn of a connection: what Ready gives, of which only some goes out.
func (h *holder) take(t fataler, budget, part int) (more bool) {
	bufs, more, loss := h.c.Ready(nil, budget)
	all := bytes.Join(bufs, nil)
	n := min(part, len(all))
	if loss.Reason != channel.GapNone && n > 0 {
		t.Fatalf("bytes with a loss")
	}
	h.stream = append(h.stream, all[:n]...)
	h.stream = append(h.stream, h.c.Wrote(n)...)
	for len(h.stream) >= 4 {
		size := 4 + int(binary.BigEndian.Uint32(h.stream))
		if len(h.stream) < size {
			t.Fatalf("a frame was cut")
		}
		var v told
		if err := json.Unmarshal(h.stream[4:size], &v); err != nil {
			t.Fatalf("%v", err)
		}
		h.stream = h.stream[size:]
		h.hear(t, v)
	}
	return more || n < len(all)
}

type fataler interface{ Fatalf(string, ...any) }

func (h *holder) hear(t fataler, v told) {
	h.frames++
	switch {
	case v.Class == channel.Logged:
		h.logged++
	case v.Whole:
		h.wholes++
		h.held, h.rev = map[identity]told{}, 0
		for _, e := range v.Table {
			if e.Rev <= h.rev || e.Body == "" {
				t.Fatalf("a table with rev %d after %d: %+v", e.Rev, h.rev, e)
			}
			h.held[identity{e.User, e.Key}], h.rev = e, e.Rev
		}
	default:
		if v.Rev <= h.rev {
			t.Fatalf("rev %d after %d", v.Rev, h.rev)
		}
		h.rev = v.Rev
		id := identity{v.User, v.Key}
		if delete(h.held, id); v.Body != "" {
			h.held[id] = v
		}
	}
}

// tableModel is a journal's table, and a hub that hears of it in any order.
type tableModel struct {
	t       *rapid.T
	h       *Hub
	log     *truth
	epoch   uint64
	rev     uint64
	table   map[identity]channel.Record
	lost    []channel.Record // true, but not told to the hub yet
	behind  bool             // the hub said that it lacks something
	holders []*holder
	away    []map[identity]told // what clients hold that are not here
}

const tableName = channel.Name("model:table")

// TestTableReachesEverybody: however updates, losses, reads of the journal, attaches and partial writes interleave, whoever
// reads to the end holds exactly the journal's table.
func TestTableReachesEverybody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &tableModel{t: t, epoch: 1, table: map[identity]channel.Record{}, log: newTruth(1, 7)}
		m.h = New([]Encode{tellRecord, tellRecord}, Options{Workers: 1, Policy: ringPolicy(3, 1000), Tables: []EncodeTable{tellTable, tellTable}})
		defer m.h.Close()
		m.h.Open(tableName)
		early := rapid.IntRange(0, 3).Draw(t, "before the fill")
		for range early {
			m.put(t)
		}
		m.refill(t)
		m.h.Fill(tableName, m.log.base, nil)
		t.Repeat(map[string]func(*rapid.T){
			"put": m.put, "put2": m.put, "put3": m.put, "lose": m.lose, "late": m.late, "many": m.many,
			"refill": m.refill, "refill while told": m.refillWhileTold, "roll back": m.rollBack, "epoch": m.newEpoch,
			"log": m.grow, "attach": m.attach, "attach2": m.attach, "leave": m.leave, "read": m.read, "read2": m.read,
			"": m.check,
		})
		m.end()
	})
}

func (m *tableModel) write(t *rapid.T) channel.Record {
	m.rev += uint64(rapid.IntRange(1, 3).Draw(t, "step"))
	r := channel.Record{
		Channel: tableName, Class: channel.Latest, At: channel.Position{Epoch: m.epoch}, Rev: m.rev,
		From: rapid.SampledFrom([]string{"", "ann"}).Draw(t, "user"), Key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
		Origin: uint64(rapid.IntRange(0, 2).Draw(t, "origin")), NoEcho: rapid.IntRange(0, 3).Draw(t, "noEcho") == 0,
	}
	id := identity{r.From, r.Key}
	if rapid.IntRange(0, 2).Draw(t, "delete") > 0 {
		r.Body = bytes.Repeat([]byte{'x'}, rapid.IntRange(1, 200).Draw(t, "body"))
		m.table[id] = r
	} else {
		delete(m.table, id)
	}
	return r
}

func (m *tableModel) told(r channel.Record) {
	m.behind = m.h.Append(r) != NeedNone || m.behind
}

func (m *tableModel) put(t *rapid.T) { m.told(m.write(t)) }

func (m *tableModel) lose(t *rapid.T) { m.lost = append(m.lost, m.write(t)) }

// late tells what was lost, in any order, again and again.
func (m *tableModel) late(t *rapid.T) {
	if len(m.lost) == 0 {
		t.Skip("nothing is late")
	}
	m.told(rapid.SampledFrom(m.lost).Draw(t, "late"))
}

// many: more deletions than the hub remembers.
func (m *tableModel) many(t *rapid.T) {
	for i := range maxDead * 3 / 4 {
		m.rev++
		r := channel.Record{Channel: tableName, Class: channel.Latest, At: channel.Position{Epoch: m.epoch}, Rev: m.rev, Key: fmt.Sprint("many", i), Body: []byte("1")}
		m.told(r)
		m.rev++
		r.Rev, r.Body = m.rev, nil
		m.told(r)
	}
}

func (m *tableModel) read1() Table {
	t := Table{Epoch: m.epoch, Rev: m.rev}
	for _, r := range m.table {
		t.Records = append(t.Records, r)
	}
	slices.SortFunc(t.Records, func(a, b channel.Record) int { return int(a.Rev) - int(b.Rev) })
	return t
}

// refill is what a gateway does when it was told of a Need, and at any other time.
func (m *tableModel) refill(*rapid.T) {
	epoch, rev := m.h.TableRev(tableName)
	t := m.read1()
	m.h.FillTable(tableName, t, epoch == t.Epoch && t.Rev < rev)
	m.behind, m.lost = false, nil
}

// refillWhileTold: what becomes true between the read and the fill is told meanwhile.
func (m *tableModel) refillWhileTold(t *rapid.T) {
	table := m.read1()
	_, rev := m.h.TableRev(tableName)
	if rev > table.Rev {
		t.Skip("the journal went back")
	}
	m.lost = nil
	m.behind = false
	for range rapid.IntRange(1, 4).Draw(t, "meanwhile") {
		m.put(t)
	}
	m.h.FillTable(tableName, table, false)
}

// rollBack: the journal lost what it had told of last, and goes on with lower revs.
func (m *tableModel) rollBack(t *rapid.T) {
	if len(m.table) == 0 || m.rev < 10 {
		t.Skip("nothing to lose")
	}
	m.rev -= uint64(rapid.IntRange(1, 5).Draw(t, "back"))
	for id, r := range m.table {
		if r.Rev > m.rev {
			delete(m.table, id)
		}
	}
	m.refill(t)
}

func (m *tableModel) newEpoch(t *rapid.T) {
	m.epoch++
	m.rev, m.table = uint64(rapid.IntRange(0, 5).Draw(t, "rev")), map[identity]channel.Record{}
	if rapid.Bool().Draw(t, "told") {
		m.put(t)
	}
	m.refill(t)
}

func (m *tableModel) grow(*rapid.T) {
	m.h.Append(m.log.grow(tableName, []byte("x"), 0, false))
}

// attach: somebody new, or somebody who was here and comes back to where he was, or cannot.
func (m *tableModel) attach(t *rapid.T) {
	var h *holder
	from := From{}
	if n := len(m.away); n > 0 && rapid.Bool().Draw(t, "again") {
		h = newHolder(m.away[n-1])
		m.away = m.away[:n-1]
		if rapid.Bool().Draw(t, "recovered") {
			_, from.After, _ = m.h.Head(tableName)
		} else {
			h.held = nil // nothing of what was is proved
		}
	} else {
		h = newHolder(nil)
	}
	h.origin = uint64(rapid.IntRange(0, 2).Draw(t, "as"))
	var err error
	h.c, _, err = m.h.Attach(tableName, from, rapid.IntRange(0, 1).Draw(t, "format"), h.origin, nobody{})
	if err != nil {
		t.Fatalf("attach: %v", err)
	}
	if h.held == nil {
		h.held = map[identity]told{}
	}
	m.holders = append(m.holders, h)
}

func (m *tableModel) leave(t *rapid.T) {
	if len(m.holders) == 0 {
		t.Skip("nobody is here")
	}
	i := rapid.IntRange(0, len(m.holders)-1).Draw(t, "who")
	h := m.holders[i]
	h.c.Detach()
	m.away = append(m.away, h.held)
	m.holders = slices.Delete(m.holders, i, i+1)
}

func (m *tableModel) read(t *rapid.T) {
	if len(m.holders) == 0 {
		t.Skip("nobody is here")
	}
	h := rapid.SampledFrom(m.holders).Draw(t, "reader")
	h.take(t, rapid.IntRange(0, 2000).Draw(t, "budget"), rapid.IntRange(0, 1000).Draw(t, "part"))
}

func (m *tableModel) check(t *rapid.T) {
	r := m.h.room(tableName)
	if cost := weigh(r); cost != r.cost || cost != m.h.Stats().Bytes {
		t.Fatalf("the room weighs %d, the books say %d and %d", cost, r.cost, m.h.Stats().Bytes)
	}
	if l := r.latest; l != nil && l.dead > maxDead {
		t.Fatalf("%d deletions are remembered", l.dead)
	}
}

func (m *tableModel) end() {
	if m.behind || len(m.lost) > 0 {
		m.refill(m.t)
	}
	for i, h := range m.holders {
		for turns := 0; h.take(m.t, 1000, 1000); turns++ {
			if turns > 10_000 {
				m.t.Fatalf("holder %d never comes to an end", i)
			}
		}
		if !upToDate(h.c) {
			m.t.Fatalf("holder %d has more to say", i)
		}
		m.same(i, h)
		h.c.Detach()
	}
	if !m.h.Drop(tableName) || m.h.Stats().Bytes != 0 {
		m.t.Fatalf("not empty at the end: %+v", m.h.Stats())
	}
}

func upToDate(c *Cursor) bool {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	return c.caughtUp()
}

func (m *tableModel) same(i int, h *holder) {
	for id, r := range m.table {
		if got, ok := h.held[id]; !ok || got.Rev != r.Rev || got.Body != string(r.Body) {
			m.t.Fatalf("holder %d has %+v for %v, the journal rev %d", i, got, id, r.Rev)
		}
	}
	for id := range h.held {
		if _, ok := m.table[id]; !ok {
			m.t.Fatalf("holder %d still has %v", i, id)
		}
	}
}

// tables makes a hub with one filled room that holds tables, and counts what it encodes.
func tables(t *testing.T, encodes, wholes *int, workers int) *Hub {
	count := func(dst []byte, r *channel.Record) []byte { *encodes++; return tellRecord(dst, r) }
	whole := func(dst []byte, n channel.Name, epoch uint64, rs []channel.Record) []byte {
		*wholes++
		return tellTable(dst, n, epoch, rs)
	}
	h := newHub(t, Options{Workers: workers, Tables: []EncodeTable{whole}}, count)
	h.Open(tableName)
	h.Fill(tableName, channel.Position{Epoch: 1, Tag: 7}, nil)
	return h
}

func entryNo(rev uint64, key string) channel.Record {
	return channel.Record{
		Channel: tableName, Class: channel.Latest, At: channel.Position{Epoch: 1}, Rev: rev, Key: key, Body: []byte(fmt.Sprint(rev)), Time: time.UnixMilli(int64(rev)),
	}
}

// TestTableIsEncodedOnce: however many come, and while the table changes, it and its changes are encoded a few times.
func TestTableIsEncodedOnce(t *testing.T) {
	encodes, wholes := 0, 0
	h := tables(t, &encodes, &wholes, 1)
	rev := uint64(0)
	for i := range 100 {
		rev++
		h.Append(entryNo(rev, fmt.Sprint("k", i)))
	}
	for i := range 1000 {
		if i%100 == 0 {
			rev++
			h.Append(entryNo(rev, "k0"))
		}
		s := newHolder(map[identity]told{})
		s.c = mustAttach(t, h, tableName, From{})
		for s.take(t, 1<<20, 1<<30) {
		}
		if len(s.held) != 100 || s.held[identity{"", "k0"}].Rev != rev || s.wholes != 1 {
			t.Fatalf("subscriber %d holds %d entries, k0 at %d of %d", i, len(s.held), s.held[identity{"", "k0"}].Rev, rev)
		}
	}
	if wholes > 3 || encodes > 10 {
		t.Errorf("the table was encoded %d times, changes %d times", wholes, encodes)
	}
}

// TestSlowReaderGetsNewest: who lags gets the newest of each entry and none of what was between; it costs nothing meanwhile.
func TestSlowReaderGetsNewest(t *testing.T) {
	encodes, wholes := 0, 0
	h := tables(t, &encodes, &wholes, 1)
	s := newHolder(map[identity]told{})
	s.c = mustAttach(t, h, tableName, From{})
	h.Append(entryNo(1, "k0"))
	s.take(t, 1<<20, 1<<30)
	before := h.Stats().Bytes
	for rev := uint64(2); rev <= 5000; rev++ {
		h.Append(entryNo(rev, fmt.Sprint("k", rev%3)))
	}
	if grown := h.Stats().Bytes - before; grown > 4*itemBytes {
		t.Errorf("5,000 updates of 3 entries left %d bytes", grown)
	}
	for s.take(t, 1<<20, 1<<30) {
	}
	if s.frames != 4 || s.rev != 5000 || encodes != 4 {
		t.Errorf("%d frames, rev %d, %d encodes", s.frames, s.rev, encodes)
	}
}

// TestTableAndLogTakeTurns: a stream of changes does not keep the log from a reader, nor the reverse.
func TestTableAndLogTakeTurns(t *testing.T) {
	encodes, wholes := 0, 0
	h := tables(t, &encodes, &wholes, 1)
	s := newHolder(map[identity]told{})
	s.c = mustAttach(t, h, tableName, From{})
	log := &truth{base: channel.Position{Epoch: 1, Tag: 7}}
	for i := range 100 {
		h.Append(entryNo(uint64(i+1), "k"))
		h.Append(log.grow(tableName, []byte("x"), 0, false))
		s.take(t, 1<<20, 1<<30)
	}
	if s.logged < 50 || s.rev < 98 {
		t.Errorf("%d records and rev %d of 100", s.logged, s.rev)
	}
}

// TestTableWakes: a change wakes who is there, an attach alone nobody.
func TestTableWakes(t *testing.T) {
	encodes, wholes := 0, 0
	h := tables(t, &encodes, &wholes, 1)
	woken := make(chan *Cursor, 10)
	c, _, err := h.Attach(tableName, From{}, 0, 0, wakeTo(woken))
	if err != nil || !upToDate(c) {
		t.Fatal("a table is due that there is not", err)
	}
	h.Append(entryNo(1, "k"))
	if <-woken != c {
		t.Fatal("another cursor was woken")
	}
	if c := mustAttach(t, h, tableName, From{}); upToDate(c) {
		t.Fatal("the table is not due to somebody new")
	}
	gone := entryNo(2, "k")
	gone.Body = nil
	h.Append(gone)
	if c := mustAttach(t, h, tableName, From{}); !upToDate(c) {
		t.Fatal("an empty table is due to somebody new")
	}
	if c := mustAttach(t, h, tableName, From{After: channel.Position{Epoch: 1, Tag: 7}}); upToDate(c) {
		t.Fatal("who was here before is not told that the table is empty")
	}
}

type wakeTo chan *Cursor

func (w wakeTo) Wake(c *Cursor) { w <- c }
func (w wakeTo) Resume()        {}
