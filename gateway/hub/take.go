package hub

import "sort"

// take is one gathering of bytes from a run, for one cursor.
type take struct {
	rn    *run
	src   source
	c     *Cursor
	from  uint64
	last  uint64 // up to here
	left  int    // bytes that may be taken; the first record may exceed them
	mutes bool   // there may be records that this cursor is not to see

	to    uint64 // the last record taken or passed over
	tag   uint64 // after it
	seg   *segment
	bytes int
}

// gather appends what there is after from, encoding what is not yet.
func (t *take) gather(dst [][]byte) [][]byte {
	t.to = t.from
	room := maxEncode
	for t.to < t.last {
		s, _ := t.rn.find(t.to + 1)
		if s == nil {
			if room <= 0 || t.bytes > 0 && t.left <= t.bytes {
				break
			}
			room -= t.encode(min(room, max(t.left-t.bytes, 1)))
			continue
		}
		if t.seg == nil {
			t.seg = s
		}
		var full bool
		if t.mutes && len(s.muted) > 0 && t.c.origin != 0 {
			dst, full = t.pick(dst, s)
		} else {
			dst, full = t.slice(dst, s, s.last())
		}
		if full {
			break
		}
	}
	return dst
}

func (t *take) encode(room int) int {
	r := t.c.room
	var cost int64
	defer func() { r.charge(cost) }()
	made, records := t.rn.cover(t.src, int(t.c.format), t.to+1, t.last, room, &cost)
	r.hub.count.encoded.Add(uint64(records))
	return max(made, 1)
}

// slice takes the records of s up to last, as one slice of bytes; full says that not all fitted.
func (t *take) slice(dst [][]byte, s *segment, last uint64) (_ [][]byte, full bool) {
	begin, stop := s.end(t.to), last
	if s.end(last)-begin > t.left-t.bytes {
		full = true
		stop = t.to + uint64(sort.Search(int(last-t.to), func(i int) bool { return s.end(t.to+1+uint64(i))-begin > t.left-t.bytes }))
		if stop == t.to && t.bytes == 0 {
			stop++
		}
	}
	if stop == t.to {
		return dst, full
	}
	end := s.end(stop)
	if end > begin {
		dst = append(dst, s.bytes[begin:end:end])
	}
	t.bytes += end - begin
	t.to, t.tag = stop, s.marks[stop-s.first].tag
	return dst, full
}

// pick is slice around the records that the cursor is not to see.
func (t *take) pick(dst [][]byte, s *segment) (_ [][]byte, full bool) {
	for t.to < s.last() && !full {
		if s.mutes(t.to+1, t.c.origin) {
			t.to++
			t.tag = s.marks[t.to-s.first].tag
			t.c.skips = true
			continue
		}
		stop := t.to + 1
		for stop < s.last() && !s.mutes(stop+1, t.c.origin) {
			stop++
		}
		dst, full = t.slice(dst, s, stop)
	}
	return dst, full
}

// walk goes over what was handed out to find how far the bytes that went out reach.
type walk struct {
	seg    *segment
	origin uint64
	at, to uint64
	tag    uint64
	passed uint64 // records that the cursor was given
}

// all passes everything.
func (w *walk) all() {
	if w.at == w.to {
		return
	}
	for w.seg.last() < w.to {
		w.seg = w.seg.next
	}
	w.at, w.tag = w.to, w.seg.marks[w.to-w.seg.first].tag
}

// part passes n bytes; the record in which they end counts as passed, and a copy of the rest of it is returned.
func (w *walk) part(n int) (cut []byte) {
	for w.at < w.to && cut == nil {
		for w.seg.last() <= w.at {
			w.seg = w.seg.next
		}
		offset := w.at + 1
		begin, end := w.seg.end(offset-1), w.seg.end(offset)
		if len(w.seg.muted) == 0 || w.origin == 0 || !w.seg.mutes(offset, w.origin) {
			if n == 0 && end > begin {
				return nil
			}
			if n < end-begin {
				cut = append(cut, w.seg.bytes[begin+n:end]...)
				n = end - begin
			}
			n -= end - begin
			w.passed++
		}
		w.at, w.tag = offset, w.seg.marks[offset-w.seg.first].tag
	}
	return cut
}
