package ws

import (
	"bufio"
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coder/websocket"
)

const differentialMax = 64 << 10 // bytes of a message, at all three

// outcome is what a server made of an input: the messages it echoed and how it ended the line.
type outcome struct {
	echoes  []string
	verdict string // "close:1002", or "cut" for an end without a close frame
}

func (o outcome) String() string { return fmt.Sprintf("%d echoes, %s", len(o.echoes), o.verdict) }

func (o outcome) equal(other outcome) bool {
	return o.verdict == other.verdict && slices.Equal(o.echoes, other.echoes)
}

// ask sends an input to the server at addr. Pings and pongs are left out: a server need not answer every ping.
func ask(t *testing.T, addr string, c differentialCase) (o outcome) {
	t.Helper()
	p := dial(t, addr)
	defer p.nc.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		writeChopped(p.nc, c.in, c.chop)
	}()
	defer func() {
		p.nc.Close()
		<-sent
	}()
	for {
		got, err := p.frame()
		kind, payload, _ := strings.Cut(got, ":")
		switch {
		case isTimeout(err):
			t.Fatalf("%s: neither an answer nor an end", c.name)
		case err != nil:
			o.verdict = "cut"
			return o
		case kind == "close":
			o.verdict = got
			return o
		case kind == "text", kind == "binary":
			sum := fnv.New64()
			sum.Write([]byte(payload))
			o.echoes = append(o.echoes, fmt.Sprintf("%s %d %x", kind, len(payload), sum.Sum64()))
		}
	}
}

// difference is one in which we mean to differ from a peer.
type difference struct {
	why     string
	from    string // "coder", "npm", or "" for both
	applies func(c differentialCase, ours, theirs outcome) bool
}

// differences is the whole list. Whatever it does not name must be the same.
var differences = []difference{
	{"a length that is not minimal is a violation of RFC 6455, section 5.2; the peers take it", "",
		func(c differentialCase, ours, theirs outcome) bool {
			return c.has("length") && ours.verdict == "close:1002" && ours.isPrefixOf(theirs)
		}},
	{"a message has a bounded number of fragments, 1,024 unless configured", "",
		func(c differentialCase, ours, theirs outcome) bool {
			return c.has("fragments") && ours.verdict == "close:1008" && ours.isPrefixOf(theirs)
		}},
	{"text that is not UTF-8 is refused at its first bad byte; the peers wait for the end of the message, which a close frame may forestall", "",
		func(c differentialCase, ours, theirs outcome) bool {
			return c.has("failfast") && ours.verdict == "close:1007" && theirs.verdict == "close:1000"
		}},
	{"a length with its top bit set is a violation of RFC 6455, section 5.2; npm calls it too big", "npm",
		func(c differentialCase, ours, theirs outcome) bool {
			return c.has("top_bit") && ours.verdict == "close:1002" && theirs.verdict == "close:1009" && slices.Equal(ours.echoes, theirs.echoes)
		}},
	{"every violation is told in a close frame, after the echoes; coder drops the line without one for some, and may lose by that what it has sent", "coder",
		func(c differentialCase, ours, theirs outcome) bool {
			refused := slices.Contains([]string{"close:1002", "close:1007", "close:1009"}, ours.verdict)
			return refused && theirs.verdict == "cut" && theirs.isPrefixOf(ours)
		}},
	{"the reason of a close frame is UTF-8; coder does not look", "coder",
		func(c differentialCase, ours, theirs outcome) bool {
			return c.has("reason") && ours.verdict == "close:1007" && theirs.verdict == "close:1000" && slices.Equal(ours.echoes, theirs.echoes)
		}},
}

// isPrefixOf tells whether other went on where o ended.
func (o outcome) isPrefixOf(other outcome) bool {
	return len(o.echoes) <= len(other.echoes) && slices.Equal(o.echoes, other.echoes[:len(o.echoes)])
}

// meant returns why two outcomes may differ, "" if they may not.
func meant(c differentialCase, peer string, ours, theirs outcome) string {
	for _, d := range differences {
		if (d.from == "" || d.from == peer) && d.applies(c, ours, theirs) {
			return d.why
		}
	}
	return ""
}

// TestDifferential feeds a corpus to our echo server, to one on coder/websocket and to one on npm ws.
func TestDifferential(t *testing.T) {
	cases := differentialCorpus()
	if len(cases) < 400 {
		t.Errorf("the corpus has only %d inputs", len(cases))
	}
	_, addr := serveEcho(t, Options{MaxMessage: differentialMax})
	ours := make([]outcome, len(cases))
	verdicts := map[string]int{}
	for i, c := range cases {
		ours[i] = ask(t, addr, c)
		verdicts[ours[i].verdict]++
	}
	t.Logf("%d inputs, our verdicts: %v", len(cases), verdicts)
	for name, serve := range map[string]func(*testing.T) string{"coder": serveCoder, "npm": serveNPM} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t)
			known := map[string]int{}
			for i, c := range cases {
				theirs := ask(t, addr, c)
				if ours[i].equal(theirs) {
					continue
				}
				why := meant(c, name, ours[i], theirs)
				if known[why]++; why == "" {
					t.Errorf("%s: ours %v, theirs %v", c.name, ours[i], theirs)
				}
			}
			for _, d := range differences {
				if n := known[d.why]; d.from == "" || d.from == name {
					t.Logf("%d inputs: %s", n, d.why)
					if n == 0 {
						t.Errorf("nothing differs any more in this way: %s", d.why)
					}
				}
			}
		})
	}
}

// serveCoder runs an echo server on coder/websocket, which leaves the check of UTF-8 to who uses it.
func serveCoder(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(differentialMax)
		for {
			kind, b, err := c.Read(r.Context())
			if err == nil && kind == websocket.MessageText && !utf8.Valid(b) {
				c.Close(websocket.StatusInvalidFramePayloadData, "text is not UTF-8")
				return
			}
			if err != nil || c.Write(context.WithoutCancel(r.Context()), kind, b) != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// serveNPM runs testdata/npm/echo.js.
func serveNPM(t *testing.T) string {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: npm ws is not compared with")
	}
	if _, err := os.Stat("testdata/npm/node_modules/ws/package.json"); err != nil {
		t.Skip("npm ws is not installed: run scripts/test-deps.sh to compare with it")
	}
	cmd := exec.Command(node, "echo.js", fmt.Sprint(differentialMax))
	cmd.Dir, cmd.Stderr = "testdata/npm", os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(port))
}
