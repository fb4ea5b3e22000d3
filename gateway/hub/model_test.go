package hub

import (
	"bytes"
	"errors"
	"testing"

	"carillon/channel"
	"pgregory.net/rapid"
)

const modelName = channel.Name("model:room")

// model is a room as a slice: what the hub should hold, written without any of its tricks.
type model struct {
	t       *rapid.T
	h       *Hub
	log     *truth
	base    uint64
	head    uint64
	early   map[uint64]bool // told to the hub, but not applied
	records int
	bytes   int
	readers []*reader
	epochs  uint64
	forks   int // times the log was rolled back
	typed   int // Fleeting records told
	passed  int // Fleeting records that readers were given
}

// reader is a subscriber with what it was given.
type reader struct {
	c        *Cursor
	format   byte
	origin   uint64
	at       uint64
	stream   []byte
	void     channel.Gap // the ring was replaced since
	jump     bool        // or jumped over records that the log lost
	typed    uint64      // the newest Fleeting record given
	typing   uint64      // where its side index began
	mine     int         // Fleeting records of its own without echo
	detached bool
}

func TestRingAndCursorAgainstSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			t: t, epochs: 1, early: map[uint64]bool{},
			records: rapid.IntRange(1, 12).Draw(t, "records"), bytes: rapid.IntRange(1, 400).Draw(t, "bytes"),
		}
		m.h = New([]Encode{frameFormat(0), frameFormat(1)}, Options{Workers: 1, Policy: ringPolicy(m.records, m.bytes)})
		defer m.h.Close()
		m.log = newTruth(m.epochs, 7)
		m.h.Open(modelName)
		m.h.Fill(modelName, m.log.base, nil)
		t.Repeat(map[string]func(*rapid.T){
			"next":     func(*rapid.T) { m.tell(m.grow()) },
			"next2":    func(*rapid.T) { m.tell(m.grow()); m.tell(m.grow()) },
			"lose":     func(*rapid.T) { m.grow() },
			"late":     m.late,
			"known":    m.known,
			"fill":     m.fill,
			"jump":     m.jump,
			"diverge":  m.diverge,
			"epoch":    m.epoch,
			"fleeting": m.fleeting,
			"attach":   m.attach,
			"read":     m.read,
			"read2":    m.read,
			"detach":   m.detach,
			"":         m.check,
		})
		m.end()
	})
}

func (m *model) int(what string, from, to int) int { return rapid.IntRange(from, to).Draw(m.t, what) }

func (m *model) grow() channel.Record {
	body := bytes.Repeat([]byte{'x'}, m.int("body", 0, 90))
	return m.log.grow(modelName, append(body, bodyOf(m.forks*1000+len(m.log.rs))...), uint64(m.int("origin", 0, 2)), m.int("noEcho", 0, 2) == 0)
}

// tell hands the hub a record of the log and works out what it must make of it. What is more than is kept aside is read
// from the log instead.
func (m *model) tell(r channel.Record) {
	if r.At.Offset > m.head+1 && !m.roomAside(r) {
		m.merge(m.head, m.log.head().Offset)
		return
	}
	need := m.h.Append(r)
	want := NeedNone
	switch {
	case r.At.Offset == m.head+1:
		m.head++
		m.sweep()
		want = m.holes()
	case r.At.Offset > m.head+1:
		m.early[r.At.Offset] = true
		want = NeedHole
	case r.At.Offset < m.base:
		want = NeedDiverged
	}
	if need != want {
		m.t.Fatalf("append of %d at head %d, base %d: need %d, not %d", r.At.Offset, m.head, m.base, need, want)
	}
}

func (m *model) sweep() {
	for m.early[m.head+1] {
		m.head++
	}
	for offset := range m.early {
		if offset <= m.head {
			delete(m.early, offset)
		}
	}
	m.trim()
}

func (m *model) trim() {
	for m.head > m.base+1 && !m.holdable(m.base) {
		m.base++
	}
}

// holdable tells whether the ring may reach down to base.
func (m *model) holdable(base uint64) bool {
	sum := 0
	for o := base + 1; o <= m.head; o++ {
		sum += len(m.log.record(o).Body)
	}
	return int(m.head-base) <= m.records && sum <= m.bytes
}

func (m *model) holes() Need {
	if len(m.early) > 0 {
		return NeedHole
	}
	return NeedNone
}

func (m *model) late(t *rapid.T) {
	var lost []uint64
	for o := m.head + 1; o <= m.log.head().Offset; o++ {
		if !m.early[o] {
			lost = append(lost, o)
		}
	}
	if len(lost) == 0 {
		t.Skip("nothing is late")
	}
	m.tell(m.log.record(lost[m.int("which", 0, len(lost)-1)]))
}

func (m *model) roomAside(r channel.Record) bool {
	bytes := len(r.Body)
	for o := range m.early {
		bytes += len(m.log.record(o).Body)
	}
	return len(m.early) < m.records && bytes <= m.bytes
}

func (m *model) known(t *rapid.T) {
	if m.head == m.base {
		t.Skip("nothing is known")
	}
	m.tell(m.log.record(uint64(m.int("known", int(m.base)+1, int(m.head)))))
}

// fill reads a stretch of the log, which touches the ring, and gives it to the hub.
func (m *model) fill(*rapid.T) {
	base := uint64(m.int("base", int(m.log.base.Offset), int(m.head)))
	last := uint64(m.int("last", int(base), int(m.log.head().Offset)))
	if m.h.room(modelName).doubt {
		last = m.log.head().Offset // whoever was told of a divergence reads to the end
	}
	m.merge(base, last)
}

func (m *model) merge(base, last uint64) {
	rs := m.log.rs[base-m.log.base.Offset : last-m.log.base.Offset]
	need := m.h.Fill(modelName, m.log.at(base), rs)
	if last >= m.base {
		m.head = max(m.head, last)
		m.sweep()
		for m.base > base && m.holdable(m.base-1) {
			m.base--
		}
	}
	if need != m.holes() {
		m.t.Fatalf("fill %d..%d: need %d with %d early", base, last, need, len(m.early))
	}
}

// jump: the log lost what the hub still lacks.
func (m *model) jump(t *rapid.T) {
	top := m.log.head().Offset
	if top < m.head+2 {
		t.Skip("no hole to jump over")
	}
	base := uint64(m.int("jump", int(m.head)+1, int(top)))
	m.replace(channel.GapNone, base)
}

// diverge: the log is rolled back and grows another past.
func (m *model) diverge(t *rapid.T) {
	if m.head == m.base {
		t.Skip("nothing to roll back")
	}
	m.forks++
	m.log.rollBack(uint64(m.int("back", int(m.base), int(m.head)-1)))
	seen := m.head + uint64(m.int("beyond", 0, 1)) // the other past is noticed at the head or right behind it
	for m.log.head().Offset < seen {
		m.grow()
	}
	r := m.log.record(seen)
	if need := m.h.Append(r); need != NeedDiverged {
		t.Fatalf("another past at %d: need %d", m.head, need)
	}
	if need := m.h.Expect(modelName, m.log.at(m.head)); need != NeedDiverged {
		t.Fatalf("another head at %d: need %d", m.head, need)
	}
	m.replace(channel.GapDiverged, uint64(m.int("from", int(m.log.base.Offset), int(m.head))))
}

func (m *model) epoch(*rapid.T) {
	m.epochs++
	m.log = newTruth(m.epochs, m.epochs*11)
	for range m.int("length", 0, 20) {
		m.grow()
	}
	m.replace(channel.GapEpoch, uint64(m.int("from", 0, len(m.log.rs))))
}

// replace fills with everything from base on, for which the ring has to begin anew.
func (m *model) replace(void channel.Gap, base uint64) {
	if void == channel.GapDiverged && base == m.head {
		base-- // a stretch that shows nothing of the other past but its head would do too, but is not what is tested
	}
	m.h.Fill(modelName, m.log.at(base), m.log.rs[base-m.log.base.Offset:])
	m.early = map[uint64]bool{}
	m.base, m.head = base, m.log.head().Offset
	for _, r := range m.readers {
		if void != channel.GapNone {
			r.void, r.jump = void, false
		} else {
			r.jump = true
		}
	}
	m.trim()
}

func (m *model) fleeting(*rapid.T) {
	m.typed++
	r := channel.Record{Channel: modelName, Class: channel.Fleeting, Origin: uint64(m.int("origin", 0, 2)), NoEcho: m.int("noEcho", 0, 2) == 0, Body: bodyOf(m.typed)}
	r.Body = append(r.Body, make([]byte, m.int("more", 0, 30))...)
	m.h.Append(r)
	for _, rd := range m.readers {
		if !rd.detached && r.NoEcho && r.Origin != 0 && r.Origin == rd.origin {
			rd.mine++
		}
	}
}

func (m *model) attach(t *rapid.T) {
	r := &reader{format: byte(m.int("format", 0, 1)), origin: uint64(m.int("as", 0, 2))}
	var from From
	r.at = m.head
	switch m.int("how", 0, 2) {
	case 0:
		from.Rewind = m.int("rewind", 0, 15)
		r.at = m.head - min(uint64(from.Rewind), m.head-m.base)
	case 1:
		r.at = uint64(m.int("after", int(m.log.base.Offset), int(m.log.head().Offset)))
		from.After = m.log.at(r.at)
	}
	c, start, err := m.h.Attach(modelName, from, int(r.format), r.origin, nobody{})
	var miss *Miss
	switch {
	case r.at < m.base:
		if !errors.As(err, &miss) || miss.Gap != channel.GapTrimmed {
			t.Fatalf("attach at %d below %d: %v", r.at, m.base, err)
		}
		return
	case r.at > m.head:
		if !errors.As(err, &miss) || miss.Gap != channel.GapAhead || miss.Head != m.log.at(m.head) {
			t.Fatalf("attach at %d above %d: %v", r.at, m.head, err)
		}
		return
	}
	if err != nil || start.At != m.log.at(r.at) || start.Head != m.log.at(m.head) {
		t.Fatalf("attach at %d of %d..%d: %+v, %v", r.at, m.base, m.head, start, err)
	}
	r.c, r.typing = c, c.side
	m.readers = append(m.readers, r)
}

func (m *model) check(t *rapid.T) {
	base, head, ok := m.h.Head(modelName)
	if !ok || base != m.log.at(m.base) || head != m.log.at(m.head) {
		t.Fatalf("ring %d..%d, not %d..%d", base.Offset, head.Offset, m.base, m.head)
	}
	r := m.h.room(modelName)
	if cost := weigh(r); cost != r.cost || cost != m.h.Stats().Bytes {
		t.Fatalf("the room weighs %d, the books say %d and %d", cost, r.cost, m.h.Stats().Bytes)
	}
}

// weigh adds up what a room holds.
func weigh(r *room) (cost int64) {
	ring := func(g *ring) {
		for o := g.base.Offset + 1; o <= g.offset(); o++ {
			cost += g.at(o).cost()
		}
	}
	runs := func(rs []*run) {
		for _, rn := range rs {
			if rn == nil {
				continue
			}
			bytes := 0
			for _, s := range rn.segs {
				s.grow()
				cost += s.cost
				bytes += len(s.bytes)
			}
			if bytes != rn.bytes {
				panic("a run does not know its size")
			}
		}
	}
	ring(&r.ring)
	if r.aside != nil {
		for i := range r.aside.rs {
			cost += asideCost(&r.aside.rs[i])
		}
	}
	if l := r.latest; l != nil {
		cost += latestBytes
		for e := l.end.newer; e != &l.end; e = e.newer {
			cost += e.cost()
		}
		for _, w := range l.wholes {
			cost += int64(cap(w.bytes))
		}
	}
	if r.crowd != nil {
		runs(r.crowd.runs)
		if r.crowd.side != nil {
			ring(&r.crowd.side.ring)
			runs(r.crowd.side.runs)
		}
	}
	return cost
}

func (m *model) end() {
	for _, r := range m.readers {
		m.finish(r)
		r.c.Detach()
	}
	stats := m.h.Stats()
	moved, mine := 0, 0
	for _, r := range m.readers {
		r.c.At() // settles what went out
		moved, mine = moved+int(r.c.side-r.typing), mine+r.mine
	}
	if told := m.passed + int(stats.Fleeting); told > moved || told+mine < moved {
		m.t.Fatalf("%d fleeting records due: %d given, %d skipped, at most %d their own", moved, m.passed, stats.Fleeting, mine)
	}
	if !m.h.Drop(modelName) {
		m.t.Fatal("an empty room cannot be dropped")
	}
	if s := m.h.Stats(); s.Bytes != 0 || s.Cursors != 0 || s.Rooms != 0 {
		m.t.Fatalf("not empty at the end: %+v", s)
	}
}
