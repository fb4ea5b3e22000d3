package node_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// oldBuild is the commit that every later build gets along with: its clients, its data folder, its nodes beside ours. It is
// the first one whose fan-out and cluster were both finished. When a release promises no more than the one before, this
// becomes the commit of that one.
const oldBuild = "ddbb86177aee670207d244703205a96644de90f3"

// edition is the program as some state of this repository, a tree of files, makes it.
type edition struct{ name, tree, program string }

// builds makes the old program from the history of this repository, and the one of this tree.
func builds(t *testing.T) (old, now edition) {
	t.Helper()
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	there := filepath.Join(dir, "tree")
	history(t, here, there)
	old, now = edition{"old", there, filepath.Join(dir, "old")}, edition{"new", here, filepath.Join(dir, "new")}
	var making sync.WaitGroup
	for _, b := range []edition{old, now} {
		making.Go(func() {
			// Trimmed paths let the build cache serve a tree wherever it stands.
			c := exec.Command("go", "build", "-C", b.tree, "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", b.program, "./cmd/carillon")
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("making the %s build: %v\n%s", b.name, err, out)
			}
		})
	}
	if making.Wait(); t.Failed() {
		t.FailNow()
	}
	return old, now
}

// history puts the tree of the old commit into a folder, or skips the test where that is not to be had.
func history(t *testing.T, repository, dir string) {
	t.Helper()
	for _, program := range []string{"git", "tar", "go"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the old edition cannot be made: %v", err)
		}
	}
	if out, err := exec.Command("git", "-C", repository, "cat-file", "-e", oldBuild+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("the history of this copy does not hold commit %.12s (git fetch --unshallow gets it): %s", oldBuild, bytes.TrimSpace(out))
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	archive := dir + ".tar"
	for _, c := range []*exec.Cmd{
		exec.Command("git", "-C", repository, "archive", "--format=tar", "-o", archive, oldBuild),
		exec.Command("tar", "-xf", archive, "-C", dir),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
	}
}

// shell runs one command of the program as a user at a server, and gives the objects it prints.
func (b edition) shell(t testing.TB, at, user, input string, args ...string) []fields {
	t.Helper()
	c := b.command(at, user, args...)
	c.Stdin = strings.NewReader(input)
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		t.Fatalf("%s build: %v: %v\n%s", b.name, args, err, &said)
	}
	var all []fields
	for line := range strings.Lines(out.String()) {
		all = append(all, parsed(t, line))
	}
	return all
}

func (b edition) command(at, user string, args ...string) *exec.Cmd {
	c := exec.Command(b.program, args...)
	c.Env = append(plainly(), "CARILLON_TOKEN=guest-"+user, "CARILLON_URL="+at)
	return c
}

// plainly is the environment without what would change a program under test.
func plainly() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CARILLON_") || strings.HasPrefix(v, childVariable) })
}

func parsed(t testing.TB, line string) (f fields) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &f); err != nil {
		t.Fatalf("%q is no object: %v", line, err)
	}
	return f
}

// host is a server in a process of its own, with every service and open to everybody here. Whatever build it is given, it
// stays where it was.
type host struct {
	t      testing.TB
	config string // a file
	env    []string
	at     string // where clients connect
	inside string // address of its server API

	build edition
	cmd   *exec.Cmd
	said  *spoken // by all its builds
}

// newHost starts one. Its settings are lines of YAML, beside those of every host here.
func newHost(t testing.TB, b edition, settings string, env ...string) *host {
	t.Helper()
	dir := t.TempDir()
	key, config := filepath.Join(dir, "key"), filepath.Join(dir, "carillon.yaml")
	text := fmt.Sprintf(`%s
server_keys: [{name: test, key_file: key}]
log: {format: json}
heartbeat: {interval: 1s, timeout: 20s}
namespaces:
  default: {retention: {records: 1000000, bytes: 1GiB, age: 1h}, ring: {records: 256}}
  news: {durable: true}
`, settings)
	for file, content := range map[string]string{key: serverKey, config: text} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := &host{t: t, config: config, env: env, inside: "127.0.0.1:0", said: &spoken{}}
	t.Cleanup(func() {
		h.kill()
		h.judge()
	})
	h.start(b)
	return h
}

// address is where it listens for clients.
func (h *host) address() string {
	if h.at == "" {
		return "127.0.0.1:0"
	}
	u, err := url.Parse(h.at)
	if err != nil {
		h.t.Fatal(err)
	}
	return u.Host
}

// start runs a build of it, and fails the test if it does not come up.
func (h *host) start(b edition) {
	h.t.Helper()
	if err := h.try(b); err != nil {
		h.t.Fatalf("%s build: %v\n%s", b.name, err, h.said)
	}
}

// try runs a build of it, unless that does not want to.
func (h *host) try(b edition) error {
	c := exec.Command(b.program, "dev", "--config", h.config, "--listen", h.address(), "--internal-listen", h.inside)
	c.Env, c.Stderr = append(plainly(), h.env...), h.said
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = c.Process.Kill()
		return fmt.Errorf("it does not start: %w", c.Wait())
	}
	h.build, h.cmd = b, c
	ready := parsed(h.t, line)
	inside, err := url.Parse(ready["internal"].(string))
	h.at, h.inside = ready["url"].(string), inside.Host
	return err
}

// stop drains it as a deploy does.
func (h *host) stop() {
	h.t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		h.t.Fatal(err)
	}
	if err := h.cmd.Wait(); err != nil {
		h.t.Fatalf("%s build: ending: %v\n%s", h.build.name, err, h.said)
	}
	h.cmd = nil
}

// become replaces it by another build, in good order.
func (h *host) become(b edition) {
	h.t.Helper()
	h.stop()
	h.start(b)
}

// kill ends it as kill -9 does.
func (h *host) kill() {
	if h.cmd != nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
		h.cmd = nil
	}
}

// ask calls its server API.
func (h *host) ask(method, path, body string) message {
	h.t.Helper()
	return askAt(h.t, h.inside, method, path, body, 200)
}

// misread are the words in which a build says that it does not understand another one, or what that one left.
var misread = regexp.MustCompile(`same build|passed over|cannot be understood|not a record|not a message|bad_request|"msg":"[^"]*(panic|damaged|another past)`)

// judge looks through the log of a host for something that could not be read.
func (h *host) judge() {
	h.t.Helper()
	lines := slices.DeleteFunc(strings.Split(h.said.String(), "\n"), func(line string) bool { return !misread.MatchString(line) })
	if len(lines) > 0 {
		h.t.Errorf("DECODE: a server says this and %d lines like it: %s", len(lines)-1, lines[0])
	}
}

// spoken is what processes write to standard error.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *spoken) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// forget lets go of what was said.
func (s *spoken) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Reset()
}
