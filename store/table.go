package store

import (
	"slices"

	"carillon/channel"
)

// Table is what must be known of a channel's Latest records to keep its bounds: everything but the bodies, by ascending Rev.
// The zero value is empty.
type Table struct {
	Entries []Entry
	bytes   int // of bodies
}

// Entry is a Latest record without its body, of which only the size counts.
type Entry struct {
	Sender, Key string
	Rev         uint64
	MS          int64
	Size        int
}

// Clone is a table that changes by itself.
func (t *Table) Clone() *Table { return &Table{Entries: slices.Clone(t.Entries), bytes: t.bytes} }

// Push adds the newest entry.
func (t *Table) Push(e Entry) {
	t.Entries = append(t.Entries, e)
	t.bytes += e.Size
}

// Remove takes the i-th entry out.
func (t *Table) Remove(i int) {
	t.bytes -= t.Entries[i].Size
	t.Entries = slices.Delete(t.Entries, i, i+1)
}

// Find is the place of an entry, or -1.
func (t *Table) Find(sender, key string) int {
	return slices.IndexFunc(t.Entries, func(e Entry) bool { return e.Key == key && e.Sender == sender })
}

// Surplus is the next entry to go, or -1: one too many of the sender who wrote last, else the oldest if that is too old or
// the table too large. The newest falls to age alone, and the server or service, which is nobody, has no share.
func (t *Table) Surplus(nowMS int64, sender string, p channel.Policy) int {
	if sender != "" && p.LatestEach > 0 {
		oldest, held := -1, 0
		for i := range t.Entries {
			if t.Entries[i].Sender == sender {
				if held++; held == 1 {
					oldest = i
				}
			}
		}
		if held > p.LatestEach {
			return oldest
		}
	}
	keep, n := p.Latest, len(t.Entries)
	switch {
	case n == 0:
		return -1
	case keep.Records > 0 && n > keep.Records && n > 1, keep.Bytes > 0 && t.bytes > keep.Bytes && n > 1,
		keep.Age > 0 && nowMS-t.Entries[0].MS >= keep.Age.Milliseconds():
		return 0
	}
	return -1
}
