package backbone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

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

// RecordSize is the length of the form of a record in bytes.
func RecordSize(r *channel.Record) int {
	return beforeBytes + PlaceBytes + leastBehind + len(r.Channel) + len(r.From) + len(r.Key) + len(r.Body)
}

// AppendBefore appends what stands before the place of a record in its form.
func AppendBefore(dst []byte, r *channel.Record) []byte {
	size := RecordSize(r)
	dst = binary.BigEndian.AppendUint32(slices.Grow(dst, size), uint32(size-lengthBytes))
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

// ParseRecords reads all records of s, or none: then the error is an ErrForm that says why. Whatever s holds, it allocates
// no more than s is worth: senders, keys and bodies are parts of s. So nobody may write to a body. A record of the channel
// n, which may be "", has that very name.
func ParseRecords(s string, n channel.Name) ([]channel.Record, error) {
	var rs []channel.Record
	for len(s) > 0 {
		if len(s) < lengthBytes {
			return nil, fmt.Errorf("%w: %d bytes are left over", ErrForm, len(s))
		}
		c := cut{left: s}
		size := int(c.number(lengthBytes))
		if s = s[lengthBytes:]; size > len(s) || size > MaxRecord-lengthBytes {
			return nil, fmt.Errorf("%w: %d bytes of a record of %d", ErrForm, len(s), size)
		}
		r, err := parseRecord(s[:size], n)
		if err != nil {
			return nil, err
		}
		rs, s, n = append(rs, r), s[size:], r.Channel
	}
	return rs, nil
}

// parseRecord reads a form behind its length.
func parseRecord(s string, n channel.Name) (r channel.Record, err error) {
	c := cut{left: s}
	version, flags := c.number(1), c.number(1)
	if c.short || version != formVersion || flags&^(flagClass|flagNoEcho|flagBinary) != 0 || flags&flagClass > uint64(channel.Fleeting) {
		return r, fmt.Errorf("%w: version %d, flags %#x", ErrForm, version, flags)
	}
	r.Class, r.NoEcho, r.Binary = channel.Class(flags&flagClass), flags&flagNoEcho != 0, flags&flagBinary != 0
	r.At = channel.Position{Epoch: c.number(8), Offset: c.number(8), Tag: c.number(8)}
	r.Prev, r.Rev = c.number(8), c.number(8)
	r.Time = time.UnixMilli(int64(c.number(8))).UTC()
	r.Origin = c.number(8)
	name := c.take(int(c.number(1)))
	r.From = c.take(int(c.number(2)))
	r.Key = c.take(int(c.number(2)))
	if c.short {
		return r, fmt.Errorf("%w: it ends within a field", ErrForm)
	}
	if r.Channel = n; name != string(n) || n == "" {
		if r.Channel, err = channel.ParseName(strings.Clone(name)); err != nil { // a name may live longer than s should
			return r, fmt.Errorf("%w: %w", ErrForm, err)
		}
	}
	if len(c.left) > 0 {
		r.Body = unsafe.Slice(unsafe.StringData(c.left), len(c.left))
	}
	return r, nil
}

// cut takes fields off the front; short is set when one was not there.
type cut struct {
	left  string
	short bool
}

func (c *cut) take(n int) string {
	if n > len(c.left) {
		c.short, c.left = true, ""
		return ""
	}
	field := c.left[:n]
	c.left = c.left[n:]
	return field
}

// number takes a number of so many bytes; 0, where they are not there.
func (c *cut) number(bytes int) (v uint64) {
	for _, b := range []byte(c.take(bytes)) {
		v = v<<8 | uint64(b)
	}
	return v
}
