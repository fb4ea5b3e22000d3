package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// canary is a good secret that must not be seen anywhere.
func canary(n int) string { return fmt.Sprintf("Canary-%d-QzX8vT4mWk1rB7hJ2yPd5sLf9", n) }

func TestPrecedence(t *testing.T) {
	file := "limits:\n  frame: 1MiB\n  in_flight: 7\n  malformed: 3\n"
	l, err := Load(Sources{
		File: "c.yaml", ReadFile: disk(map[string]string{"c.yaml": file}),
		Env:   []string{"CARILLON_LIMITS_FRAME=2MiB", "CARILLON_LIMITS_IN_FLIGHT=8", "CARILLON_LOG_LEVEL=", "HOME=/"},
		Flags: map[string]string{"limits.frame": "3MiB", "listen": "127.0.0.1:9"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	got := []any{c.Limits.Frame, c.Limits.InFlight, c.Limits.Malformed, c.Limits.Outbox, c.Listen, c.Log.Level}
	if want := []any{3 * MiB, 8, 3, 4 * MiB, "127.0.0.1:9", "info"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for path, want := range map[string]string{
		"limits.frame": "--set limits.frame", "limits.in_flight": "CARILLON_LIMITS_IN_FLIGHT", "limits.malformed": "c.yaml:4",
		"limits.outbox": "default", "listen": "--listen", "log.level": "default",
	} {
		if got := l.Source(path).String(); got != want {
			t.Errorf("%s comes from %q, not %q", path, got, want)
		}
	}
}

func TestFileNamedByEnvironment(t *testing.T) {
	l, err := Load(Sources{Env: []string{"CARILLON_CONFIG=x.json"}, ReadFile: disk(map[string]string{"x.json": `{"limits": {"in_flight": 9}, "origins": ["https://a.example"]}`})})
	if err != nil || l.Config.Limits.InFlight != 9 || l.File != "x.json" || l.Config.Origins[0] != "https://a.example" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestListsInEveryForm(t *testing.T) {
	want := []string{"10.0.0.0/8", "::1"}
	for _, text := range []string{"trusted_proxies: [10.0.0.0/8, '::1']", "trusted_proxies:\n  - 10.0.0.0/8\n  - ::1\n", "trusted_proxies: 10.0.0.0/8, ::1", "trusted_proxies: 10.0.0.0/8 ::1"} {
		if l := mustLoad(t, text); !slices.Equal(l.Config.TrustedProxies, want) || len(l.Config.Networks()) != 2 {
			t.Errorf("%q is %q", text, l.Config.TrustedProxies)
		}
	}
	l, err := Load(Sources{Env: []string{"CARILLON_TRUSTED_PROXIES=10.0.0.0/8,::1", `CARILLON_NAMESPACES={"chat": {"history": false}}`}, ReadFile: readNothing})
	if err != nil || !slices.Equal(l.Config.TrustedProxies, want) || l.Config.Namespace("chat").History {
		t.Errorf("%v", err)
	}
}

func TestNamespacesInherit(t *testing.T) {
	l := mustLoad(t, `
data: d
namespaces:
  default: {max_body: 1KiB, retention: {records: 50}}
  chat: {durable: true, slow: disconnect}
  feed: {durable: true, retention: {records: 70}}
  odd.name: {retention: {age: 1h}}
`)
	get := func(name string) Namespace { return l.Config.Namespace(name) }
	if n := get("other"); n.MaxBody != KiB || n.Retention.Records != 50 || n.Durable {
		t.Errorf("default: %+v", n)
	}
	if n := get("chat"); !n.Durable || n.MaxBody != KiB || n.Retention != (Retention{}) || n.Slow != "disconnect" {
		t.Errorf("a durable namespace keeps everything unless it says otherwise: %+v", n)
	}
	if n := get("feed"); n.Retention != (Retention{Records: 70}) {
		t.Errorf("feed: %+v", n)
	}
	if n := get("odd.name"); n.Retention != (Retention{Records: 50, Bytes: MiB, Age: time.Hour}) {
		t.Errorf("odd.name: %+v", n)
	}
	l, err := Load(Sources{Flags: map[string]string{"data": "d", "namespaces.odd.name.durable": "true", "namespaces.odd.name.ring.records": "9"}, ReadFile: readNothing})
	if err != nil {
		t.Fatal(err)
	}
	if n := l.Config.Namespace("odd.name"); !n.Durable || n.Ring.Records != 9 || n.Retention != (Retention{}) {
		t.Errorf("by flag: %+v", n)
	}
}

func TestPathsBesideTheFile(t *testing.T) {
	l, err := Load(Sources{File: "etc/c.yaml", ReadFile: disk(map[string]string{
		"etc/c.yaml": "data: kept\nsecret_file: s\ntls: {cert: /abs/c.pem, key: k.pem}\n", "etc/s": canary(1) + "\n",
	})})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	if c.Data != filepath.Join("etc", "kept") || c.TLS.Cert != "/abs/c.pem" || string(c.Secret.Reveal()) != canary(1) || c.Secret.File() != filepath.Join("etc", "s") {
		t.Errorf("%+v", c)
	}
}

// refusals are what people write, the setting it is about, its line, and what they are told.
var refusals = []struct {
	text, key string
	line      int
	says      string
}{
	{"limits:\n  framme: 1MiB", "limits.framme", 2, "the nearest is limits.frame"},
	{"lisen: :80", "lisen", 1, "the nearest is listen"},
	{"in_flight: 3", "in_flight", 1, "there is limits.in_flight"},
	{"zebra: 3", "zebra", 1, "known here are listen, internal_listen"},
	{"limits:\n  frame: 1GiB", "limits.frame", 2, `"1GiB" is out of bounds: choose 1KiB to 16MiB`},
	{"limits:\n  frame: 64KB", "limits.frame", 2, "64KiB"},
	{"limits:\n  in_flight: many", "limits.in_flight", 2, "is no whole number"},
	{"limits:\n  in_flight: 1.5", "limits.in_flight", 2, "is no whole number"},
	{"limits:\n  in_flight: [1]", "limits.in_flight", 2, "takes one value of type number"},
	{"limits:\n  in_flight: {a: 1}", "limits.in_flight", 2, "takes one value"},
	{"limits: 7", "limits", 1, "is a section"},
	{"limits:\n  handshakes: fast", "limits.handshakes", 2, "50/s burst 100"},
	{"limits:\n  handshakes: 1000000000/s", "limits.handshakes", 2, "out of bounds"},
	{"limits:\n  unauthenticated_share: NaN", "limits.unauthenticated_share", 2, "no number"},
	{"limits:\n  unauthenticated_share: 1.5", "limits.unauthenticated_share", 2, "0.01 to 1"},
	{"heartbeat:\n  interval: 5", "heartbeat.interval", 2, "30s"},
	{"log:\n  level: loud", "log.level", 2, "not one of debug, info, warn, error"},
	{"listen: 8000", "listen", 1, "HOST:PORT"},
	{"listen: ::1:8000", "listen", 1, "HOST:PORT"},
	{"listen: :70000", "listen", 1, "no port"},
	{"listen: :8001\ninternal_listen: :8001", "internal_listen", 2, "the same as listen"},
	{"origins: [https://a.example/]", "origins", 1, "more than an origin"},
	{"origins: [https://a.example:443]", "origins", 1, "usual port"},
	{"origins: ['https://*.example']", "origins", 1, "more than an origin"},
	{"origins: ['*', 'https://a.example']", "origins", 1, "holds * and others"},
	{"trusted_proxies: [10.0.0.1/8]", "trusted_proxies", 1, "write 10.0.0.0/8"},
	{"trusted_proxies: [0.0.0.0/0]", "trusted_proxies", 1, "whole internet"},
	{"trusted_proxies:\n - proxy", "trusted_proxies", 2, "no network"},
	{"tls: {cert: a.pem}", "tls.key", 0, "missing beside tls.cert"},
	{"drain:\n  window: 1m", "drain.window", 2, "longer than drain.timeout"},
	{"namespaces:\n  chat:lobby: {}", "namespaces.chat:lobby", 2, "before the colon"},
	{"namespaces:\n  '': {}", `namespaces.""`, 2, "no namespace"},
	{"namespaces:\n  chat:\n    durable: true", "namespaces.chat.durable", 3, "set data"},
	{"namespaces:\n  chat:\n    retention: {records: 0, bytes: 0}", "namespaces.chat.retention.records", 3, "has no bound"},
	{"namespaces:\n  chat:\n    max_body: 1MiB", "namespaces.chat.max_body", 3, "limits.frame, 256KiB"},
	{"namespaces:\n  chat:\n    presences: true", "namespaces.chat.presences", 3, "no setting"},
	{"namespaces:\n  chat: {}\n  chat: {}", "namespaces.chat", 3, "twice"},
	{"namespaces: [chat]", "namespaces", 1, "is a section"},
	{"listen: :1\nlisten: :2", "listen", 2, "twice"},
	{"server_keys:\n  - name: a\n    key: " + canary(1), "server_keys[0].key", 3, "key_file: PATH"},
	{"server_keys:\n  - name: a", "server_keys[0].key", 2, "missing"},
	{"server_keys:\n  - key_file: good", "server_keys[0].name", 2, "is missing"},
	{"server_keys:\n  - key_file: good\n    name: ''", "server_keys[0].name", 3, "is missing"},
	{"server_keys:\n  - {name: a, key_file: good}\n  - {name: a, key_file: good}", "server_keys[1].name", 3, "server_keys[0] too"},
	{"server_keys:\n  - {name: a, key_file: spaced}", "server_keys[0].key", 2, "without spaces"},
	{"server_keys: {name: a}", "server_keys", 1, "begin each entry with a dash"},
	{"secret_file: missing", "secret", 1, "file does not exist"},
	{"secret_file: short", "secret", 1, "has 5 bytes and needs 32 to 1024"},
	{"secret_file: weak", "secret", 1, "could be guessed"},
	{"secret_file: sample", "secret", 1, "everybody knows"},
	{"secret: a\nsecret_file: good", "secret", 2, "twice"},
	{"a: &x 1", "a", 1, "no setting"},
	{"limits: &x\n  in_flight: 2", "limits", 1, "anchor"},
	{"tls: {<<: {cert: a}}", "tls", 1, "no plain word"},
	{"listen: :1\n---\nlisten: :2", "config", 2, "second document"},
	{"listen: [", "config", 1, "no YAML"},
	{"\tlisten: a", "config", 0, "no YAML"},
	{"secret: *" + canary(1), "config", 0, "alias"},
	{"- a", "config", 1, "is a section"},
	{"? [a]\n: b", "config", 1, "no plain word"},
}

var refusalFiles = map[string]string{
	"good": canary(7), "spaced": canary(7) + " " + canary(8), "short": "short", "weak": strings.Repeat("ab", 40), "sample": "changeme-changeme-0123456789abcdefgh",
}

func TestRefusals(t *testing.T) {
	for _, r := range refusals {
		files := map[string]string{"c.yaml": r.text}
		for name, text := range refusalFiles {
			files[name] = text
		}
		_, err := Load(Sources{File: "c.yaml", ReadFile: disk(files)})
		var ps Problems
		if !errors.As(err, &ps) {
			t.Errorf("%q is taken: %v", r.text, err)
			continue
		}
		if !slices.ContainsFunc(ps, func(p Problem) bool {
			return p.Key == r.key && (p.Source.Line == r.line || r.line == 0) && strings.Contains(p.Text, r.says)
		}) {
			t.Errorf("%q: %s (want %s in line %d, %q)", r.text, err, r.key, r.line, r.says)
		}
		if strings.Contains(err.Error(), "Canary") {
			t.Errorf("%q shows a secret: %s", r.text, err)
		}
	}
}

func TestRefusalsOfEnvironmentAndFlags(t *testing.T) {
	secret := canary(3)
	for _, r := range []struct {
		env, flag, value, says string
	}{
		{env: "CARILLON_LIMITS_FRAM=1", says: "CARILLON_LIMITS_FRAM: CARILLON_LIMITS_FRAM is no variable of this server; the nearest is CARILLON_LIMITS_FRAME"},
		{env: "CARILLON_ZEBRA=1", says: "carillon config env"},
		{env: "CARILLON_LIMITS_FRAME=1", says: `CARILLON_LIMITS_FRAME: limits.frame "1" is out of bounds`},
		{env: "CARILLON_AUTH_ISSUERS=[", says: "auth.issuers is no YAML"},
		{env: "CARILLON_SECRET=" + secret + "\nCARILLON_SECRET_FILE=x", says: "set twice, by CARILLON_SECRET and by CARILLON_SECRET_FILE"},
		{env: "CARILLON_SECRET_FILE=" + secret, says: "looks like the secret itself"},
		{env: `CARILLON_SERVER_KEYS=[{"name": "a", "key": "` + secret + `"}, {"name": "b", "key": "` + secret + `"}]`, says: "same as that of server_keys[0]"},
		{flag: "secret", value: secret, says: "--secret: secret cannot be given on the command line"},
		{flag: "auth.issuers", value: "[]", says: "--set auth.issuers: auth.issuers cannot be given on the command line"},
		{flag: "limits.fram", value: "1", says: "the nearest is limits.frame"},
		{flag: "limits", value: "1", says: "cannot be given"},
		{flag: "namespaces.chat.durabel", value: "true", says: "those are durable, retention.records"},
		{flag: "namespaces.a b.durable", value: "true", says: "no namespace"},
		{flag: "namespaces.chat.durable", value: "yes", says: "neither true nor false"},
		{flag: "log.level", value: "loud", says: `--set log.level: log.level "loud" is not one of`},
	} {
		in := Sources{Env: strings.Split(r.env, "\n"), ReadFile: readNothing}
		if r.flag != "" {
			in.Flags = map[string]string{r.flag: r.value}
		}
		_, err := Load(in)
		if err == nil || !strings.Contains(err.Error(), r.says) || strings.Contains(err.Error(), "Canary") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// Kubernetes tells every container about a service called carillon, in words that are not meant for us.
func TestForeignVariablesAreLeftAlone(t *testing.T) {
	env := []string{
		"CARILLON_SERVICE_HOST=10.0.0.1", "CARILLON_SERVICE_PORT=80", "CARILLON_SERVICE_PORT_WS=80", "CARILLON_PORT=tcp://10.0.0.1:80",
		"CARILLON_PORT_80_TCP=tcp://x", "CARILLON_PORT_80_TCP_ADDR=x", "CARILLON_INTERNAL_SERVICE_HOST=x", "CARILLON_URL=ws://x", "PATH=/bin", "CARILLON_ZEBRA=",
	}
	if _, err := Load(Sources{Env: env, Others: clientVariables, ReadFile: readNothing}); err != nil {
		t.Error(err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := Load(Sources{
		File: "c.yaml", ReadFile: disk(map[string]string{"c.yaml": "log:\n  level: loud\nlimits:\n  framme: 1\n  in_flight: 0\n"}),
		Env: []string{"CARILLON_LISTEN=x"}, Flags: map[string]string{"zebra": "1"},
	})
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 5 {
		t.Fatalf("%v", err)
	}
	var lines []int
	for _, p := range ps {
		lines = append(lines, p.Source.Line)
	}
	if want := []int{2, 4, 5, 0, 0}; !slices.Equal(lines, want) {
		t.Errorf("in the order of sources and lines: %v", lines)
	}
}

func publicPEM(t *testing.T, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Each algorithm takes its own kind of key, and no other.
func TestKeysFitTheirAlgorithm(t *testing.T) {
	edPublic, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(edPrivate)
	files := map[string]string{
		"ed": publicPEM(t, edPublic), "p256": publicPEM(t, &p256.PublicKey), "p384": publicPEM(t, &p384.PublicKey), "rsa": publicPEM(t, &rsaKey.PublicKey),
		"private": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), "hs": canary(4), "junk": strings.Repeat("-----BEGIN ", 9),
	}
	for _, c := range []struct{ algorithm, key, says string }{
		{"EdDSA", "public_key_file: ed", ""},
		{"ES256", "public_key_file: p256", ""},
		{"RS256", "public_key_file: rsa", ""},
		{"HS256", "secret_file: hs", ""},
		{"HS256", "public_key_file: rsa", "neither a public nor a private"},
		{"HS256", "kid: a", "needs secret_file"},
		{"RS256", "secret_file: hs", "does not belong to RS256"},
		{"RS256", "kid: a", "or private_key is needed for RS256"},
		{"RS256", "public_key_file: ed", "that takes RSA"},
		{"ES256", "public_key_file: p384", "that takes P-256"},
		{"EdDSA", "public_key_file: private", "belongs to whoever signs"},
		{"EdDSA", "private_key_file: private", ""},
		{"EdDSA", "private_key_file: ed", "is no private key"},
		{"EdDSA", "public_key_file: junk", "is no PEM"},
		{"none", "secret_file: hs", "not one of HS256, RS256, ES256, EdDSA"},
	} {
		files["c.yaml"] = "auth:\n  issuers:\n    - issuer: i\n      audience: a\n      keys:\n        - algorithm: " + c.algorithm + "\n          " + c.key + "\n"
		_, err := Load(Sources{File: "c.yaml", ReadFile: disk(files)})
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s with %s: %v", c.algorithm, c.key, err)
		}
	}
}

func TestIssuers(t *testing.T) {
	one := func(more string) string {
		return "auth:\n  issuers:\n    - issuer: i\n      audience: a\n" + more
	}
	for _, c := range []struct{ text, says string }{
		{one("      jwks_url: https://id.example.org/keys\n"), ""},
		{one(""), "give keys, or jwks_url"},
		{one("      jwks_url: http://id.example.org/keys\n"), "https://host/path"},
		{one("      jwks_url: https://u:Canary@id.example.org/keys\n"), "a user or a password"},
		{one("      jwks_url: https://x.example\n      keys: [{algorithm: HS256, secret_file: s}, {algorithm: HS256, secret_file: s, kid: b}]\n"), ""},
		{one("      jwks_url: https://x.example\n      session_lifetime: 2d\n"), "longer than auth.session_lifetime, 24h"},
		{one("      jwks_url: https://x.example\n      user_prefix: '@x'\n"), "kept for the server itself"},
		{one("      jwks_url: https://x.example\n      ceiling: [{channels: ['chat:*'], can: [subscribe, read]}]\n"), `holds "read", which is no action`},
		{one("      jwks_url: https://x.example\n      default: [{can: '*'}]\n"), "default[0].channels is missing"},
		{one("      jwks_url: https://x.example\n      ceiling: [{channels: 'chat:*', can: '*'}, {channels: ['chat:secret'], deny: true}]\n"), ""},
		{one("      keys: [{kid: b, algorithm: HS256, secret_file: s}, {algorithm: HS256, secret_file: s, kid: b}]\n"), "that of keys[0] too"},
		{one("      jwks_url: https://x.example\n    - issuer: i\n      audience: b\n      jwks_url: https://x.example\n"), "auth.issuers[0] too"},
		{"auth:\n  max_lifetime: 5m\n  issuers: [{issuer: i, audience: a, jwks_url: 'https://x.example', max_lifetime: 1h}]\n", "longer than auth.max_lifetime, 5m"},
		{"auth:\n  issuers: [{issuer: i, jwks_url: 'https://x.example'}]\n", "auth.issuers[0].audience is missing"},
	} {
		_, err := Load(Sources{File: "c.yaml", ReadFile: disk(map[string]string{"c.yaml": c.text, "s": canary(5)})})
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "Canary")) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// What a server would run with, and perhaps should not.
func TestDoubts(t *testing.T) {
	for _, c := range []struct{ text, key string }{
		{"", "secret"}, {"", "listen"}, {"internal_listen: :8001", "internal_listen"}, {"origins: '*'", "origins"},
		{"namespaces:\n  chat: {ring: {bytes: 1KiB}}", "namespaces.chat.ring.bytes"},
	} {
		if l := mustLoad(t, c.text); !slices.ContainsFunc(l.Doubts, func(p Problem) bool { return p.Key == c.key && p.Doubt }) {
			t.Errorf("%q raises no doubt about %s: %v", c.text, c.key, l.Doubts)
		}
	}
	calm := mustLoadFiles(t, map[string]string{"c.yaml": "listen: 127.0.0.1:8000\nsecret_file: s\n", "s": canary(1)})
	if len(calm.Doubts) > 0 {
		t.Errorf("%v", calm.Doubts)
	}
}

// Files of the real disk: only regular ones, and none that others may read without a word.
func TestFilesOfTheDisk(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("open", canary(1), 0o644)
	put("closed", canary(1), 0o600)
	try := func(text string) (*Loaded, error) {
		return Load(Sources{File: put("c.yaml", text, 0o600)})
	}
	if l, err := try("secret_file: closed\nlisten: 127.0.0.1:0\n"); err != nil || len(l.Doubts) != 0 {
		t.Errorf("%v, %v", l, err)
	}
	l, err := try("secret_file: open\nlisten: 127.0.0.1:0\n")
	if err != nil || len(l.Doubts) != 1 || !strings.Contains(l.Doubts[0].Text, "chmod 600") {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := try("secret_file: .\n"); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("%v", err)
	}
	if _, err := try("tls: {cert: nowhere, key: closed}\n"); err == nil || !strings.Contains(err.Error(), "tls.cert cannot be read") {
		t.Errorf("%v", err)
	}
	put("big", strings.Repeat(canary(1), 4000), 0o600)
	if _, err := try("secret_file: big\n"); err == nil || !strings.Contains(err.Error(), "larger than 65536 bytes") {
		t.Errorf("%v", err)
	}
}

// Loading again sees the new content of files: that is the reload.
func TestLoadAgain(t *testing.T) {
	files := map[string]string{"c.yaml": "secret_file: s\n", "s": canary(1)}
	before := mustLoadFiles(t, files)
	files["s"] = canary(2)
	after := mustLoadFiles(t, files)
	changes, refused := Diff(&before.Config, &after.Config)
	if len(refused) != 0 || len(changes) != 1 || changes[0].Key != "secret" || strings.Contains(fmt.Sprint(changes), "Canary") {
		t.Errorf("changes %v, refused %v", changes, refused)
	}
}

// A file of nothing but mistakes is refused with some of them, and soon.
func TestManyProblems(t *testing.T) {
	_, err := load(strings.Repeat("zebra: 1\n", 50_000))
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != maxProblems {
		t.Errorf("%d problems", len(ps))
	}
}

// Those who use the settings are asked last, and what they say has its place.
func TestJudge(t *testing.T) {
	in := Sources{File: "c.yaml", ReadFile: disk(map[string]string{"c.yaml": "data: d\nlisten: 127.0.0.1:1\n"})}
	in.Judge = func(c *Config) []Problem {
		return []Problem{{Key: "listen", Text: "is odd", Doubt: true}, {Key: "data", Text: "is bad: " + c.Data}}
	}
	if _, err := Load(in); err == nil || err.Error() != "c.yaml:1: data is bad: d" {
		t.Error(err)
	}
	in.Judge = func(*Config) []Problem { return []Problem{{Key: "listen", Text: "is odd", Doubt: true}} }
	l, err := Load(in)
	if err != nil || l.Doubts[len(l.Doubts)-1].String() != "c.yaml:2: listen is odd" {
		t.Errorf("%+v, %v", l, err)
	}
	in.Flags = map[string]string{"log.level": "loud"}
	in.Judge = func(*Config) []Problem { t.Error("asked about a configuration that is wrong"); return nil }
	_, _ = Load(in)
}
