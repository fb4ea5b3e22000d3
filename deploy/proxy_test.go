package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/internal/servertest"
	"carillon/node"

	"github.com/coder/websocket"
)

// patience bounds whatever a test waits for; nothing is asserted about it.
const patience = 30 * time.Second

const serverKey = "key-of-the-tests-of-proxies-0123456789"

// startNode runs a node behind a proxy on this machine until the test ends, or it is closed.
func startNode(t *testing.T, name string) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), node.Options{
		Listen: "127.0.0.1:0", Internal: "127.0.0.1:0", Dev: true, ServerKeys: []string{serverKey}, Version: "test", Log: slog.New(slog.DiscardHandler),
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Cluster: node.Cluster{Name: name},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNode(t, n) })
	return n
}

// closeNode ends a node as SIGTERM does. To close it twice does nothing.
func closeNode(t *testing.T, n *node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Errorf("closing a node: %v", err)
	}
}

// remotes are the addresses of a user's connections, as a node has them.
func remotes(t *testing.T, n *node.Node, user string) (all []string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.InternalAddress()+"/api/connections?user="+user, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+serverKey)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got struct {
		Connections []struct {
			Remote string `json:"remote"`
		} `json:"connections"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the list of connections: %d, %v", answer.StatusCode, err)
	}
	for _, c := range got.Connections {
		all = append(all, c.Remote)
	}
	return all
}

// kind is a proxy with the sample for it.
type kind struct {
	program, sample string
	args            func(dir, conf string) []string
	replace         []string // what stands in the sample only for the test's sake to be exchanged, and by what
	byUser          []string // the same, to have it hash by user
	server          func(i int, n *node.Node) (old, own string)
}

const (
	haproxy = "haproxy.cfg"
	nginx   = "nginx.conf"
)

// kinds are both. DIR and ADDRESS stand for those of the test.
var kinds = []kind{
	{
		program: "haproxy", sample: haproxy,
		args:    func(_, conf string) []string { return []string{"-db", "-f", conf} },
		replace: []string{"bind :80\n", "bind ADDRESS\n", "/run/haproxy/admin.sock", "DIR/admin.sock"},
		byUser:  []string{"# use_backend users", "use_backend users", "hash-balance-factor 150", ""},
		server: func(i int, n *node.Node) (old, own string) {
			_, inside, _ := net.SplitHostPort(n.InternalAddress())
			return fmt.Sprintf("server g%d 10.87.0.1%d:8000", i+1, i+1), fmt.Sprintf("server g%d %s port %s", i+1, n.Address(), inside)
		},
	},
	{
		program: "nginx", sample: nginx,
		args: func(dir, conf string) []string {
			return []string{"-p", dir, "-c", conf, "-g", "daemon off; error_log stderr; pid " + dir + "/pid;"}
		},
		replace: []string{
			"listen 80 ", "listen ADDRESS ", "worker_rlimit_nofile 200000;", "", "worker_connections 100000;", "worker_connections 256;", "http {\n",
			"http {\nclient_body_temp_path DIR/b;\nproxy_temp_path DIR/p;\nfastcgi_temp_path DIR/f;\nuwsgi_temp_path DIR/u;\nscgi_temp_path DIR/s;\n",
		},
		byUser: []string{"proxy_pass http://gateways;", "proxy_pass http://users;"},
		server: func(i int, n *node.Node) (old, own string) {
			return fmt.Sprintf("server 10.87.0.1%d:8000", i+1), "server " + n.Address()
		},
	},
}

// start runs the proxy in front of the nodes until the test ends, and returns its address.
func (k *kind) start(t *testing.T, byUser bool, nodes ...*node.Node) string {
	t.Helper()
	program, err := exec.LookPath(k.program)
	if err != nil {
		t.Skipf("%s is not installed: run scripts/test-deps.sh as root on Debian", k.program)
	}
	sample, err := os.ReadFile(k.sample)
	if err != nil {
		t.Fatal(err)
	}
	text, dir, address := string(sample), t.TempDir(), fmt.Sprintf("127.0.0.1:%d", servertest.Port(t))
	exchange := func(old, own string) {
		if !strings.Contains(text, old) {
			t.Fatalf("%s does not hold %q any more", k.sample, old)
		}
		text = strings.ReplaceAll(text, old, strings.NewReplacer("DIR", dir, "ADDRESS", address).Replace(own))
	}
	pairs := k.replace
	if byUser {
		pairs = slices.Concat(pairs, k.byUser)
	}
	for pair := range slices.Chunk(pairs, 2) {
		exchange(pair[0], pair[1])
	}
	for i, n := range nodes {
		exchange(k.server(i, n))
	}
	conf := filepath.Join(dir, k.sample)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c := exec.Command(program, k.args(dir, conf)...)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // a master of several processes ends them too
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", k.program, &said)
		}
	})
	eventually(t, k.program+" listens", func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	})
	return address
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !holds(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it did not come about: %s", what)
		}
	}
}

// visitor is a client of an address of its own.
type visitor struct{ from, user, cookie, query string }

// connect opens a WebSocket through the proxy and connects as the guest; nil if that did not succeed.
func (v visitor) connect(t *testing.T, proxy string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(v.from)}}
	header := http.Header{}
	if v.cookie != "" {
		header.Set("Cookie", "carillon_user="+v.cookie)
	}
	url := "ws://" + proxy + "/ws"
	if v.query != "" {
		url += "?user=" + v.query
	}
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPHeader: header, HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}},
	})
	if err != nil {
		return nil
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	if err := c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"connect","id":1,"token":"guest-%s"}`, v.user)); err != nil {
		return nil
	}
	if _, b, err := c.Read(ctx); err != nil || !bytes.Contains(b, []byte(`"connected"`)) {
		return nil
	}
	return c
}

// enter is connect that has to succeed, sooner or later.
func (v visitor) enter(t *testing.T, proxy string) (c *websocket.Conn) {
	t.Helper()
	eventually(t, v.user+" gets in", func() bool { c = v.connect(t, proxy); return c != nil })
	return c
}

// TestProxies: through each of the samples a WebSocket opens, the node knows the client's own address, connections go to
// both nodes, and when one ends the other serves whoever comes.
func TestProxies(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.program, func(t *testing.T) {
			nodes := []*node.Node{startNode(t, "one"), startNode(t, "two")}
			proxy := k.start(t, false, nodes...)
			lines := map[*node.Node]*websocket.Conn{}
			for i := 0; len(lines) < 2; i++ {
				if i == 50 {
					t.Fatal("50 connections all went to the same node")
				}
				v := visitor{from: fmt.Sprintf("127.0.0.%d", 7+i), user: fmt.Sprint("v", i)}
				c := v.enter(t, proxy)
				for _, n := range nodes {
					if at := remotes(t, n, "guest-"+v.user); len(at) > 0 {
						if lines[n] = c; len(at) != 1 || at[0] != v.from {
							t.Errorf("the node takes %s for %v", v.from, at)
						}
					}
				}
			}
			closeNode(t, nodes[0])
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for { // told to come back, then closed
				if _, _, err := lines[nodes[0]].Read(ctx); err != nil {
					if code := websocket.CloseStatus(err); code < 4000 {
						t.Errorf("the client of the node that ended: %v", err)
					}
					break
				}
			}
			back := visitor{from: "127.0.0.99", user: "back"}
			back.enter(t, proxy)
			if at := remotes(t, nodes[1], "guest-back"); len(at) != 1 || at[0] != back.from {
				t.Errorf("who came back is at %v of the node that is left", at)
			}
		})
	}
}

// TestByUser: with the hash a user's connections are all on one node, whether a cookie or the address names him, users
// are on both, and while a user's node is away he is on the other.
func TestByUser(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.program, func(t *testing.T) {
			nodes := []*node.Node{startNode(t, "one"), startNode(t, "two")}
			proxy := k.start(t, true, nodes...)
			at := map[int][]string{} // users by their node
			for i := range 16 {
				user := fmt.Sprint("u", i)
				v := visitor{from: "127.0.0.1", user: user, cookie: user}
				if i%2 == 1 {
					v.cookie, v.query = "", user
				}
				v.enter(t, proxy)
				v.enter(t, proxy)
				one, two := len(remotes(t, nodes[0], "guest-"+user)), len(remotes(t, nodes[1], "guest-"+user))
				switch {
				case one == 2 && two == 0:
					at[0] = append(at[0], user)
				case one == 0 && two == 2:
					at[1] = append(at[1], user)
				default:
					t.Errorf("%s has %d connections on one node and %d on the other", user, one, two)
				}
			}
			if len(at[0]) == 0 || len(at[1]) == 0 {
				t.Fatalf("16 users are on the nodes so: %v", at)
			}
			closeNode(t, nodes[0])
			gone := at[0][0]
			visitor{from: "127.0.0.1", user: gone, cookie: gone, query: gone}.enter(t, proxy)
			if len(remotes(t, nodes[1], "guest-"+gone)) != 1 {
				t.Error("whose node is away is not on the other")
			}
		})
	}
}
