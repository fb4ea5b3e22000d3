package ws

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/gateway/transport"
)

// baseHandshake is a valid head without its last line.
func baseHandshake(addr string) string {
	s := fmt.Sprintf(handshakeHead, addr)
	return strings.TrimSuffix(s, "\r\n")
}

// request sends a head and reads the response.
func request(t testing.TB, addr, head string) (net.Conn, *http.Response) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	go writeChopped(nc, []byte(head), 0)
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	return nc, resp
}

// entrances are the ways in: behind net/http, with a Front before that, and the handshake of ServeConn.
func entrances(t *testing.T, o Options, f func(t *testing.T, addr string)) {
	t.Run("http", func(t *testing.T) {
		_, addr := serveEcho(t, o)
		f(t, addr)
		healthy(t, addr)
	})
	t.Run("front", func(t *testing.T) {
		h := NewEcho(o, 1<<20)
		addr, _ := serveFront(t, h, h, testPatience)
		f(t, addr)
		healthy(t, addr)
	})
	t.Run("own", func(t *testing.T) {
		addr := serveOwn(t, NewEcho(o, 1<<20))
		f(t, addr)
		healthy(t, addr)
	})
}

// serveOwn accepts for h.ServeConn on a port of its own.
func serveOwn(t testing.TB, h *Handler) string {
	t.Helper()
	return serveWrapped(t, h, func(nc net.Conn) net.Conn { return nc })
}

// serveWrapped is serveOwn with something around each connection.
func serveWrapped(t testing.TB, h *Handler, wrap func(net.Conn) net.Conn) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	handshakes := make(chan struct{}, 1000)
	go func() {
		defer close(done)
		n := 0
		for {
			nc, err := l.Accept()
			if err != nil {
				break
			}
			n++
			go func() {
				_ = h.ServeConn(wrap(nc)) // a refusal is what the test looks at from outside
				handshakes <- struct{}{}
			}()
		}
		for range n {
			<-handshakes
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		h.Close()
	})
	return l.Addr().String()
}

// statuses replaces one line of a valid handshake at a time.
func statuses(t *testing.T, o Options, cases map[string]int, edit func(addr, line string) string) {
	entrances(t, o, func(t *testing.T, addr string) {
		for line, status := range cases {
			nc, resp := request(t, addr, edit(addr, line))
			if resp.StatusCode != status {
				t.Errorf("%q: got %s, want %d", line, resp.Status, status)
			}
			nc.Close()
		}
	})
}

// without drops the header lines that start with prefix and adds more.
func without(addr, prefix, more string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(baseHandshake(addr), "\r\n") {
		if !strings.HasPrefix(line, prefix) {
			b.WriteString(line)
		}
	}
	return b.String() + more + "\r\n"
}

func TestH01_Key(t *testing.T) {
	const good = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	statuses(t, Options{}, map[string]int{
		good: 101, "": 400, "Sec-WebSocket-Key: \r\n": 400, "Sec-WebSocket-Key: AAAA\r\n": 400, good + good: 400,
		"Sec-WebSocket-Key: ************************\r\n":     400,
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n":       400,
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n":     400, // bits behind the end
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXh4eA==\r\n": 400,
	}, func(addr, line string) string { return without(addr, "Sec-WebSocket-Key", line) })
}

func TestH02_Version(t *testing.T) {
	for _, line := range []string{"", "Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 13, 8\r\n"} {
		entrances(t, Options{}, func(t *testing.T, addr string) {
			_, resp := request(t, addr, without(addr, "Sec-WebSocket-Version", line))
			if resp.StatusCode != 426 || resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("%q: %v", line, resp)
			}
		})
	}
}

func TestH03_Request(t *testing.T) {
	statuses(t, Options{}, map[string]int{
		"GET / HTTP/1.1": 101, "POST / HTTP/1.1": 405, "HEAD / HTTP/1.1": 405, "GET / HTTP/1.0": 400,
	}, func(addr, line string) string {
		return strings.Replace(baseHandshake(addr), "GET / HTTP/1.1", line, 1) + "\r\n"
	})
	statuses(t, Options{}, map[string]int{
		"Connection: keep-alive, upGRADE\r\n": 101, "": 426, "Connection: keep-alive\r\n": 426,
	}, func(addr, line string) string { return without(addr, "Connection", line) })
	statuses(t, Options{}, map[string]int{
		"Upgrade: WebSocket\r\n": 101, "": 426, "Upgrade: h2c\r\n": 426,
	}, func(addr, line string) string { return without(addr, "Upgrade", line) })
}

func TestH04_Origin(t *testing.T) {
	listed := Options{Origins: []string{"https://good.com", "https://other.org:8443"}}
	statuses(t, listed, map[string]int{
		"https://good.com": 101, "HTTPS://Good.COM": 101, "https://good.com:443": 101, "https://other.org:8443": 101,
		"https://evil.com": 403, "null": 403, "https://good.com.evil.com": 403, "http://good.com": 403, "https://good.com.": 403,
		"https://good.com@evil.com": 403, "https://good.com:444": 403, "https://other.org": 403, "https://evilgood.com": 403,
		"https://good.com/": 403, "good.com": 403, "": 403, "https://good.com, https://good.com": 403,
	}, func(addr, origin string) string { return baseHandshake(addr) + "Origin: " + origin + "\r\n\r\n" })
	entrances(t, Options{}, func(t *testing.T, addr string) {
		for origin, status := range map[string]int{
			"http://" + addr: 101, "https://" + addr: 101, "http://evil.com": 403, "null": 403, "http://x@" + addr: 403,
			"http://" + addr + ".evil.com": 403, "ftp://" + addr: 403, addr: 403, "http://127.0.0.1": 403,
		} {
			nc, resp := request(t, addr, baseHandshake(addr)+"Origin: "+origin+"\r\n\r\n")
			if resp.StatusCode != status {
				t.Errorf("%q: got %s, want %d", origin, resp.Status, status)
			}
			nc.Close()
		}
		_, resp := request(t, addr, baseHandshake(addr)+"Origin: http://"+addr+"\r\nOrigin: http://evil.com\r\n\r\n")
		if resp.StatusCode != 403 {
			t.Errorf("two origins: got %s", resp.Status)
		}
	})
}

// TestH05_NoOrigin holds because a token never comes as a cookie: what is no browser may connect.
func TestH05_NoOrigin(t *testing.T) {
	statuses(t, Options{Origins: []string{"https://good.com"}}, map[string]int{"": 101},
		func(addr, line string) string { return baseHandshake(addr) + line + "\r\n" })
}

func TestH06_HugeHeads(t *testing.T) {
	many := strings.Repeat("X-Filler: 0123456789\r\n", 2000)
	for name, lines := range map[string]string{
		"one header of 2 MiB": "X-Filler: " + strings.Repeat("x", 2<<20) + "\r\n",
		"blanks":              "Sec-WebSocket-Protocol: a," + strings.Repeat(" ", 64<<10) + ",b\r\n",
		"commas":              "Sec-WebSocket-Protocol: " + strings.Repeat(",", 64<<10) + "b\r\n",
	} {
		entrances(t, Options{Protocols: []string{"a"}}, func(t *testing.T, addr string) {
			nc, resp := request(t, addr, baseHandshake(addr)+lines+"\r\n")
			if resp.StatusCode != 431 {
				t.Errorf("%s: got %s", name, resp.Status)
			}
			nc.Close()
		})
	}
	addr := serveOwn(t, NewEcho(Options{}, 1<<20))
	if _, resp := request(t, addr, baseHandshake(addr)+many+"\r\n"); resp.StatusCode != 431 {
		t.Errorf("2,000 headers: got %s", resp.Status)
	}
	healthy(t, addr)
}

func TestH07_Slowloris(t *testing.T) { inBubble(t, testSlowHandshake) }

func TestH08_GluedFrames(t *testing.T) {
	entrances(t, Options{}, func(t *testing.T, addr string) {
		p := dialGlued(t, addr, cat(fin(opText, "one"), fin(opText, "two")[:3]))
		p.want("text:one")
		p.send(fin(opText, "two")[3:])
		p.want("text:two")
	})
}

func TestH09_Smuggling(t *testing.T) {
	statuses(t, Options{}, map[string]int{
		"Transfer-Encoding: chunked\r\n":                        400,
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n":   400,
		"Content-Length: 5\r\n":                                 400,
		"Content-Length: 0\r\nContent-Length: 5\r\n":            400,
		"Transfer-Encoding : chunked\r\n":                       400,
		"X: a\r\n\tfolded: b\r\nTransfer-Encoding: chunked\r\n": 400,
	}, func(addr, lines string) string {
		return baseHandshake(addr) + lines + "\r\n"
	})
	// Lines that end in LF alone: net/http takes them, so a listener in front of it is StrictLines.
	statuses(t, Options{}, map[string]int{"X-Filler: x\n": 400, "\n": 400, "X-Filler: x\rY: y\r\n": 400}, func(addr, lines string) string {
		return baseHandshake(addr) + lines + "\r\n"
	})
}

func TestH11_OtherPaths(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	mux := http.NewServeMux()
	mux.Handle("GET /ws", h)
	addr := serveMux(t, h, mux)
	for _, path := range []string{"/mqtt", "/debug/vars", "/debug/pprof/", "/metrics", "/ws/x"} {
		_, resp := request(t, addr, strings.Replace(baseHandshake(addr), "GET / ", "GET "+path+" ", 1)+"\r\n")
		if resp.StatusCode != 404 {
			t.Errorf("%s: got %s", path, resp.Status)
		}
	}
	if _, resp := request(t, addr, strings.Replace(baseHandshake(addr), "GET / ", "GET /ws ", 1)+"\r\n"); resp.StatusCode != 101 {
		t.Errorf("/ws: got %s", resp.Status)
	}
}

func TestSubprotocols(t *testing.T) {
	infos := make(chan transport.Info, 1)
	h := New(Options{Protocols: []string{"v1.json", "v1.msgpack"}}, func(c transport.Conn) transport.Inbox {
		infos <- c.Info()
		e := &echo{c: c}
		e.out.Init(c, e, 1<<20)
		return e
	})
	addr := serveHandler(t, h)
	for _, c := range []struct {
		offer           string
		status          int
		protocol, token string
	}{
		{"", 101, "", ""},
		{"v1.msgpack, v1.json", 101, "v1.msgpack", ""},
		{"v9, v1.json", 101, "v1.json", ""},
		{"carillon.token.abc.def, v1.json", 101, "v1.json", "abc.def"},
		{"v1.json,carillon.token.abc", 101, "v1.json", "abc"},
		{"v9", 400, "", ""},
		{"carillon.token.abc", 400, "", ""},
		{"v1.json, carillon.token.a, carillon.token.b", 400, "", ""},
		{"v1.json, b@d", 400, "", ""},
		{"V1.JSON", 400, "", ""},
	} {
		head := baseHandshake(addr) + "\r\n"
		if c.offer != "" {
			head = baseHandshake(addr) + "Sec-WebSocket-Protocol: " + c.offer + "\r\n\r\n"
		}
		_, resp := request(t, addr, head)
		if resp.StatusCode != c.status || resp.Header.Get("Sec-WebSocket-Protocol") != c.protocol {
			t.Errorf("%q: got %v", c.offer, resp)
		}
		if c.status == 101 {
			if in := <-infos; in.Protocol != c.protocol || in.Token != c.token || in.Kind != "ws" || in.Remote == "" {
				t.Errorf("%q: got %+v", c.offer, in)
			}
		} else if c.offer == "v9" {
			b := make([]byte, 200)
			n, _ := resp.Body.Read(b)
			if !strings.Contains(string(b[:n]), "v1.json, v1.msgpack") {
				t.Errorf("the refusal does not name what is spoken: %q", b[:n])
			}
		}
	}
}
