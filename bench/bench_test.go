package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"carillon/node"

	"github.com/coder/websocket"
)

// TestMain is the worker where the coordinator of a test started this program.
func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		if err := Work(os.Stdin, os.Stdout); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve runs a dev node until the test ends.
func serve(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), node.Options{
		Listen: "127.0.0.1:0", Dev: true, Services: node.Services(), Version: "test", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Errorf("closing the node: %v", err)
		}
	})
	return n
}

func command(scenario, url string) *Command {
	return &Command{
		Scenario: scenario, Target: Target{URL: url, PID: os.Getpid(), Protocol: "json"}, Rounds: 1, Quick: true,
		Load: Load{Payload: 100, Conns: 200, Duration: time.Second, Warm: 200 * time.Millisecond, Settle: 10 * time.Second, Window: 128, Workers: 1},
	}
}

func TestScenarios(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(*Command)
		least  uint64 // receipts
	}{
		{"connect", nil, 0},
		{"idle", nil, 0},
		{"fanout", nil, 200 * 10},
		{"fanout", func(c *Command) { c.Target.Protocol, c.Load.Workers = "msgpack", 3 }, 200 * 10},
		{"rooms", func(c *Command) { c.Load.Channels, c.Load.Rate = 20, 500 }, 500 * 10},
		{"beside", nil, 200 * 20},
		{"flap", nil, 200 * 20},
		{"herd", nil, 200 * 2},
		{"slow", func(c *Command) { c.Load.Settle = time.Second }, 200 * 100},
		{"mixed", func(c *Command) { c.Load.Rate = 200 }, 200 * 50 * 20 / 100},
		{"chat", func(c *Command) { c.Load.Rate = 100 }, 100 * 10},
		{"chat", func(c *Command) { c.Target.Protocol, c.Load.Rate, c.Load.Workers = "msgpack", 100, 2 }, 100 * 10},
		{"chess", func(c *Command) { c.Load.Conns, c.Load.Rate = 80, 100 }, 200},
		{"chess", func(c *Command) { c.Target.Protocol, c.Load.Conns, c.Load.Rate, c.Load.Workers = "msgpack", 80, 100, 2 }, 200},
		{"commands", func(c *Command) { c.Load.Conns, c.Load.Rate = 0, 200 }, 200},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c := command(x.name, serve(t).URL())
			if x.change != nil {
				x.change(c)
			}
			r, err := c.measure(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Err(); err != nil {
				t.Errorf("%v\n%+v", err, lastPhase(r))
			}
			p := lastPhase(r)
			if got := p.Count.Delivered + p.Side.Delivered; got < x.least {
				t.Errorf("%d receipts, want at least %d", got, x.least)
			}
			var page strings.Builder
			if err := r.WriteHTML(&page); err != nil || !strings.HasSuffix(strings.TrimSpace(page.String()), "</html>") {
				t.Errorf("the report ends early: %v", err)
			}
		})
	}
}

// A run speaks of itself: figures as JSON, with all that a reader needs to judge them.
func TestRunJSON(t *testing.T) {
	var out bytes.Buffer
	c := command("fanout", serve(t).URL())
	c.Out, c.Output.JSON = &out, true
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	p := lastPhase(&r)
	if p.Latency.N == 0 || p.Latency.P50 > p.Latency.Max || p.PerDelivery <= 0 || len(p.Series) == 0 || p.Resident == 0 {
		t.Errorf("figures are missing: %+v", p)
	}
}

// A server that lets in who has a token takes those that the generator signs.
func TestTokens(t *testing.T) {
	path, err := newSecret()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), node.Options{Listen: "127.0.0.1:0", Secret: secret, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close(context.Background()) })
	c := command("fanout", n.URL())
	c.Target.Secret, c.Load.Conns = path, 20
	r, err := c.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil || lastPhase(r).Count.Delivered == 0 {
		t.Errorf("%v, %+v", err, lastPhase(r).Count)
	}
}

// faulty is a server of the plain dialect that does something to every tenth message.
func faulty(t *testing.T, fault string) string {
	t.Helper()
	members := make(chan map[*websocket.Conn]bool, 1)
	members <- map[*websocket.Conn]bool{}
	held, n := "", 0
	spread := func(ctx context.Context, text string) {
		all := <-members
		defer func() { members <- all }()
		n++
		out := []string{text}
		switch {
		case fault == "lost" && n%10 == 5:
			out = nil
		case fault == "twice" && n%10 == 5:
			out = []string{text, text}
		case fault == "damaged" && n%10 == 5:
			out = []string{strings.Replace(text, "0", "z", 1)}
		case fault == "exchanged" && n%10 == 5:
			held, out = text, nil
		case held != "":
			out, held = []string{text, held}, ""
		}
		for c := range all {
			for _, o := range out {
				_ = c.Write(ctx, websocket.MessageText, []byte(o)) // a line that broke is the reader's affair
			}
		}
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() {
			all := <-members
			delete(all, c)
			members <- all
			_ = c.CloseNow()
		}()
		for {
			_, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if b[0] == 'S' {
				all := <-members
				all[c] = true
				members <- all
				_ = c.Write(r.Context(), websocket.MessageText, []byte("ok"))
				continue
			}
			_, payload, _ := strings.Cut(string(b), "\n")
			spread(r.Context(), payload)
		}
	})}
	return listen(t, srv)
}

// Each planted fault must make the run fail, and name itself; without a fault the same server passes.
func TestPlantedFaults(t *testing.T) {
	for fault, sign := range map[string]string{
		"none": "", "lost": " lost", "twice": "twice or out of order", "exchanged": "twice or out of order", "damaged": "foreign or damaged",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			c := command("fanout", faulty(t, fault))
			c.Target.Protocol, c.Load.Conns, c.Load.Rate, c.Load.Settle = "plain", 5, 50, time.Second
			c.Out = io.Discard
			err := c.Run(t.Context())
			if fault == "none" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), sign) {
				t.Fatalf("the run says %v", err)
			}
			if sign == " lost" && strings.Contains(err.Error(), "wrong: 0 lost") {
				t.Errorf("nothing counted as lost: %v", err)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	for name, change := range map[string]func(*Command){
		"elsewhere":    func(c *Command) { c.Target.URL = "ws://192.0.2.1:80/ws" },
		"no url":       func(c *Command) { c.Target.URL = "http://127.0.0.1:1/" },
		"rate":         func(c *Command) { c.Load.Rate = maxRate + 1 },
		"payload":      func(c *Command) { c.Load.Payload = 10 },
		"conns":        func(c *Command) { c.Load.Conns = maxConns + 1 },
		"duration":     func(c *Command) { c.Load.Duration = maxDuration + 1 },
		"no such load": func(c *Command) { c.Scenario = "nothing" },
	} {
		t.Run(name, func(t *testing.T) {
			c := command("fanout", "ws://127.0.0.1:1/ws")
			change(c)
			if err := c.Run(t.Context()); err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

// The slowest parts of a schedule are those that must not be left out: a server that stands still for a while delays
// all that was due meanwhile, and each of them counts with the time it waited.
func TestOmission(t *testing.T) {
	c := command("fanout", stalling(t, 500*time.Millisecond))
	c.Target.Protocol, c.Load.Conns, c.Load.Rate, c.Load.Warm = "plain", 1, 100, 0
	r, err := c.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l := lastPhase(r).Latency; l.P95 < 200 {
		t.Errorf("p95 is %.1f ms although every second message was due while the server stood still", l.P95)
	}
}

// The bare loop is C: where there is a compiler, the generator drives it through the same scenario.
func TestPeerBare(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler")
	}
	c := command("rooms", "")
	c.Target.Peer, c.Target.Peers, c.Load.Channels, c.Load.Rate = "bare", "peers", 20, 500
	r, err := c.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}
