package ws

import (
	"encoding/binary"
	"errors"
	"sync"
	"unicode/utf8"

	"carillon/gateway/transport"
)

// events receives what a parser finds. Slices are valid only during the call. An error stops the parser and is returned by feed.
type events interface {
	message(b []byte, bin bool) error
	ping(payload []byte) error
	pong() error
	closing(payload []byte) error
}

// errStopped is what a closing event returns: nothing after the close frame is looked at.
var errStopped = errors.New("peer closes")

// parser turns a peer's bytes into events, however they are cut. It holds memory only for what has arrived of a
// frame or message that is not whole yet.
type parser struct {
	head    [14]byte // bytes of an incomplete header
	heads   uint8
	op      byte // of the current frame
	fin     bool
	inside  bool // the header is done, payload follows
	maskPos uint8
	msgOp   byte // of the message that is not complete, 0 for none
	key     [4]byte
	frags   int32
	left    uint64 // payload bytes of the current frame still to come
	msg     []byte // what there is of the message
	checked int    // bytes of msg that are whole, valid UTF-8
	ctl     []byte // what there is of a control frame that came in pieces
}

func violation(code int, reason string) error {
	return &transport.CloseError{Code: code, Reason: reason}
}

// feed parses b, which it unmasks in place.
func (p *parser) feed(b []byte, o *Options, ev events) error {
	for len(b) > 0 {
		if !p.inside {
			n, err := p.header(b, o)
			if err != nil {
				return err
			}
			b = b[n:]
			if !p.inside {
				return nil
			}
		}
		n := len(b)
		if uint64(n) > p.left {
			n = int(p.left)
		}
		chunk := b[:n]
		b = b[n:]
		if n == 0 && p.left > 0 {
			return nil
		}
		if err := p.payload(chunk, ev); err != nil {
			return err
		}
	}
	return nil
}

// header takes bytes until the frame's header is whole and judges each part of it as soon as it is there.
func (p *parser) header(b []byte, o *Options) (n int, err error) {
	for need := 2; ; {
		for int(p.heads) < need {
			if n == len(b) {
				return n, nil
			}
			k := copy(p.head[p.heads:need], b[n:])
			p.heads += uint8(k)
			n += k
		}
		if need > 2 {
			break
		}
		if err := p.judge(p.head[0], p.head[1]); err != nil {
			return n, err
		}
		need = 6
		switch p.head[1] &^ maskBit {
		case 126:
			need = 8
		case 127:
			need = 14
		}
	}
	return n, p.begin(o)
}

// judge looks at the first two bytes of a frame.
func (p *parser) judge(b0, b1 byte) error {
	op, fin := b0&0x0f, b0&finBit != 0
	switch {
	case b0&rsvBits != 0:
		return violation(codeProtocol, "reserved bit set without an extension")
	case op > opBinary && op < opClose || op > opPong:
		return violation(codeProtocol, "unknown opcode")
	case b1&maskBit == 0:
		return violation(codeProtocol, "frame is not masked")
	case op >= opClose && !fin:
		return violation(codeProtocol, "control frame is fragmented")
	case op >= opClose && b1&^maskBit > maxControl:
		return violation(codeProtocol, "control frame is too long")
	case op == opContinuation && p.msgOp == 0:
		return violation(codeProtocol, "continuation of nothing")
	case (op == opText || op == opBinary) && p.msgOp != 0:
		return violation(codeProtocol, "new message inside a message")
	}
	p.op, p.fin = op, fin
	return nil
}

// begin looks at the length of a frame whose header is whole.
func (p *parser) begin(o *Options) error {
	size := uint64(p.head[1] &^ maskBit)
	least := uint64(0)
	switch size {
	case 126:
		size, least = uint64(binary.BigEndian.Uint16(p.head[2:])), 126
	case 127:
		size, least = binary.BigEndian.Uint64(p.head[2:]), 1<<16
	}
	switch {
	case size >= 1<<63:
		return violation(codeProtocol, "length has its top bit set")
	case size < least:
		return violation(codeProtocol, "length is not encoded minimally")
	}
	if p.op < opClose {
		if size > uint64(o.MaxMessage-len(p.msg)) {
			return violation(codeTooBig, "message is too big")
		}
		if p.frags++; int(p.frags) > o.MaxFragments {
			return violation(codePolicy, "message has too many fragments")
		}
		if p.op != opContinuation {
			p.msgOp = p.op
		}
	}
	copy(p.key[:], p.head[p.heads-4:p.heads])
	p.left, p.inside, p.heads, p.maskPos = size, true, 0, 0
	return nil
}

// payload takes the next bytes of the current frame.
func (p *parser) payload(chunk []byte, ev events) error {
	p.maskPos = mask(chunk, p.key, p.maskPos)
	p.left -= uint64(len(chunk))
	whole := p.left == 0
	if whole {
		p.inside = false
	}
	if p.op >= opClose {
		return p.control(chunk, whole, ev)
	}
	if whole && p.fin && p.msg == nil {
		op := p.msgOp
		p.msgOp, p.frags = 0, 0
		if op == opText && !utf8.Valid(chunk) {
			return violation(codeInvalid, "text is not UTF-8")
		}
		return ev.message(chunk, op == opBinary)
	}
	p.keep(chunk)
	if p.msgOp == opText {
		if err := p.check(whole && p.fin); err != nil {
			return err
		}
	}
	if !whole || !p.fin {
		return nil
	}
	msg, op := p.msg, p.msgOp
	p.msg, p.msgOp, p.frags, p.checked = nil, 0, 0, 0
	err := ev.message(msg, op == opBinary)
	putAssembly(msg)
	return err
}

func (p *parser) control(chunk []byte, whole bool, ev events) error {
	if !whole || len(p.ctl) > 0 {
		p.ctl = append(p.ctl, chunk...)
		chunk = p.ctl
	}
	if !whole {
		return nil
	}
	p.ctl = nil
	switch p.op {
	case opPing:
		return ev.ping(chunk)
	case opPong:
		return ev.pong()
	}
	return ev.closing(chunk)
}

// check validates what came since the last call, as far as it can: an invalid byte is found at once, a rune that is
// not complete waits for its rest.
func (p *parser) check(end bool) error {
	b := p.msg[p.checked:]
	n := len(b)
	for i := 1; i < utf8.UTFMax && i <= len(b) && !end; i++ {
		if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				n -= i
			}
			break
		}
	}
	if !utf8.Valid(b[:n]) {
		return violation(codeInvalid, "text is not UTF-8")
	}
	p.checked += n
	return nil
}

const (
	leastAssembly = 4 << 10
	mostAssembly  = 64 << 10 // a bigger buffer is left to the collector
)

var assemblies = sync.Pool{New: func() any { b := make([]byte, 0, leastAssembly); return &b }}

// keep appends chunk to the message. The buffer grows with what arrives, never with what a header promises.
func (p *parser) keep(chunk []byte) {
	if p.msg == nil {
		p.msg = (*assemblies.Get().(*[]byte))[:0]
	}
	p.msg = append(p.msg, chunk...)
}

func putAssembly(b []byte) {
	if cap(b) <= mostAssembly {
		b = b[:0]
		assemblies.Put(&b)
	}
}

// release gives back what a dead connection held.
func (p *parser) release() {
	if p.msg != nil {
		putAssembly(p.msg)
	}
	p.msg, p.ctl = nil, nil
}
