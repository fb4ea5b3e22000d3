package chess

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A game in which nothing happens asks who is there, once a minute and with what it believes; one that is played does not,
// nor one in which absence means nothing.
func TestQuietGameAsks(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":600,"inc":0`)
	w.pass(20 * time.Second)
	w.play(n, "e2e4", "e7e5")
	for range 5 {
		w.pass(50 * time.Second)
		w.must(0, "ann", n, `{"type":"more_time"}`)
	}
	if len(w.doubts) > 0 {
		t.Errorf("a game that goes on asked %q", w.doubts)
	}
	asks := func(want ...string) {
		t.Helper()
		for i := range want {
			want[i] = fmt.Sprint(n, " ", want[i])
		}
		if !slices.Equal(w.doubts, want) {
			t.Errorf("it asked %q, want %q", w.doubts, want)
		}
		w.doubts = nil
	}
	w.pass(59 * time.Second)
	asks()
	w.pass(2 * time.Second)
	asks("ann true", "bob true")
	w.here("bob", n, false)
	w.pass(59 * time.Second)
	asks()
	w.pass(2 * time.Second)
	asks("ann true", "bob false")
	w.must(0, "ann", n, `{"type":"claim","as":"win"}`)
	w.pass(10 * time.Minute)
	asks()
	n = w.match(`"base":0`)
	w.play(n, "e2e4", "e7e5")
	w.pass(time.Hour)
	asks()
	w.replay()
}

// A flag falls when it would have fallen without the questions.
func TestQuestionsMoveNoFlag(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":600,"inc":0`)
	w.play(n, "e2e4", "e7e5")
	falls := w.game(n).ends()
	w.pass(9 * time.Minute)
	if at := w.game(n).ends(); at != falls {
		t.Errorf("it falls at %d, and was to at %d", at, falls)
	}
	w.pass(2 * time.Minute)
	if g := w.game(n); g.reason != timeOut || g.ended != falls {
		t.Errorf("it ended by %s at %d, and was to at %d", g.reason, g.ended, falls)
	}
}

// The lobby asks after each who waits, once a minute of his waiting; who is gone seeks no more.
func TestLobbyAsks(t *testing.T) {
	w := newWorld(t)
	w.must(0, "ann", Player("ann"), `{"type":"seek","base":180,"inc":2}`)
	w.pass(20500 * time.Millisecond)
	w.must(0, "bob", Player("bob"), `{"type":"seek","base":60,"inc":0}`)
	w.pass(39 * time.Second)
	if len(w.doubts) > 0 {
		t.Errorf("within a minute it asked %q", w.doubts)
	}
	w.pass(5*time.Minute - 10*time.Second)
	ann, bob := 0, 0
	for _, d := range w.doubts {
		switch d {
		case "chess:player:ann ann true":
			ann++
		case "chess:player:bob bob true":
			bob++
		default:
			t.Errorf("it asked %q", d)
		}
	}
	if ann < 5 || ann > 7 || bob < 5 || bob > 7 { // while somebody's window grows it looks every second
		t.Errorf("it asked %d and %d times in 5 minutes", ann, bob)
	}
	w.here("ann", Player("ann"), false)
	if why := field(w.last(Player("ann"), "seek"), "why"); why != "canceled" || len(w.latest[Lobby]) != 1 {
		t.Errorf("the seek of who is gone ended as %v, the lobby shows %v", why, w.latest[Lobby])
	}
	w.replay()
}
