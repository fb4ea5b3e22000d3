// Package servertest starts the servers that tests talk to: Redis alone, watched by Sentinels or as a Cluster, and Postgres,
// each on a private port of the loopback in a temporary folder, and gone with the test. Where a program is not installed the
// test is skipped and says what is missing. Nothing of the product uses it. Start with StartRedis or StartPostgres.
package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to answer after its start.
const patience = 60 * time.Second

// Process is a server that runs. Its methods fail the test if they cannot do what they say.
type Process struct {
	t    testing.TB
	make func() *exec.Cmd
	up   func(context.Context) error // nil once the server answers

	waiting sync.WaitGroup // for the processes

	mu   sync.Mutex
	cmd  *exec.Cmd
	out  *bytes.Buffer
	gone chan struct{} // closed when cmd has ended
}

// start runs the server and has it killed at the end of the test.
func start(t testing.TB, make func() *exec.Cmd, up func(context.Context) error) *Process {
	t.Helper()
	p := &Process{t: t, make: make, up: up}
	t.Cleanup(func() {
		p.Kill()
		p.waiting.Wait()
	})
	p.Start()
	return p
}

// Start runs a server that was killed or stopped, over the same folder, and waits until it answers.
func (p *Process) Start() {
	p.t.Helper()
	cmd, out, gone := p.make(), new(bytes.Buffer), make(chan struct{})
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	p.mu.Lock()
	p.cmd, p.out, p.gone = cmd, out, gone
	p.mu.Unlock()
	p.waiting.Go(func() {
		_ = cmd.Wait()
		close(gone)
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for err := p.up(ctx); err != nil; err = p.up(ctx) {
		select {
		case <-gone:
			p.t.Fatalf("%s ended at once:\n%s", cmd.Path, out)
		case <-ctx.Done():
			p.t.Fatalf("%s does not answer: %v", cmd.Path, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the server as kill -9 does. To kill what is dead does nothing.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Stop asks the server to end and waits for it.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

func (p *Process) end(s syscall.Signal) {
	p.mu.Lock()
	cmd, gone := p.cmd, p.gone
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT)
	_ = syscall.Kill(-cmd.Process.Pid, s)
	select {
	case <-gone:
	case <-time.After(patience):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-gone
	}
}

// Freeze halts the server as it stands (SIGSTOP): it answers nothing and closes nothing.
func (p *Process) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// PID is the process id of the server; its CPU time stands in /proc.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// need skips the test where a program is missing.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed: run scripts/test-deps.sh as root on Debian", program)
	}
	return path
}

// Port is a port of the loopback that nobody listens to, the test's own until its end: whoever else asks for one, in this process
// or another, is given another, also while the server is down between a Kill and a Start. It is below 32768, where no outgoing
// connection takes it, and its number + 10000, which a Redis Cluster needs too, is a port.
func Port(t testing.TB) int {
	t.Helper()
	for try := range 200 {
		port := 12000 + (os.Getpid()*131+int(time.Now().UnixNano()/1000)+try*37)%9000
		claim, err := net.ListenPacket("udp4", loopback(port)) // no server here uses UDP: it marks the number as taken
		if err != nil {
			continue
		}
		if listens(port) && listens(port+10000) {
			t.Cleanup(func() { _ = claim.Close() })
			return port
		}
		_ = claim.Close()
	}
	t.Fatal("no free port between 12000 and 21000")
	return 0
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

func listens(port int) bool {
	l, err := net.Listen("tcp4", loopback(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// answers dials, sends a line and wants an answer that holds a word.
func answers(ctx context.Context, address, line, word string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "%s\r\n", line); err != nil {
		return err
	}
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(got, []byte(word)) {
		n, err := c.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			return errors.Join(err, fmt.Errorf("%s answered %q", address, got))
		}
	}
	return nil
}
