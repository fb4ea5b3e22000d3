package bench

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// poller is the sockets of one worker: epoll, one timer with a resolution far below a millisecond, and a bell that other
// goroutines may ring. One thread reads all sockets: no goroutine, stack or buffer per connection.
type poller struct {
	ep, timer, bell int
	events          []syscall.EpollEvent
	to              []syscall.SockaddrInet4 // the nodes
}

// ready is an event of a socket.
type ready struct {
	fd                int
	read, write, dead bool
}

const (
	epollBatch  = 512
	epollExtra  = 1 << 13 // EPOLLRDHUP
	clockMono   = 1
	bindNoPort  = 24 // IP_BIND_ADDRESS_NO_PORT: many sources can share the range of ports
	sourceLines = 25_000
)

var errNoRoom = errors.New("socket takes no more")

func newPoller(nodes []string) (*poller, error) {
	p := &poller{events: make([]syscall.EpollEvent, epollBatch)}
	for _, address := range nodes {
		a, err := net.ResolveTCPAddr("tcp4", address)
		if err != nil {
			return nil, err
		}
		p.to = append(p.to, syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())})
	}
	runtime.LockOSThread()
	var err error
	if p.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if p.timer, err = descriptor(syscall.SYS_TIMERFD_CREATE, clockMono); err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	if p.bell, err = descriptor(syscall.SYS_EVENTFD2, 0); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	for _, fd := range []int{p.timer, p.bell} {
		if err := p.watch(syscall.EPOLL_CTL_ADD, fd, true, false); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// descriptor makes a descriptor that neither blocks nor outlives an exec.
func descriptor(call, arg uintptr) (int, error) {
	fd, _, errno := syscall.RawSyscall(call, arg, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

func (p *poller) watch(op, fd int, read, write bool) error {
	e := syscall.EpollEvent{Fd: int32(fd)}
	if read {
		e.Events |= syscall.EPOLLIN | epollExtra
	}
	if write {
		e.Events |= syscall.EPOLLOUT
	}
	return syscall.EpollCtl(p.ep, op, fd, &e)
}

// want changes what a socket is watched for.
func (p *poller) want(fd int, read, write bool) error {
	return p.watch(syscall.EPOLL_CTL_MOD, fd, read, write)
}

// dial starts a connection to a node; it is open when the socket can be written. source picks 127.0.0.x, 0 the usual address.
func (p *poller) dial(node, source int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	err = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if err == nil && source > 0 {
		err = errors.Join(syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, bindNoPort, 1),
			syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + source)}}))
	}
	if err == nil {
		if err = syscall.Connect(fd, &p.to[node]); err == syscall.EINPROGRESS {
			err = nil
		}
	}
	if err == nil {
		err = p.watch(syscall.EPOLL_CTL_ADD, fd, true, true)
	}
	if err != nil {
		p.hangUp(fd)
		return 0, fmt.Errorf("connecting: %w", err)
	}
	return fd, nil
}

// hangUp closes a socket without a word; what the kernel says to that is of no use to anybody.
func (*poller) hangUp(fd int) { _ = syscall.Close(fd) }

// read reads what is there; errNoRoom says that there is nothing.
func (*poller) read(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, errNoRoom
	}
	return 0, errno
}

// write writes what the socket takes; errNoRoom says that it takes nothing.
func (*poller) write(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, errNoRoom
	}
	return 0, errno
}

// ring ends a wait. It may be called from any goroutine.
func (p *poller) ring() {
	one := uint64(1)
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(p.bell), uintptr(unsafe.Pointer(&one)), 8) // a bell that rings already is no error
}

// wait returns the sockets that are ready, after at most d; d below zero waits for ever.
func (p *poller) wait(d time.Duration, into []ready) ([]ready, error) {
	timeout := -1
	if d >= 0 {
		if timeout = int(d / time.Millisecond); timeout == 0 && d > 0 {
			p.arm(d)
			timeout = 1
		}
	}
	n, err := syscall.EpollWait(p.ep, p.events, timeout)
	if err != nil && err != syscall.EINTR {
		return into, err
	}
	for _, e := range p.events[:max(n, 0)] {
		if fd := int(e.Fd); fd == p.timer || fd == p.bell {
			var b [8]byte
			_, _ = p.read(fd, b[:]) // only to make it silent again
			continue
		}
		const bad = syscall.EPOLLERR | syscall.EPOLLHUP
		into = append(into, ready{
			fd: int(e.Fd), dead: e.Events&bad != 0,
			read: e.Events&(syscall.EPOLLIN|epollExtra|bad) != 0, write: e.Events&(syscall.EPOLLOUT|bad) != 0,
		})
	}
	return into, nil
}

func (p *poller) arm(d time.Duration) {
	spec := [2]syscall.Timespec{1: syscall.NsecToTimespec(int64(d))}
	_, _, _ = syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(p.timer), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0) // the wait has a bound of its own
}

// close gives the descriptors back; the sockets are the engine's.
func (p *poller) close() {
	for _, fd := range []int{p.ep, p.timer, p.bell} {
		p.hangUp(fd)
	}
}

// descriptors is how many files this process may open.
func descriptors() (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	return int(l.Cur), nil
}

// ownCPU is what this process has used, in ns.
func ownCPU() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
