package node_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/node"

	"github.com/coder/websocket"
)

// TestClientBehindProxy: behind a trusted proxy it is the client's address that the log and the list of connections
// show; what a stranger says of himself is not believed.
func TestClientBehindProxy(t *testing.T) {
	for _, c := range []struct{ proxies, forwarded, want string }{
		{"127.0.0.0/8", "203.0.113.7", "203.0.113.7"},
		{"127.0.0.0/8", "198.51.100.1, 2001:db8::7, 127.0.0.2", "2001:db8::7"},
		{"10.0.0.0/8", "203.0.113.7", "127.0.0.1"},
		{"127.0.0.0/8", "", "127.0.0.1"},
	} {
		var p *page
		n := startNode(t, func(o *node.Options) {
			withTokens(o)
			p = logged(t, o)
			o.Proxies = []netip.Prefix{netip.MustParsePrefix(c.proxies)}
		})
		header := http.Header{}
		if c.forwarded != "" {
			header.Set("X-Forwarded-For", c.forwarded)
		}
		conn, _, err := websocket.Dial(t.Context(), n.URL(), &websocket.DialOptions{HTTPHeader: header})
		if err != nil {
			t.Fatal(err)
		}
		k := &talker{t: t, conn: conn}
		k.say(`{"type":"connect","id":1,"token":"` + sign(t, "ann") + `"}`)
		k.expect("connected")
		listed := ask(t, n, "GET", "/api/connections", "", 200)["connections"].([]any)[0].(map[string]any)["remote"]
		if listed != c.want {
			t.Errorf("%+v: the API lists %v", c, listed)
		}
		_ = conn.Close(websocket.StatusNormalClosure, "")
		for deadline := time.After(10 * time.Second); len(p.lines(t, "disconnected")) == 0; {
			select {
			case <-deadline:
				t.Fatal("no line tells of the end")
			case <-time.After(5 * time.Millisecond):
			}
		}
		for _, message := range []string{"connected", "disconnected"} {
			for _, line := range p.lines(t, message) {
				remote := line["remote"].(string)
				if at, err := netip.ParseAddrPort(remote); err == nil {
					remote = at.Addr().String()
				}
				if remote != c.want {
					t.Errorf("%+v: the line %s shows %q", c, message, remote)
				}
			}
		}
		if c.want != "127.0.0.1" && strings.Contains(p.String(), "127.0.0.1:") {
			t.Errorf("%+v: the log shows the proxy: %s", c, p)
		}
	}
}
