//go:build !linux

package servertest

import "syscall"

// dieWithParent can be had on Linux alone; elsewhere the test's cleanup ends the server.
func dieWithParent(*syscall.SysProcAttr) {}
