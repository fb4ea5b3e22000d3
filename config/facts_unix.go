//go:build unix

package config

import "golang.org/x/sys/unix"

// openFiles is the limit of this process, as the runtime has raised it at the start.
func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
