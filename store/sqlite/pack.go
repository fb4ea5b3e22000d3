package sqlite

import (
	"crypto/sha1"
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

// pack gathers the commands of a channel that become one row.
type pack struct {
	first, last uint64 // versions
	body        []byte // the head before the first of them, then each with the head after it
}

func (p *pack) add(version uint64, base, at channel.Position, c *channel.Command) {
	if p.first == 0 {
		p.first = version
		p.body = appendPlace(p.body, base)
	}
	p.last = version
	p.body = appendCommand(p.body, c)
	p.body = appendPlace(p.body, at)
}

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
	dst = append(dst, bit(c.Binary))
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

// unpack reads the rows of one channel back: the head before the first command, and the commands.
func unpack(n channel.Name, epoch, first, last uint64, body []byte) (base channel.Position, kept []journal.Kept, err error) {
	r := unpacker{rest: body, epoch: epoch}
	base = r.place()
	for v := first; v <= last && !r.bad; v++ {
		c := r.command(n)
		kept = append(kept, journal.Kept{Version: journal.Version(v), Command: c, Head: r.place()})
	}
	if r.bad || len(r.rest) > 0 {
		return base, nil, errPack
	}
	return base, kept, nil
}

// unpacker reads what pack and stepPack wrote; bad is set once that is impossible.
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
	c.Binary = r.bytes(1)[0] == 1
	c.Body = r.bytes(r.uvarint())
	return c
}

// placeSeal binds bytes to their channel and version, as seal does for records.
func placeSeal(n channel.Name, version uint64, body []byte) int64 {
	h := sha1.New()
	head := binary.BigEndian.AppendUint64(make([]byte, 0, 8+channel.MaxName), version)
	h.Write(append(head, n...))
	h.Write(body)
	return int64(binary.BigEndian.Uint64(h.Sum(nil)))
}

// stepPack gathers the steps of one Commit, which become one row.
type stepPack struct {
	count int
	body  []byte
}

func (p *stepPack) add(n channel.Name, version uint64, head channel.Position, erased []uint64, access []channel.Access) {
	p.count++
	p.body = appendText(p.body, string(n))
	p.body = binary.AppendUvarint(p.body, version)
	p.body = appendPlace(p.body, head)
	p.body = binary.AppendUvarint(p.body, uint64(len(erased)))
	for _, offset := range erased {
		p.body = binary.AppendUvarint(p.body, offset)
	}
	p.body = binary.AppendUvarint(p.body, uint64(len(access)))
	for _, a := range access {
		p.body = append(appendText(p.body, a.User), byte(a.Rights))
	}
}

func unpackSteps(epoch uint64, mark journal.Mark, last uint64, body []byte) (steps []journal.Step, err error) {
	r := unpacker{rest: body, epoch: epoch}
	for ; mark.Seq <= last && !r.bad; mark.Seq++ {
		s := journal.Step{Mark: mark, Channel: channel.Name(r.text()), Version: journal.Version(r.uvarint())}
		s.Head = r.place()
		for count := r.uvarint(); count > 0 && !r.bad; count-- {
			s.Erased = append(s.Erased, r.uvarint())
		}
		for count := r.uvarint(); count > 0 && !r.bad; count-- {
			a := channel.Access{Channel: s.Channel, User: r.text(), Version: uint64(s.Version)}
			a.Rights = channel.Rights(r.bytes(1)[0])
			s.Access = append(s.Access, a)
		}
		steps = append(steps, s)
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errPack
	}
	return steps, nil
}

// blob is a body that is not NULL though it is empty.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
