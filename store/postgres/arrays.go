package postgres

import (
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Nearly all that is written goes as columns: arrays of numbers and bytes. pgx takes them apart by reflection, a value at a time,
// into buffers that it grows from nothing for every statement and every batch; that was a third of the garbage of a process at
// work. The formats are those of array_send and of its elements' send functions (PostgreSQL, src/backend/utils/adt/arrayfuncs.c).

// writeArrays has the connection of a map encode the arrays that statements here take by the functions below. Strings are
// bytes, which saves who has them a copy of each.
func writeArrays(types *pgtype.Map) {
	room := new(paramBuffer)
	write(types, room, pgtype.Int8ArrayOID, appendInt8s)
	write(types, room, pgtype.Int4ArrayOID, appendInt4s)
	write(types, room, pgtype.BoolArrayOID, appendBools)
	write(types, room, pgtype.ByteaArrayOID, appendByteas)
	write(types, room, pgtype.ByteaArrayOID, appendStrings)
}

func write[T any](types *pgtype.Map, room *paramBuffer, oid uint32, encode func(dst []byte, all []T) []byte) {
	t, _ := types.TypeForOID(oid) // it is there in every map
	types.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: arrays[T]{t.Codec, room, encode}})
}

// arrays is a codec that encodes a []T itself, as the plan of doing so, and leaves all else to another. What is nil never comes
// to it: that is NULL.
type arrays[T any] struct {
	pgtype.Codec
	room   *paramBuffer
	encode func(dst []byte, all []T) []byte
}

// PlanEncode is pgtype.Codec's.
func (c arrays[T]) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.([]T); ok && format == pgtype.BinaryFormatCode {
		return c
	}
	return c.Codec.PlanEncode(m, oid, format, value)
}

// Encode is pgtype.EncodePlan's.
func (c arrays[T]) Encode(value any, dst []byte) ([]byte, error) {
	return c.room.keep(c.encode(c.room.lend(dst), value.([]T))), nil
}

// paramBuffer holds the parameters of a statement of one connection while they are encoded. pgx has written them when it
// begins with the next statement: it uses its own buffer so, unless that became large.
type paramBuffer struct{ b []byte }

const maxParamBuffer = 64 << 10

// lend gives a buffer that begins with dst, which is the buffer itself behind the first parameter of a statement.
func (p *paramBuffer) lend(dst []byte) []byte {
	if cap(dst) >= cap(p.b) {
		return dst
	}
	return append(p.b[:0], dst...)
}

// keep notes a buffer that has grown, and gives it back.
func (p *paramBuffer) keep(b []byte) []byte {
	if cap(b) > cap(p.b) && cap(b) <= maxParamBuffer {
		p.b = b[:0]
	}
	return b
}

// arrayHead begins an array of one dimension, with room for its elements of size bytes in all.
func arrayHead(dst []byte, element uint32, n, size int, nulls bool) []byte {
	dst = slices.Grow(dst, 20+4*n+size)
	var flags uint32
	if nulls {
		flags = 1
	}
	for _, v := range [...]uint32{1, flags, element, uint32(n), 1} { // one dimension, counted from one
		dst = binary.BigEndian.AppendUint32(dst, v)
	}
	return dst
}

func appendInt8s(dst []byte, all []int64) []byte {
	dst = arrayHead(dst, pgtype.Int8OID, len(all), 8*len(all), false)
	for _, v := range all {
		dst = binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(v))
	}
	return dst
}

func appendInt4s(dst []byte, all []int32) []byte {
	dst = arrayHead(dst, pgtype.Int4OID, len(all), 4*len(all), false)
	for _, v := range all {
		dst = binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(v))
	}
	return dst
}

func appendBools(dst []byte, all []bool) []byte {
	dst = arrayHead(dst, pgtype.BoolOID, len(all), len(all), false)
	for _, v := range all {
		dst = append(dst, 0, 0, 0, 1, 0)
		if v {
			dst[len(dst)-1] = 1
		}
	}
	return dst
}

// appendStrings writes strings as bytea.
func appendStrings(dst []byte, all []string) []byte {
	size := 0
	for _, v := range all {
		size += len(v)
	}
	dst = arrayHead(dst, pgtype.ByteaOID, len(all), size, false)
	for _, v := range all {
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(v))), v...)
	}
	return dst
}

// appendByteas writes an element that is nil as NULL.
func appendByteas(dst []byte, all [][]byte) []byte {
	size, nulls := 0, false
	for _, v := range all {
		size += len(v)
		nulls = nulls || v == nil
	}
	dst = arrayHead(dst, pgtype.ByteaOID, len(all), size, nulls)
	for _, v := range all {
		if v == nil {
			dst = binary.BigEndian.AppendUint32(dst, ^uint32(0))
			continue
		}
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(v))), v...)
	}
	return dst
}

// outBuffer is a message without a byte that brings the buffer of what follows it.
type outBuffer struct{ b []byte }

const outBufferSize = 64 << 10

// lendBuffer has the next batch of a connection written into a buffer that stays with the connection.
func lendBuffer(conn *pgx.Conn) {
	const key = "carillon out"
	kept := conn.PgConn().CustomData()
	m, ok := kept[key].(*outBuffer)
	if !ok {
		m = &outBuffer{make([]byte, 0, outBufferSize)}
		kept[key] = m
	}
	conn.PgConn().Frontend().Send(m)
}

// Frontend, Decode and Encode are pgproto3.FrontendMessage's.
func (*outBuffer) Frontend() {}

// Decode is never called.
func (*outBuffer) Decode([]byte) error { return nil }

// Encode goes on behind dst in its own buffer. Whoever has it is done with it when the batch is written.
func (m *outBuffer) Encode(dst []byte) ([]byte, error) { return append(m.b[:0], dst...), nil }
