package memory

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"sync"
	"time"

	"carillon/channel"
	"carillon/journal"
)

const (
	// generation is how long ids are gathered in one map; an id is known for one to two of these.
	generation = 5 * time.Minute
	// ageSlack is what a sender's age may be too low, since the message travelled after it was written.
	ageSlack = 2 * time.Second
)

// idKey stands for (channel, user, id): a digest under a secret of this process, so that the maps hold no pointers and
// nobody can choose two ids that meet.
type idKey [16]byte

// first is what became of the first sending.
type first struct {
	hash   [sha1.Size]byte
	binary bool
	offset uint64
	tag    uint64
}

// claim is what a sending says of itself.
type claim struct {
	set    bool // it has an id at all
	key    idKey
	hash   [sha1.Size]byte
	binary bool
	age    time.Duration
}

// ids remembers in two generations, so that forgetting costs nothing.
type ids struct {
	secret [16]byte
	max    int

	mu        sync.Mutex
	young     map[idKey]first
	old       map[idKey]first
	turned    time.Time // young is gathered since then
	remembers time.Time // every id first sent since then is known
}

func newIDs(max int, now time.Time) *ids {
	d := &ids{max: max, young: map[idKey]first{}, turned: now, remembers: now}
	_, _ = rand.Read(d.secret[:])
	return d
}

func (d *ids) key(n channel.Name, user, id string) (k idKey) {
	var room [256]byte
	b := append(room[:0], d.secret[:]...)
	// Lengths keep ("ab", "c") apart from ("a", "bc").
	b = binary.AppendUvarint(b, uint64(len(n)))
	b = binary.AppendUvarint(b, uint64(len(user)))
	b = append(append(append(b, n...), user...), id...)
	sum := sha1.Sum(b)
	copy(k[:], sum[:])
	return k
}

// find tells whether the id is known, and the offset and tag of its record. It answers journal.ErrReuse for another body and
// journal.ErrUnknown if the first sending may lie further back than the maps reach.
func (d *ids) find(c claim, now time.Time) (at channel.Position, known bool, err error) {
	if !c.set {
		return at, false, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
	f, known := d.young[c.key]
	if !known {
		f, known = d.old[c.key]
	}
	switch {
	case known && (f.hash != c.hash || f.binary != c.binary):
		return at, true, journal.ErrReuse
	case known:
		return channel.Position{Offset: f.offset, Tag: f.tag}, true, nil
	case c.age > 0 && now.Add(-c.age).Before(d.remembers):
		return at, false, journal.ErrUnknown
	}
	return at, false, nil
}

func (d *ids) remember(c claim, at channel.Position) {
	if !c.set {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.young[c.key] = first{hash: c.hash, binary: c.binary, offset: at.Offset, tag: at.Tag}
}

// turn begins a new generation when the young one is old enough or full.
func (d *ids) turn(now time.Time) {
	if now.Sub(d.turned) < generation && len(d.young) < d.max {
		return
	}
	if d.old != nil {
		d.remembers = d.turned.Add(ageSlack)
	}
	d.old, d.young, d.turned = d.young, map[idKey]first{}, now
}

// tick lets generations pass while nobody appends.
func (d *ids) tick(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
}
