package app

import (
	"encoding/binary"
	"errors"
	"fmt"

	"carillon/channel"
)

// AppendText appends a text, or any bytes, with their length before them, as Text and Bytes of a SnapshotReader take them.
func AppendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// AppendFlags appends up to eight flags as a byte, the first as its lowest bit.
func AppendFlags(dst []byte, bits ...bool) []byte {
	b := byte(0)
	for i, on := range bits {
		if on {
			b |= 1 << i
		}
	}
	return append(dst, b)
}

// SnapshotReader takes a snapshot apart that was written as a version, numbers as varints, and texts with their length. After its first
// error everything reads as zero; End tells of it.
type SnapshotReader struct {
	rest []byte
	err  error
}

// ReadSnapshot begins with the version, a byte. A higher one is the work of a newer program.
func ReadSnapshot(b []byte, version byte) SnapshotReader {
	r := SnapshotReader{rest: b}
	if v := r.Byte(); r.err == nil && v != version {
		r.fail(errVersion)
	}
	return r
}

var (
	errVersion = errors.New("it was written by a newer version: run that one")
	errDamaged = errors.New("it is damaged: take the one before it, or a backup")
)

// End is the error of the whole, if any: also where something is left.
func (r *SnapshotReader) End(n channel.Name) error {
	r.Must(len(r.rest) == 0)
	if r.err != nil {
		return fmt.Errorf("the snapshot of %s cannot be read: %w", n, r.err)
	}
	return nil
}

func (r *SnapshotReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// Failed tells whether something was wrong so far.
func (r *SnapshotReader) Failed() bool { return r.err != nil }

// Must fails where a state is none that steps lead to. It tells whether nothing was wrong so far.
func (r *SnapshotReader) Must(ok bool) bool {
	if !ok {
		r.fail(errDamaged)
	}
	return r.err == nil
}

// Byte takes a byte.
func (r *SnapshotReader) Byte() byte {
	if !r.Must(len(r.rest) > 0) {
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// Below takes a byte that stands for one of so many things.
func (r *SnapshotReader) Below(n int) byte {
	if b := r.Byte(); r.Must(int(b) < n) {
		return b
	}
	return 0
}

// Int takes a number that binary.AppendVarint wrote.
func (r *SnapshotReader) Int() int64 {
	v, n := binary.Varint(r.rest)
	if !r.Must(n > 0) {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Uint takes a number that binary.AppendUvarint wrote.
func (r *SnapshotReader) Uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if !r.Must(n > 0) {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Count is a Uint of things of which each takes at least one byte.
func (r *SnapshotReader) Count() int {
	if n := r.Uint(); r.Must(n <= uint64(len(r.rest))) {
		return int(n)
	}
	return 0
}

// Bytes takes what AppendText wrote. They are valid as long as the snapshot.
func (r *SnapshotReader) Bytes() []byte {
	n := r.Count()
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// Text is Bytes as a string.
func (r *SnapshotReader) Text() string { return string(r.Bytes()) }
