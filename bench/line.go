package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"carillon/channel"
)

// state is how far a line has come.
type state uint8

const (
	down     state = iota
	queued         // waits for its turn to dial
	dialled        // the handshake is sent, or will be
	greeted        // upgraded, the greeting is sent
	entering       // asks to be let into a room
	joining        // the subscription is asked for
	open
)

// line is one connection.
type line struct {
	crowd    *crowd
	channel  int
	number   int
	fd       int
	node     int // of the cluster, from 0
	source   int
	attempts int
	state    state
	speaks   bool // does not subscribe
	slow     bool // does not read by itself
	was      bool // read slowly once: its receipts are late for a reason
	sip      int  // bytes read at a time while slow
	since    int64
	part     []byte // the beginning of a frame
	out      []byte // what the socket did not take
	after    channel.Position
	ledger   ledger
	user     string // as the server calls it; of services alone
	place    int    // among the publishers of its channel
	newest   uint64 // number of the newest message, or value of the counter
	summed   uint64 // number of the newest message, by the room's summary
	marked   uint64 // number said to be read, or value of the counter at the beginning
}

func (e *engine) dial(l *line, now int64) {
	l.attempts++
	l.since = now
	e.under++
	l.state = dialled
	fd, err := e.poll.dial(l.node, l.source)
	if err != nil {
		e.fail(l, err)
		return
	}
	l.fd = fd
	for len(e.byFD) <= fd {
		e.byFD = append(e.byFD, nil)
	}
	e.byFD[fd] = l
}

// hangUp closes the socket of a line and forgets what was on its way.
func (e *engine) hangUp(l *line) {
	if l.state > queued && l.state < open {
		e.under--
	}
	if l.fd >= 0 {
		e.byFD[l.fd] = nil
		e.poll.hangUp(l.fd)
	}
	l.fd, l.part, l.out = -1, nil, nil
}

// fail ends a line that could not be opened, or that broke; it is tried again where that makes sense.
func (e *engine) fail(l *line, err error) {
	was := l.state
	e.hangUp(l)
	l.state = down
	if was == open {
		if e.mark.Closed == nil {
			e.mark.Closed = map[int]uint64{}
		}
		var c *closed
		if errors.As(err, &c) {
			e.mark.Closed[c.code]++
		} else {
			e.mark.Closed[0]++
		}
		if !e.setup.Resume {
			return
		}
		l.attempts = 0
	} else {
		e.mark.Failed++
		e.mark.Failure = err.Error()
	}
	if l.attempts < maxRetry {
		l.state = queued
		l.since = e.now() + int64(retryAfter)*int64(1+l.attempts)
		e.later = append(e.later, l)
	}
}

// closed is a close frame of the server.
type closed struct {
	code   int
	reason string
}

func (c *closed) Error() string { return fmt.Sprintf("closed by the server: %d %s", c.code, c.reason) }

// serve handles an event of a line.
func (e *engine) serve(l *line, ev ready) {
	if ev.write {
		if l.state == dialled && l.out == nil {
			l.out = append(make([]byte, 0, len(e.opening)), e.opening...)
		}
		if !e.push(l) {
			return
		}
	}
	if ev.read && (!l.slow || l.state != open || ev.dead) {
		e.read(l, readBytes)
	}
}

// push writes what waits; false says that the line broke.
func (e *engine) push(l *line) bool {
	for len(l.out) > 0 {
		n, err := e.poll.write(l.fd, l.out)
		if errors.Is(err, errNoRoom) {
			return true
		}
		if err != nil {
			e.fail(l, err)
			return false
		}
		l.out = l.out[n:]
	}
	l.out = nil
	if err := e.poll.want(l.fd, !l.slow || l.state != open, false); err != nil {
		e.fail(l, err)
		return false
	}
	return true
}

// send frames a message and writes it, or what the socket takes of it.
func (e *engine) send(l *line, op byte, message []byte) {
	if len(l.out) > 0 {
		l.out = appendFrame(l.out, op, message)
		if len(l.out) > maxUnsent {
			e.fail(l, errors.New("the server stopped reading"))
		}
		return
	}
	e.payload = appendFrame(e.payload[:0], op, message)
	n, err := e.poll.write(l.fd, e.payload)
	if err != nil && !errors.Is(err, errNoRoom) {
		e.fail(l, err)
		return
	}
	if n < len(e.payload) {
		l.out = append([]byte(nil), e.payload[n:]...)
		if err := e.poll.want(l.fd, !l.slow, true); err != nil {
			e.fail(l, err)
		}
	}
}

// read reads once, at most most bytes. A level-triggered poller comes back if there was more.
func (e *engine) read(l *line, most int) {
	held := copy(e.buf, l.part)
	n, err := e.poll.read(l.fd, e.buf[held:min(held+most, len(e.buf))])
	if errors.Is(err, errNoRoom) {
		return
	}
	if err == nil && n == 0 {
		err = errors.New("the server hung up")
	}
	if err != nil {
		e.fail(l, err)
		return
	}
	b := e.buf[:held+n]
	used, err := e.consume(l, b)
	if err != nil {
		e.fail(l, err)
		return
	}
	if l.fd >= 0 {
		l.part = append(l.part[:0], b[used:]...)
		if len(l.part) == 0 && cap(l.part) > 4096 {
			l.part = nil
		}
	}
}

// consume handles the whole frames of b and returns how many bytes they were.
func (e *engine) consume(l *line, b []byte) (used int, err error) {
	if l.state == dialled {
		if used, err = e.upgrade(l, b); used == 0 || err != nil {
			return used, err
		}
	}
	now := e.now()
	var newest []byte
	for l.fd >= 0 {
		op, payload, size, err := nextFrame(b[used:])
		if err != nil {
			return used, err
		}
		if size == 0 {
			break
		}
		used += size
		isRecord, err := e.frame(l, op, payload, now)
		if err != nil {
			return used, err
		}
		if isRecord {
			newest = payload
		}
	}
	if newest != nil && e.setup.Resume {
		if r, ok := e.d.(resumer); ok {
			if at, ok := r.position(newest); ok {
				l.after = at
			}
		}
	}
	return used, nil
}

// upgrade reads the answer to the handshake.
func (e *engine) upgrade(l *line, b []byte) (used int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 101 ")) || !bytes.Contains(b[:end], []byte(handshakeAccept)) {
		text, _, _ := bytes.Cut(b, []byte("\r\n"))
		return 0, fmt.Errorf("the handshake was refused: %s", text)
	}
	l.state = greeted
	switch {
	case e.setup.Bare:
		e.ready(l)
	case e.facts.greets:
		e.scratch = e.d.greet(e.scratch[:0], l.number)
		e.send(l, e.facts.op, e.scratch)
	default:
		e.join(l)
	}
	return end + 4, nil
}

func (e *engine) join(l *line) {
	if l.speaks {
		e.ready(l)
		return
	}
	if l.crowd.Service == chessService {
		e.seat(l)
		return
	}
	if l.crowd.Service != "" {
		e.enter(l, entrances[l.crowd.Service])
		return
	}
	e.subscribe(l)
}

func (e *engine) subscribe(l *line) {
	l.state = joining
	e.scratch = e.d.subscribe(e.scratch[:0], l.crowd.names[l.channel], l.after)
	e.send(l, e.facts.op, e.scratch)
}

// ready ends the opening of a line.
func (e *engine) ready(l *line) {
	e.under--
	l.state = open
	record(e.opened, e.now()-l.since)
	if l.slow {
		if err := e.poll.want(l.fd, false, len(l.out) > 0); err != nil {
			e.fail(l, err)
		}
	}
}

// frame handles one frame; it tells records, of which the newest may be asked for its position.
func (e *engine) frame(l *line, op byte, payload []byte, now int64) (isRecord bool, err error) {
	switch op {
	case opClose:
		c := &closed{code: 1005}
		if len(payload) >= 2 {
			c.code, c.reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
		return false, c
	case opPing:
		e.send(l, opPong, payload)
		return false, nil
	case opPong:
		return false, nil
	}
	if l.crowd.Service != "" {
		return e.service(l, payload, now)
	}
	return e.understood(l, e.d.hear(payload), now)
}

// understood acts on a frame.
func (e *engine) understood(l *line, h heard, now int64) (isRecord bool, err error) {
	switch h.kind {
	case kindRecord:
		e.receipt(l, h.payload, now)
		return true, nil
	case kindReady:
		if l.state == greeted {
			e.join(l)
		}
	case kindJoined:
		if l.state == joining {
			e.joined(l, &h)
		}
	case kindTable:
		e.table(l, h.rows)
	case kindAck:
		e.mark.Acked += uint64(max(h.count, 1))
	case kindPing:
		e.send(l, e.facts.op, h.answer)
	case kindGap:
		l.ledger.gap(h.missing, h.unknown)
		l.after = h.at
	case kindRefused:
		e.mark.Refused++
		e.mark.Refusal = h.err.Error()
		if l.state != open {
			return false, h.err
		}
	}
	return false, nil
}

func (e *engine) joined(l *line, h *heard) {
	if l.after.IsZero() || h.missing > 0 || h.unknown {
		l.after = h.at
	}
	l.ledger.gap(h.missing, h.unknown)
	e.ready(l)
}

// receipt judges a record and books how long it took.
func (e *engine) receipt(l *line, payload []byte, now int64) {
	count, hist := &e.mark.Count, e.hist
	if l.crowd.Side || l.slow || l.was {
		count, hist = &e.mark.Side, e.side
	}
	s, err := readStamp(payload)
	if err != nil || len(payload) != e.setup.Payload {
		count.Foreign++
		return
	}
	switch s.Class {
	case channel.Logged:
		l.ledger.receipt(&s, count)
	case channel.Latest:
		l.ledger.replace(&s, count)
	default:
		count.Fleeting++
	}
	record(hist, now-s.Due)
}

// table takes a whole table of Latest records: what it holds is never older than what was seen.
func (e *engine) table(l *line, rows [][]byte) {
	for _, b := range rows {
		if s, err := readStamp(b); err == nil && s.Class == channel.Latest && !l.ledger.has(&s) {
			l.ledger.replace(&s, &e.mark.Count)
		}
	}
}
