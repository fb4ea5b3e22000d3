package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestUnknownSettings: what is misspelt is refused before anything listens, with the name that was meant.
func TestUnknownSettings(t *testing.T) {
	file := writeFile(t, "carillon.yaml", "limits:\n  fram: 1MiB\nheartbeat:\n  interval: 5\n")
	secret := "CARILLON_SECRET_FILE=" + secretFile(t)
	for _, args := range [][]string{{"serve"}, {"dev"}} {
		r := call{args: append(args, "--config", file), env: []string{secret}}.run(t)
		r.want(t, exitFailed, "for 2 reasons", file+":2: limits.fram is no setting; the nearest is limits.frame", file+":4: heartbeat.interval")
		if r.out != "" {
			t.Errorf("%v prints %q", args, r.out)
		}
	}
	call{args: []string{"serve"}, env: []string{secret, "CARILLON_LIMITS_FRAM=1MiB"}}.run(t).want(t, exitFailed, "CARILLON_LIMITS_FRAME")
	carillon(t, "dev", "--set", "limits.fram=1MiB").want(t, exitUsage, "the nearest is limits.frame")
	carillon(t, "dev", "--set", "secret="+canary).want(t, exitUsage, "command line")
	if r := carillon(t, "config", "check", "--config", file).want(t, exitFailed, "2 problems"); !strings.Contains(r.out, "the nearest is limits.frame") {
		t.Errorf("config check: %s", r.out)
	}
	carillon(t, "doctor", "--config", file).want(t, exitFailed, "the nearest is limits.frame")
}

// TestCheckKnowsWhatServeRefuses: also what only the parts of a node find wrong.
func TestCheckKnowsWhatServeRefuses(t *testing.T) {
	weak := []string{"CARILLON_SECRET_FILE=" + writeFile(t, "weak", "changeMe-0123456789-qwerty-0123456789")}
	check := call{args: []string{"config", "check"}, env: weak}.run(t).want(t, exitFailed, "1 problem")
	serve := call{args: []string{"serve"}, env: weak}.run(t).want(t, exitFailed, "Make one with")
	if !strings.Contains(check.out, "secret") || !strings.Contains(serve.err, strings.TrimSpace(check.out)) {
		t.Errorf("check: %s\nserve: %s", check.out, serve.err)
	}
}

// TestSourcesOfSettings: flags win over the environment, that over the file; dev's own defaults win over nothing.
func TestSourcesOfSettings(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, "carillon.yaml", "data: "+dir+"\nlimits: {connections_per_user: 1}\nnamespaces: {a: {durable: true}}\n")
	p, url := startServer(t, call{args: []string{"dev", "--durable", "b", "--config", file}, env: []string{`CARILLON_LOG_LEVEL=debug`}})
	if got := durableOf(t, dir, p, url); got != "a b" {
		t.Errorf("durable are %q", got)
	}
	user := []string{"CARILLON_TOKEN=guest-one"}
	sub := call{args: []string{"sub", "demo:a", "--url", url}, env: user}.start(t)
	sub.awaitErr("listening")
	if r := (call{args: []string{"pub", "demo:a", "1", "--url", url}, env: user}).run(t); r.code == exitOK {
		t.Error("the limit of the file does not hold in dev")
	}
	explained := call{args: []string{"config", "explain", "limits.connections_per_user", "--config", file, "--set", "limits.connections_per_user=3"}}.run(t).want(t, exitOK)
	if !strings.HasPrefix(explained.out, "limits.connections_per_user = 3   [--set limits.connections_per_user]") {
		t.Errorf("explain: %s", explained.out)
	}
}

// durableOf publishes into three namespaces and tells which of them were acknowledged as durable.
func durableOf(t *testing.T, dir string, _ *process, url string) string {
	t.Helper()
	var names []string
	for _, ns := range []string{"a", "b", "c"} {
		r := carillon(t, "pub", ns+":x", "1", "--url", url).want(t, exitOK)
		if parse(t, r.out)["ack"] == "durable" {
			names = append(names, ns)
		}
	}
	if !fileExists(filepath.Join(dir, "carillon.db")) {
		t.Error("the data folder is empty")
	}
	return strings.Join(names, " ")
}

// TestDefaultConfigurationServes: what `config default` prints is read again, changes nothing, and a server starts with it.
func TestDefaultConfigurationServes(t *testing.T) {
	text := carillon(t, "config", "default").want(t, exitOK).out
	file := writeFile(t, "carillon.yaml", text)
	env := []string{"CARILLON_SECRET_FILE=" + secretFile(t)}
	plain := call{args: []string{"config", "explain"}, env: env}.run(t).want(t, exitOK)
	read := call{args: []string{"config", "explain", "--config", file}, env: env}.run(t).want(t, exitOK)
	values := func(text string) (all []string) {
		for _, line := range lines(text) {
			if value, _, is := strings.Cut(line, "   ["); is && !strings.HasPrefix(line, " ") {
				all = append(all, value)
			}
		}
		return all
	}
	if err := compare(values(plain.out), values(read.out)); err != nil || len(values(plain.out)) < 40 {
		t.Errorf("the printed defaults are other values: %v", err)
	}
	p, _ := startServer(t, call{args: []string{"serve", "--config", file}, env: env})
	if code := p.signal(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.errs)
	}
}

// TestDevMakesWay: the internal port of dev moves where another server has it, unless somebody asked for it.
func TestDevMakesWay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:8001")
	if err == nil { // otherwise somebody else has it, which is as good
		defer func() { _ = l.Close() }()
	}
	p := call{args: []string{"dev", "--listen", "127.0.0.1:0"}}.start(t)
	internal := p.object()["internal"].(string)
	p.awaitErr("127.0.0.1:8001 is taken; the internal address is 127.0.0.1:")
	r, err := http.Get(internal + "livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Errorf("livez at %s: %s", internal, r.Status)
	}
	carillon(t, "dev", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:8001").want(t, exitFailed, "address already in use", "--internal-listen")
}

func TestDoctor(t *testing.T) {
	args := []string{"doctor", "--set", "listen=127.0.0.1:0", "--set", "internal_listen=127.0.0.1:0", "--set", "limits.connections=10", "--set", "limits.memory=16MiB"}
	r := carillon(t, append(args, "--set", "data="+t.TempDir())...)
	for _, check := range []string{"open files", "backlog", "port", "clock", "data", "disk", "fsync", "files", "memory"} {
		if !strings.Contains(r.out, "  "+check+" ") {
			t.Errorf("doctor does not look at %s:\n%s", check, r.out)
		}
	}
	open := secretFile(t)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	r = call{args: append(args, "--set", "data=/nonexistent"), env: []string{"CARILLON_SECRET_FILE=" + open}}.run(t).want(t, exitFailed, "failed")
	if !strings.Contains(r.out, "chmod 600") || !strings.Contains(r.out, "install -d") || strings.Contains(r.out+r.err, canary) {
		t.Errorf("doctor finds:\n%s%s", r.out, r.err)
	}
}

// TestCanarySettings: secrets of all kinds are read, and nothing that is printed holds any of them.
func TestCanarySettings(t *testing.T) {
	e := newEstate(t, "token", "ops")
	e.write("secret", canary+"-local")
	file := filepath.Join(e.dir, "carillon.yaml")
	good := "secret_file: secret\n" + e.configuration([]string{"token"}, []string{"ops"}, "")
	for name, text := range map[string]string{
		"good":    good,
		"twice":   good + "secret: " + canary + "-here\n",
		"broken":  good + "limits: [" + canary + "\n",
		"unknown": good + "secrt: " + canary + "\n",
		"inside":  "secret: " + canary + "-here\nlog: {level: loud}\n",
		"short":   "server_keys: [{name: ops, key: " + canary + "}]\n",
		"pasted":  "secret_file: " + canary + "\n",
	} {
		e.write("carillon.yaml", text)
		for _, args := range [][]string{
			{"config", "check"}, {"config", "explain"}, {"doctor"}, {"token", "check"}, {"serve", "--listen", "256.0.0.1:1", "--internal-listen", "127.0.0.1:0"},
			{"dev", "--listen", "256.0.0.1:1", "--internal-listen", "127.0.0.1:0"}, {"config", "default"}, {"config", "env"}, {"config", "schema"},
		} {
			r := call{args: withConfig(args, file), in: "x." + canary + ".y"}.run(t)
			if strings.Contains(r.out+r.err, canary) {
				t.Errorf("%s: %v prints a secret:\n%s%s", name, args, r.out, r.err)
			}
		}
	}
	for name, env := range map[string]string{"value": "CARILLON_SECRET=" + canary + "-env", "path": "CARILLON_SECRET_FILE=" + canary} {
		for _, args := range [][]string{{"config", "check"}, {"config", "explain"}, {"doctor"}, {"dev", "--listen", "256.0.0.1:1"}, {"dev", "--set", "limits.fram=" + canary}} {
			if r := (call{args: args, env: []string{env}}).run(t); strings.Contains(r.out+r.err, canary) && !strings.Contains(args[len(args)-1], canary) {
				t.Errorf("%s: %v prints a secret:\n%s%s", name, args, r.out, r.err)
			}
		}
	}
}

// withConfig adds --config for the commands that read one.
func withConfig(args []string, file string) []string {
	if args[0] == "config" && args[1] != "check" && args[1] != "explain" {
		return args
	}
	return append(args, "--config", file)
}
