package ws

import (
	"net"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	notSentLowat = 64 << 10 // bytes a socket holds unsent before it counts as full
	maxIOV       = 64       // buffers of one writev
)

// socket writes to a TCP socket without ever parking: a goroutine that waits for room holds the socket's write lock.
type socket struct {
	nc  *net.TCPConn
	raw syscall.RawConn
	put func(fd uintptr) bool // kept, so that a write allocates nothing

	bufs [][]byte // of the write that runs
	n    int
	full bool
	err  error
}

// tune sets what every socket needs and returns its writer; nil means that nc is no plain TCP socket.
func tune(nc net.Conn) (*socket, error) {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil, nil
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var lowat error
	if err := raw.Control(func(fd uintptr) {
		lowat = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	}); err != nil {
		return nil, err
	}
	if lowat != nil {
		return nil, lowat
	}
	if err := tc.SetNoDelay(true); err != nil {
		return nil, err
	}
	s := &socket{nc: tc, raw: raw}
	s.put = s.writeNow
	return s, nil
}

func (s *socket) write(bufs [][]byte) (int, bool, error) {
	s.bufs, s.n, s.full, s.err = bufs, 0, false, nil
	err := s.raw.Write(s.put)
	s.bufs = nil
	if err == nil {
		err = s.err
	}
	return s.n, s.full, err
}

// writeNow writes what the socket takes. It returns true always: false would park.
func (s *socket) writeNow(fd uintptr) bool {
	for left := s.bufs; len(left) > 0 && !s.full; {
		var n, size int
		var err error
		if len(left) == 1 {
			size = len(left[0])
			n, err = send(fd, left[0])
			left = nil
		} else {
			run := left[:min(len(left), maxIOV)]
			left = left[len(run):]
			n, size, err = writev(fd, run)
		}
		switch {
		case err == unix.EINTR && n <= 0:
			left = s.unsent()
		case err == unix.EAGAIN:
			s.full = true
		case err != nil:
			s.err = err
			return true
		default:
			s.n += n
			s.full = n < size
		}
	}
	return true
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

// unsent returns the buffers from s.n on, which is the start of one: only whole buffers were written when it is called.
func (s *socket) unsent() [][]byte {
	n := s.n
	for i, b := range s.bufs {
		if n == 0 {
			return s.bufs[i:]
		}
		n -= len(b)
	}
	return nil
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
	r, _, errno := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(v)), uintptr(k))
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
	raw  syscall.RawConn // nil unless a socket
	look func(fd uintptr) bool
	buf  *[]byte
	n    int
	err  error
}

func (c *conn) openReader(s *socket) {
	if s != nil {
		c.raw = s.raw
		c.look = c.readNow
	}
}

// receiveRaw waits for bytes of the socket.
func (c *conn) receiveRaw() error {
	if c.raw == nil {
		return c.receiveAny()
	}
	err := c.raw.Read(c.look)
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
