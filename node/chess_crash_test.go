package node_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/internal/fault"
)

// crashedFor is how long a node stays away after it was killed. Nobody may be charged for it.
const crashedFor = 300 * time.Millisecond

// chessCrashes are the points at which the node is killed, and at which time: in the middle of a game, or of what is sent
// around it.
var chessCrashes = []string{
	"worker.taken:20", "worker.committed:22", "worker.sent:5", "store.filled:26", "store.carried:28",
	"worker.applied:21", "worker.answered:23", "worker.sent:2", "store.taken:25", "store.committed:27",
}

// rink is a node in a process of its own that is killed and comes back.
type rink struct {
	*testing.T
	dir string
	at  string // host:port, the same over all lives

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
	kills int
	back  time.Time // when it was there again
	over  chan struct{}
	guard sync.WaitGroup
}

// newRink starts a node that dies at a crash point; "": it is killed by hand.
func newRink(t *testing.T, crash string) *rink {
	r := &rink{T: t, dir: t.TempDir(), at: "127.0.0.1:0", over: make(chan struct{})}
	r.start(crash)
	r.guard.Go(r.watch)
	t.Cleanup(func() {
		close(r.over)
		r.guard.Wait()
		r.kill()
		<-r.ended
	})
	return r
}

func (r *rink) start(crash string) {
	spec, err := json.Marshal(childSpec{Listen: r.at, Data: r.dir, Services: []string{"chess"}})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(spec), fault.CrashVar+"="+crash)
	cmd.Stderr = os.Stderr
	if err == nil {
		_, err = cmd.StdinPipe()
	}
	out, e := cmd.StdoutPipe()
	if err == nil && e == nil {
		err = cmd.Start()
	}
	if err != nil || e != nil {
		r.Error(err, e)
		return
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	at, ok := strings.CutPrefix(strings.TrimSpace(line), "listening at ")
	if !ok {
		r.Errorf("the node says %q", line)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := make(chan struct{})
	r.cmd, r.at, r.ended, r.back = cmd, at, ended, time.Now()
	r.guard.Go(func() {
		_ = cmd.Wait()
		close(ended)
	})
}

// watch starts the node again a while after it died.
func (r *rink) watch() {
	for {
		r.mu.Lock()
		ended := r.ended
		r.mu.Unlock()
		select {
		case <-r.over:
			r.kill()
			return
		case <-ended:
		}
		away := time.NewTimer(crashedFor)
		<-away.C
		r.mu.Lock()
		r.kills++
		r.mu.Unlock()
		r.start("")
	}
}

func (r *rink) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.cmd.Process.Kill()
}

func (r *rink) killed() (times int, back time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kills, r.back
}

func (r *rink) sit(name string) *player { return sitAt(r.T, "ws://"+r.at+"/ws", name) }

// record reads on to the next Logged record of a type.
func (p *player) record(n, kind string) (fields, client.Record) {
	p.t.Helper()
	ctx := p.context()
	for {
		e, err := p.subs[n].Next(ctx)
		if err != nil || e.Gap != nil {
			p.t.Fatalf("%s waits for %s in %s: %v, %+v", p.user, kind, n, err, e.Gap)
		}
		var data fields
		_ = json.Unmarshal(e.Record.Body, &data) // a deletion has none
		if e.Record.Class == channel.Logged && data["type"] == kind {
			return data, e.Record
		}
	}
}

// TestChessCrashes kills the node at a point while a rated game is played: each acknowledged move is there once, the
// outage is on nobody's clock, and the game is rated once.
func TestChessCrashes(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: takes some seconds")
	}
	crashes := chessCrashes
	if os.Getenv("CARILLON_LONG") == "" {
		crashes = crashes[:5]
	}
	for _, crash := range crashes {
		t.Run(crash, func(t *testing.T) {
			r := newRink(t, crash)
			ann, bob, eve := r.sit("ann"), r.sit("bob"), r.sit("eve")
			game := pair(ann, bob, `"base":600,"inc":0,"rated":true`)
			eve.follow(game)
			began := time.Now()
			for ply, uci := range operaGame {
				answer := []*player{ann, bob}[ply%2].ask(game, move(ply, uci))
				if answer["ply"] != float64(ply+1) {
					t.Fatalf("ply %d is answered %v", ply, answer)
				}
			}
			ended := time.Now()
			var spent float64
			for ply, uci := range operaGame {
				m := eve.until(game, "move")
				if m["ply"] != float64(ply+1) || m["uci"] != uci {
					t.Fatalf("ply %d is seen as %v, not as %s", ply, m, uci)
				}
				spent += m["spent"].(float64)
			}
			eve.until(game, "end")
			for _, p := range []*player{ann, bob} {
				if over := p.until(p.home, "over"); over["game"] != game || over["result"] != "1-0" {
					t.Errorf("%s is told %v", p.user, over)
				}
				ratings := p.ask(p.home, `{"type":"profile"}`)["ratings"].(map[string]any)
				if rated := ratings["rapid"].(map[string]any); rated["games"] != 1.0 || len(ratings) != 1 {
					t.Errorf("%s has the ratings %v", p.user, ratings)
				}
			}
			kills, back := r.killed()
			if kills != 1 {
				t.Fatalf("the node was killed %d times: the point was not reached", kills)
			}
			took := ended.Sub(began)
			if back.After(began) && back.Before(ended) && spent > float64((took-crashedFor).Milliseconds()) {
				t.Errorf("the clocks were charged %v ms in %v, of which the node was away %v", spent, took, crashedFor)
			}
			if state := eve.ask(game, `{"type":"state"}`); fmt.Sprint(state["moves"]) != fmt.Sprint(operaGame) {
				t.Errorf("the moves are %v", state["moves"])
			}
		})
	}
}

// TestChessFlagAfterCrash: a clock that ran when the node was killed runs on when it is back, without the time in between,
// and its flag falls by itself; also where the node dies at the moment at which it would have fallen.
func TestChessFlagAfterCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: takes some seconds")
	}
	for _, crash := range []string{"", "worker.timer:1"} {
		t.Run("crash "+crash, func(t *testing.T) {
			r := newRink(t, crash)
			ann, bob := r.sit("ann"), r.sit("bob")
			game := pair(ann, bob, `"base":1,"inc":0`)
			bob.follow(game)
			ann.ask(game, move(0, "e2e4"))
			bob.ask(game, move(1, "e7e5"))
			if crash == "" {
				r.kill()
			}
			var last client.Record
			for range 2 {
				_, last = bob.record(game, "move")
			}
			end, fell := bob.record(game, "end")
			if end["reason"] != "time" || end["result"] != "0-1" || end["white"] != 0.0 {
				t.Errorf("it ended %v", end)
			}
			if lasted := fell.Time.Sub(last.Time); lasted < time.Second+crashedFor {
				t.Errorf("the flag fell %v after the move: with 1 s on the clock, and %v without a node", lasted, crashedFor)
			}
			if kills, _ := r.killed(); kills != 1 {
				t.Errorf("the node was killed %d times", kills)
			}
		})
	}
}
