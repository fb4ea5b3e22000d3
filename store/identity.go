package store

import (
	"crypto/sha1"
	"encoding/binary"

	"carillon/channel"
)

// Identity is what makes a journal this journal, as its table meta says.
type Identity struct {
	Epoch  uint64
	Seed   []byte
	Shards int // of each service
}

// First is the head of a channel that was never written: it follows from the name, so that reading writes nothing.
func (d *Identity) First(n channel.Name) channel.Position {
	sum := sha1.Sum(append(append([]byte(nil), d.Seed...), n...))
	return channel.Position{Epoch: d.Epoch, Tag: binary.BigEndian.Uint64(sum[:])}
}

// Position is a place as it stands in a row, where 64-bit unsigned numbers are the signed ones of the same bits.
func (d *Identity) Position(offset, tag int64) channel.Position {
	return channel.Position{Epoch: d.Epoch, Offset: uint64(offset), Tag: uint64(tag)}
}

// IDKey stands for (channel, user, id): a digest under the database's seed, short for the index, and nobody can choose
// two ids that meet.
type IDKey [16]byte

// Key is the IDKey of an idempotency id.
func (d *Identity) Key(n channel.Name, user, id string) (k IDKey) {
	var room [256]byte
	b := append(room[:0], d.Seed...)
	// Lengths keep ("ab", "c") apart from ("a", "bc").
	b = binary.AppendUvarint(b, uint64(len(n)))
	b = binary.AppendUvarint(b, uint64(len(user)))
	b = append(append(append(b, n...), user...), id...)
	sum := sha1.Sum(b)
	copy(k[:], sum[:])
	return k
}
