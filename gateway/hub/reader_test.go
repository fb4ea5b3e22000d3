package hub

import (
	"carillon/channel"
	"pgregory.net/rapid"
)

func (m *model) read(t *rapid.T) {
	if len(m.readers) == 0 {
		t.Skip("nobody reads")
	}
	r := m.readers[m.int("reader", 0, len(m.readers)-1)]
	budget, at := m.int("budget", 0, 300), r.c.At().Offset
	bufs, more, loss := r.c.Ready(nil, budget)
	if r.detached {
		if len(bufs) > 0 || more || loss != (Loss{}) {
			t.Fatal("a detached cursor gives something")
		}
		return
	}
	if m.lost(r, at, loss) {
		if len(bufs) > 0 {
			t.Fatal("a loss with bytes")
		}
		return
	}
	var got []byte
	for _, b := range bufs {
		got = append(got, b...)
	}
	m.judge(r, budget, got, more)
	n := len(got)
	if m.int("partial", 0, 1) == 0 {
		n = m.int("wrote", 0, len(got))
	}
	if m.int("meanwhile", 0, 7) == 0 { // the ring rolls on while the bytes are under way
		m.tellAll()
	}
	if m.int("gone", 0, 15) == 0 {
		m.leave(r)
	}
	cut := r.c.Wrote(n)
	if _, part := deframe(got[:n]); len(part) == 0 && cut != nil || len(part) > 0 && cut == nil {
		t.Fatalf("%d bytes of a record went out, and %d are said to be left", len(part), len(cut))
	}
	r.stream = append(append(r.stream, got[:n]...), cut...)
	m.take(r)
}

func (m *model) tellAll() {
	for range 6 {
		m.grow()
	}
	for o := m.head + 1; o <= m.log.head().Offset; o++ {
		if !m.early[o] {
			m.tell(m.log.record(o))
		}
	}
}

// lost checks what a Loss says of a cursor that stood at this offset.
func (m *model) lost(r *reader, at uint64, loss Loss) bool {
	want := Loss{From: at + 1, To: m.head, At: m.log.at(m.head), Reason: channel.GapSlow}
	switch {
	case r.void != channel.GapNone:
		want.From, want.Reason = 1, r.void
	case at >= m.base:
		want = Loss{}
	case r.jump:
		want.Reason, want.To, want.At = channel.GapTrimmed, m.base, m.log.at(m.base)
	}
	if loss != want {
		m.t.Fatalf("at %d of %d..%d: loss %+v, not %+v", at, m.base, m.head, loss, want)
	}
	if loss == (Loss{}) {
		return false
	}
	r.at, r.void, r.jump = loss.To, channel.GapNone, false
	return true
}

// seen is the furthest place the cursor may have silently moved to: behind its own records without echo.
func (m *model) seen(r *reader, at uint64) uint64 {
	if r.void != channel.GapNone {
		return at
	}
	for at < m.head && m.own(r, at+1) {
		at++
	}
	return at
}

func (m *model) own(r *reader, offset uint64) bool {
	if offset <= m.log.base.Offset || offset > m.log.head().Offset {
		return false
	}
	rec := m.log.record(offset)
	return rec.NoEcho && rec.Origin != 0 && rec.Origin == r.origin
}

// judge checks what Ready gave before any of it counts as sent.
func (m *model) judge(r *reader, budget int, got []byte, more bool) {
	fs, rest := deframe(got)
	if len(rest) > 0 {
		m.t.Fatal("not whole frames")
	}
	at, fleeting, first := m.seen(r, r.at), false, -1
	for _, f := range fs {
		if first < 0 {
			first = frameHead + len(f.body)
		}
		if f.format != r.format {
			m.t.Fatalf("format %d for a reader of %d", f.format, r.format)
		}
		if f.class == channel.Fleeting {
			fleeting = true
			continue
		}
		if fleeting {
			m.t.Fatal("a logged record behind a fleeting one")
		}
		if f.offset != at+1 {
			m.t.Fatalf("offset %d follows %d", f.offset, at)
		}
		at = m.seen(r, at+1)
	}
	switch {
	case fleeting && at != m.head:
		m.t.Fatal("fleeting records for one who lags")
	case budget > 0 && len(fs) == 0 && at < m.head:
		m.t.Fatalf("nothing for a reader at %d of %d", at, m.head)
	case !more && at != m.head:
		m.t.Fatalf("no more said at %d of %d", at, m.head)
	case len(got) > max(budget, 0) && len(fs) > 1 && !fleeting:
		m.t.Fatalf("%d bytes of a budget of %d", len(got), budget)
	}
}

// take decodes what the reader was sent: contiguous, of the log, nothing twice.
func (m *model) take(r *reader) {
	fs, rest := deframe(r.stream)
	r.stream = nil
	if len(rest) > 0 {
		m.t.Fatal("the line ends within a frame")
	}
	for _, f := range fs {
		if f.class == channel.Fleeting {
			m.passed++
			var id uint64
			for _, c := range f.body[len(`{"n":`):] {
				if c < '0' || c > '9' {
					break
				}
				id = id*10 + uint64(c-'0')
			}
			if id <= r.typed {
				m.t.Fatalf("fleeting %d after %d", id, r.typed)
			}
			r.typed = id
			continue
		}
		at := m.seen(r, r.at)
		if f.offset != at+1 {
			m.t.Fatalf("sent %d after %d", f.offset, at)
		}
		rec := m.log.record(f.offset)
		if f.tag != rec.At.Tag || f.body != string(rec.Body) {
			m.t.Fatalf("record %d is not that of the log", f.offset)
		}
		r.at = f.offset
	}
	if r.void != channel.GapNone {
		return
	}
	at := r.c.At()
	if at.Offset < r.at || at.Offset > m.seen(r, r.at) {
		m.t.Fatalf("the cursor says %d, the reader is at %d", at.Offset, r.at)
	}
	if at.Offset <= m.log.head().Offset && at != m.log.at(at.Offset) {
		m.t.Fatalf("the cursor says %+v, the log %+v", at, m.log.at(at.Offset))
	}
}

func (m *model) detach(t *rapid.T) {
	if len(m.readers) == 0 {
		t.Skip("nobody to detach")
	}
	m.leave(m.readers[m.int("leaver", 0, len(m.readers)-1)])
}

func (m *model) leave(r *reader) {
	if r.detached {
		return
	}
	r.detached = true
	r.c.Detach()
	r.c.Detach()
}

// finish reads everything that is left.
func (m *model) finish(r *reader) {
	if r.detached {
		return
	}
	for {
		at := r.c.At().Offset
		bufs, more, loss := r.c.Ready(nil, 200)
		if m.lost(r, at, loss) {
			if !more {
				break
			}
			continue
		}
		var got []byte
		for _, b := range bufs {
			got = append(got, b...)
		}
		m.judge(r, 200, got, more)
		r.stream = append(got, r.c.Wrote(len(got))...)
		m.take(r)
		if !more {
			break
		}
	}
	if r.at != m.head && m.seen(r, r.at) != m.head {
		m.t.Fatalf("ended at %d of %d", r.at, m.head)
	}
}
