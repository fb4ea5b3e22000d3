package journaltest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// victimDir names, in the environment, the folder of the process that is to be killed.
const victimDir = "CARILLON_JOURNALTEST_VICTIM"

const (
	killRounds    = 4
	killedAfter   = 300 // acknowledged records, times the round
	victimFlight  = 64  // appends under way in the victim
	victimNames   = 5
	victimNewline = '\n'
)

func checkClose(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enter(t, open, dir)
	const n = channel.Name("a:close")
	var pending []<-chan outcome
	for _, b := range bodies(500) {
		pending = append(pending, w.start(channel.Record{Channel: n, Body: b}))
	}
	w.end()
	for i, p := range pending {
		select {
		case o := <-p:
			if o.err != nil || o.at.Offset != uint64(i+1) {
				t.Fatalf("append %d, before the closing: %+v", i, o)
			}
		default:
			t.Fatalf("append %d was not answered when the closing was over", i)
		}
		if len(p) > 0 {
			t.Fatalf("append %d was answered twice", i)
		}
	}
	if got := len(w.carriedOf(n)); got != len(pending) {
		t.Fatalf("%d carried of %d", got, len(pending))
	}
	if _, err := w.try(channel.Record{Channel: n, Body: []byte("1")}); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("append to a closed journal: %v", err)
	}
	if _, err := w.j.Read(context.Background(), n, journal.Query{}); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("read from a closed journal: %v", err)
	}
	if _, err := w.j.Heads(context.Background(), []channel.Name{n}); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("heads of a closed journal: %v", err)
	}
}

// checkCloseWaits closes while a record is on its way: Close returns after its done, not before.
func checkCloseWaits(t *testing.T, open Open) {
	carrying, carryOn := make(chan struct{}), make(chan struct{})
	var stopped, refused atomic.Bool
	j, end := open(t, t.TempDir(), Options{Clock: time.Now, Policies: policies, Carry: func([]channel.Record) {
		if stopped.CompareAndSwap(false, true) {
			close(carrying)
			<-carryOn
		}
	}})
	var answered, before atomic.Bool
	var others sync.WaitGroup
	others.Go(func() {
		j.Append(channel.Record{Channel: "a:x", Body: []byte("1")}, func(channel.Position, error) { answered.Store(true) })
	})
	<-carrying
	others.Go(func() {
		end()
		before.Store(answered.Load())
	})
	// Once appends are refused, the closing has begun.
	for !refused.Load() {
		j.Append(channel.Record{Channel: "a:y", Body: []byte("1")}, func(_ channel.Position, err error) {
			if errors.Is(err, journal.ErrClosed) {
				refused.Store(true)
			}
		})
		runtime.Gosched()
	}
	close(carryOn)
	others.Wait()
	if !before.Load() {
		t.Fatal("Close returned before the done of a record appended before it")
	}
}

// checkEpochs: no two journals share an epoch.
func checkEpochs(t *testing.T, open Open) {
	seen := map[uint64]bool{}
	for range 4 {
		w := enter(t, open, t.TempDir())
		epoch := w.head(t, "a:x").Epoch
		if epoch == 0 || seen[epoch] {
			t.Fatalf("epoch %d, others %v", epoch, seen)
		}
		seen[epoch] = true
		w.end()
	}
}

func checkReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enter(t, open, dir)
	const n = channel.Name("records10:again")
	at := w.fill(t, n, bodies(20)...)
	known := channel.Record{Channel: "a:again", From: "ann", ID: "k", Body: []byte(`"k"`), Binary: true}
	knownAt := w.append(known)
	empty := w.head(t, "a:never")
	before := w.all(t, n)
	w.clock.add(-time.Hour) // the next process's clock may be behind
	w.end()
	lasts := lasts(w.j)
	w.open(open, dir)
	if !lasts {
		if h := w.head(t, n); h.Epoch == at[20].Epoch || h.Offset != 0 {
			t.Fatalf("a journal that forgot says %+v, before %+v", h, at[20])
		}
		if p := w.read(t, n, journal.Query{After: at[20]}); p.Gap != channel.GapEpoch {
			t.Fatalf("resume after everything was lost: gap %q", p.Gap)
		}
		return
	}
	if h := w.head(t, n); h != at[20] {
		t.Fatalf("head %+v, before %+v", h, at[20])
	}
	if h := w.head(t, "a:never"); h != empty {
		t.Fatalf("head of an empty channel %+v, before %+v", h, empty)
	}
	after := w.all(t, n)
	if len(after) != len(before) {
		t.Fatalf("%d records, before %d", len(after), len(before))
	}
	for i := range after {
		if after[i].At != before[i].At || string(after[i].Body) != string(before[i].Body) || !after[i].Time.Equal(before[i].Time) {
			t.Fatalf("record %d: %+v, before %+v", i, after[i], before[i])
		}
	}
	if again := w.append(known); again != knownAt {
		t.Fatalf("resend after reopening: %+v, first %+v", again, knownAt)
	}
	known.Body = []byte(`"other"`)
	if _, err := w.try(known); !errors.Is(err, journal.ErrReuse) {
		t.Fatalf("other body after reopening: %v", err)
	}
	if next := w.append(channel.Record{Channel: n, Body: []byte("1")}); next != at[20].Next([]byte("1")) {
		t.Fatalf("goes on at %+v after %+v", next, at[20])
	}
	w.all(t, n) // times in order, though the clock went back
}

// checkKill kills a process in the middle of its appends, several times over the same folder. Everything it
// acknowledged is there once, everything it resends is recognised.
func checkKill(t *testing.T, open Open) {
	probe := enter(t, open, t.TempDir())
	if probe.j.Tier() != journal.TierDurable {
		t.Skip("only durable journals outlive their process")
	}
	probe.end()
	dir := t.TempDir()
	acked := map[string]uint64{} // channel and body to offset
	for round := range killRounds {
		for line := range strings.Lines(killOne(t, dir, round)) {
			key, offset, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			v, err := strconv.ParseUint(offset, 10, 64)
			if !ok || err != nil || !strings.HasSuffix(line, "\n") {
				continue // cut off by the kill
			}
			if before, ok := acked[key]; ok && before != v {
				t.Fatalf("%s was acknowledged at %d and at %d", key, before, v)
			}
			acked[key] = v
		}
		checkSurvivors(t, open, dir, acked)
	}
}

func checkSurvivors(t *testing.T, open Open, dir string, acked map[string]uint64) {
	t.Helper()
	w := enter(t, open, dir)
	defer w.end()
	found := map[string]uint64{}
	total := 0
	for i := range victimNames {
		n := victimName(i)
		for _, r := range w.all(t, n) {
			total++
			key := victimKey(n, r.Body)
			if at, twice := found[key]; twice {
				t.Fatalf("%s stands at %d and at %d", key, at, r.At.Offset)
			}
			found[key] = r.At.Offset
		}
	}
	for key, offset := range acked {
		if found[key] != offset {
			t.Fatalf("%s was acknowledged at %d, now at %d (0: lost)", key, offset, found[key])
		}
	}
	t.Logf("%d acknowledged, %d kept", len(acked), total)
}

// killOne runs a victim until it has acknowledged enough and kills it; it returns what it said.
func killOne(t *testing.T, dir string, round int) string {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = in, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	var said strings.Builder
	lines := bufio.NewReader(out)
	for range killedAfter * (round + 1) {
		line, err := lines.ReadString(victimNewline)
		if err != nil {
			_ = cmd.Wait()
			t.Fatalf("the victim ended by itself after %d bytes: %v %s", said.Len(), err, line)
		}
		said.WriteString(line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	said.Write(rest)
	_ = cmd.Wait()
	return said.String()
}

func victimName(i int) channel.Name { return channel.Name(fmt.Sprintf("a:v%d", i)) }

func victimKey(n channel.Name, body []byte) string { return string(n) + " " + string(body) }

// runVictim is the process to be killed: it resends everything from the first on, as a client that lost its answers
// does, and says what is acknowledged. It never ends by itself.
func runVictim(t *testing.T, open Open, dir string) {
	j, _ := open(t, dir, Options{Clock: time.Now, Policies: policies, Carry: func([]channel.Record) {}})
	flight := make(chan struct{}, victimFlight)
	var mu sync.Mutex
	for i := 0; ; i++ {
		flight <- struct{}{}
		n := victimName(i % victimNames)
		body := []byte(strconv.Quote(fmt.Sprint("body ", i)))
		j.Append(channel.Record{Channel: n, From: "ann", ID: fmt.Sprint(i), Body: body}, func(at channel.Position, err error) {
			<-flight
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				fmt.Fprintln(os.Stderr, "victim:", err)
				os.Exit(3)
			}
			// One write a line: what is in the pipe when the kill comes was acknowledged.
			_, _ = os.Stdout.WriteString(fmt.Sprintf("%s=%d\n", victimKey(n, body), at.Offset))
		})
	}
}
