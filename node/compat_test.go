package node_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/internal/fault"
)

// TestF24RollingVersions: the old edition and this one get along: each one's client with the other's server, one data folder
// under both in turn, and nodes of both in one cluster, which is replaced by the other kind under load, there and back.
// Nothing is misread, lost or twice.
func TestF24RollingVersions(t *testing.T) {
	mostlyWaits(t)
	old, now := builds(t)
	t.Run("old client", func(t *testing.T) { compatShell(t, old, now) })
	t.Run("old server", func(t *testing.T) {
		compatShell(t, now, old)
		compatClient(t, old)
	})
	t.Run("SDK", func(t *testing.T) { compatSDK(t, old, now) })
	t.Run("data folder", func(t *testing.T) { compatData(t, old, now) })
	t.Run("nodes", func(t *testing.T) { compatNodes(t, old, now) })
}

// alone is a host that is no other's node, with a data folder.
func alone(t *testing.T, b edition) *host { return newHost(t, b, "data: "+t.TempDir()) }

// compatShell has the command line of one build talk to a server of another: subscribe, publish, lose the line and go on,
// send again, history, a room of chat and who is in it.
func compatShell(t *testing.T, shell, server edition) {
	h := alone(t, server)
	line := newBalancer(t, h.address())
	for _, name := range []string{"news:all", "demo:all"} {
		const each = 40
		part := func(from, to int) (lines string) {
			for i := from; i < to; i++ {
				lines += fmt.Sprintln(i)
			}
			return lines
		}
		first := shell.shell(t, h.at, "ann", "", "pub", name, "0", "--id", "first")
		heard := listen(t, shell, line.url(), "bob", "sub", name, "--rewind", "1", "--count", fmt.Sprint(2*each))
		heard.next(0)
		shell.shell(t, h.at, "ann", part(1, each), "pub", name)
		for i := 1; i < each; i++ {
			heard.next(i)
		}
		line.part()
		shell.shell(t, h.at, "ann", part(each, 2*each), "pub", name)
		line.heal()
		for i := each; i < 2*each; i++ {
			heard.next(i)
		}
		heard.end()
		if again := shell.shell(t, h.at, "ann", "", "pub", name, "0", "--id", "first"); again[0]["at"] != first[0]["at"] || again[0]["offset"] != 1.0 {
			t.Errorf("DUP: published as %v, and again under the same id as %v", first, again)
		}
		log := shell.shell(t, h.at, "ann", "", "history", name, "--all", "--json")
		if len(log) != 2*each {
			t.Errorf("SET: the history of %s has %d records, want %d", name, len(log), 2*each)
		}
		for i, r := range log {
			if r["data"] != float64(i) || r["at"] != heard.all[i]["at"] || r["user"] != "guest-ann" {
				t.Fatalf("ORDER: record %d of %s is %v in history, and was heard as %v", i, name, r, heard.all[i])
			}
		}
	}
	compatRoom(t, shell, h)
}

// compatRoom is compatShell's room of chat.
func compatRoom(t *testing.T, shell edition, h *host) {
	call := func(user, body string, more ...string) fields {
		return shell.shell(t, h.at, user, "", append([]string{"call", "chat:tea", body}, more...)...)[0]
	}
	call("ann", `{"do":"create","public":true}`)
	call("bob", `{"do":"join"}`)
	there := listen(t, shell, h.at, "bob", "sub", "chat:tea", "--rewind", "10")
	defer there.stop()
	there.until(func(f fields) bool { return f["offset"] == 1.0 })
	sent := call("ann", `{"do":"send","text":"a cup"}`, "--id", "cup")
	if again := call("ann", `{"do":"send","text":"a cup"}`, "--id", "cup"); again["at"] != sent["at"] || fmt.Sprint(again["data"]) != fmt.Sprint(sent["data"]) {
		t.Errorf("DUP: answered %v, and again under the same id %v", sent, again)
	}
	there.until(func(f fields) bool { return f["at"] == sent["at"] && f["user"] == "guest-ann" })
	seen := listen(t, shell, h.at, "ann", "sub", "chat:tea@presence")
	defer seen.stop()
	seen.until(func(f fields) bool {
		return f["class"] == "latest" && strings.Contains(fmt.Sprint(f["data"]), "guest-bob")
	})
}

// listener is a sub that runs beside the test.
type listener struct {
	t     testing.TB
	build edition
	cmd   *exec.Cmd
	lines *bufio.Scanner
	said  *spoken
	all   []fields
}

func listen(t testing.TB, b edition, at, user string, args ...string) *listener {
	t.Helper()
	l := &listener{t: t, build: b, cmd: b.command(at, user, append(args, "--json")...), said: &spoken{}}
	l.cmd.Stderr = l.said
	out, err := l.cmd.StdoutPipe()
	if err == nil {
		err = l.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	l.lines = bufio.NewScanner(out)
	late := time.AfterFunc(soon, l.stop) // the test then reads the end of its output
	t.Cleanup(func() {
		late.Stop()
		l.stop()
		_ = l.cmd.Wait()
	})
	return l
}

// until reads on to what ok says.
func (l *listener) until(ok func(fields) bool) {
	l.t.Helper()
	for l.lines.Scan() {
		f := parsed(l.t, l.lines.Text())
		if l.all = append(l.all, f); ok(f) {
			return
		}
	}
	l.t.Fatalf("SET: the %s build's %v waits in vain, having heard %v\n%s", l.build.name, l.cmd.Args, l.all, l.said)
}

// next wants the record with a number.
func (l *listener) next(i int) {
	l.t.Helper()
	l.until(func(f fields) bool {
		if f["data"] != float64(i) || f["offset"] != float64(i+1) {
			l.t.Fatalf("ORDER, DUP: heard %v, want record %d", f, i)
		}
		return true
	})
}

// end wants it to have ended by itself, without a gap.
func (l *listener) end() {
	l.t.Helper()
	if l.lines.Scan() {
		l.t.Errorf("DUP: heard %s besides", l.lines.Text())
	}
	if err := l.cmd.Wait(); err != nil || strings.Contains(l.said.String(), "missing") {
		l.t.Errorf("GAP: %v\n%s", err, l.said)
	}
}

func (l *listener) stop() { _ = l.cmd.Process.Signal(syscall.SIGKILL) }

// compatClient has the Go client of this build talk to a server of the other one through a bad network, in both codecs.
func compatClient(t *testing.T, server edition) {
	h := alone(t, server)
	for _, json := range []bool{false, true} {
		x := experiment{seed: rand.Uint64() >> 20, publishers: 2, channels: 4, subscribers: 8, records: 100, every: 5 * time.Millisecond}
		if long() {
			x = size(x.seed)
		}
		if x.prefix = "demo:m"; json {
			x.prefix = "news:j"
		}
		proxy, err := fault.NewProxy(h.address(), x.seed, fault.Plan{Eat: func(r *rand.Rand, _ int) bool { return r.IntN(30) == 0 }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		o := x.play(t, []string{"ws://" + proxy.Address() + "/ws"}, client.Options{JSON: json}, func(<-chan struct{}) {})
		if proxy.Heal(); proxy.Cuts() == 0 {
			t.Error("no line was cut")
		}
		x.settle(t, o, h.at)
		o.judge(t)
	}
	ann, bob := sitAt(t, h.at, "ann"), sitAt(t, h.at, "bob")
	ann.follow("demo:table")
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for _, o := range []client.PublishOptions{{Class: channel.Latest, Key: "pen"}, {Class: channel.Fleeting, Key: "typing"}} {
		if _, err := bob.c.Publish(ctx, "demo:table", []byte(`{"color":"red"}`), o); err != nil {
			t.Fatal(err)
		}
		if e, err := ann.subs["demo:table"].Next(ctx); err != nil || e.Record.Class != o.Class || e.Record.Key != o.Key || e.Record.From != bob.user {
			t.Fatalf("published with %+v, heard %+v, %v", o, e, err)
		}
	}
}

// compatSDK runs the tests of each build's TypeScript client against a server of the other one. It is the long form's.
func compatSDK(t *testing.T, old, now edition) {
	if !long() {
		t.Skip("takes minutes: CARILLON_LONG=1")
	}
	packages := filepath.Join(now.tree, "sdk/ts/node_modules")
	if _, err := os.Stat(filepath.Join(packages, ".bin/vitest")); err != nil {
		t.Skipf("the packages of the SDK are not installed (cd sdk/ts && npm ci): %v", err)
	}
	if err := os.Symlink(packages, filepath.Join(old.tree, "sdk/ts/node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]edition{{now, old}, {old, now}} {
		sdk, server := pair[0], pair[1]
		c := exec.Command(filepath.Join(packages, ".bin/vitest"), "run", "test/client.test.ts", "test/follow.test.ts", "test/table.test.ts", "test/line.test.ts", "test/serve.test.ts")
		c.Dir, c.Env = filepath.Join(sdk.tree, "sdk/ts"), append(plainly(), "SERVER_PROGRAM="+server.program)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("the SDK of the %s build with the server of the %s one: %v\n%s", sdk.name, server.name, err, out)
		}
	}
}
