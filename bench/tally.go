package bench

import "fmt"

// Count is what the checker of receipts has seen. The zero Count says that all is well so far.
type Count struct {
	Delivered uint64 `json:"delivered"` // receipts that came once and in order
	Lost      uint64 `json:"lost"`      // passed over without a word of the server
	Twice     uint64 `json:"twice"`     // seen before, or out of order
	Foreign   uint64 `json:"foreign"`   // of another channel or group, or damaged
	Told      uint64 `json:"told"`      // missing, and the server said so with a gap
	Fleeting  uint64 `json:"fleeting"`  // receipts of records that may be dropped
	Latest    uint64 `json:"latest"`    // receipts of records of which only the newest must come
	Missing   uint64 `json:"missing"`   // still owed when the run ended
}

// Add adds another count.
func (c *Count) Add(d Count) {
	c.Delivered += d.Delivered
	c.Lost += d.Lost
	c.Twice += d.Twice
	c.Foreign += d.Foreign
	c.Told += d.Told
	c.Fleeting += d.Fleeting
	c.Latest += d.Latest
	c.Missing += d.Missing
}

// Err is nil where every record came once and in order, or its absence was told.
func (c Count) Err() error {
	if c.Lost == 0 && c.Twice == 0 && c.Foreign == 0 && c.Missing == 0 {
		return nil
	}
	return fmt.Errorf("receipts are wrong: %d lost, %d twice or out of order, %d foreign or damaged, %d never came", c.Lost, c.Twice, c.Foreign, c.Missing)
}

// ledger judges the receipts of one subscriber of one channel.
type ledger struct {
	group, channel int
	next           []uint32 // by publisher: the sequence number that is due
	excused        uint64   // records that the server said are missing, not yet met
	newest         []uint32 // by publisher: how many of his Latest records are older than the next one may be

	// Messages that the server had sent again come when they come: they are waited for until the end of the run.
	retried map[sequel]bool // nil: there are none, and what is passed over is lost
	late    map[sequel]bool // passed over, may still come
}

// gap notes that the server told of n missing records; unknown says that it could not tell how many.
func (l *ledger) gap(n uint64, unknown bool) {
	l.excused += n
	if unknown {
		l.excused = 1 << 62
	}
}

// receipt judges one payload and books it.
func (l *ledger) receipt(s *stamp, c *Count) {
	if s.Group != l.group || s.Channel != l.channel || s.Publisher >= len(l.next) {
		c.Foreign++
		return
	}
	due := l.next[s.Publisher]
	switch {
	case s.Seq == due:
		c.Delivered++
		l.next[s.Publisher]++
	case s.Seq < due:
		l.old(s, c)
	case l.retried != nil && s.Seq-due <= maxLate:
		l.wait(s)
		c.Delivered++
		l.next[s.Publisher] = s.Seq + 1
	default:
		l.skip(uint64(s.Seq-due), c)
		c.Delivered++
		l.next[s.Publisher] = s.Seq + 1
	}
}

// skip books n records that did not come: as told while the server's word covers them, else as lost.
func (l *ledger) skip(n uint64, c *Count) {
	told := min(n, l.excused)
	l.excused -= told
	c.Told += told
	c.Lost += n - told
}

// owed is how many records this subscriber still lacks of what was sent, those excused left out.
func (l *ledger) owed(sent []uint32) (n uint64) {
	for p, s := range sent {
		if s > l.next[p] {
			n += uint64(s - l.next[p])
		}
	}
	return n + uint64(len(l.late)) - min(n, l.excused)
}

// maxLate is how many messages of one publisher may be passed over at once and still be waited for.
const maxLate = 1 << 16

// old judges a message that comes after a later one: good once, where it was sent again.
func (l *ledger) old(s *stamp, c *Count) {
	k := sequel{s.Channel, s.Publisher, s.Seq}
	if l.late[k] && l.retried[k] {
		delete(l.late, k)
		c.Delivered++
		return
	}
	c.Twice++
}

// wait notes what s passes over.
func (l *ledger) wait(s *stamp) {
	if l.late == nil {
		l.late = map[sequel]bool{}
	}
	for n := l.next[s.Publisher]; n < s.Seq; n++ {
		l.late[sequel{s.Channel, s.Publisher, n}] = true
	}
}

// replace judges a Latest record: some between may be left out, but none comes after a newer one.
func (l *ledger) replace(s *stamp, c *Count) {
	switch {
	case s.Group != l.group || s.Channel != l.channel || s.Publisher >= len(l.newest):
		c.Foreign++
	case l.has(s):
		c.Twice++
	default:
		c.Latest++
		l.newest[s.Publisher] = s.Seq + 1
	}
}

// has tells whether this Latest record, or a newer one, was seen.
func (l *ledger) has(s *stamp) bool {
	return s.Publisher < len(l.newest) && s.Seq < l.newest[s.Publisher]
}

// stale counts the publishers whose newest Latest record did not come.
func (l *ledger) stale(sent []uint32) (n uint64) {
	for p, s := range sent {
		if l.newest[p] != s {
			n++
		}
	}
	return n
}
