package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/gateway/session"
	"carillon/node"
	"carillon/observe"
	"carillon/wire"
)

// patient are options of a node whose clients need not answer pings for as long as a test takes.
func patient() node.Options {
	s := session.DefaultSettings()
	s.Heartbeat, s.MaxPerUser = time.Hour, 0
	return node.Options{Dev: true, Settings: s}
}

// attend opens a line in memory as a guest and subscribes; what comes later is left to be heard.
func attend(t *testing.T, n *node.Node, user string, channels ...string) *line {
	t.Helper()
	l := pipeLine(t, n)
	l.say(fmt.Sprintf(`{"type":"connect","id":1,"token":"guest-%s"}`, user))
	l.want(t, "connected")
	for i, c := range channels {
		l.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":%q}`, i+2, c))
		l.want(t, "reply")
	}
	return l
}

// watcher notes each value of presence that one subscriber is told, and when.
type watcher struct {
	l    *line
	done sync.WaitGroup

	mu     sync.Mutex
	values []string
	times  []time.Time
}

// watch subscribes to the presence of a channel and listens until the line ends.
func watch(t *testing.T, n *node.Node, user, channel string) *watcher {
	t.Helper()
	w := &watcher{l: attend(t, n, user, channel+"@presence")}
	w.done.Go(func() {
		for {
			p, err := w.l.frame()
			if err != nil {
				return
			}
			w.note(p)
		}
	})
	t.Cleanup(w.end)
	return w
}

func (w *watcher) note(p []byte) {
	var m struct {
		Type    string
		Data    json.RawMessage
		Records []struct{ Data json.RawMessage }
	}
	if json.Unmarshal(p, &m) != nil || m.Type != "latest" && m.Type != "record" {
		return
	}
	if m.Type == "latest" {
		m.Data = m.Records[0].Data
	}
	var v struct {
		Count   int
		Members []struct{ User string }
	}
	_ = json.Unmarshal(m.Data, &v)
	told := fmt.Sprint(v.Count)
	for _, who := range v.Members {
		told += " " + strings.TrimPrefix(who.User, wire.GuestPrefix)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values, w.times = append(w.values, told), append(w.times, time.Now())
}

func (w *watcher) end() {
	_ = w.l.Close()
	w.done.Wait()
}

// heard is what was told since the last call, and that it came no faster than once a second.
func (w *watcher) heard(t *testing.T) (values []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 1; i < len(w.times); i++ {
		if gap := w.times[i].Sub(w.times[i-1]); gap < time.Second {
			t.Errorf("%q came %v after %q", w.values[i], gap, w.values[i-1])
		}
	}
	values, w.values = w.values, nil
	if len(w.times) > 0 {
		w.times = w.times[len(w.times)-1:]
	}
	return values
}

// tells passes some time and wants exactly these values in it.
func (w *watcher) tells(t *testing.T, after time.Duration, want ...string) {
	t.Helper()
	time.Sleep(after) // of the bubble's clock
	synctest.Wait()
	if got := w.heard(t); strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Fatalf("told %q, want %q", got, want)
	}
}

// TestPresenceDebounce: who is back within 30 s was never away, whoever says goodbye is away at once.
func TestPresenceDebounce(t *testing.T) {
	bubble(t, patient(), func(t *testing.T, n *node.Node) {
		ann := attend(t, n, "ann", "chat:r")
		w := watch(t, n, "wim", "chat:r")
		defer w.end()
		w.tells(t, 2*time.Second, "1 ann")
		bob := attend(t, n, "bob", "chat:r")
		w.tells(t, 2*time.Second, "2 ann bob")
		_ = bob.Close()
		w.tells(t, 29*time.Second)
		bob = attend(t, n, "bob", "chat:r") // a page that was loaded anew
		w.tells(t, 40*time.Second)
		_ = bob.Close()
		w.tells(t, 29500*time.Millisecond)
		w.tells(t, 2*time.Second, "1 ann")
		bob = attend(t, n, "bob", "chat:r")
		w.tells(t, 2*time.Second, "2 ann bob")
		// An orderly close of the socket is what a browser does on every reload: it is no goodbye.
		_, _ = bob.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8})
		w.tells(t, 29*time.Second)
		w.tells(t, 3*time.Second, "1 ann")
		_ = bob.Close()
		ann.say(`{"type":"leave","id":9}`)
		w.tells(t, 2*time.Second, "0")
		_ = ann.Close()
	})
}

// TestPresenceEnds: who was expelled or revoked is out at once; who is to come back elsewhere is not.
func TestPresenceEnds(t *testing.T) {
	bubble(t, patient(), func(t *testing.T, n *node.Node) {
		w := watch(t, n, "wim", "chat:r")
		defer w.end()
		w.tells(t, time.Second, "0")
		leave := map[string]func(l *line){
			"unsubscribed": func(l *line) { l.say(`{"type":"unsubscribe","id":9,"channel":"chat:r"}`) },
			"goodbye":      func(l *line) { l.say(`{"type":"leave","id":9}`) },
			"forbidden":    func(l *line) { l.say(`{"type":"connect","id":9,"token":"guest-eve"}`) },
		}
		for why, end := range leave {
			l := attend(t, n, "ann", "chat:r")
			w.tells(t, 2*time.Second, "1 ann")
			end(l)
			if w.tells(t, 2*time.Second, "0"); t.Failed() {
				t.Fatal(why)
			}
			_ = l.Close()
		}
		// Too many errors: the client is out of order, its user is not gone.
		l := attend(t, n, "ann", "chat:r")
		w.tells(t, 2*time.Second, "1 ann")
		for range session.DefaultSettings().MaxErrors {
			l.say(`{"type":`)
			l.want(t, "error")
		}
		l.ends(t, "4007", 0)
		w.tells(t, 29*time.Second)
		w.tells(t, 3*time.Second, "0")
	})
}

// stormed is how many members a storm has.
const stormed = 5000 / stormShare

// calm lets go of what a storm left in pools, so that tests that measure memory find none of it.
func calm() {
	runtime.GC()
	runtime.GC() // what a pool held is a victim of the first, and gone with the second
}

// TestF27PresenceStorm: 5,000 users of a channel flap within 30 s, and nobody is told anything; they stay away for longer,
// and each subscriber gets at most one frame in a second. Several users flap more often than that.
func TestF27PresenceStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: the storm takes seconds")
	}
	defer calm()
	bubble(t, patient(), func(t *testing.T, n *node.Node) {
		lines := make([]*line, stormed)
		come := func() {
			for i := range lines {
				lines[i] = attend(t, n, fmt.Sprint("u", i), "chat:storm")
			}
		}
		come()
		var ws []*watcher
		for i := range 10 {
			w := watch(t, n, fmt.Sprint("w", i), "chat:storm")
			defer w.end()
			ws = append(ws, w)
		}
		everybody := fmt.Sprint(stormed)
		for _, w := range ws {
			w.tells(t, 0, everybody)
		}
		for round := range 4 { // 20,000 flaps
			for _, l := range lines {
				_ = l.Close()
			}
			time.Sleep(time.Duration(5+5*round) * time.Second)
			come()
		}
		for _, w := range ws {
			w.tells(t, 0)
		}
		ws[0].tells(t, time.Minute)
		// Now they leave in the course of 10 s and stay away.
		for i, l := range lines {
			_ = l.Close()
			if i%(stormed/10) == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(45 * time.Second)
		synctest.Wait()
		for i, w := range ws {
			told := w.heard(t)
			if len(told) < 5 || len(told) > 14 || told[len(told)-1] != "0" {
				t.Fatalf("watcher %d: %d frames, the last of them %q", i, len(told), told)
			}
		}
		t.Logf("%d members, %d goroutines at the end", stormed, runtime.NumGoroutine())
	})
}

// TestPresenceOfManyMembers: in a room of 5,000, of whom all watch, everybody is told once a second while others come and go.
func TestPresenceOfManyMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: it takes seconds")
	}
	defer calm()
	bubble(t, patient(), func(t *testing.T, n *node.Node) {
		ws := make([]*watcher, stormed)
		for i := range ws {
			ws[i] = watch(t, n, fmt.Sprint("u", i), "chat:big")
			ws[i].l.say(`{"type":"subscribe","id":9,"channel":"chat:big"}`)
		}
		const seconds = 20
		began := time.Now()
		for time.Since(began) < seconds*time.Second {
			l := attend(t, n, fmt.Sprint("x", time.Since(began).Milliseconds()), "chat:big")
			time.Sleep(40 * time.Millisecond)
			l.say(`{"type":"leave","id":9}`)
			l.want(t, "reply")
			_ = l.Close()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for i, w := range ws {
			told := w.heard(t)
			if len(told) > seconds+4 || told[len(told)-1] != fmt.Sprint(stormed) {
				t.Fatalf("watcher %d: %d frames in %d s, the last of them %q", i, len(told), seconds, told[len(told)-1])
			}
		}
		for _, w := range ws {
			w.end()
		}
	})
}

// TestPresenceOverADrain: the end of a node is no leave of its users.
func TestPresenceOverADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := patient()
		o.Listen = "127.0.0.1:0"
		n, err := node.New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		attend(t, n, "ann", "chat:r")
		w := watch(t, n, "wim", "chat:r")
		w.tells(t, 2*time.Second, "1 ann")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
		w.end()
		if told := w.heard(t); len(told) != 0 {
			t.Errorf("while the node drained, %q was told", told)
		}
	})
}

// TestPresenceLeavesNoGhost: however lines end while requests are under way, nobody is left behind in the end.
func TestPresenceLeavesNoGhost(t *testing.T) {
	bubble(t, patient(), func(t *testing.T, n *node.Node) {
		var busy sync.WaitGroup
		for g := range 16 {
			busy.Go(func() {
				for round := range 40 {
					l := pipeLine(t, n)
					var reading sync.WaitGroup
					reading.Go(func() { discard(l) })
					l.say(fmt.Sprintf(`{"type":"connect","id":1,"token":"guest-g%d"}`, g%5))
					for i := range round % 7 {
						l.say(fmt.Sprintf(`[{"type":"subscribe","id":%d,"channel":"chat:c%d"},{"type":"subscribe","id":%d,"channel":"chat:c%d@presence"}]`, 10*i+2, i%3, 10*i+3, i%2))
						if (round+i)%3 == 0 {
							l.say(fmt.Sprintf(`{"type":"unsubscribe","id":%d,"channel":"chat:c%d"}`, 10*i+4, i%3))
						}
					}
					if round%4 == 0 {
						l.say(`{"type":"leave","id":99}`)
					}
					_ = l.Close()
					reading.Wait()
				}
			})
		}
		busy.Wait()
		time.Sleep(40 * time.Second)
		synctest.Wait()
		f := figuresOf(t, n)
		if members := f.of(observe.PresenceMembers); members != 0 {
			t.Errorf("%v ghosts", members)
		}
		if came, left := f.of(observe.PresenceEvents, "came"), f.of(observe.PresenceEvents, "left"); came == 0 || came != left {
			t.Errorf("%v came and %v left", came, left)
		}
		last := watch(t, n, "late", "chat:c0")
		defer last.end()
		last.tells(t, 20*time.Second, "0")
	})
}
