package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon/client"
	"carillon/wire"
)

// estate is a server with a configuration file that a test rewrites.
type estate struct {
	t        testing.TB
	dir      string
	secrets  map[string]string // by the name of their file
	server   *process
	url      string
	internal string
}

// newEstate writes the secrets, each into a file of its name; all are canaries.
func newEstate(t testing.TB, names ...string) *estate {
	e := &estate{t: t, dir: t.TempDir(), secrets: map[string]string{}}
	for i, name := range names {
		e.secrets[name] = fmt.Sprintf("%s-%d", canary, i)
		e.write(name, e.secrets[name])
	}
	return e
}

func (e *estate) write(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// configuration has the keys of an issuer and of servers by the name of their file.
func (e *estate) configuration(tokenKeys, serverKeys []string, rest string) string {
	var b strings.Builder
	b.WriteString("server_keys:\n")
	for _, name := range serverKeys {
		fmt.Fprintf(&b, "  - {name: %s, key_file: %s}\n", name, name)
	}
	b.WriteString("auth:\n  issuers:\n    - issuer: https://id.test\n      audience: rooms\n      keys:\n")
	for _, name := range tokenKeys {
		fmt.Fprintf(&b, "        - {kid: %s, algorithm: HS256, secret_file: %s}\n", name, name)
	}
	return b.String() + rest
}

// start starts the server with a configuration.
func (e *estate) start(text string) {
	e.t.Helper()
	e.write("carillon.yaml", text)
	e.server = call{args: []string{"serve", "--config", filepath.Join(e.dir, "carillon.yaml"), "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"}}.start(e.t)
	m := e.server.object()
	e.url, e.internal = m["url"].(string), m["internal"].(string)
}

// reload gives the server another configuration and waits until it said what it thinks of it.
func (e *estate) reload(text, verdict string) {
	e.t.Helper()
	e.write("carillon.yaml", text)
	before := strings.Count(e.server.errs.String(), verdict)
	if err := e.server.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		e.t.Fatal(err)
	}
	if !e.server.errs.awaitTimes(verdict, before+1, patience) {
		e.t.Fatalf("the server never said %q:\n%s", verdict, e.server.errs)
	}
}

const (
	takenUp    = `"msg":"reloaded"`
	turnedDown = `"msg":"the old configuration goes on"`
)

// token signs one as the issuer would.
func (e *estate) token(kid, user string) string {
	e.t.Helper()
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "https://id.test", "aud": "rooms", "sub": user, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"caps": []any{map[string]any{"channels": []string{"*"}, "can": []string{"*"}}},
	})
	t.Header["kid"] = kid
	text, err := t.SignedString([]byte(e.secrets[kid]))
	if err != nil {
		e.t.Fatal(err)
	}
	return text
}

// dial connects, or fails with what the server says.
func (e *estate) dial(kid, user string, onState func(client.State)) (*client.Client, error) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, e.url, client.Options{Token: client.StaticToken(e.token(kid, user)), OnState: onState})
	if err == nil {
		e.t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// refuses fails the test unless the server refuses tokens of a key.
func (e *estate) refuses(kid string) {
	e.t.Helper()
	if _, err := e.dial(kid, "stranger", nil); codeOf(err) != wire.CodeUnauthorized {
		e.t.Errorf("a token of the key %s: %v", kid, err)
	}
}

func codeOf(err error) wire.Code {
	var refused *client.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// status is what the server API answers to a key.
func (e *estate) status(key string) int {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, e.internal+"api/connections", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+e.secrets[key])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// talkers publish one record after the other and count what they see of their lines.
type talkers struct {
	work  sync.WaitGroup
	stop  chan struct{}
	acks  chan struct{} // one now and then, see more
	lost  atomic.Int64  // lines
	acked atomic.Int64
	wrong atomic.Pointer[error]
}

func (e *estate) talk(n int, kid string) *talkers {
	e.t.Helper()
	k := &talkers{stop: make(chan struct{}), acks: make(chan struct{})}
	for i := range n {
		c, err := e.dial(kid, fmt.Sprintf("talker%d", i), func(s client.State) {
			if s.Phase == client.Reconnecting {
				k.lost.Add(1)
			}
		})
		if err != nil {
			e.t.Fatal(err)
		}
		k.work.Go(func() { k.publish(e.t.Context(), c) })
	}
	return k
}

// publish stays far below the rate that one connection is allowed.
func (k *talkers) publish(ctx context.Context, c *client.Client) {
	turn := time.NewTicker(25 * time.Millisecond)
	defer turn.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-turn.C:
		}
		if _, err := c.Publish(ctx, "chat:lobby", []byte(`"talk"`), client.PublishOptions{}); err != nil {
			k.wrong.Store(&err)
			return
		}
		k.acked.Add(1)
		select {
		case k.acks <- struct{}{}:
		default:
		}
	}
}

// more waits until n more records were acknowledged.
func (k *talkers) more(t testing.TB, n int) {
	t.Helper()
	for range n {
		select {
		case <-k.acks:
		case <-time.After(patience):
			t.Fatalf("the talkers fell silent: %v", k.wrong.Load())
		}
	}
}

// end stops them and fails the test if any lost its line or was refused.
func (k *talkers) end(t testing.TB) {
	t.Helper()
	close(k.stop)
	k.work.Wait()
	if err := k.wrong.Load(); err != nil {
		t.Errorf("a talker was refused: %v", *err)
	}
	if n := k.lost.Load(); n > 0 || k.acked.Load() == 0 {
		t.Errorf("%d lines were lost, %d records acknowledged", n, k.acked.Load())
	}
}

// TestF32ReloadUnderLoad: limits and keys change while clients talk. Nobody but who came with a key that is gone loses
// his line, and what the new configuration says holds at once.
func TestF32ReloadUnderLoad(t *testing.T) {
	e := newEstate(t, "stay", "leave", "come", "ops-old", "ops-new")
	e.start(e.configuration([]string{"stay", "leave"}, []string{"ops-old"}, ""))
	talking := e.talk(8, "stay")
	talking.more(t, 20)
	gone := make(chan error, 1)
	leaver, err := e.dial("leave", "leaver", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-leaver.Done(); gone <- leaver.Err() }()
	large := []byte(`"` + strings.Repeat("x", 2000) + `"`)
	if _, err := leaver.Publish(t.Context(), "chat:lobby", large, client.PublishOptions{}); err != nil {
		t.Fatal(err)
	}
	e.refuses("come")
	if a, b := e.status("ops-old"), e.status("ops-new"); a != http.StatusOK || b != http.StatusUnauthorized {
		t.Errorf("server keys before: %d %d", a, b)
	}

	e.reload(e.configuration([]string{"stay", "leave", "come"}, []string{"ops-old", "ops-new"}, ""), takenUp)
	talking.more(t, 20)
	if a, b := e.status("ops-old"), e.status("ops-new"); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("server keys meanwhile: %d %d", a, b)
	}
	next := e.configuration([]string{"stay", "come"}, []string{"ops-new"}, "limits: {connections_per_user: 1}\nlog: {level: debug}\nnamespaces: {chat: {max_body: 1KiB}}\n")
	e.reload(next, takenUp)
	talking.more(t, 20)
	if a, b := e.status("ops-old"), e.status("ops-new"); a != http.StatusUnauthorized || b != http.StatusOK {
		t.Errorf("server keys after: %d %d", a, b)
	}
	select {
	case err := <-gone:
		if c := codeOf(err); c != wire.CodeUnauthorized && c != wire.CodeRevoked {
			t.Errorf("who came with a key that is gone ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("who came with a key that is gone is still there")
	}
	e.refuses("leave")
	newcomer, err := e.dial("come", "newcomer", nil)
	if err != nil {
		t.Fatalf("a token of the new key: %v", err)
	}
	if _, err := newcomer.Publish(t.Context(), "chat:lobby", large, client.PublishOptions{}); codeOf(err) != wire.CodeTooLarge {
		t.Errorf("a body above the new bound: %v", err)
	}
	if _, err := e.dial("come", "newcomer", nil); err == nil {
		t.Error("a second connection of one user came in, and one is allowed")
	}
	e.server.awaitErr(`"msg":"reload: namespaces.chat.max_body","from":"64KiB","to":"1KiB"`)

	e.reload(next+"listen: 127.0.0.1:1\ndata: elsewhere\n", turnedDown)
	e.server.awaitErr("reload refused: data needs a restart")
	e.reload(next+"limit: {frame: 1MiB}\n", turnedDown)
	e.server.awaitErr("the nearest is limits")
	e.reload("server_keys: [", turnedDown)
	talking.more(t, 20)
	talking.end(t)
	if code := e.server.signal(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(e.server.errs.String(), canary) {
		t.Errorf("the log holds a secret:\n%s", e.server.errs)
	}
	for _, line := range lines(e.server.errs.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line is no JSON: %s", line)
		}
	}
}

// TestReloadWithoutKeys: serve never goes on without any key, and dev that began without checks none later.
func TestReloadWithoutKeys(t *testing.T) {
	e := newEstate(t, "stay", "ops")
	e.start(e.configuration([]string{"stay"}, []string{"ops"}, ""))
	e.reload("log: {level: warn}\n", turnedDown)
	e.server.awaitErr("there is no secret for tokens")
	if _, err := e.dial("stay", "ann", nil); err != nil {
		t.Errorf("after a refused reload: %v", err)
	}
	file := writeFile(t, "dev.yaml", "log: {level: info}\n")
	dev, _ := startDev(t, "--config", file)
	if err := os.WriteFile(file, []byte("secret_file: "+filepath.Join(e.dir, "stay")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dev.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	dev.awaitErr("dev was started without keys")
	dev.awaitErr(turnedDown)
}
