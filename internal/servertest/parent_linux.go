package servertest

import "syscall"

// dieWithParent has the server killed when the process that started it is gone, whatever ended that.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
