package store

import (
	"encoding/binary"
	"errors"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// maxPack is about how many bytes of commands one row holds; a single command is always taken.
const maxPack = 256 << 10

// errPack says that a row does not hold what was written there.
var errPack = errors.New("the row was changed")

// CommandPack gathers the commands of a channel that become one row of commands. The zero value is empty.
type CommandPack struct {
	First, Last uint64 // versions; 0: nothing was added
	Body        []byte // the head before the first of them, then each with the head after it
}

// Add takes the command that led from the head base to version and the head at.
func (p *CommandPack) Add(version uint64, base, at channel.Position, c *channel.Command) {
	if p.First == 0 {
		p.First = version
		p.Body = appendPlace(p.Body, base)
	}
	p.Last = version
	p.Body = appendCommand(p.Body, c)
	p.Body = appendPlace(p.Body, at)
}

// Full tells that the row is large enough.
func (p *CommandPack) Full() bool { return len(p.Body) >= maxPack }

// Bits of the byte that says what a command is like.
const (
	packedBinary = 1 << iota
	packedLost   // how long follows, in ms
	packedWaited // the same, behind it
	packedTrip   // and behind that
	packedAll    = 1<<iota - 1
)

func appendPlace(dst []byte, p channel.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.AppendUvarint(dst, p.Offset), p.Tag)
}

func appendCommand(dst []byte, c *channel.Command) []byte {
	dst = appendText(dst, c.ID)
	dst = appendText(dst, c.User)
	dst = binary.AppendUvarint(dst, c.Origin)
	dst = binary.AppendVarint(dst, c.Time.UnixMilli())
	dst = binary.AppendUvarint(dst, c.Head)
	dst = append(dst, c.Seed[:]...)
	at := len(dst)
	dst = append(dst, bit(c.Binary)*packedBinary)
	waited := c.Waited
	if waited < channel.LeastWait {
		waited = 0
	}
	for i, d := range [...]time.Duration{c.Lost, waited, c.Trip} {
		if ms := d.Milliseconds(); ms != 0 {
			dst[at] |= packedLost << i
			dst = binary.AppendVarint(dst, ms)
		}
	}
	return append(binary.AppendUvarint(dst, uint64(len(c.Body))), c.Body...)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// unpack reads a row of commands of one channel back: the head before the first command, and the commands.
func unpack(n channel.Name, epoch uint64, row *CommandRow) (base channel.Position, kept []journal.Kept, err error) {
	r := unpacker{rest: row.Body, epoch: epoch}
	base = r.place()
	for v := row.First; v <= row.Last && !r.bad; v++ {
		c := r.command(n)
		kept = append(kept, journal.Kept{Version: journal.Version(v), Command: c, Head: r.place()})
	}
	if r.bad || len(r.rest) > 0 {
		return base, nil, errPack
	}
	return base, kept, nil
}

// unpacker reads what CommandPack and StepPack wrote; bad is set once that is impossible.
type unpacker struct {
	rest  []byte
	epoch uint64
	bad   bool
}

func (r *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *unpacker) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// bytes never returns fewer than n, so that callers need not look at bad first.
func (r *unpacker) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return make([]byte, min(n, 32))
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *unpacker) text() string { return string(r.bytes(r.uvarint())) }

func (r *unpacker) place() channel.Position {
	offset := r.uvarint()
	return channel.Position{Epoch: r.epoch, Offset: offset, Tag: binary.BigEndian.Uint64(r.bytes(8))}
}

func (r *unpacker) command(n channel.Name) channel.Command {
	c := channel.Command{Channel: n}
	c.ID = r.text()
	c.User = r.text()
	c.Origin = r.uvarint()
	c.Time = time.UnixMilli(r.varint()).UTC()
	c.Head = r.uvarint()
	copy(c.Seed[:], r.bytes(uint64(len(c.Seed))))
	like := r.bytes(1)[0]
	c.Binary = like&packedBinary != 0
	for i, d := range [...]*time.Duration{&c.Lost, &c.Waited, &c.Trip} {
		if like&(packedLost<<i) != 0 {
			*d = time.Duration(r.varint()) * time.Millisecond
		}
	}
	r.bad = r.bad || like > packedAll
	c.Body = r.bytes(r.uvarint())
	return c
}
