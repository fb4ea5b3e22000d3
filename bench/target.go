package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is a server under load, or several that are one cluster.
type target struct {
	name     string
	dialect  string
	address  string // host:port
	inside   string // host:port of its internal listener; "": not known
	port     int
	path     string
	pid      int
	secret   []byte
	nodes    []*target // of a cluster; nil: this server is alone, or not known to be one of many
	redis    *target   // of a cluster that was started here
	postgres *target   // of one in which things last
	cmd      *exec.Cmd // nil where the server was there before
	dir      string    // of a built peer, or for what lasts; removed at the end
}

// Waiting for a server that was started.
const (
	startTime = 20 * time.Second
	stopTime  = 5 * time.Second
	knockTime = 20 * time.Millisecond
)

var errElsewhere = errors.New("the load generator aims at this machine alone; --anywhere lifts that, for machines that are yours")

// parseTarget reads a ws:// address and refuses what is not loopback.
func parseTarget(raw string, anywhere bool) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "ws" || u.Port() == "" {
		return nil, fmt.Errorf("--url is ws://HOST:PORT/PATH, not %q", raw)
	}
	a, err := net.ResolveTCPAddr("tcp4", u.Host)
	if err != nil {
		return nil, fmt.Errorf("address of the server: %w", err)
	}
	if !a.IP.IsLoopback() && !anywhere {
		return nil, errElsewhere
	}
	return &target{name: "server", address: a.String(), port: a.Port, path: u.RequestURI()}, nil
}

// freePort finds a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// start runs a server, with {port} in its arguments replaced, and waits until it listens.
func start(ctx context.Context, name, dialect string, args []string, env ...string) (*target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	inside, err := freePort()
	if err != nil {
		return nil, err
	}
	own := make([]string, len(args))
	for i, a := range args {
		own[i] = strings.NewReplacer("{port}", strconv.Itoa(port), "{internal}", strconv.Itoa(inside)).Replace(a)
	}
	cmd := exec.CommandContext(ctx, own[0], own[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	t := &target{name: name, dialect: dialect, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), port: port, pid: cmd.Process.Pid, cmd: cmd}
	if slices.Contains(args, "127.0.0.1:{internal}") {
		t.inside = net.JoinHostPort("127.0.0.1", strconv.Itoa(inside))
	}
	if err := t.await(ctx); err != nil {
		t.stop()
		return nil, fmt.Errorf("%s does not listen: %w; it said: %s", name, err, said.String())
	}
	return t, nil
}

// await knocks until somebody listens.
func (t *target) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", t.address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(knockTime):
		}
	}
}

// stop ends a server that was started here.
func (t *target) stop() {
	for _, n := range t.nodes {
		n.stop()
	}
	for _, store := range []*target{t.redis, t.postgres} {
		if store != nil {
			store.stop()
		}
	}
	if t.cmd != nil {
		_ = t.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
		timer := time.AfterFunc(stopTime, func() { _ = t.cmd.Process.Kill() })
		_ = t.cmd.Wait() // how it went does not matter any more
		timer.Stop()
	}
	if t.dir != "" {
		_ = os.RemoveAll(t.dir) // in the folder for temporary files
	}
}

// tail keeps the last bytes somebody wrote.
type tail struct{ b []byte }

const tailBytes = 2048

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if len(t.b) > tailBytes {
		t.b = t.b[len(t.b)-tailBytes:]
	}
	return len(b), nil
}

func (t *tail) String() string { return string(t.b) }

// peers are the servers that can be measured beside Carillon.
var peers = []string{"bare", "ws", "gws", "socketio"}

// startPeer builds a peer from its folder and runs it.
func startPeer(ctx context.Context, name, dir string) (*target, error) {
	dir = filepath.Join(dir, name)
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("peer %s: %w (name the folder of the peers with --peers)", name, err)
	}
	made, err := os.MkdirTemp("", "carillon-bench-")
	if err != nil {
		return nil, err
	}
	args, dialect, err := buildPeer(ctx, name, dir, made)
	var t *target
	if err == nil {
		t, err = start(ctx, name, dialect, args, "NODE_ENV=production")
	}
	if err != nil {
		_ = os.RemoveAll(made) // in the folder for temporary files
		return nil, err
	}
	t.dir = made
	return t, nil
}

// buildPeer gives the command line of a peer.
func buildPeer(ctx context.Context, name, dir, made string) (args []string, dialect string, err error) {
	bin := filepath.Join(made, name)
	switch name {
	case "bare":
		err = build(ctx, dir, "cc", "-O2", "-o", bin, "bare.c")
		return []string{bin, "{port}"}, "plain", err
	case "gws":
		err = build(ctx, dir, "go", "build", "-o", bin, ".")
		return []string{bin, "{port}"}, "plain", err
	case "ws", "socketio":
		if _, statErr := os.Stat(filepath.Join(dir, "node_modules")); statErr != nil {
			err = build(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		}
		dialect = "plain"
		if name == "socketio" {
			dialect = name
		}
		return []string{"node", filepath.Join(dir, "server.js"), "{port}"}, dialect, err
	}
	return nil, "", fmt.Errorf("no peer %q: it is one of %s", name, strings.Join(peers, ", "))
}

func build(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return nil
}
