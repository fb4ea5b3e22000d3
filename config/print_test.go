package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Nothing that is ever printed holds a secret: not a dump in any form, not an error, not a change.
func TestS10SecretsAreNeverShown(t *testing.T) {
	files := map[string]string{"c.yaml": `
secret: ` + canary(1) + `
server_keys: [{name: a, key_file: two}]
auth:
  issuers:
    - {issuer: i, audience: a, keys: [{algorithm: HS256, secret: ` + canary(3) + `}]}
limits: {frame: 1MiB}
`, "two": canary(2)}
	l, err := Load(Sources{File: "c.yaml", ReadFile: disk(files), Env: []string{"CARILLON_SECRET=" + canary(4)}})
	if err != nil {
		t.Fatal(err)
	}
	if string(l.Config.Secret.Reveal()) != canary(4) || string(l.Config.Auth.Issuers[0].Keys[0].Secret.Reveal()) != canary(3) {
		t.Fatal("the secrets are not there, so this test sees nothing")
	}
	var seen bytes.Buffer
	if n, err := l.Explain(&seen, ""); err != nil || n < 50 {
		t.Errorf("%d settings, %v", n, err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&seen, verb+verb+verb, l, l.Config, &l.Config.Secret)
	}
	_ = json.NewEncoder(&seen).Encode(l.Config)
	slog.New(slog.NewJSONHandler(&seen, nil)).Info("config", "all", l.Config, "secret", l.Config.Secret)
	slog.New(slog.NewTextHandler(&seen, nil)).Info("config", "all", l.Config, "secret", l.Config.Secret)
	fmt.Fprintln(&seen, Check(&seen, Sources{File: "c.yaml", ReadFile: disk(files)}))
	was := Default()
	changes, refused := Diff(&was, &l.Config)
	fmt.Fprintln(&seen, changes, refused, Examine(&l.Config, Gather(&l.Config)), l.Doubts)
	for i := 1; i <= 4; i++ {
		for _, form := range []string{canary(i), fmt.Sprintf("%x", canary(i)), fmt.Sprintf("%X", canary(i)), fmt.Sprint([]byte(canary(i)))} {
			if strings.Contains(seen.String(), form) {
				t.Errorf("secret %d is shown as %.20s…", i, form)
			}
		}
	}
	if !strings.Contains(seen.String(), "server_keys[0].key = set (from file two)") {
		t.Error("explain does not say where a secret came from")
	}
}

// A secret in any place where it does not belong is refused unseen.
func TestS10MisplacedSecretsAreNotShown(t *testing.T) {
	s := canary(9)
	for _, text := range []string{
		"secret: [" + s + "]", "secret: {a: " + s + "}", "secret: *" + s, "secret: &" + s + " x", "secret: !" + s + " x", "secret: \"" + s, "secret: '" + s,
		"secret: " + s[:20], "secret_file: " + s, "secret_file: [" + s + "]", "secrte: " + s, "tls: " + s, "server_keys: " + s, "server_keys: [" + s + "]",
		"server_keys: [{name: a, key: " + s + "}]", "namespaces: " + s, "namespaces: {chat: " + s + "}", "auth: {issuers: [{keys: [{secret: " + s[:20] + ", algorithm: HS256}]}]}",
		"auth: {issuers: [{keys: [{public_key: " + s + ", algorithm: EdDSA}], issuer: i, audience: a}]}", "limits:\n  in_flight: 1\n secret: " + s, "%" + s, "secret: " + s + "\n" + s,
	} {
		_, err := load(text)
		if err == nil {
			t.Errorf("%q is taken", text)
		} else if strings.Contains(err.Error(), s[:20]) {
			t.Errorf("%q shows it: %s", text, err)
		}
	}
}

func TestExplain(t *testing.T) {
	l, err := Load(Sources{
		File: "c.yaml", ReadFile: disk(map[string]string{"c.yaml": "limits:\n  frame: 1MiB\nnamespaces:\n  default: {max_body: 2KiB}\n  chat: {history: false}\n"}),
		Env: []string{"CARILLON_ORIGINS=https://a.example https://b.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	if _, err := l.Explain(&all, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"limits.frame = 1MiB   [c.yaml:2]\n    Longest frame from a client",
		"origins = https://a.example, https://b.example   [CARILLON_ORIGINS]\n",
		"listen = :8000   [default]\n",
		"data = \"\"   [default]\n",
		"secret = not set   [default]\n",
		"auth.issuers = 0 entries   [default]\n",
		"namespaces.chat.history = false   [c.yaml:5]\n",
		"namespaces.chat.max_body = 2KiB   [namespaces.default, c.yaml:4]\n",
		"namespaces.chat.slow = skip   [default]\n",
		"[size; 1KiB to 16MiB; default 256KiB; reload: no, clients were told when they connected]",
	} {
		if !strings.Contains(all.String(), want) && !strings.Contains(strings.Join(strings.Fields(all.String()), " "), want) {
			t.Errorf("%q is not said", want)
		}
	}
	var some bytes.Buffer
	if n, _ := l.Explain(&some, "heartbeat"); n != 2 || strings.Contains(some.String(), "limits") {
		t.Errorf("%d: %s", n, some.String())
	}
}

// The commands as kong runs them.
func TestCommands(t *testing.T) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, envPrefix) {
			t.Setenv(name, "")
		}
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("limits:\n  frame: 1MiB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, out, fails string }{
		{"config check --config " + file, file + ": 1 setting set, the rest is default; 2 warnings\n", ""},
		{"config check --config " + file + " --set limits.frame=1GiB --set log.level=x", "--set limits.frame: limits.frame \"1GiB\" is out of bounds", "the configuration has 2 problems"},
		{"config check --config nowhere.yaml", "nowhere.yaml: config cannot be read", "1 problem"},
		{"config explain limits.frame --config " + file, "limits.frame = 1MiB", ""},
		{"config explain limits.frame --set limits.frame=2MiB", "[--set limits.frame]", ""},
		{"config explain zebra", "", "no setting begins with"},
		{"config env", "CARILLON_LIMITS_FRAME=256KiB\n    Longest frame", ""},
		{"config env", "CARILLON_SECRET_FILE\n    File that holds CARILLON_SECRET.", ""},
		{"config schema", `"$schema": "https://json-schema.org/draft/2020-12/schema"`, ""},
		{"config default", "\nlisten: \":8000\"\n", ""},
	} {
		var cli struct {
			Config Command       `cmd:""`
			Doctor DoctorCommand `cmd:""`
		}
		var out bytes.Buffer
		parser, err := kong.New(&cli, kong.Writers(&out, io.Discard), kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		k, err := parser.Parse(strings.Fields(c.args))
		if err == nil {
			err = k.Run()
		}
		if !strings.Contains(out.String(), c.out) || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v\n%s", c.args, err, out.String())
		}
		var found Found
		if errors.As(err, &found) != (c.fails != "") {
			t.Errorf("%s: %T", c.args, err)
		}
	}
}

func TestDiff(t *testing.T) {
	old := mustLoad(t, "namespaces:\n  chat: {history: false}\n").Config
	for _, c := range []struct {
		text             string
		changes, refused []Change
	}{
		{text: "namespaces:\n  chat: {history: false}\n"},
		{text: "namespaces:\n  chat: {history: false}\n  same: {}\n"},
		{
			text:    "limits: {in_flight: 3}\nlog: {level: debug}\norigins: [https://a.example]\nnamespaces:\n  chat: {history: false}\n",
			changes: []Change{{"origins", `""`, "https://a.example", "new connections"}, {"log.level", "info", "debug", "at once"}, {"limits.in_flight", "128", "3", "at once"}},
		},
		{
			text:    "listen: :9\nheartbeat: {interval: 5s}\nnamespaces:\n  chat: {history: false}\n",
			refused: []Change{{"listen", ":8000", ":9", "the socket is bound at the start"}, {"heartbeat.interval", "25s", "5s", "clients were told when they connected, and would drop their line"}},
		},
		{ // an entry that goes leaves its channels to the default one
			text:    "namespaces:\n  default: {max_body: 1KiB}\n",
			changes: []Change{{"namespaces.default.max_body", "64KiB", "1KiB", "at once"}, {"namespaces.chat.max_body", "64KiB", "1KiB", "at once"}, {"namespaces.chat.history", "false", "true", "at once"}},
		},
	} {
		next := mustLoad(t, c.text).Config
		changes, refused := Diff(&old, &next)
		if !reflect.DeepEqual(changes, c.changes) || !reflect.DeepEqual(refused, c.refused) {
			t.Errorf("%s\nchanges %q\nrefused %q", c.text, changes, refused)
		}
	}
}

func TestDiffOfWhatNeedsFiles(t *testing.T) {
	files := map[string]string{"c.yaml": "data: d\nnamespaces: {chat: {}}\nserver_keys: [{name: a, key_file: s}]\n", "s": canary(1), "s2": canary(1), "n": canary(2)}
	old := mustLoadFiles(t, files).Config
	for text, want := range map[string]string{
		"data: d\nnamespaces: {chat: {durable: true}}\nserver_keys: [{name: a, key_file: s}]\n":      "[namespaces.chat.retention.records namespaces.chat.retention.bytes namespaces.chat.retention.age] [namespaces.chat.durable]",
		"data: d\nnamespaces: {chat: {}}\nserver_keys: [{name: a, key_file: s2}]\n":                  "[] []", // the same key elsewhere
		"data: d\nnamespaces: {chat: {}}\nserver_keys: [{name: a, key_file: n}]\n":                   "[server_keys] []",
		"data: d\nserver_keys: [{name: a, key_file: s}, {name: b, key_file: n}]\n":                   "[server_keys] []",
		"data: e\nserver_keys: [{name: a, key_file: s}]\n":                                           "[] [data]",
		"data: d\nserver_keys: [{name: a, key_file: s}]\ntls: {cert: s, key: n, min_version: 1.3}\n": "[tls.min_version] [tls.cert]",
	} {
		files["c.yaml"] = text
		next := mustLoadFiles(t, files).Config
		changes, refused := Diff(&old, &next)
		if got := fmt.Sprint(keysOf(changes), " ", keysOf(refused)); got != want {
			t.Errorf("%s\n%s", text, got)
		}
	}
}

func keysOf(changes []Change) []string {
	keys := []string{}
	for _, c := range changes {
		keys = append(keys, c.Key)
	}
	return keys
}
