package hub

import (
	"time"

	"carillon/channel"
)

// Bounds of a side ring.
const (
	sideRecords = 64
	sideAge     = 2 * time.Second // how old a Fleeting record is at most when it is handed out
)

// side is the ring of the Fleeting records of a room: they have offsets of their own, told to nobody.
type side struct {
	room *room
	ring ring
	runs []*run // by format; made by the first cursor that has something to take
}

// pass takes in a Fleeting record. A room without cursors has nobody to hand it to.
func (r *room) pass(rec *channel.Record) {
	s := r.crowd.side
	if s == nil {
		s = &side{room: r, runs: make([]*run, len(r.hub.formats))}
		r.crowd.side = s
	}
	e := newEntry(rec)
	now := r.hub.now()
	e.tag = uint64(now)
	s.ring.push(e)
	r.watch(rec, s.ring.offset())
	r.charge(e.cost())
	for s.ring.n > 1 && (s.ring.n > sideRecords || now-int64(s.ring.at(s.ring.base.Offset+1).tag) > int64(sideAge)) {
		r.charge(-s.ring.shift())
	}
	for _, rn := range s.runs {
		if rn != nil {
			r.charge(-rn.trim(s.ring.base.Offset))
		}
	}
}

// fresh is the offset before the first record, above this one, that is not too old to be handed out.
func (s *side) fresh(offset uint64) uint64 {
	offset = max(offset, s.ring.base.Offset)
	if offset == s.ring.offset() {
		return offset
	}
	oldest := s.room.hub.now() - int64(sideAge)
	for offset < s.ring.offset() && int64(s.ring.at(offset+1).tag) < oldest {
		offset++
	}
	return offset
}

// clear returns what the records cost; the runs went with the last cursor of their format.
func (s *side) clear() (cost int64) {
	for s.ring.n > 0 {
		cost += s.ring.shift()
	}
	return cost
}

// encode and about make a side ring the source of its runs.
func (s *side) encode(dst []byte, format int, offset uint64) []byte {
	rec := s.room.hub.scratch.Get().(*channel.Record)
	s.ring.at(offset).show(rec)
	rec.Channel, rec.Class = s.room.name, channel.Fleeting
	dst = s.room.hub.formats[format](dst, rec)
	rec.Body = nil
	s.room.hub.scratch.Put(rec)
	return dst
}

func (s *side) about(offset uint64) *entry { return s.ring.at(offset) }
