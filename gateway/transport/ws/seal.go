package ws

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

const (
	sealBytes   = 64 << 10 // of records that wait for the socket; more are sealed only when none wait
	sealReserve = 4 << 10  // beyond those, for what crypto/tls writes by itself: key updates and alerts
	sealPlain   = 62 << 10 // plaintext sealed at a time: with the overhead of its records it fits sealBytes
)

var sealed = sync.Pool{New: func() any { b := make([]byte, 0, sealBytes+sealReserve); return &b }}

// sealer is TLS between a conn and its socket. It is a writer on top of a writer: bytes are sealed into a buffer, which
// is nobody's while it is empty, and count as written then; a goroutine carries out what the socket did not take. For
// reading it hands the tls.Conn what was received and takes "no more now" for an answer, so that nobody waits within
// crypto/tls and an idle line holds no buffer of ours.
type sealer struct {
	c   *conn
	tc  *tls.Conn
	out writer    // of the socket
	vec [1][]byte // what out writes; belongs to who is busy

	mu    sync.Mutex // guards the fields up to err
	still sync.Cond  // on mu: busy ended
	buf   *[]byte    // nil while no records wait
	sent  int        // bytes of buf that are out
	limit int        // of buf's length
	busy  bool       // somebody seals, or touches the socket, or waits for it
	owed  bool       // a write was short meanwhile: Writable is due
	done  bool       // finish was called
	shut  bool       // the last alert is sealed
	err   error

	in      *[]byte // records received and not opened yet, from at to end; these belong to the reader
	at, end int
	dry     bool // crypto/tls waits for more of them
}

// seal puts a sealer between the TLS connection and its socket. From now on none of tc's methods blocks.
func (tc *tlsConn) seal(c *conn, out writer) *sealer {
	s := &sealer{c: c, tc: tc.Conn, out: out, limit: sealReserve}
	s.still.L = &s.mu
	tc.carrier.sealer = s
	return s
}

// errSealFull ends a line whose peer makes crypto/tls answer and does not read.
var errSealFull = errors.New("the peer does not read what TLS has to say")

// take is carrier.Write: crypto/tls has sealed a record.
func (s *sealer) take(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case s.shut:
		return len(b), nil // nothing follows the last alert
	case s.buf == nil:
		s.buf, s.sent = sealed.Get().(*[]byte), 0
	}
	if len(*s.buf)+len(b) > s.limit {
		s.err = errSealFull
		return 0, s.err
	}
	*s.buf = append(*s.buf, b...)
	return len(b), nil
}

// write implements writer; it calls Writable itself.
func (s *sealer) write(bufs [][]byte) (n int, full bool, err error) {
	src := plain{bufs: bufs}
	for !src.empty() {
		if free, err := s.enter(); err != nil || !free {
			return n, false, err
		}
		k, err := s.seal(&src)
		n += k
		if err != nil {
			s.fail(err)
			return n, false, err
		}
		if over, _ := s.settle(); !over {
			s.drain()
		}
	}
	return n, false, nil
}

// enter makes the caller the busy one, if nobody is; a short write is noted.
func (s *sealer) enter() (free bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil || s.done:
		return false, net.ErrClosed
	case s.busy:
		s.owed = true
		return false, nil
	}
	s.busy = true
	s.limit = sealBytes + sealReserve
	return true, nil
}

// seal seals the next bytes of src.
func (s *sealer) seal(src *plain) (int, error) {
	scratch := spills.Get().(*[]byte)
	chunk := src.next((*scratch)[:0])
	_, err := s.tc.Write(chunk)
	spills.Put(scratch)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.buf != nil {
		s.limit = min(len(*s.buf)+sealReserve, sealBytes+sealReserve)
	}
	s.mu.Unlock()
	return len(chunk), nil
}

// settle gets out what is sealed; the caller is the busy one. over says that it is that no more, and owed that Writable
// is due; else the socket is full and drain must follow.
func (s *sealer) settle() (over, owed bool) {
	s.mu.Lock()
	for s.err == nil {
		if s.buf != nil && s.sent < len(*s.buf) {
			s.vec[0] = (*s.buf)[s.sent:]
			s.mu.Unlock()
			n, full, err := s.out.write(s.vec[:])
			s.vec[0] = nil
			s.mu.Lock()
			s.sent += n
			if err != nil {
				s.err = err
			} else if full {
				s.mu.Unlock()
				return false, false
			}
			continue
		}
		s.empty()
		if !s.done || s.shut {
			break
		}
		s.mu.Unlock()
		_ = s.tc.CloseWrite() // fails only if TLS has failed, and then there is nothing to say
		s.mu.Lock()
		s.shut = true
	}
	last, owed := s.shut, s.owed
	err := s.err
	s.busy, s.owed = false, false
	s.still.Broadcast()
	s.mu.Unlock()
	switch {
	case err != nil:
		s.c.setFlag(broken)
		return true, false
	case last:
		s.out.finish()
		return true, false
	}
	return true, owed
}

// empty gives the buffer back. The caller holds mu.
func (s *sealer) empty() {
	s.limit = sealReserve
	if s.buf != nil {
		*s.buf = (*s.buf)[:0]
		sealed.Put(s.buf)
		s.buf = nil
	}
}

// fail ends the busy one's turn for good.
func (s *sealer) fail(err error) {
	s.c.setFlag(broken)
	s.mu.Lock()
	s.busy = false
	if s.err == nil {
		s.err = err
	}
	s.still.Broadcast()
	s.mu.Unlock()
}

// drain makes a goroutine the busy one, until the records are out.
func (s *sealer) drain() {
	s.c.waiters.Add(1)
	if s.c.is(gone) {
		s.c.leave()
		s.fail(net.ErrClosed)
		return
	}
	go s.carryOut()
}

func (s *sealer) carryOut() {
	defer s.c.leave()
	for {
		if err := s.out.await(); err != nil {
			s.fail(err)
			return
		}
		if over, owed := s.settle(); over {
			if owed && s.c.setFlag(owing)&accepted != 0 {
				s.c.guard(s.c.inbox.Writable)
			}
			return
		}
	}
}

// push gets out what reading made crypto/tls say, unless somebody is about it already.
func (s *sealer) push() error {
	s.mu.Lock()
	if s.err != nil || s.busy || s.buf == nil {
		err := s.err
		s.mu.Unlock()
		return err
	}
	s.busy = true
	s.mu.Unlock()
	over, owed := s.settle()
	if !over {
		s.drain()
	}
	if owed && s.c.setFlag(owing)&accepted != 0 {
		s.c.wait()
	}
	return nil
}

// await implements writer.
func (s *sealer) await() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy {
		s.still.Wait()
	}
	return s.err
}

// finish implements writer: the last alert, then the end of TCP.
func (s *sealer) finish() {
	s.mu.Lock()
	s.done = true
	mine := !s.busy && s.err == nil
	s.busy = s.busy || mine
	s.mu.Unlock()
	if mine {
		if over, _ := s.settle(); !over {
			s.drain()
		}
	}
}

// noneNow tells crypto/tls that a record is not whole yet. It asks again with the next Read.
type noneNow struct{}

func (noneNow) Error() string   { return "nothing more was received" }
func (noneNow) Timeout() bool   { return false }
func (noneNow) Temporary() bool { return true }

// feed is carrier.Read.
func (s *sealer) feed(b []byte) (int, error) {
	if s.in == nil {
		return 0, noneNow{}
	}
	n := copy(b, (*s.in)[s.at:s.end])
	if s.at += n; s.at == s.end {
		s.release()
	}
	return n, nil
}

// release gives back what was received.
func (s *sealer) release() {
	if s.in != nil {
		readBuffers.Put(s.in)
		s.in = nil
	}
}

// receive is conn.receive: it opens what is there before it waits for more.
func (s *sealer) receive() error {
	c := s.c
	for {
		for !s.dry {
			buf := readBuffers.Get().(*[]byte)
			n, err := s.tc.Read(*buf)
			if lost := s.push(); n == 0 && lost != nil {
				err = lost
			}
			if n > 0 {
				c.buf, c.n = buf, n
				return nil // err comes again with the next read
			}
			readBuffers.Put(buf)
			switch {
			case errors.Is(err, noneNow{}):
				s.dry = true
			case err != nil:
				s.release()
				return hangup(err)
			}
		}
		if err := c.receiveRaw(); err != nil {
			return err
		}
		s.in, s.at, s.end = c.buf, 0, c.n
		c.buf, s.dry = nil, false
	}
}

// plain gives the bytes of many buffers in chunks to seal: small frames share a record.
type plain struct {
	bufs [][]byte
	off  int // bytes of the first that are done
}

func (p *plain) empty() bool { return len(p.bufs) == 0 }

// next returns at most sealPlain bytes, in scratch if they come from more than one buffer.
func (p *plain) next(scratch []byte) []byte {
	if first := p.bufs[0][p.off:]; len(p.bufs) == 1 || len(first) >= sealPlain {
		n := min(len(first), sealPlain)
		p.skip(n)
		return first[:n]
	}
	for len(p.bufs) > 0 && len(scratch) < sealPlain {
		first := p.bufs[0][p.off:]
		n := min(len(first), sealPlain-len(scratch))
		scratch = append(scratch, first[:n]...)
		p.skip(n)
	}
	return scratch
}

// skip goes on by n bytes of the first buffer.
func (p *plain) skip(n int) {
	if p.off += n; p.off == len(p.bufs[0]) {
		p.bufs, p.off = p.bufs[1:], 0
	}
}
