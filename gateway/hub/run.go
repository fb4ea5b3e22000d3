package hub

import (
	"slices"
	"sort"
	"unsafe"
)

// Bounds of a segment and of what one Ready encodes, in bytes.
const (
	minSegment = 1 << 10
	maxSegment = 64 << 10
	maxEncode  = 64 << 10
)

// segment is encoded records that follow each other without a break. Its bytes are handed out and so never rewritten,
// only added to within their capacity; what else it holds is guarded by the lock of the room. A segment that was
// trimmed lives on as long as somebody still holds its bytes.
type segment struct {
	first uint64 // offset of its first record
	bytes []byte
	marks []mark
	muted []muted // the records with NoEcho among them
	next  *segment
	cost  int64
}

// mark is where a record ends, and the tag after it.
type mark struct {
	tag uint64
	end int
}

type muted struct{ offset, origin uint64 }

const markBytes = int64(unsafe.Sizeof(mark{}))

func (s *segment) last() uint64 { return s.first + uint64(len(s.marks)) - 1 }

// end is where the record with this offset ends, and 0 for the one before the first.
func (s *segment) end(offset uint64) int {
	if offset < s.first {
		return 0
	}
	return s.marks[offset-s.first].end
}

func (s *segment) mutes(offset, origin uint64) bool {
	for _, m := range s.muted {
		if m.offset == offset && m.origin == origin {
			return true
		}
	}
	return false
}

// run is what is encoded of a ring in one format: segments in order of offset, with breaks where nobody went yet.
type run struct {
	cursors int // of this format; the run goes with the last
	segs    []*segment
	bytes   int // in segs
}

// find returns the segment that holds the record with this offset, or nil and where such a segment would stand.
func (n *run) find(offset uint64) (*segment, int) {
	i := len(n.segs)
	if i > 0 && n.segs[i-1].first > offset {
		i = sort.Search(i, func(i int) bool { return n.segs[i].first > offset })
	}
	if i > 0 && n.segs[i-1].last() >= offset {
		return n.segs[i-1], i - 1
	}
	return nil, i
}

// trim lets go of segments that hold nothing above base and returns what they cost.
func (n *run) trim(base uint64) (cost int64) {
	i := 0
	for i < len(n.segs) && n.segs[i].last() <= base {
		cost += n.segs[i].cost
		n.bytes -= len(n.segs[i].bytes)
		n.segs[i] = nil
		i++
	}
	n.segs = n.segs[i:]
	return cost
}

func (n *run) clear() (cost int64) {
	for _, s := range n.segs {
		cost += s.cost
	}
	n.segs, n.bytes = nil, 0
	return cost
}

// source is what a run encodes from: the ring of a room or its side ring.
type source interface {
	// encode appends the record with this offset in the format.
	encode(dst []byte, format int, offset uint64) []byte
	// about returns the record with this offset as the ring keeps it.
	about(offset uint64) *entry
}

// cover encodes the records from offset on, up to last or to the next one that is encoded already, or until room bytes
// were made. It must be called for an offset that is not encoded. It returns the bytes made, and adds to cost by how much
// the cost of the run changed, which holds even where an Encode panics.
func (n *run) cover(src source, format int, offset, last uint64, room int, cost *int64) (made, records int) {
	_, i := n.find(offset)
	if i < len(n.segs) {
		last = min(last, n.segs[i].first-1)
	}
	var s *segment
	if i > 0 && n.segs[i-1].last() == offset-1 {
		s = n.segs[i-1]
	}
	for ; offset <= last && made < room; offset++ {
		e := src.about(offset)
		if s == nil {
			s = n.insert(i, offset, int(e.cost()))
			i++
			*cost += s.grow()
		}
		out := src.encode(s.bytes[len(s.bytes):], format, offset)
		if len(out) > cap(s.bytes)-len(s.bytes) && len(s.marks) > 0 {
			s = n.insert(i, offset, len(out))
			i++
		}
		s.take(out)
		s.marks = append(s.marks, mark{tag: e.tag, end: len(s.bytes)})
		if e.noEcho {
			s.muted = append(s.muted, muted{offset: offset, origin: e.origin})
		}
		*cost += s.grow()
		made += len(out)
		records++
		n.bytes += len(out)
	}
	return made, records
}

// insert makes a segment that begins with this record, as number i. Its capacity doubles the run, within the bounds,
// but is not less than the record needs.
func (n *run) insert(i int, offset uint64, record int) *segment {
	s := &segment{first: offset, bytes: make([]byte, 0, max(min(max(n.bytes, minSegment), maxSegment), record))}
	if i < len(n.segs) {
		s.next = n.segs[i]
	}
	if i > 0 {
		n.segs[i-1].next = s
	}
	n.segs = slices.Insert(n.segs, i, s)
	return s
}

// take adds encoded bytes, which stand in their place already if they fitted there.
func (s *segment) take(out []byte) {
	free := s.bytes[len(s.bytes):cap(s.bytes)]
	if len(out) > 0 && len(out) <= len(free) && &out[0] == &free[0] {
		s.bytes = s.bytes[:len(s.bytes)+len(out)]
		return
	}
	s.bytes = append(s.bytes, out...)
}

// grow brings the cost of the segment up to date and returns by how much it changed.
func (s *segment) grow() int64 {
	cost := int64(unsafe.Sizeof(*s)) + int64(cap(s.bytes)) + markBytes*int64(cap(s.marks)) + 16*int64(cap(s.muted))
	change := cost - s.cost
	s.cost = cost
	return change
}
