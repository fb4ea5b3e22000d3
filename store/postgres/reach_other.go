//go:build !linux

package postgres

import (
	"syscall"
	"time"
)

// noticeSilence can be had on Linux alone; elsewhere the deadlines of requests do it.
func noticeSilence(time.Duration) func(_, _ string, c syscall.RawConn) error { return nil }
