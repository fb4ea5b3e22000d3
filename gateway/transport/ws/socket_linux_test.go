package ws

import (
	"errors"
	"net"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// lineOf returns both ends of a TCP connection.
func lineOf(t *testing.T, l net.Listener) (near, far net.Conn) {
	t.Helper()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// TestDescriptorOutlivesWrite closes sockets in the middle of writes, while others are opened that get the same
// descriptor. A write to what is closed would fail with EBADF, or reach a stranger.
func TestDescriptorOutlivesWrite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bufs := make([][]byte, 20*maxIOV) // twenty system calls a write
	for i := range bufs {
		bufs[i] = []byte("for the owner alone")
	}
	for range 200 {
		near, far := lineOf(t, l)
		var s socket
		if err := s.tune(near); err != nil || !s.plain() {
			t.Fatal(err)
		}
		started := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := far.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			close(started)
			b := make([]byte, 1<<20)
			for err := error(nil); err == nil; {
				_, err = far.Read(b) // until the line is cut
			}
		})
		all.Go(func() {
			for {
				_, _, err := s.write(bufs)
				if errors.Is(err, unix.EBADF) || errors.Is(err, unix.ENOTSOCK) {
					t.Errorf("a write met a closed descriptor: %v", err)
				}
				if err != nil {
					return
				}
			}
		})
		<-started
		for range 2 {
			all.Go(s.shut)
		}
		stranger, friend := lineOf(t, l)
		all.Wait()
		if _, _, err := s.write(bufs); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after the end: %v", err)
		}
		for _, nc := range []net.Conn{stranger, friend} {
			if n, err := waiting(nc); n > 0 || err != unix.EAGAIN {
				t.Errorf("a stranger got %d bytes, %v", n, err)
			}
		}
		for _, nc := range []net.Conn{stranger, friend, far} {
			nc.Close()
		}
	}
}

// waiting returns how many bytes wait to be read, at most one; EAGAIN tells that there are none.
func waiting(nc net.Conn) (n int, err error) {
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	if lost := raw.Control(func(fd uintptr) {
		n, _, err = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_DONTWAIT)
	}); lost != nil {
		return 0, lost
	}
	return n, err
}
