package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon/client"
)

const (
	gamesFile    = "games/lichess-blitz-1k-clk.pgn.gz" // 1,000 real games
	gamesLines   = 22325                               // empty ones included
	gamesChannel = "games:all"
	gamesTime    = time.Minute // bounds the whole run; nothing is asserted about it
)

// testData finds a file of real input: in CARILLON_TESTDATA, or in a folder beside the repository.
func testData(t testing.TB, name string) string {
	t.Helper()
	places := []string{filepath.Join("..", "..", "..", "shared", "data")}
	if dir := os.Getenv("CARILLON_TESTDATA"); dir != "" {
		places = []string{dir}
	}
	for _, dir := range places {
		if path := filepath.Join(dir, name); fileExists(path) {
			return path
		}
	}
	t.Skipf("skipped: %s is in none of %v; set CARILLON_TESTDATA to the folder that holds it", name, places)
	return ""
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func readGames(t testing.TB) []string {
	t.Helper()
	f, err := os.Open(testData(t, gamesFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	all := lines(string(raw))
	if len(all) != gamesLines {
		t.Fatalf("the games have %d lines, want %d", len(all), gamesLines)
	}
	return all
}

// compare tells the first difference between what was published and what somebody got.
func compare(want, got []string) error {
	for i := range min(len(want), len(got)) {
		if got[i] == want[i] {
			continue
		}
		switch {
		case i > 0 && got[i] == got[i-1]:
			return fmt.Errorf("record %d is there twice: %.60q", i, got[i])
		case i+1 < len(want) && got[i] == want[i+1]:
			return fmt.Errorf("record %d is missing: %.60q", i+1, want[i])
		}
		return fmt.Errorf("record %d is %.60q, want %.60q", i+1, got[i], want[i])
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	return nil
}

func TestCompareSeesFaults(t *testing.T) {
	want := []string{"a", "b", "c", "d"}
	for _, got := range [][]string{{"a", "b", "d"}, {"a", "b", "b", "c", "d"}, {"a", "c", "b", "d"}, {"a", "b", "c"}, {"a", "b", "c", "d", "d"}, nil} {
		if err := compare(want, got); err == nil {
			t.Errorf("%v passed for %v", got, want)
		}
	}
	if err := compare(want, slices.Clone(want)); err != nil {
		t.Error(err)
	}
}

// games is one run: a server that is killed again and again, a publisher, and subscribers that are cut.
type games struct {
	t      *testing.T
	seed   uint64
	all    []string // lines of the file
	want   []string // those that are not empty
	server *process
	args   []string
	target string // host:port of the server, the same over all restarts

	ready sync.WaitGroup
	work  sync.WaitGroup
	mu    sync.Mutex
	errs  []error
	notes []string
}

// fail and note gather what the parts of a run have to say.
func (g *games) fail(who string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.errs = append(g.errs, fmt.Errorf("%s: %w", who, err))
	}
}

func (g *games) note(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notes = append(g.notes, fmt.Sprintf(format, args...))
}

// TestGames pipes 1,000 real games through `carillon pub` into a durable channel, while every subscriber is cut at random
// and the server is killed with -9 several times. Each subscriber ends with exactly the lines that are not empty.
func TestGames(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: takes some seconds")
	}
	g := &games{t: t, seed: rand.Uint64(), all: readGames(t)}
	t.Logf("seed %d", g.seed)
	g.want = slices.DeleteFunc(slices.Clone(g.all), func(line string) bool { return line == "" })
	kills := 4
	if os.Getenv("CARILLON_LONG") != "" {
		kills = 40
	}
	ctx, cancel := context.WithTimeout(context.Background(), gamesTime+time.Duration(kills)*10*time.Second)
	defer cancel()
	g.args = []string{"dev", "--data", t.TempDir(), "--durable", "games", "--log-level", "warn"}
	server, url := startServer(t, call{args: g.args})
	g.server, g.target = server, strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/ws")

	proxies := []*cutter{
		g.followGo(ctx, g.proxy(1, 1<<20)),
		g.followRaw(ctx, jsonDialect, g.proxy(2, 1<<20)),
		g.followRaw(ctx, packDialect, g.proxy(3, 1<<20)),
		g.followNPM(ctx, g.proxy(4, 1<<20)),
	}
	g.followCommand("ws://" + g.target + "/ws")
	if !waitFor(ctx, &g.ready) {
		t.Fatalf("not every subscriber got ready: %v", g.errs)
	}
	acks := g.proxy(5, 600<<10)
	g.publish(acks.url(), kills)
	g.note("pub: cut %d times, the server killed %d times", acks.count(), kills)
	waitFor(ctx, &g.work)
	for _, p := range proxies {
		if p != nil && p.count() == 0 {
			g.fail("proxy", errors.New("a line was never cut: the run proves nothing"))
		}
	}
	g.history()
	for _, note := range g.notes {
		t.Log(note)
	}
	for _, err := range g.errs {
		t.Error(err)
	}
}

func waitFor(ctx context.Context, w *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() { w.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// proxy breaks lines after at most so many bytes.
func (g *games) proxy(n uint64, most int) *cutter {
	return startCutter(g.t, g.target, g.seed+n, 50<<10, most)
}

// publish feeds `carillon pub` and kills the server whenever another part of the lines was fed.
func (g *games) publish(url string, kills int) {
	g.t.Helper()
	cmd := call{args: []string{"pub", gamesChannel, "--text", "--json", "--url", url, "--wait", "2m"}}.command(g.t.Context())
	var out, errs guarded
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, &out, &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	feed := bufio.NewWriter(in)
	for i, line := range g.all {
		if every := len(g.all) / (kills + 1); i > 0 && i%every == 0 && i/every <= kills {
			_ = feed.Flush() // if it ended, Wait says so
			g.restart()
		}
		_, _ = feed.WriteString(line + "\n")
	}
	_ = feed.Flush()
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		g.t.Fatalf("pub: %v\n%s\n%s", err, &out, &errs)
	}
	var t tally
	if err := json.Unmarshal([]byte(out.String()), &t); err != nil {
		g.t.Fatalf("summary of pub: %v in %q", err, &out)
	}
	g.note("pub: %s", strings.TrimSpace(out.String()))
	if empty := len(g.all) - len(g.want); t.Published != len(g.want) || t.Skipped != empty || t.Refused+t.Unconfirmed+t.Doubtful > 0 {
		g.fail("pub", fmt.Errorf("%+v, want %d published and %d skipped", t, len(g.want), empty))
	}
}

// restart kills the server with -9 and starts it again on the same port and folder.
func (g *games) restart() {
	g.server.kill()
	g.server, _ = startServer(g.t, call{args: append(slices.Clone(g.args), "--listen", g.target)})
}

// followGo subscribes with the Go client.
func (g *games) followGo(ctx context.Context, p *cutter) *cutter {
	g.ready.Add(1)
	g.work.Go(func() {
		c := client.New(p.url(), client.Options{Backoff: client.Backoff{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond}})
		defer func() { _ = c.Close() }()
		s, err := c.Subscribe(ctx, gamesChannel, client.SubscribeOptions{})
		g.ready.Done()
		if err != nil {
			g.fail("Go client", err)
			return
		}
		var got []string
		for len(got) < len(g.want) {
			e, err := s.Next(ctx)
			if err == nil && e.Gap != nil {
				err = fmt.Errorf("a gap: %+v", *e.Gap)
			}
			var text string
			if err == nil {
				err = json.Unmarshal(e.Record.Body, &text)
			}
			if err != nil {
				g.fail("Go client", fmt.Errorf("after %d records: %w", len(got), err))
				return
			}
			got = append(got, text)
		}
		g.fail("Go client", compare(g.want, got))
		g.note("Go client: cut %d times", p.count())
	})
	return p
}

// followRaw subscribes by the protocol's documentation alone.
func (g *games) followRaw(ctx context.Context, d dialect, p *cutter) *cutter {
	g.ready.Add(1)
	f := &follower{dialect: d, url: p.url(), channel: gamesChannel, want: len(g.want), rnd: rand.New(rand.NewPCG(g.seed, 9)), ready: g.ready.Done}
	g.work.Go(func() {
		if err := f.run(ctx); err != nil {
			g.fail(d.protocol, err)
			return
		}
		g.fail(d.protocol, compare(g.want, f.got))
		g.note("%s: cut %d times, %d lines, %d gaps filled from history", d.protocol, p.count(), f.lines, f.gaps)
	})
	return p
}

// followNPM subscribes with the npm package ws, where node and the package are there.
func (g *games) followNPM(ctx context.Context, p *cutter) *cutter {
	node, err := exec.LookPath("node")
	if err != nil {
		g.note("left out: the npm ws subscriber, node is not installed")
		return nil
	}
	script := filepath.Join("testdata", "npm", "subscribe.mjs")
	if !fileExists(filepath.Join("testdata", "npm", "node_modules", "ws", "package.json")) {
		g.note("left out: the npm ws subscriber, its package is not installed (scripts/test-deps.sh fetches it)")
		return nil
	}
	cmd := exec.CommandContext(ctx, node, script, p.url(), gamesChannel, fmt.Sprint(len(g.want)))
	var out, errs guarded
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.ready.Go(func() { errs.await("ready", patience) })
	g.work.Go(func() {
		if err := cmd.Wait(); err != nil {
			g.fail("npm ws", fmt.Errorf("%w after %d lines: %s", err, strings.Count(out.String(), "\n"), &errs))
			return
		}
		got, err := decodeLines(out.String(), func(line string) (s string, err error) { err = json.Unmarshal([]byte(line), &s); return s, err })
		g.fail("npm ws", errors.Join(err, compare(g.want, got)))
		g.note("npm ws: cut %d times, %s", p.count(), strings.TrimSpace(strings.TrimPrefix(errs.String(), "ready\n")))
	})
	return p
}

// followCommand subscribes with `carillon sub`, which no proxy cuts but every kill of the server.
func (g *games) followCommand(url string) {
	sub := call{args: []string{"sub", gamesChannel, "--json", "--count", fmt.Sprint(len(g.want)), "--url", url}}.start(g.t)
	g.ready.Go(func() { sub.errs.await("listening", patience) })
	g.work.Go(func() {
		var got []string
		for line := range sub.lines {
			text, err := dataOf(line)
			if err != nil {
				g.fail("carillon sub", err)
				return
			}
			got = append(got, text)
		}
		<-sub.ended
		if code := sub.cmd.ProcessState.ExitCode(); code != exitOK {
			g.fail("carillon sub", fmt.Errorf("exit code %d: %s", code, sub.errs))
		}
		g.fail("carillon sub", compare(g.want, got))
		g.note("carillon sub: %d outages", strings.Count(sub.errs.String(), "is gone"))
	})
}

// history reads the channel after one more kill: what was acknowledged is on the disk, once.
func (g *games) history() {
	g.restart()
	r := carillon(g.t, "history", gamesChannel, "--all", "--json", "--url", "ws://"+g.target+"/ws").want(g.t, exitOK)
	got, err := decodeLines(r.out, dataOf)
	g.fail("history", errors.Join(err, compare(g.want, got)))
	if code := g.server.signal(syscall.SIGTERM); code != exitOK {
		g.fail("server", fmt.Errorf("exit code %d after SIGTERM: %s", code, g.server.errs))
	}
}

func dataOf(line string) (string, error) {
	var r struct {
		Channel string `json:"channel"`
		Data    string `json:"data"`
	}
	err := json.Unmarshal([]byte(line), &r)
	if err == nil && r.Channel != gamesChannel {
		err = fmt.Errorf("a record of channel %q", r.Channel)
	}
	return r.Data, err
}

func decodeLines(text string, decode func(string) (string, error)) (all []string, err error) {
	for _, line := range lines(text) {
		s, err := decode(line)
		if err != nil {
			return nil, fmt.Errorf("%.80q: %w", line, err)
		}
		all = append(all, s)
	}
	return all, nil
}
