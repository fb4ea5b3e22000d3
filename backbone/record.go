package backbone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"carillon/channel"
)

// The form of a record, numbers big-endian:
//
//	length   4  of everything behind it
//	version  1  formVersion
//	flags    1  the class in the lowest two bits, flagNoEcho, flagBinary
//	epoch, offset, tag, prev, rev, time   8 each; time in ms since 1970
//	origin   8
//	name     1 for its length, then the bytes
//	from     2 for its length, then the bytes
//	key      2 for its length, then the bytes
//	body     the rest
//
// What only a script in Redis knows (epoch to time) stands together: the script puts its PlaceBytes between what
// AppendBefore and AppendBehind wrote.
const (
	formVersion = 1
	flagClass   = 3
	flagNoEcho  = 1 << 2
	flagBinary  = 1 << 3

	lengthBytes = 4
	beforeBytes = lengthBytes + 2
	// PlaceBytes is the length of epoch, offset, tag, prev, rev and time.
	PlaceBytes  = 6 * 8
	leastBehind = 8 + 1 + 2 + 2

	// MaxRecord is the longest form of a record in bytes; longer ones are not read.
	MaxRecord = 16 << 20
)

// ErrForm says that bytes from Redis are no records of a known version.
var ErrForm = errors.New("not a record of a version known here; do all nodes run the same build?")

// AppendRecord appends the form of a record to dst. Forms simply follow one another; ParseRecords reads them all. ID, Age
// and Came are not part of it. The name is a valid one, From and Key have at most 65,535 bytes.
func AppendRecord(dst []byte, r *channel.Record) []byte {
	dst = AppendBefore(dst, r)
	dst = binary.BigEndian.AppendUint64(dst, r.At.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, r.At.Offset)
	dst = binary.BigEndian.AppendUint64(dst, r.At.Tag)
	dst = binary.BigEndian.AppendUint64(dst, r.Prev)
	dst = binary.BigEndian.AppendUint64(dst, r.Rev)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Time.UnixMilli()))
	return AppendBehind(dst, r)
}

// AppendBefore appends what stands before the place of a record in its form.
func AppendBefore(dst []byte, r *channel.Record) []byte {
	size := beforeBytes - lengthBytes + PlaceBytes + leastBehind + len(r.Channel) + len(r.From) + len(r.Key) + len(r.Body)
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	flags := byte(r.Class)
	if r.NoEcho {
		flags |= flagNoEcho
	}
	if r.Binary {
		flags |= flagBinary
	}
	return append(dst, formVersion, flags)
}

// AppendBehind appends what stands behind the place of a record in its form.
func AppendBehind(dst []byte, r *channel.Record) []byte {
	dst = binary.BigEndian.AppendUint64(dst, r.Origin)
	dst = append(dst, byte(len(r.Channel)))
	dst = append(dst, r.Channel...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.From)))
	dst = append(dst, r.From...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Key)))
	dst = append(dst, r.Key...)
	return append(dst, r.Body...)
}

// ParseRecords reads all records of b, or none: then the error is an ErrForm that says why. Whatever b holds, it allocates
// no more than b is worth. Bodies lie in b, which must not change afterwards.
func ParseRecords(b []byte) ([]channel.Record, error) {
	var rs []channel.Record
	for len(b) > 0 {
		if len(b) < lengthBytes {
			return nil, fmt.Errorf("%w: %d bytes are left over", ErrForm, len(b))
		}
		size := int(binary.BigEndian.Uint32(b))
		if b = b[lengthBytes:]; size > len(b) || size > MaxRecord-lengthBytes {
			return nil, fmt.Errorf("%w: %d bytes of a record of %d", ErrForm, len(b), size)
		}
		r, err := parseRecord(b[:size:size])
		if err != nil {
			return nil, err
		}
		rs, b = append(rs, r), b[size:]
	}
	return rs, nil
}

// parseRecord reads a form behind its length.
func parseRecord(b []byte) (r channel.Record, err error) {
	c := cut{left: b}
	version, flags := c.byte(), c.byte()
	if c.short || version != formVersion || flags&^(flagClass|flagNoEcho|flagBinary) != 0 || flags&flagClass > byte(channel.Fleeting) {
		return r, fmt.Errorf("%w: version %d, flags %#x", ErrForm, version, flags)
	}
	r.Class, r.NoEcho, r.Binary = channel.Class(flags&flagClass), flags&flagNoEcho != 0, flags&flagBinary != 0
	r.At = channel.Position{Epoch: c.word(), Offset: c.word(), Tag: c.word()}
	r.Prev, r.Rev = c.word(), c.word()
	r.Time = time.UnixMilli(int64(c.word())).UTC()
	r.Origin = c.word()
	name := c.take(int(c.byte()))
	r.From = string(c.take(c.half()))
	r.Key = string(c.take(c.half()))
	if c.short {
		return r, fmt.Errorf("%w: it ends within a field", ErrForm)
	}
	if r.Channel, err = channel.ParseName(string(name)); err != nil {
		return r, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if len(c.left) > 0 {
		r.Body = c.left
	}
	return r, nil
}

// cut takes fields off the front; short is set when one was not there.
type cut struct {
	left  []byte
	short bool
}

func (c *cut) take(n int) []byte {
	if n > len(c.left) {
		c.short, c.left = true, nil
		return nil
	}
	field := c.left[:n:n]
	c.left = c.left[n:]
	return field
}

func (c *cut) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cut) half() int {
	if b := c.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cut) word() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
