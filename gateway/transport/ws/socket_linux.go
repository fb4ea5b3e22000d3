package ws

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	notSentLowat = 64 << 10 // bytes a socket holds unsent before it counts as full
	maxIOV       = 64       // buffers of one writev
)

// socket writes to a TCP socket without ever parking: a goroutine that waits for room holds the socket's write lock. It
// makes its system calls itself, for what the runtime keeps about a descriptor costs as much as a tenth of a small write.
// So the descriptor must not be closed, and given to another connection, while a call is under way: hold says whether
// one is, and who closes meanwhile leaves that to the writer. The zero socket is no socket.
type socket struct {
	fd   int32
	hold atomic.Uint32
	nc   *net.TCPConn // nil: no plain TCP socket
	raw  syscall.RawConn
}

// States of socket.hold.
const (
	held uint32 = 1 << iota // a system call may be under way
	shut                    // the descriptor is closed, or will be by who holds it
)

// tune sets what every socket needs. Of what is no plain TCP socket nothing is kept.
func (s *socket) tune(nc net.Conn) error {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return err
	}
	var lowat error
	if err := raw.Control(func(fd uintptr) {
		s.fd = int32(fd)
		lowat = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	}); err != nil {
		return err
	}
	if lowat != nil {
		return lowat
	}
	s.nc, s.raw = tc, raw // with TCP_NODELAY, which package net sets
	return nil
}

// plain tells whether there is a socket.
func (s *socket) plain() bool { return s.nc != nil }

// shut closes the descriptor, or has the writer do it that is in the middle of a system call: it never waits.
func (s *socket) shut() {
	if s.hold.Or(shut) == 0 {
		_ = s.nc.Close() // nothing is expected of it any more
	}
}

// write writes what the socket takes.
func (s *socket) write(bufs [][]byte) (n int, full bool, err error) {
	if !s.hold.CompareAndSwap(0, held) {
		return 0, false, net.ErrClosed
	}
	n, full, err = s.writeNow(bufs)
	if !s.hold.CompareAndSwap(held, 0) {
		_ = s.nc.Close() // the same
	}
	return n, full, err
}

// writeNow is write for who holds the descriptor.
func (s *socket) writeNow(bufs [][]byte) (sum int, full bool, err error) {
	for left := bufs; len(left) > 0 && !full; {
		var n, size int
		run := left[:min(len(left), maxIOV)]
		if len(run) == 1 {
			size = len(run[0])
			n, err = send(uintptr(s.fd), run[0])
		} else {
			n, size, err = writev(uintptr(s.fd), run)
		}
		switch err {
		case nil:
			sum += n
			full = n < size
			left = left[len(run):]
		case unix.EINTR: // nothing was written
		case unix.EAGAIN:
			full = true
		default:
			return sum, false, err
		}
	}
	return sum, full, nil
}

// shortWrite is how many bytes are written without telling the scheduler, which costs as much as a twentieth of a small
// write. The socket never blocks, and copying that much takes microseconds.
const shortWrite = 16 << 10

func send(fd uintptr, b []byte) (n int, err error) {
	if len(b) == 0 || len(b) > shortWrite {
		return unix.Write(int(fd), b)
	}
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

var vectors = sync.Pool{New: func() any { return new([maxIOV]unix.Iovec) }}

func writev(fd uintptr, bufs [][]byte) (n, size int, err error) {
	v := vectors.Get().(*[maxIOV]unix.Iovec)
	k := 0
	for _, b := range bufs {
		if len(b) > 0 {
			v[k].Base = &b[0]
			v[k].SetLen(len(b))
			size += len(b)
			k++
		}
	}
	call := unix.Syscall
	if size <= shortWrite {
		call = unix.RawSyscall
	}
	r, _, errno := call(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(v)), uintptr(k))
	clear(v[:k])
	vectors.Put(v)
	if errno != 0 {
		return 0, size, errno
	}
	return int(r), size, nil
}

// await parks until the socket has room. The first look is level-triggered: room that came between the short write and
// now would raise no edge.
func (s *socket) await() error {
	return s.raw.Write(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(p, 0)
		return err == nil && n > 0
	})
}

func (s *socket) finish() { _ = s.nc.CloseWrite() } // fails only if the line is gone

// reader reads a connection. On a socket it holds a buffer only between the moment there is something to read and give.
type reader struct {
	look func(fd uintptr) bool
	buf  *[]byte
	n    int
	err  error
}

func (c *conn) openReader() { c.look = c.readNow }

// receiveRaw waits for bytes of the socket.
func (c *conn) receiveRaw() error {
	if !c.socket.plain() {
		return c.receiveAny()
	}
	err := c.socket.raw.Read(c.look)
	if err == nil {
		err = c.err
	}
	if err == errShed {
		return err
	}
	if err != nil || c.n <= 0 {
		c.give()
		return hangup(err)
	}
	return nil
}

func (c *conn) readNow(fd uintptr) bool {
	c.buf = readBuffers.Get().(*[]byte)
	for {
		c.n, c.err = unix.Read(int(fd), *c.buf)
		switch c.err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			c.give()
			if c.shed() {
				c.err = errShed
				return true
			}
			return false
		}
		return true
	}
}

// hasEnded waits until there is something to read, and tells whether it is the end of the line. A deadline ends it too.
func hasEnded(nc net.Conn) (gone bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	var one [1]byte
	_ = raw.Read(func(fd uintptr) bool { // an error is that of the deadline, or comes again
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && err != unix.EAGAIN && err != unix.EINTR
		return gone || err == nil
	})
	return gone
}
