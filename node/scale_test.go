package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal/memory"

	"github.com/coder/websocket"
)

// TestMillionChannels: channels that were once spoken in, or looked at, cost little to know.
func TestMillionChannels(t *testing.T) {
	const channels, bound = 1_000_000, 256 << 20
	if testing.Short() {
		t.Skip("left out with -short: a million channels take seconds")
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what earlier tests left behind may take two
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	j := memory.New(memory.Options{})
	defer j.Close()
	began := time.Now()
	names := make([]channel.Name, 1000)
	for i := range channels / len(names) {
		for k := range names {
			names[k] = channel.Name(fmt.Sprintf("room:%d", i*len(names)+k))
		}
		if _, err := j.Heads(t.Context(), names); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	used := heap() - before
	t.Logf("%d channels known after %v, %d MB, %d bytes each", channels, took.Round(time.Millisecond), used>>20, used/channels)
	if used > bound {
		t.Errorf("they cost %d MB, more than %d", used>>20, int64(bound)>>20)
	}
	runtime.KeepAlive(j)
}

// TestPlainPubSub: channels of a namespace without an app share nothing.
func TestPlainPubSub(t *testing.T) {
	n := startNode(t, nil)
	k, p := join(t, n), join(t, n)
	k.say(`{"type":"subscribe","id":2,"channel":"scores:nba:lakers"}`)
	k.expect("reply")
	p.say(`[{"type":"publish","id":2,"channel":"scores:nba:celtics","data":1},{"type":"publish","id":3,"channel":"scores:nba","data":2},{"type":"publish","id":4,"channel":"scores:nba:lakers","data":3}]`)
	if m := k.expect("record"); m["channel"] != "scores:nba:lakers" || m["data"] != 3.0 {
		t.Fatal(m)
	}
}

// TestF29FilesExhausted: a server that ran out of files serves those it has, and lets others in once there is room.
func TestF29FilesExhausted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("left out: there is no limit of open files here")
	}
	binary := filepath.Join(t.TempDir(), "carillon")
	if out, err := exec.Command("go", "build", "-o", binary, "carillon/cmd/carillon").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "ulimit -n 120; exec "+binary+" dev --listen 127.0.0.1:0 --internal-listen 127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	var ready struct{ URL string }
	for lines := bufio.NewScanner(out); ready.URL == "" && lines.Scan(); {
		_ = json.Unmarshal(lines.Bytes(), &ready)
	}
	dial := func(wait time.Duration) (*talker, error) {
		dctx, stop := context.WithTimeout(ctx, wait)
		defer stop()
		c, _, err := websocket.Dial(dctx, ready.URL, nil)
		if err != nil {
			return nil, err
		}
		return &talker{t: t, conn: c}, nil
	}
	var in []*talker
	refused := 0
	for range 200 {
		if refused == 5 {
			break
		}
		k, err := dial(500 * time.Millisecond)
		if err != nil {
			refused++
			continue
		}
		k.say(`{"type":"connect","id":1}`)
		k.expect("connected")
		in = append(in, k)
	}
	if refused == 0 || len(in) < 50 {
		t.Fatalf("%d came in, %d were refused", len(in), refused)
	}
	for _, k := range in {
		k.say(`{"type":"ping","id":2}`)
		k.expect("reply")
	}
	for _, k := range in[:20] {
		_ = k.conn.CloseNow()
	}
	k, err := dial(10 * time.Second)
	if err != nil {
		t.Fatalf("nobody is let in after 20 left: %v", err)
	}
	k.say(`{"type":"connect","id":1}`)
	k.expect("connected")
	for _, k := range in[20:] {
		k.say(`{"type":"ping","id":3}`)
		k.expect("reply")
	}
	t.Log(strings.TrimSpace(fmt.Sprintf("%d connections with 120 files", len(in))))
}
