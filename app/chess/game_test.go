package chess

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// expect demands how a game stands.
func (w *world) expect(n channel.Name, status, result, why string) {
	w.t.Helper()
	s := w.latest[n]["summary"]
	if got := fmt.Sprintf("%v %v %v", field(s, "status"), field(s, "result"), field(s, "reason")); got != status+" "+result+" "+why {
		w.fatal("%s is %s, want %s %s %s", n, got, status, result, why)
	}
	if ends := w.total(n, "end"); ends != 1 {
		w.fatal("%s is %s after %d ends", n, status, ends)
	}
}

// going demands that a game is played on.
func (w *world) going(n channel.Name) {
	w.t.Helper()
	if s := w.latest[n]["summary"]; field(s, "status") != "playing" || field(s, "reason") != nil || w.total(n, "end") != 0 {
		w.fatal("%s has come to %s", n, s)
	}
}

// clocks demands what both sides have left, in milliseconds.
func (w *world) clocks(n channel.Name, white, black int64) {
	w.t.Helper()
	s := string(w.must(0, "ann", n, `{"type":"state"}`).Reply)
	if field(s, "white") != float64(white) || field(s, "black") != float64(black) {
		w.fatal("%s: the clocks are %v and %v, want %d and %d", n, field(s, "white"), field(s, "black"), white, black)
	}
}

// TestRefusals: what cannot be is refused with its code, and the machine is as it was. The world sees to the latter.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180`)
	long := strings.Repeat("8", 100_000)
	for _, c := range []struct {
		code       Code
		user, body string
	}{
		{BadRequest, "ann", ``}, {BadRequest, "ann", `null`}, {BadRequest, "ann", `[]`}, {BadRequest, "ann", `{"type":7}`}, {BadRequest, "ann", `{"type":"move"`},
		{BadRequest, "ann", `{}`}, {UnknownCommand, "ann", `{"type":"fly"}`}, {UnknownCommand, "ann", `{"type":"create"}`},
		{BadRequest, "ann", `{"type":"move","uci":"e2e4"}`}, {BadRequest, "ann", `{"type":"move","ply":"0","uci":"e2e4"}`},
		{BadRequest, "ann", `{"type":"move","ply":0.5,"uci":"e2e4"}`}, {BadRequest, "ann", `{"type":"move","ply":1e99,"uci":"e2e4"}`},
		{BadRequest, "ann", `{"type":"move","ply":0,"uci":"e2e4","lag":-1}`}, {BadRequest, "ann", `{"type":"move","ply":0,"uci":"e2m3"}`},
		{BadRequest, "ann", `{"type":"move","ply":0,"uci":""}`}, {BadRequest, "ann", `{"type":"move","ply":0,"uci":"e2e4qq"}`},
		{IllegalMove, "ann", `{"type":"move","ply":0,"uci":"e2e5"}`}, {IllegalMove, "ann", `{"type":"move","ply":0,"uci":"e1g1"}`},
		{IllegalMove, "ann", `{"type":"move","ply":0,"uci":"e7e5"}`}, {IllegalMove, "ann", `{"type":"move","ply":0,"uci":"e2e4q"}`},
		{StalePly, "ann", `{"type":"move","ply":1,"uci":"e2e4"}`}, {StalePly, "ann", `{"type":"move","ply":-1,"uci":"e2e4"}`},
		{NotYourTurn, "bob", `{"type":"move","ply":0,"uci":"e7e5"}`}, {NotYourTurn, "bob", `{"type":"move","ply":0,"uci":"e2e4"}`},
		{NotPlayer, "eve", `{"type":"move","ply":0,"uci":"e2e4"}`}, {NotPlayer, "eve", `{"type":"resign"}`},
		{TooLong, "ann", `{"type":"move","ply":0,"uci":"` + long + `"}`}, {TooLong, "ann", `{"type":"challenge","fen":"` + long + `"}`},
		{NotNow, "ann", `{"type":"resign"}`}, {NotNow, "ann", `{"type":"draw_offer"}`}, {NotNow, "ann", `{"type":"draw_accept"}`}, {NotNow, "ann", `{"type":"draw_decline"}`},
		{NotNow, "bob", `{"type":"takeback_offer"}`}, {NotNow, "bob", `{"type":"takeback_accept"}`}, {NotNow, "bob", `{"type":"rematch_offer"}`},
		{NotNow, "ann", `{"type":"claim","as":"win"}`}, {BadRequest, "ann", `{"type":"claim","as":"king"}`}, {NoClaim, "ann", `{"type":"draw_claim"}`},
		{BadRequest, "", `{"type":"state"}`}, {BadRequest, strings.Repeat("x", 129), `{"type":"state"}`}, {BadRequest, "a b", `{"type":"state"}`},
		{NotAllowed, "@chat:lobby", `{"type":"create"}`}, {NotAllowed, "@chess:watch:x", `{"type":"rated"}`}, {BadRequest, "@chess:lobby", `x`},
	} {
		w.must(c.code, c.user, n, c.body)
	}
	w.must(NoGame, "ann", "chess:game:none", `{"type":"move","ply":0,"uci":"e2e4"}`)
	w.must(NoGame, "ann", "chess:game", `{"type":"state"}`)
	w.must(NoGame, "ann", "chess:me@x", `{"type":"state"}`)
	if o := w.one(channel.Command{Channel: n, User: "ann", Binary: true, Body: []byte(`{"type":"state"}`)}); Code(o.Refused) != BadRequest {
		t.Errorf("bytes are answered %s", o.Reply)
	}
	w.play(n, "e2e4", "e7e5")
	if o := w.must(StalePly, "ann", n, `{"type":"move","ply":0,"uci":"e2e4"}`); field(string(o.Reply), "ply") != 2.0 {
		t.Errorf("a stale ply is answered %s", o.Reply)
	}
	w.must(NotNow, "ann", n, `{"type":"abort"}`)
	w.must(0, "bob", n, `{"type":"resign"}`)
	for _, kind := range []string{`move","ply":2,"uci":"g1f3`, "resign", "abort", "draw_offer", "draw_claim", "takeback_offer", "more_time", "claim"} {
		w.must(Finished, "ann", n, `{"type":"`+kind+`"}`)
	}
	w.must(NotPlayer, "eve", n, `{"type":"rematch_offer"}`)
	w.must(0, "eve", n, `{"type":"state"}`)
	w.expect(n, "over", "1-0", "resignation")
	w.replay()
}

// TestEnds are the ends that a game can come to by moves.
func TestEnds(t *testing.T) {
	for _, c := range []struct{ fen, moves, result, why string }{
		{"", "f2f3 e7e5 g2g4 d8h4", "0-1", "checkmate"},
		{"7k/5Q2/8/8/8/8/8/K7 w - - 0 1", "f7g6", "1/2-1/2", "stalemate"},
		{"7k/8/8/8/8/8/p7/K7 w - - 0 1", "a1a2", "1/2-1/2", "material"},
		{"", "g1f3 g8f6 f3g1 f6g8 g1f3 g8f6 f3g1 f6g8 g1f3 g8f6 f3g1 f6g8 g1f3 g8f6 f3g1 f6g8", "1/2-1/2", "fivefold"},
		{"7k/8/8/8/8/8/R7/K7 w - - 149 100", "a2b2", "1/2-1/2", "seventy_five_moves"},
	} {
		w := newWorld(t)
		n := w.match(fmt.Sprintf(`"base":180,"fen":%q`, c.fen))
		w.play(n, strings.Fields(c.moves)...)
		w.expect(n, "over", c.result, c.why)
		w.replay()
	}
}

// TestClaims: threefold repetition and 50 moves take a claim, by either side.
func TestClaims(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180`)
	w.play(n, strings.Fields("g1f3 g8f6 f3g1 f6g8 g1f3 g8f6 f3g1")...)
	w.must(NoClaim, "bob", n, `{"type":"draw_claim"}`)
	w.play(n, "f6g8")
	w.must(0, "bob", n, `{"type":"draw_claim"}`)
	w.expect(n, "over", "1/2-1/2", "threefold")

	w = newWorld(t)
	n = w.match(`"base":180,"fen":"7k/8/8/8/8/8/R7/K7 w - - 98 100"`)
	w.play(n, "a2b2")
	w.must(NoClaim, "ann", n, `{"type":"draw_claim"}`)
	w.play(n, "h8g8")
	w.must(0, "ann", n, `{"type":"draw_claim"}`)
	w.expect(n, "over", "1/2-1/2", "fifty_moves")
}

// TestAbort: before both have moved a game can be left, and ends by itself; nothing is rated or kept.
func TestAbort(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180,"rated":true`)
	w.play(n, "e2e4")
	w.must(0, "bob", n, `{"type":"abort"}`)
	w.expect(n, "aborted", "*", "abort")
	for _, c := range []struct {
		base    int
		seconds time.Duration
	}{{20, 15}, {60, 20}, {180, 25}, {600, 30}, {1800, 35}} {
		n := w.match(fmt.Sprintf(`"base":%d,"rated":true`, c.base))
		w.pass(2 * time.Second)
		w.play(n, "e2e4")
		w.pass(c.seconds*time.Second - time.Millisecond)
		w.going(n)
		w.pass(time.Millisecond)
		w.expect(n, "aborted", "*", "first_move")
	}
	for key := range w.rows {
		t.Errorf("the row %s is left", key)
	}
	if p := string(w.must(0, "ann", Player("ann"), `{"type":"profile"}`).Reply); !strings.Contains(p, `"ratings":{},"casual":0,"games":[]`) {
		t.Errorf("the profile is %s", p)
	}
}

// TestClock is time as it is charged.
func TestClock(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180,"inc":2`)
	w.pass(5 * time.Second)
	w.play(n, "e2e4")
	w.pass(5 * time.Second)
	w.play(n, "e7e5")
	w.clocks(n, 180_000, 180_000) // first moves are free, and without increment
	w.pass(3 * time.Second)
	w.clocks(n, 177_000, 180_000)
	w.play(n, "g1f3")
	w.clocks(n, 179_000, 180_000)
	w.play(n, "b8c6") // a premove costs nothing
	w.clocks(n, 179_000, 182_000)

	// The quota is 1,000 ms a move at 180+2: 3,000 at first, 7,000 at most; of a move never more than 1,000.
	w.pass(4 * time.Second)
	w.move(n, "f1b5", 400)
	w.clocks(n, 179_000-3600+2000, 182_000)
	w.pass(4 * time.Second)
	w.move(n, "a7a6", 1_000_000)
	w.clocks(n, 177_400, 182_000-3000+2000)
	w.pass(300 * time.Millisecond)
	w.move(n, "b5a4", 900) // no more than passed
	w.clocks(n, 177_400+2000, 181_000)

	w = newWorld(t)
	n = w.match(`"base":60`) // 390 ms a move
	w.play(n, "e2e4", "e7e5")
	left, quota := int64(60_000), int64(3*390)
	for i, m := range []string{"g1f3", "f3g1", "b1c3", "c3b1", "g1h3", "h3g1"} {
		w.pass(2 * time.Second)
		w.move(n, m, 1000)
		granted := min(1000, quota)
		quota = min(quota-granted+390, 7*390)
		left -= 2000 - granted
		if g := w.game(n); g.clock.left[rules.White] != left || g.clock.quota[rules.White] != quota {
			t.Errorf("move %d: left %d with a quota of %d, want %d with %d", i, g.clock.left[rules.White], g.clock.quota[rules.White], left, quota)
		}
		w.play(n, []string{"g8f6", "f6g8", "b8c6", "c6b8", "h7h6", "g7g6"}[i])
	}
	w.replay()
}

// TestQuota is the formula of what a move adds to the quota of lag, in milliseconds.
func TestQuota(t *testing.T) {
	for _, c := range []struct{ base, inc, want int64 }{{60, 0, 390}, {180, 0, 870}, {213, 0, 1000}, {180, 2, 1000}, {15, 0, 210}, {60, 1, 550}, {10800, 180, 1000}} {
		if got := (control{c.base, c.inc}).quotaGain(); got != min(1000, c.want) {
			t.Errorf("%d+%d adds %d, want %d", c.base, c.inc, got, c.want)
		}
	}
}

// TestFlag: time runs out by itself, after what could be granted to a move on its way; nobody loses to bare wood.
func TestFlag(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":60`)
	w.play(n, "e2e4", "e7e5")
	w.pass(61*time.Second - time.Millisecond)
	w.going(n)
	w.clocks(n, 0, 60_000)
	w.pass(time.Millisecond)
	w.expect(n, "over", "0-1", "time")
	w.clocks(n, 0, 60_000)

	// In the last moment the claim of lag counts.
	n = w.match(`"base":60`)
	w.play(n, "e2e4", "e7e5")
	w.pass(60*time.Second + 500*time.Millisecond)
	w.move(n, "g1f3", 501)
	w.going(n)
	w.clocks(n, 1, 60_000)
	w.must(0, "ann", n, `{"type":"resign"}`)

	// A move that comes too late is the end, not a move; no increment saves it.
	n = w.match(`"base":60,"inc":2`)
	w.play(n, "e2e4", "e7e5")
	w.pass(60*time.Second + 500*time.Millisecond)
	o := w.move(n, "g1f3", 500)
	if want := `{"ply":2,"white":0,"black":60000,"status":"over","result":"0-1","reason":"time"}`; string(o.Reply) != want {
		t.Errorf("answered %s, want %s", o.Reply, want)
	}
	if w.total(n, "move") != 2 {
		t.Error("the late move was played")
	}

	for _, c := range []struct{ fen, moves, result, why string }{
		{"7k/8/8/8/8/8/7P/K7 w - - 0 1", "a1b1 h8g8", "1/2-1/2", "time_material"}, // white runs out, black has a king
		{"7k/7p/8/8/8/8/8/K7 w - - 0 1", "a1b1 h8g8", "0-1", "time"},
		{"7k/8/8/8/8/8/7P/K5n1 w - - 0 1", "a1b1 h8g8", "0-1", "time"}, // a knight can mate beside a pawn
		{"7k/8/8/8/8/8/7P/K5n1 w - - 0 1", "a1b1 h8g8 b1c1", "1-0", "time"},
		{"7k/7p/8/8/8/8/8/K7 w - - 0 1", "a1b1 h8g8 b1c1", "1/2-1/2", "time_material"},
	} {
		n = w.match(fmt.Sprintf(`"base":60,"fen":%q`, c.fen))
		w.play(n, strings.Fields(c.moves)...)
		w.pass(2 * time.Minute)
		w.expect(n, "over", c.result, c.why)
	}
	w.replay()
}

// TestLost: what the service lost of the time is nobody's.
func TestLost(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":60`)
	w.pass(10 * time.Second)
	w.outage(time.Hour)
	w.pass(10*time.Second - time.Millisecond) // 20 s for a first move, of which 10 were over
	w.going(n)
	w.pass(time.Millisecond)
	w.expect(n, "aborted", "*", "first_move")

	n = w.match(`"base":60`)
	w.pass(10 * time.Second)
	w.outage(time.Hour)
	w.play(n, "e2e4", "e7e5")
	w.pass(10 * time.Second)
	w.outage(time.Hour)
	w.pass(0) // the timer fires, late, and finds that there is time
	w.going(n)
	if c := w.last(n, "clock"); field(c, "lost") != 3600_000.0 || field(c, "white") != 50_000.0 {
		t.Errorf("the players are told %q", c)
	}
	w.pass(10 * time.Second)
	w.play(n, "g1f3")
	w.clocks(n, 40_000, 60_000)
	w.outage(time.Hour)
	w.pass(10 * time.Second)
	w.play(n, "b8c6")
	w.clocks(n, 40_000, 50_000)
	w.outage(30 * time.Second)
	w.must(0, "bob", n, `{"type":"draw_offer"}`) // any command takes it up
	w.pass(20 * time.Second)
	w.outage(30 * time.Second)
	w.pass(20*time.Second + time.Second - time.Millisecond)
	w.going(n)
	w.pass(time.Millisecond)
	w.expect(n, "over", "0-1", "time")
	w.replay()
}

// TestLostIsBounded: more time than passed cannot be lost, or clocks would grow.
func TestLostIsBounded(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":60`)
	w.play(n, "e2e4", "e7e5")
	w.pass(10 * time.Second)
	w.lost[n] = time.Hour
	w.must(0, "bob", n, `{"type":"draw_offer"}`)
	w.clocks(n, 60_000, 60_000)
	w.lost[n] = -time.Hour
	w.pass(time.Second)
	w.play(n, "g1f3")
	w.clocks(n, 59_000, 60_000)
}

// TestDraw: an offer is answered by word or by a move.
func TestDraw(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":600`)
	w.play(n, "e2e4", "e7e5")
	w.must(0, "ann", n, `{"type":"draw_offer"}`)
	w.must(Exists, "ann", n, `{"type":"draw_offer"}`)
	w.must(NotNow, "ann", n, `{"type":"draw_accept"}`)
	w.play(n, "g1f3") // his own move leaves it on the table
	if field(string(w.must(0, "eve", n, `{"type":"state"}`).Reply), "offers", "draw") != "white" {
		t.Error("the offer is gone")
	}
	w.play(n, "b8c6") // the other's declines it
	w.must(NotNow, "bob", n, `{"type":"draw_accept"}`)
	o := w.must(TooSoon, "ann", n, `{"type":"draw_offer"}`)
	if field(string(o.Reply), "ply") != 22.0 {
		t.Errorf("too soon until %s", o.Reply)
	}
	w.must(0, "bob", n, `{"type":"draw_offer"}`)
	w.must(0, "ann", n, `{"type":"draw_decline"}`)
	for range 4 {
		w.play(n, "f3g1", "c6b8", "a2a3", "b8c6")
		if w.game(n).play.Ply() < 22 {
			w.must(TooSoon, "ann", n, `{"type":"draw_offer"}`)
		}
		if w.game(n).play.Ply() == 8 {
			break
		}
	}
	w.play(n, strings.Fields("g1f3 h7h6 b2b3 h6h5 c2c3 g7g6 d2d3 g6g5 h2h3 f7f6 g2g3 f6f5 f1g2 f5f4")...)
	w.must(0, "ann", n, `{"type":"draw_offer"}`)
	w.must(0, "bob", n, `{"type":"draw_offer"}`) // two offers are an agreement
	w.expect(n, "over", "1/2-1/2", "agreement")

	n = w.match(`"base":600`)
	w.play(n, "e2e4", "e7e5")
	w.must(0, "bob", n, `{"type":"draw_offer"}`)
	w.must(0, "ann", n, `{"type":"draw_accept"}`)
	w.expect(n, "over", "1/2-1/2", "agreement")
	w.replay()
}

// TestTakeback: one ply or two, so that who asked is on turn; clocks stay as they are.
func TestTakeback(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180,"inc":2`)
	w.play(n, "e2e4")
	w.must(NotNow, "bob", n, `{"type":"takeback_offer"}`)
	w.play(n, "e7e5")
	w.pass(3 * time.Second)
	w.play(n, "g1f3")
	w.pass(4 * time.Second)
	w.must(0, "ann", n, `{"type":"takeback_offer"}`) // bob is on turn: one ply
	w.must(Exists, "bob", n, `{"type":"takeback_offer"}`)
	w.must(NotNow, "ann", n, `{"type":"takeback_accept"}`)
	w.must(0, "bob", n, `{"type":"takeback_accept"}`)
	if s := w.latest[n]["summary"]; field(s, "ply") != 2.0 || field(s, "turn") != "white" || field(s, "last") != "e7e5" {
		t.Errorf("back at %s", s)
	}
	w.clocks(n, 179_000, 180_000) // neither the increment nor bob's 4 seconds
	w.pass(time.Second)
	w.play(n, "b1c3")
	w.clocks(n, 180_000, 180_000)
	w.play(n, "b8c6")
	w.must(0, "ann", n, `{"type":"takeback_offer"}`) // ann is on turn: two
	w.must(0, "bob", n, `{"type":"takeback_decline"}`)
	w.must(0, "ann", n, `{"type":"takeback_offer"}`)
	w.play(n, "g1f3") // a move declines it
	w.must(NotNow, "bob", n, `{"type":"takeback_accept"}`)
	w.must(0, "bob", n, `{"type":"takeback_offer"}`)
	w.must(0, "ann", n, `{"type":"takeback_accept"}`) // bob's move and ann's behind it
	if s := w.latest[n]["summary"]; field(s, "ply") != 3.0 || field(s, "turn") != "black" {
		t.Errorf("back at %s", s)
	}
	w.must(NotNow, "ann", n, `{"type":"abort"}`) // what was taken back was played
	for w.game(n).play.Ply() > 1 {
		w.must(0, "bob", n, `{"type":"takeback_offer"}`)
		w.must(0, "ann", n, `{"type":"takeback_accept"}`)
	}
	w.must(NotNow, "bob", n, `{"type":"takeback_offer"}`)
	w.play(n, "d7d5")
	w.pass(10 * time.Minute)
	w.expect(n, "over", "0-1", "time")
	w.replay()
}

// TestMoreTime: 15 seconds for the other, up to two hours.
func TestMoreTime(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":7180`)
	w.play(n, "e2e4", "e7e5")
	w.must(0, "ann", n, `{"type":"more_time"}`)
	w.must(0, "ann", n, `{"type":"more_time"}`)
	w.must(Full, "ann", n, `{"type":"more_time"}`)
	w.clocks(n, 7_180_000, 7_200_000)
	w.must(0, "bob", n, `{"type":"resign"}`)
	n = w.match(`"base":60`)
	w.play(n, "e2e4", "e7e5")
	w.pass(59 * time.Second)
	w.must(0, "bob", n, `{"type":"more_time"}`)
	w.pass(15 * time.Second)
	w.going(n)
	w.pass(2 * time.Second)
	w.expect(n, "over", "0-1", "time")
	n = w.match(`"base":0`)
	w.must(NotNow, "ann", n, `{"type":"more_time"}`)
	w.replay()
}

// TestUnlimited: without a clock no pause ends a game.
func TestUnlimited(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":0`)
	w.here("bob", n, false)
	w.pass(400 * 24 * time.Hour)
	w.must(NoClaim, "ann", n, `{"type":"draw_claim"}`)
	w.play(n, "e2e4", "e7e5")
	w.must(NoClaim, "ann", n, `{"type":"claim","as":"win"}`)
	w.pass(400 * 24 * time.Hour)
	w.play(n, "g1f3")
	if m := w.last(n, "move"); strings.Contains(m, "white") || strings.Contains(m, "spent") {
		t.Errorf("a move without a clock: %s", m)
	}
	if !w.wakes[n].IsZero() {
		t.Errorf("it wakes at %s", w.wakes[n])
	}
	w.must(BadControl, "ann", Player("ann"), `{"type":"challenge","user":"cy","rated":true}`)
	w.replay()
}

// TestAbsence: who is gone can be claimed against, after a grace; who comes back cannot.
func TestAbsence(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180`)
	w.play(n, "e2e4", "e7e5")
	w.must(NoClaim, "ann", n, `{"type":"claim","as":"win"}`)
	w.here("bob", n, false)
	w.here("bob", n, false)
	w.here("eve", n, false)
	w.pass(29 * time.Second)
	if o := w.must(TooSoon, "ann", n, `{"type":"claim","as":"win"}`); field(string(o.Reply), "retry_after") != 1000.0 {
		t.Errorf("answered %s", o.Reply)
	}
	w.here("bob", n, true)
	w.pass(time.Minute)
	w.must(NoClaim, "ann", n, `{"type":"claim","as":"win"}`)
	w.play(n, "g1f3")
	w.here("bob", n, false)
	w.play(n, "b8c6") // a command is a sign of life too
	if got := w.latest[n]["absence"]; got != "{}" {
		t.Errorf("absent is %s", got)
	}
	w.here("bob", n, false)
	w.pass(20 * time.Second)
	w.outage(time.Hour)
	w.must(0, "ann", n, `{"type":"draw_offer"}`)
	w.must(TooSoon, "ann", n, `{"type":"claim","as":"win"}`) // the outage was not his
	w.pass(10 * time.Second)
	w.must(NoClaim, "bob", n, `{"type":"claim","as":"win"}`)
	w.going(n)
	w.here("bob", n, false)
	w.pass(30 * time.Second)
	w.must(0, "ann", n, `{"type":"claim","as":"win"}`)
	w.expect(n, "over", "1-0", "abandoned")
	for _, c := range []struct{ as, fen, result string }{{"draw", "", "1/2-1/2"}, {"win", "7k/7p/8/8/8/8/8/K7 w - - 0 1", "1/2-1/2"}} {
		n := w.match(fmt.Sprintf(`"base":180,"fen":%q`, c.fen))
		if c.fen == "" {
			w.play(n, "e2e4", "e7e5")
		} else {
			w.play(n, "a1b1", "h8g8")
		}
		w.here("bob", n, false)
		w.pass(30 * time.Second)
		w.must(0, "ann", n, fmt.Sprintf(`{"type":"claim","as":%q}`, c.as))
		w.expect(n, "over", c.result, "abandoned")
	}
	w.replay()
}

// TestRematch: both want it, colors are swapped, ratings are those after the game.
func TestRematch(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180,"inc":2,"rated":true`)
	w.play(n, "f2f3", "e7e5", "g2g4", "d8h4")
	w.must(NotNow, "bob", n, `{"type":"rematch_accept"}`)
	w.must(0, "ann", n, `{"type":"rematch_offer"}`)
	w.must(Exists, "ann", n, `{"type":"rematch_offer"}`)
	w.must(0, "bob", n, `{"type":"rematch_decline"}`)
	w.must(0, "ann", n, `{"type":"rematch_offer"}`)
	accept := channel.Command{Channel: n, User: "bob", Body: []byte(`{"type":"rematch_offer"}`)}
	next := channel.Name(field(string(w.one(accept).Reply), "game").(string))
	if s := string(w.one(channel.Command{Channel: n, User: "eve", Body: []byte(`{"type":"state"}`)}).Reply); strings.Contains(s, "rematch") {
		t.Errorf("the rematch is in the state before it has begun: %s", s)
	}
	w.must(Exists, "bob", n, `{"type":"rematch_accept"}`) // and all that was sent is delivered
	told := slices.IndexFunc(w.said, func(s said) bool { return s.channel == n && strings.Contains(string(s.record.Body), "accepted") })
	if started := slices.IndexFunc(w.said, func(s said) bool { return s.channel == next }); started < 0 || told < started {
		t.Errorf("the rematch is told of as record %d and begins as record %d", told, started)
	}
	if s := string(w.must(0, "eve", n, `{"type":"state"}`).Reply); field(s, "rematch") != string(next) || len(field(s, "offers").(map[string]any)) != 0 {
		t.Errorf("the state is %s", s)
	}
	g := w.game(next)
	if p := g.agreed.players; p[0].User != "bob" || p[1].User != "ann" || points(p[0].Standing.Rating) != 1741 || !g.agreed.rated {
		t.Errorf("the rematch is %+v", g.agreed)
	}
	w.must(Exists, "ann", n, `{"type":"rematch_offer"}`)
	w.must(0, "ann", next, `{"type":"abort"}`)
	w.pass(2 * time.Hour)
	w.must(NotNow, "ann", next, `{"type":"rematch_offer"}`)
	w.replay()
}

// TestTooLong: a game has a bound.
func TestTooLong(t *testing.T) {
	g := created(t)
	for i, c := range commands(g, longGame(MaxPlies)) {
		c.Time = time.UnixMilli(1_790_000_000_000)
		if o := g.Apply(c); o.Refused != 0 {
			t.Fatalf("ply %d: %s", i, o.Reply)
		}
	}
	if g.phase != over || g.reason != tooLong || g.result != rules.Draw {
		t.Errorf("after %d plies it is %s by %s", len(g.moves), g.phase, g.reason)
	}
}

// TestSmall: a game that is over is small, in memory and as a snapshot.
func TestSmall(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180`)
	w.play(n, "e2e4", "e7e5")
	w.must(0, "ann", n, `{"type":"resign"}`)
	if g := w.game(n); g.play != nil || cap(g.moves) > 8 {
		t.Errorf("%d moves are kept in %d places", len(g.moves), cap(g.moves))
	}
	if s := w.machine(n).Snapshot(nil); len(s) > 200 {
		t.Errorf("the snapshot takes %d bytes", len(s))
	}
	before := w.machine(n).Snapshot(nil)
	w.one(channel.Command{Channel: n, User: app.UserOf(n)}) // a timer that comes late
	if g := w.game(n); g.phase != over || bytes.Equal(before, nil) {
		t.Error("a late timer did something")
	}
}
