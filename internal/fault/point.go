package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// CrashVar is the environment variable that arms a crash point: "NAME:N" ends the process as kill -9 does at the N-th
// time that Point(NAME) is reached.
const CrashVar = "CARILLON_CRASH_POINT"

// crash is a point that is armed.
type crash struct {
	name string
	left atomic.Int64
}

var armed = arm(os.Getenv(CrashVar))

func arm(text string) *crash {
	name, count, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if name == "" || err != nil || n < 1 {
		return nil
	}
	c := &crash{name: name}
	c.left.Store(n)
	return c
}

// Point is a place at which a process may be made to die. Where none is armed it costs a comparison.
func Point(name string) {
	if armed == nil || armed.name != name || armed.left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing more is done, however long the signal takes
}
