package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is the program under test, built once.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "carillon-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "carillon")
	build := exec.Command("go", "build", "-ldflags", "-X main.version=v0.0.0-test", "-o", program, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building carillon:", err)
		return 1
	}
	return m.Run()
}

// patience bounds whatever a test waits for; nothing is asserted about it.
const patience = 60 * time.Second

// result is what became of a command.
type result struct {
	code     int
	out, err string
}

// call is a command with its surroundings.
type call struct {
	args []string
	env  []string // added to an environment without any CARILLON_ variable
	in   string
}

func (c call) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, c.args...)
	cmd.Env = append(cleanEnv(), c.env...)
	cmd.Stdin = strings.NewReader(c.in)
	return cmd
}

func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "CARILLON_") || strings.HasPrefix(v, "NO_COLOR")
	})
}

// run runs a command to its end.
func (c call) run(t testing.TB) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := c.command(ctx)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("carillon %s did not end\nstdout: %s\nstderr: %s", strings.Join(c.args, " "), &out, &errs)
	}
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func carillon(t testing.TB, args ...string) result { t.Helper(); return call{args: args}.run(t) }

// want fails the test unless the exit code is code and standard error holds all of texts.
func (r result) want(t testing.TB, code int, texts ...string) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.err, text) {
			t.Errorf("standard error lacks %q:\n%s", text, r.err)
		}
	}
	return r
}

// process is a command that runs beside the test.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines chan string // of standard output; closed at its end
	errs  *guarded
	ended chan struct{}
}

// start runs a command beside the test; what is left of it is killed with the test.
func (c call) start(t testing.TB) *process {
	t.Helper()
	p := &process{t: t, cmd: c.command(context.Background()), lines: make(chan string, 1<<16), errs: &guarded{}, ended: make(chan struct{})}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.errs
	if c.in == "" {
		p.cmd.Stdin = nil
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			p.lines <- scan.Text()
		}
		close(p.lines)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// line is the next line of standard output.
func (p *process) line() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatalf("%v ended without another line\nstderr: %s", p.cmd.Args, p.errs)
		}
		return line
	case <-time.After(patience):
		p.t.Fatalf("%v says nothing\nstderr: %s", p.cmd.Args, p.errs)
	}
	return ""
}

// object is the next line of standard output, taken apart.
func (p *process) object() map[string]any {
	p.t.Helper()
	return parse(p.t, p.line())
}

func parse(t testing.TB, line string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%q is no JSON object: %v", line, err)
	}
	return m
}

// signal sends one, waits for the end and returns the exit code.
func (p *process) signal(s os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal to %v: %v", p.cmd.Args, err)
	}
	return p.wait()
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%v did not end\nstderr: %s", p.cmd.Args, p.errs)
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the process as kill -9 does, and waits for that.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	for range p.lines {
	}
	<-p.ended
}

// awaitErr waits until standard error holds text.
func (p *process) awaitErr(text string) {
	p.t.Helper()
	if !p.errs.await(text, patience) {
		p.t.Fatalf("%v never said %q on standard error:\n%s", p.cmd.Args, text, p.errs)
	}
}

// startServer runs dev or serve on a free port, and returns its URL.
func startServer(t testing.TB, c call) (*process, string) {
	t.Helper()
	for _, flag := range []string{"--listen", "--internal-listen"} {
		if !slices.Contains(c.args, flag) {
			c.args = append(c.args, flag, "127.0.0.1:0")
		}
	}
	p := c.start(t)
	m := p.object()
	if m["event"] != "ready" {
		t.Fatalf("first line is %v", m)
	}
	return p, m["url"].(string)
}

func startDev(t testing.TB, args ...string) (*process, string) {
	t.Helper()
	return startServer(t, call{args: append([]string{"dev"}, args...)})
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		all = append(all, strings.TrimSuffix(line, "\n"))
	}
	return all
}

var _ io.Writer = (*guarded)(nil)
