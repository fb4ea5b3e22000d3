package node_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"carillon/gateway/limit"
	"carillon/node"
)

// flat runs f and then wants a healthy client to be served at once, and the heap to be as it was.
func flat(t *testing.T, n *node.Node, f func()) {
	t.Helper()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	f() // pools and tables fill once
	before := heap()
	for range 5 {
		f()
	}
	k := join(t, n)
	k.say(`{"type":"ping","id":2}`)
	k.expect("reply")
	_ = k.conn.CloseNow()
	after := heap()
	for tries := 0; after > before+1<<20 && tries < 500; tries++ { // both ends may still be letting go of a line
		<-time.After(10 * time.Millisecond)
		after = heap()
	}
	if after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
}

// masked is a frame from a client with a mask of zeros. first is the first byte, length what it claims.
func masked(first byte, length []byte, payload string) string {
	length[0] |= 0x80
	return string(append([]byte{first}, length...)) + "\x00\x00\x00\x00" + payload
}

func short(n int) []byte { return []byte{byte(n)} }

// TestHostileFrames sends the frames of group W to a whole node, behind connect, and wants the close code of each.
func TestHostileFrames(t *testing.T) {
	n := startNode(t, nil)
	long := []byte{127, 0, 0, 0, 0, 0, 4, 0, 1} // 256 KiB and one byte
	for name, c := range map[string]struct{ send, want string }{
		"W01 unmasked":            {"\x81\x02hi", "closed with 1002"},
		"W02 reserved bit":        {masked(0xC1, short(0), ""), "closed with 1002"},
		"W03 opcode":              {masked(0x83, short(0), ""), "closed with 1002"},
		"W04 long ping":           {masked(0x89, []byte{126, 0, 126}, strings.Repeat("x", 126)), "closed with 1002"},
		"W04 fragmented ping":     {masked(0x09, short(0), ""), "closed with 1002"},
		"W05 continuation":        {masked(0x80, short(0), ""), "closed with 1002"},
		"W06 top bit of length":   {masked(0x81, bytes.Repeat([]byte{0xFF}, 9), ""), "closed with 1002"},
		"W07 too long":            {masked(0x81, long, ""), "closed with 1009"},
		"W08 fragments":           {masked(0x01, short(0), "") + strings.Repeat(masked(0x00, short(0), ""), 1100), "closed with 1008"},
		"W09 length not minimal":  {masked(0x81, []byte{126, 0, 5}, "hello"), "closed with 1002"},
		"W10 overlong UTF-8":      {masked(0x81, short(2), "\xC0\x80"), "closed with 1007"},
		"W10 surrogate":           {masked(0x81, short(3), "\xED\xA0\x80"), "closed with 1007"},
		"W11 close code 999":      {masked(0x88, short(2), "\x03\xE7"), "closed with 1002"},
		"W11 close code, 1 byte":  {masked(0x88, short(1), "\x03"), "closed with 1002"},
		"W12 frames behind close": {masked(0x88, short(2), "\x03\xE8") + masked(0x81, short(2), "{}"), "closed with 1000"},
		"W13 ping flood":          {strings.Repeat(masked(0x89, short(0), ""), 1500), "closed with 1008"},
		"W15 binary on JSON":      {masked(0x82, short(2), "{}"), "closed with 1003"},
	} {
		t.Run(name, func(t *testing.T) {
			flat(t, n, func() {
				l := dialLine(t, n, 0)
				l.say(`{"type":"connect","id":1}`)
				if _, err := l.frame(); err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.WriteString(l, c.send) }() // the node may end the line before all is sent
				var err error
				for err == nil {
					_, err = l.frame()
				}
				if err.Error() != c.want {
					t.Fatalf("%v, want %s", err, c.want)
				}
				_ = l.Close()
			})
		})
	}
}

// TestW16 pipelines a hundred publishes and resets the line: what was done is in the log once, and nothing is left behind.
func TestW16PipelineThenReset(t *testing.T) {
	n := startNode(t, nil)
	round := 0
	flat(t, n, func() {
		round++
		l := dialLine(t, n, 0)
		l.say(`{"type":"connect","id":1}`)
		for i := range 100 {
			l.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:%d","data":%d,"idem":"%d"}`, i+2, round, i, i))
		}
		_ = l.Conn.(*net.TCPConn).SetLinger(0)
		_ = l.Close()
	})
	for {
		if sessions, _ := n.Stats(); sessions.Open == 0 {
			break
		}
		runtime.Gosched()
	}
	k := join(t, n)
	for r := range round {
		k.say(fmt.Sprintf(`{"type":"history","id":%d,"channel":"demo:%d","limit":1000}`, r+2, r+1))
		records := k.expect("reply")["records"].([]any)
		for i, rec := range records {
			if rec.(map[string]any)["data"] != float64(i) {
				t.Fatalf("round %d: record %d is %v", r+1, i, rec)
			}
		}
	}
}

// TestHostileHandshakes sends the requests of group H to a whole node and wants the status of each.
func TestHostileHandshakes(t *testing.T) {
	n := startNode(t, nil)
	head := func(line string, more ...string) string {
		fields := []string{"Host: " + n.Address(), "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
		for _, m := range more {
			name, _, _ := strings.Cut(m, ":")
			kept := fields[:0:0]
			for _, f := range fields {
				if !strings.HasPrefix(f, name+":") {
					kept = append(kept, f)
				}
			}
			fields = append(kept, m)
		}
		return line + "\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	}
	const get = "GET /ws HTTP/1.1"
	for name, c := range map[string]struct {
		send   string
		status int
	}{
		"H01 key":              {head(get, "Sec-WebSocket-Key: short"), 400},
		"H02 version":          {head(get, "Sec-WebSocket-Version: 8"), 426},
		"H03 method":           {head("POST /ws HTTP/1.1"), 405},
		"H03 HTTP/1.0":         {head("GET /ws HTTP/1.0"), 400},
		"H04 origin":           {head(get, "Origin: https://evil.example"), 403},
		"H04 null origin":      {head(get, "Origin: null"), 403},
		"H06 long header":      {head(get, "X: "+strings.Repeat("x", 1<<20)), 431},
		"H06 many headers":     {head(get, "X: 1\r\n"+strings.Repeat("X-A: b\r\n", 8000)+"X-B: c"), 431},
		"H06 long subprotocol": {head(get, "Sec-WebSocket-Protocol: "+strings.Repeat(" ", 12<<10)+"x"), 400},
		"H09 both lengths":     {head(get, "Content-Length: 3", "Transfer-Encoding: chunked"), 400},
		"H09 bare LF":          {strings.ReplaceAll(head(get), "\r\n", "\n"), 400},
		"H11 other path":       {head("GET /mqtt HTTP/1.1"), 404},
	} {
		t.Run(name, func(t *testing.T) {
			flat(t, n, func() {
				conn, err := net.Dial("tcp", n.Address())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go func() { _, _ = io.WriteString(conn, c.send) }()
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != c.status {
					t.Fatalf("status %d, want %d", resp.StatusCode, c.status)
				}
			})
		})
	}
}

// TestH10OneAddress: an address that comes too often, or has too many lines, waits; a forged X-Forwarded-For makes it no other.
func TestH10OneAddress(t *testing.T) {
	n := startNode(t, func(o *node.Options) {
		o.Limits.Connects = limit.Pace{PerSecond: 1, Burst: 20}
		o.Limits.PerAddress = 10
	})
	got := map[int]int{}
	for i := range 60 {
		r, _ := http.NewRequest("GET", "http://"+n.Address()+"/ws", nil)
		r.Header = http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			"X-Forwarded-For": {fmt.Sprintf("10.0.0.%d", i)},
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		got[resp.StatusCode]++
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Fatal("refused without a word when to come again")
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			resp.Body.Close()
			continue
		}
		defer resp.Body.Close()
	}
	if got[101] != 10 || got[429] != 50 {
		t.Fatalf("answers by status: %v", got)
	}
}
