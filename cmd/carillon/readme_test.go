package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// section returns the blocks of shell commands under a heading of the README.
func section(t testing.TB, heading string) (blocks []string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	for {
		var block string
		if _, rest, found = strings.Cut(rest, "```sh\n"); !found {
			return blocks
		}
		block, rest, _ = strings.Cut(rest, "```")
		blocks = append(blocks, block)
	}
}

// TestNewcomersPath runs what the README tells a newcomer to type, in an empty folder: what he publishes over HTTP is
// what he sees. Only the ports are others, and the program is built already.
func TestNewcomersPath(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not here: the commands of the README are not checked", tool)
		}
	}
	blocks := section(t, "From nothing to your own publish over HTTP")
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	const serve = "go run ./cmd/carillon serve &\n"
	if !strings.HasSuffix(blocks[0], serve) {
		t.Fatalf("the first block does not end with %q:\n%s", serve, blocks[0])
	}
	script := `set -eu
mkfifo ready
` + strings.TrimSuffix(blocks[0], serve) + `
$PROGRAM serve > ready &
server=$!
trap 'kill $server; wait $server' EXIT
read -r said < ready
public=$(sed 's|.*"url":"ws://\([^/]*\)/.*|\1|' <<< "$said")
internal=$(sed 's|.*"internal":"http://\([^/]*\)/.*|\1|' <<< "$said")
export CARILLON_URL=ws://$public/ws
` + strings.NewReplacer("go run ./cmd/carillon", "$PROGRAM", "127.0.0.1:8000", "$public", "127.0.0.1:8001", "$internal").Replace(blocks[1])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(cleanEnv(), "PROGRAM="+program, "CARILLON_LISTEN=127.0.0.1:0", "CARILLON_INTERNAL_LISTEN=127.0.0.1:0", "no_proxy=*")
	var errs guarded
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, &errs)
	}
	said := lines(strings.TrimSpace(string(out)))
	if len(said) != 3 {
		t.Fatalf("the commands print %d lines: %q", len(said), said)
	}
	ack, record, page := parse(t, said[0]), parse(t, said[1]), parse(t, said[2])
	if ack["ack"] != "appended:memory" || ack["offset"] != 1.0 {
		t.Errorf("the publish is answered with %v", ack)
	}
	if record["at"] != ack["at"] || record["data"] != "hello from a server" {
		t.Errorf("the subscriber sees %v", record)
	}
	if records := page["records"].([]any); len(records) != 1 || records[0].(map[string]any)["at"] != ack["at"] {
		t.Errorf("history has %v", page)
	}
	for _, name := range []string{"secret", "key"} {
		info, err := os.Stat(filepath.Join(cmd.Dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// TestFirstCommands runs the first commands of the README: those of the second shell against the server of the first.
func TestFirstCommands(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"dev  ", "sub demo:lobby\n", "pub demo:lobby '{\"text\":\"hello\"}'\n"} {
		if !strings.Contains(string(readme), "go run ./cmd/carillon "+command) {
			t.Fatalf("the README no longer says %q: change this test with it", command)
		}
	}
	_, url := startDev(t)
	env := []string{"CARILLON_URL=" + url}
	sub := call{args: []string{"sub", "demo:lobby"}, env: env}.start(t)
	sub.awaitErr("listening to demo:lobby")
	if r := (call{args: []string{"pub", "demo:lobby", `{"text":"hello"}`}, env: env}).run(t); r.code != 0 {
		t.Fatalf("pub: %+v", r)
	}
	if m := sub.object(); m["data"].(map[string]any)["text"] != "hello" || m["user"] == nil {
		t.Fatalf("sub prints %v", m)
	}
}
