package ws

import (
	"encoding/binary"
	"unicode/utf8"

	"carillon/gateway/transport"
)

// Opcodes, RFC 6455 section 5.2.
const (
	opContinuation byte = 0
	opText         byte = 1
	opBinary       byte = 2
	opClose        byte = 8
	opPing         byte = 9
	opPong         byte = 10
)

const (
	finBit     byte = 0x80
	rsvBits    byte = 0x70
	maskBit    byte = 0x80
	maxControl      = 125 // bytes of a control frame's payload
)

// Framing frames messages for a client: unmasked, one frame each.
type Framing struct{}

var _ transport.Framing = Framing{}

// AppendMessage appends one text or binary frame.
func (Framing) AppendMessage(dst, payload []byte, bin bool) []byte {
	op := opText
	if bin {
		op = opBinary
	}
	return append(appendHeader(dst, finBit|op, len(payload)), payload...)
}

// AppendClose appends a close frame. Code 0 stands for a frame without one; a reason beyond 123 bytes is cut.
func (Framing) AppendClose(dst []byte, code int, reason string) []byte {
	if code == 0 {
		return appendHeader(dst, finBit|opClose, 0)
	}
	if len(reason) > maxControl-2 {
		n := maxControl - 2
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = appendHeader(dst, finBit|opClose, 2+len(reason))
	dst = append(dst, byte(code>>8), byte(code))
	return append(dst, reason...)
}

func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, first, byte(n))
	case n < 1<<16:
		return append(dst, first, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
}

// mask applies the masking key to b, whose first byte is number pos of the payload (pos counts modulo 4), and returns pos behind b.
func mask(b []byte, key [4]byte, pos uint8) uint8 {
	end := uint8(int(pos)+len(b)) & 3
	for len(b) > 0 && pos&3 != 0 {
		b[0] ^= key[pos&3]
		b = b[1:]
		pos++
	}
	word := uint64(binary.LittleEndian.Uint32(key[:]))
	word |= word << 32
	for len(b) >= 32 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^word)
		binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b[16:])^word)
		binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])^word)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
	return end
}
