package postgres

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noticeSilence has the kernel give up a line on which what was sent is not acknowledged. A Unix socket has no such thing, and
// needs none.
func noticeSilence(patience time.Duration) func(_, _ string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(patience.Milliseconds()))
		})
	}
}
