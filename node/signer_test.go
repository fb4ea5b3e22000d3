package node_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/config"
	"carillon/node"
)

// privateKeyFile writes a new Ed25519 key as openssl does.
func privateKeyFile(t testing.TB) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "private.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPrivateKeyBesideSecret: where an issuer has a private key, this server makes tokens with it, as the description of
// that setting says; those made with the secret are good as before, and a token is revoked by its id alone.
func TestPrivateKeyBesideSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "carillon.yaml")
	keep := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := fmt.Sprintf(`
listen: 127.0.0.1:0
internal_listen: 127.0.0.1:0
secret_file: %q
server_keys: [{name: app, key_file: %q}]
auth:
  issuers:
    - {issuer: "https://id.example.org", audience: app, keys: [{kid: k1, algorithm: EdDSA, private_key_file: %q}]}
`, keep("secret", secret), keep("key", serverKey), privateKeyFile(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := config.Load(config.Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t, func(o *node.Options) {
		log := o.Log
		if *o, err = node.FromConfig(&l.Config); err != nil {
			t.Fatal(err)
		}
		o.Log = log
	})
	made := grant(t, n, "ann", `{"channels":5}`)
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(made, ".")[1])
	var said struct{ Iss, Aud, Jti string }
	if err == nil {
		err = json.Unmarshal(claims, &said)
	}
	if err != nil || said.Iss != "https://id.example.org" || said.Aud != "app" || said.Jti == "" {
		t.Fatalf("the token says %s, %v", claims, err)
	}
	var lines []*talker
	for _, token := range []string{made, sign(t, "bob")} {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
		k.expect("connected")
		lines = append(lines, k)
	}
	ask(t, n, "POST", "/api/revocations", fmt.Sprintf(`{"token":%q}`, said.Jti), 200)
	if code := lines[0].closed(); code != 4006 {
		t.Errorf("closed with %d", code)
	}
	lines[1].say(`{"type":"ping","id":2}`)
	lines[1].expect("reply")
}
