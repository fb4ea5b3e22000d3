//go:build !linux

package bench

import (
	"errors"
	"time"
)

// poller exists on Linux alone: the generator works with epoll and reads the server's figures from /proc.
type poller struct{}

type ready struct {
	fd                int
	read, write, dead bool
}

const sourceLines = 1

var (
	errNoRoom = errors.New("socket takes no more")
	errLinux  = errors.New("the load generator runs on Linux only: it needs epoll and /proc")
)

func newPoller([]string) (*poller, error)                    { return nil, errLinux }
func (*poller) want(int, bool, bool) error                   { return errLinux }
func (*poller) dial(int, int) (int, error)                   { return 0, errLinux }
func (*poller) hangUp(int)                                   {}
func (*poller) read(int, []byte) (int, error)                { return 0, errLinux }
func (*poller) write(int, []byte) (int, error)               { return 0, errLinux }
func (*poller) ring()                                        {}
func (*poller) wait(time.Duration, []ready) ([]ready, error) { return nil, errLinux }
func (*poller) close()                                       {}
func descriptors() (int, error)                              { return 0, errLinux }
func ownCPU() int64                                          { return 0 }
