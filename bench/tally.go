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
		c.Twice++
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
	return n - min(n, l.excused)
}
