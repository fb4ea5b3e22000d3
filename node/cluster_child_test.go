package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"carillon/node"
)

// child is a node in a process of its own: this test's program, which is a node where childVariable says so.
type child struct {
	t    testing.TB
	spec childSpec
	cmd  *exec.Cmd
}

const childVariable = "CHILD_NODE"

// childSpec is what such a node is to be. Its logs are kept whole.
type childSpec struct {
	Name, Listen, Redis, Prefix, Postgres string
	Data                                  string
	Log                                   string // file to which it appends its log; "": nowhere
	Durable, Services                     []string
	Roles                                 node.Roles
	Served                                bool // heartbeats and a door as of serve
}

// beChild runs a node until its input ends.
func beChild(spec string) int {
	var s childSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o := node.Options{
		Listen: s.Listen, Dev: true, Version: "test", Durable: s.Durable, Services: s.Services, Data: s.Data, Log: quietly,
		Cluster: node.Cluster{Name: s.Name, Postgres: s.Postgres, Roles: s.Roles, Redis: node.Redis{URL: s.Redis, Prefix: s.Prefix}},
	}
	whole(&o)
	if s.Served {
		served(&o)
	}
	if s.Log != "" {
		f, err := os.OpenFile(s.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer f.Close()
		o.Log = slog.New(slog.NewTextHandler(f, nil))
	}
	n, err := node.Start(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("listening at " + n.Address())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test is gone
	return 0
}

// child starts one of this world.
func (w *world) child(t testing.TB, s childSpec) *child {
	t.Helper()
	if s.Listen == "" {
		s.Listen = "127.0.0.1:0"
	}
	s.Redis, s.Prefix, s.Postgres = w.redis.URL(), w.prefix, w.dsn
	c := &child{t: t, spec: s}
	t.Cleanup(c.kill)
	c.start()
	return c
}

// start runs it, at the address it had before if it had one.
func (c *child) start() {
	c.t.Helper()
	spec, err := json.Marshal(c.spec)
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(spec))
	c.cmd.Stderr = os.Stderr
	if _, err = c.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "listening at ")
	if err != nil || !ok {
		c.t.Fatalf("the node of its own says %q, %v", line, err)
	}
	if address != "" { // a worker has no door
		c.spec.Listen = address
	}
}

// signal halts it as it stands (SIGSTOP), or lets it go on (SIGCONT).
func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// kill ends it as kill -9 does.
func (c *child) kill() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.cmd = nil
}
