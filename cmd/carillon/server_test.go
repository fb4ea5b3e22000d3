package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// canary is a secret that must appear nowhere.
const canary = "canary-6f2b9c1e-7d54-4c0a-9f38-do-not-print-me"

func secretFile(t testing.TB) string { return writeFile(t, "secret", canary+"\n") }

func TestServeNeedsSecret(t *testing.T) {
	carillon(t, "serve", "--listen", "127.0.0.1:0").want(t, exitFailed, "CARILLON_SECRET_FILE is not set", "head -c 48 /dev/urandom")
	for name, c := range map[string]struct{ file, say string }{
		"short":   {writeFile(t, "short", "  too-short \n"), "has 9 bytes and needs 32"},
		"missing": {filepath.Join(t.TempDir(), "none"), "no such file"},
		"folder":  {t.TempDir(), "no regular file"},
		"large":   {writeFile(t, "large", strings.Repeat("x", 70<<10)), "larger than"},
	} {
		r := call{args: []string{"serve", "--listen", "127.0.0.1:0"}, env: []string{"CARILLON_SECRET_FILE=" + c.file}}.run(t)
		r.want(t, exitFailed, c.say, "Make one with")
		if r.out != "" {
			t.Errorf("%s: standard output has %q", name, r.out)
		}
	}
}

func TestServeDoubtsSecrets(t *testing.T) {
	weak := writeFile(t, "weak", strings.Repeat("ab", 20))
	call{args: []string{"serve", "--listen", "127.0.0.1:0"}, env: []string{"CARILLON_SECRET_FILE=" + weak}}.run(t).
		want(t, exitFailed, "could be guessed", "head -c 48 /dev/urandom")
	open := secretFile(t)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	p, _ := startServer(t, call{args: []string{"serve"}, env: []string{"CARILLON_SECRET_FILE=" + open}})
	p.awaitErr("everybody may use ")
	if code := p.signal(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestDevIsForLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "example.org:0", "192.0.2.1:0"} {
		carillon(t, "dev", "--listen", address).want(t, exitFailed, "loopback only", "127.0.0.1:8000")
	}
	carillon(t, "dev", "--listen", "8000").want(t, exitUsage, "is no address", "127.0.0.1:8000")
}

func TestServerFlags(t *testing.T) {
	carillon(t, "dev", "--durable", "games").want(t, exitUsage, "needs a folder", "--data DIR")
	carillon(t, "dev", "--data", "d", "--durable", "games:x").want(t, exitUsage, "before the colon")
	carillon(t, "dev", "--log-level", "loud").want(t, exitUsage, "log-level", "carillon dev --help")
	carillon(t, "dev", "--nonsense").want(t, exitUsage, "unknown flag", "carillon dev --help")
	file := writeFile(t, "file", "")
	carillon(t, "dev", "--listen", "127.0.0.1:0", "--data", file).want(t, exitFailed, "data folder")
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	carillon(t, "dev", "--listen", l.Addr().String()).want(t, exitFailed, "address already in use", "--listen")
	carillon(t, "echo", "--listen", l.Addr().String()).want(t, exitFailed, "address already in use", "--listen")
}

func TestDataFolderInUse(t *testing.T) {
	dir := t.TempDir()
	startDev(t, "--data", dir)
	carillon(t, "dev", "--listen", "127.0.0.1:0", "--data", dir).want(t, exitFailed, "in use by another process", "another folder")
}

func TestDevServesPageAndEnds(t *testing.T) {
	p, url := startDev(t)
	page := "http" + strings.TrimSuffix(strings.TrimPrefix(url, "ws"), "ws")
	r, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if b, err := io.ReadAll(r.Body); err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(b), "Carillon") {
		t.Errorf("the page: %v %s", err, r.Status)
	}
	if code := p.signal(os.Interrupt); code != exitOK {
		t.Errorf("exit code %d after SIGINT:\n%s", code, p.errs)
	}
	p.awaitErr(`"msg":"ended"`)
}

func TestMemoryForgetsAndDurableRemembers(t *testing.T) {
	dir := t.TempDir()
	p, url := startDev(t, "--data", dir, "--durable", "keep")
	for _, name := range []string{"keep:a", "lose:a"} {
		carillon(t, "pub", name, "1", "--url", url).want(t, exitOK)
	}
	p.kill()
	_, url = startDev(t, "--data", dir, "--durable", "keep")
	if r := carillon(t, "history", "keep:a", "--url", url).want(t, exitOK); !strings.Contains(r.out, `"data":1}`) {
		t.Errorf("the durable record is gone: %q", r.out)
	}
	if r := carillon(t, "history", "lose:a", "--url", url).want(t, exitOK, "nothing was published"); r.out != "" {
		t.Errorf("memory remembers: %q", r.out)
	}
}

func TestEcho(t *testing.T) {
	p := call{args: []string{"echo", "--listen", "127.0.0.1:0", "--max-message", "1000"}}.start(t)
	url := p.object()["url"].(string)
	small, large := strings.Repeat("a", 1000), strings.Repeat("a", 1001)
	if got, err := exchange(t, url, small); err != nil || got != small {
		t.Errorf("echo of 1,000 bytes: %d bytes, %v", len(got), err)
	}
	if _, err := exchange(t, url, large); err == nil {
		t.Error("a message above --max-message came back")
	}
	if code := p.signal(os.Interrupt); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	carillon(t, "echo", "--max-message", "0").want(t, exitUsage, "1 or more")
	carillon(t, "echo", "--listen", "x").want(t, exitUsage, "no address")
}
