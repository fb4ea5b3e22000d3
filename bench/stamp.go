package bench

import (
	"errors"

	"carillon/channel"
)

// stamp is what every payload carries, so that a receipt can be judged by itself: who sent it, which of his messages it
// is, and when it should have been sent.
type stamp struct {
	Group     int
	Channel   int
	Publisher int
	Seq       uint32 // of this publisher, from 0
	Due       int64  // intended time, ns since the epoch
	Class     channel.Class
}

// A payload is a JSON string: "~, the fields as hexadecimal digits, filler, ~". These are the widths.
const (
	stampGroup     = 2
	stampChannel   = 6
	stampPublisher = 6
	stampSeq       = 8
	stampDue       = 16
	stampClass     = 1
	stampHead      = 2
	minPayload     = stampHead + stampGroup + stampChannel + stampPublisher + stampSeq + stampDue + stampClass + 2 // bytes
)

var errStamp = errors.New("a receipt does not carry what was sent")

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, v uint64, width int) []byte {
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

// append writes the payload of s, size bytes long.
func (s *stamp) append(dst []byte, size int) []byte {
	begin := len(dst)
	dst = append(dst, '"', '~')
	dst = appendHex(dst, uint64(s.Group), stampGroup)
	dst = appendHex(dst, uint64(s.Channel), stampChannel)
	dst = appendHex(dst, uint64(s.Publisher), stampPublisher)
	dst = appendHex(dst, uint64(s.Seq), stampSeq)
	dst = appendHex(dst, uint64(s.Due), stampDue)
	dst = appendHex(dst, uint64(s.Class), stampClass)
	for i := len(dst) - begin; i < size-2; i++ {
		dst = append(dst, 'a'+byte(i%26))
	}
	return append(dst, '~', '"')
}

// nibbles maps a byte to its hexadecimal value, and what is no digit to 255.
var nibbles = func() (t [256]uint8) {
	for i := range t {
		t[i] = 255
	}
	for i := range len(hexDigits) {
		t[hexDigits[i]] = uint8(i)
	}
	return t
}()

// readStamp reads a payload. It allocates nothing.
func readStamp(b []byte) (s stamp, err error) {
	if len(b) < minPayload || b[0] != '"' || b[1] != '~' || b[len(b)-2] != '~' || b[len(b)-1] != '"' {
		return s, errStamp
	}
	b = b[stampHead:]
	bad := uint8(0)
	take := func(width int) (v uint64) {
		for _, c := range b[:width] {
			n := nibbles[c]
			bad |= n
			v = v<<4 | uint64(n)
		}
		b = b[width:]
		return v
	}
	s.Group = int(take(stampGroup))
	s.Channel = int(take(stampChannel))
	s.Publisher = int(take(stampPublisher))
	s.Seq = uint32(take(stampSeq))
	s.Due = int64(take(stampDue))
	s.Class = channel.Class(take(stampClass))
	if bad > 15 {
		return stamp{}, errStamp
	}
	return s, nil
}
