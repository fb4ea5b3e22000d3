package channel

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// Position is a place in the log of a channel: the one right after the record with this offset.
// Epoch changes when a log was lost. Tag is a hash chain over the log up to here, so that a log that
// was rolled back and grew again is told from the one a client knew. The zero Position means "none".
type Position struct{ Epoch, Offset, Tag uint64 }

// ErrPosition says that a string is no position.
var ErrPosition = errors.New("not a position of this server")

// IsZero tells "no position" from every real one: an epoch is never zero.
func (p Position) IsZero() bool { return p.Epoch == 0 }

const positionBytes = 8 + 8 + 8

// String is the opaque form that clients hold: base64url of epoch, tag, then the offset without its leading zero bytes.
func (p Position) String() string { return string(p.AppendText(nil)) }

// AppendText appends the opaque form to dst.
func (p Position) AppendText(dst []byte) []byte {
	var b [positionBytes]byte
	binary.BigEndian.PutUint64(b[0:], p.Epoch)
	binary.BigEndian.PutUint64(b[8:], p.Tag)
	binary.BigEndian.PutUint64(b[16:], p.Offset)
	n := 16
	for n < positionBytes && b[n] == 0 {
		n++
	}
	copy(b[16:], b[n:])
	return base64.RawURLEncoding.AppendEncode(dst, b[:16+positionBytes-n])
}

// ParsePosition reads what String wrote; exactly one text stands for one position. The empty string is the zero Position.
func ParsePosition(s string) (Position, error) {
	if s == "" {
		return Position{}, nil
	}
	var raw [positionBytes]byte
	if len(s) > base64.RawURLEncoding.EncodedLen(positionBytes) || strings.ContainsAny(s, "\r\n") { // which Decode passes over
		return Position{}, ErrPosition
	}
	n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(s))
	if err != nil || n < 16 || n > 16 && raw[16] == 0 {
		return Position{}, ErrPosition
	}
	p := Position{Epoch: binary.BigEndian.Uint64(raw[0:]), Tag: binary.BigEndian.Uint64(raw[8:])}
	for _, c := range raw[16:n] {
		p.Offset = p.Offset<<8 | uint64(c)
	}
	if p.Epoch == 0 {
		return Position{}, ErrPosition
	}
	return p, nil
}

// Next is the position of a record with this body appended at p: offset one higher, tag the first
// eight bytes of SHA-1(tag, offset, body hash).
func (p Position) Next(body []byte) Position { return p.NextHash(BodyHash(body)) }

// NextHash is Next for a record of which only the body's hash is left.
func (p Position) NextHash(hash [sha1.Size]byte) Position {
	var b [16 + sha1.Size]byte
	binary.BigEndian.PutUint64(b[0:], p.Tag)
	binary.BigEndian.PutUint64(b[8:], p.Offset+1)
	copy(b[16:], hash[:])
	sum := sha1.Sum(b[:])
	return Position{Epoch: p.Epoch, Offset: p.Offset + 1, Tag: binary.BigEndian.Uint64(sum[:8])}
}

// BodyHash is what the chain keeps of a body.
func BodyHash(body []byte) [sha1.Size]byte { return sha1.Sum(body) }
