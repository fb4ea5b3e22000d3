package store

import (
	"crypto/sha1"
	"encoding/binary"

	"carillon/channel"
)

// SealRecord binds what the tag of a record does not: who, when, and what kind of body.
func SealRecord(r *channel.Record) int64 {
	var room [256]byte
	b := binary.BigEndian.AppendUint64(room[:0], r.At.Tag)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixMilli()))
	b = append(append(b, bit(r.Binary)), r.From...)
	sum := sha1.Sum(append(b, r.Channel...))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// SealPlace binds the body of a row of commands or snapshots to its channel and version.
func SealPlace(n channel.Name, version uint64, body []byte) int64 {
	h := sha1.New()
	head := binary.BigEndian.AppendUint64(make([]byte, 0, 8+channel.MaxName), version)
	h.Write(append(head, n...))
	h.Write(body)
	return int64(binary.BigEndian.Uint64(h.Sum(nil)))
}

// LatestHash is what an id of a Latest record stands for: the same body under another key is another request.
func LatestHash(r *channel.Record) [sha1.Size]byte {
	b := appendText([]byte("latest"), r.Key)
	return channel.BodyHash(append(b, r.Body...))
}

// Blob is a body that is not NULL though it is empty.
func Blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
