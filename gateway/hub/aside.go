package hub

import (
	"cmp"
	"slices"
	"unsafe"

	"carillon/channel"
)

// aside holds records that came before those they follow, in order of arrival, within the bounds of the ring.
type aside struct {
	rs    []channel.Record
	bytes int    // of bodies
	least uint64 // no offset in rs is lower
}

func asideCost(rec *channel.Record) int64 {
	return int64(unsafe.Sizeof(*rec)) + int64(len(rec.From)+len(rec.Key)+len(rec.Body))
}

// keep puts a record aside; the oldest make room for it, to be read again.
func (r *room) keep(rec *channel.Record) {
	a := r.aside
	if a == nil {
		a = &aside{least: rec.At.Offset}
		r.aside = a
	}
	kept := *rec
	kept.ID, kept.Age = "", 0
	a.rs = append(a.rs, kept)
	a.bytes += len(rec.Body)
	a.least = min(a.least, rec.At.Offset)
	r.charge(asideCost(rec))
	over := 0
	for over < len(a.rs)-1 && (len(a.rs)-over > r.most || a.bytes > r.heavy) {
		a.bytes -= len(a.rs[over].Body)
		r.charge(-asideCost(&a.rs[over]))
		a.rs[over] = channel.Record{}
		over++
	}
	a.rs = a.rs[over:]
	r.hub.count.aside.Add(uint64(over))
}

// sweep applies what was kept aside as far as it follows the head now. What it cannot place any more is forgotten: of
// another past, it is asked of the journal; older than the ring, it was read from there.
func (r *room) sweep() Need {
	a := r.aside
	if a == nil {
		return NeedNone
	}
	// The epochs of a waiting room may differ; a stable sort by offset keeps those of one offset in order of arrival.
	slices.SortStableFunc(a.rs, func(x, y channel.Record) int { return cmp.Compare(x.At.Offset, y.At.Offset) })
	need := NeedNone
	kept := a.rs[:0]
	for i := range a.rs {
		rec := a.rs[i]
		switch r.judge(&rec) {
		case early:
			kept = append(kept, rec)
			continue
		case next:
			r.push(&rec)
		case stray:
			if rec.At.Epoch != r.ring.base.Epoch || rec.At.Offset > r.ring.base.Offset {
				need = NeedDiverged
			}
		}
		a.bytes -= len(rec.Body)
		r.charge(-asideCost(&rec))
	}
	clear(a.rs[len(kept):])
	if len(kept) == 0 {
		r.aside = nil
		return need
	}
	a.rs, a.least = kept, kept[0].At.Offset
	if need != NeedNone {
		return need
	}
	return r.holes()
}

// forget drops what was kept aside when the ring began another past: nobody can tell which past it belongs to. If some
// of it may be news, the journal is to be read once more.
func (r *room) forget() (need Need) {
	if r.aside == nil {
		return NeedNone
	}
	for i := range r.aside.rs {
		rec := &r.aside.rs[i]
		if rec.At.Epoch != r.ring.base.Epoch || rec.At.Offset > r.ring.offset() {
			need = NeedHole
		}
		r.charge(-asideCost(rec))
	}
	r.aside = nil
	return need
}

func (r *room) holes() Need {
	if r.aside != nil {
		return NeedHole
	}
	return NeedNone
}
