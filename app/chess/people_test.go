package chess

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"carillon/app/chess/rating"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// seeks has a user seek, and tells the id.
func (w *world) seeks(user, fields string) string {
	w.t.Helper()
	o := w.must(0, user, Player(user), `{"type":"seek",`+fields+`}`)
	return field(string(o.Reply), "seek").(string)
}

// plays is the channel of the newest game of a user; "" if he has none.
func (w *world) plays(user string) channel.Name {
	n, _ := field(w.last(Player(user), "game"), "game").(string)
	return channel.Name(n)
}

// rated sets what a user has at blitz, in points.
func (w *world) rated(user string, points int64) {
	p := w.machine(Player(user)).(*player)
	t := newTally()
	t.games, t.Rating, t.Deviation, t.last = 50, points*thousandth, 60*thousandth, w.now.UnixMilli()
	p.tallies[blitz] = t
}

// TestPairing: control, kind, colors, limits and ratings decide who meets whom.
func TestPairing(t *testing.T) {
	for _, c := range []struct {
		name           string
		ann, bob       string
		annAt, bobAt   int64
		seconds        int // until they meet; -1: never
		annWhite, ever bool
	}{
		{"alike", `"base":180`, `"base":180`, 1500, 1500, 0, false, true},
		{"another control", `"base":180`, `"base":180,"inc":1`, 1500, 1500, -1, false, false},
		{"another kind", `"base":180`, `"base":180,"rated":true`, 1500, 1500, -1, false, false},
		{"both white", `"base":180,"color":"white"`, `"base":180,"color":"white"`, 1500, 1500, -1, false, false},
		{"white and black", `"base":180,"color":"white"`, `"base":180,"color":"black"`, 1500, 1500, 0, true, true},
		{"white and any", `"base":180,"color":"white"`, `"base":180`, 1500, 1500, 0, true, true},
		{"any and black", `"base":180`, `"base":180,"color":"black"`, 1500, 1500, 0, true, true},
		{"100 apart", `"base":180`, `"base":180`, 1500, 1600, 0, false, true},
		{"101 apart", `"base":180`, `"base":180`, 1500, 1601, 1, false, true},
		{"500 apart", `"base":180`, `"base":180`, 1500, 2000, 16, false, true},
		{"2000 apart", `"base":180`, `"base":180`, 800, 2800, 60, false, true},
		{"too weak", `"base":180,"min":1600`, `"base":180`, 1500, 1500, -1, false, false},
		{"too strong", `"base":180`, `"base":180,"max":1400`, 1500, 1400, -1, false, false},
		{"within", `"base":180,"min":1400,"max":1600`, `"base":180,"min":1500,"max":1500`, 1500, 1500, 0, false, true},
		{"no clock", `"base":0`, `"base":0`, 1500, 2800, 0, false, true},
	} {
		w := newWorld(t)
		w.rated("ann", c.annAt)
		w.rated("bob", c.bobAt)
		w.seeks("ann", c.ann)
		w.seeks("bob", c.bob)
		for s := 0; s <= 120; s++ {
			if n := w.plays("ann"); n != "" {
				if s != c.seconds || n != w.plays("bob") {
					t.Errorf("%s: they meet after %d s, want %d", c.name, s, c.seconds)
				}
				if g := w.game(n); c.annWhite && g.agreed.players[rules.White].User != "ann" {
					t.Errorf("%s: ann has not the color she wants", c.name)
				}
				break
			}
			w.pass(time.Second)
		}
		if (w.plays("ann") != "") != c.ever {
			t.Errorf("%s: do they meet? %v", c.name, !c.ever)
		}
		if c.ever && len(w.machine(Lobby).(*lobby).seeks) != 0 {
			t.Errorf("%s: the lobby is not empty", c.name)
		}
	}
}

// TestPairingOrder: who waited longest is served first, by the nearest rating; nobody begins two games at once.
func TestPairingOrder(t *testing.T) {
	w := newWorld(t)
	for user, at := range map[string]int64{"ann": 1500, "bob": 1900, "cy": 2250, "dan": 1300} {
		w.rated(user, at)
	}
	w.seeks("ann", `"base":180`)
	w.seeks("bob", `"base":180`)
	w.seeks("cy", `"base":180`)
	w.seeks("dan", `"base":180`) // 200 from ann, which takes four seconds
	w.pass(3 * time.Second)
	if w.plays("ann") != "" {
		t.Fatal("too early")
	}
	w.pass(time.Second)
	if w.plays("ann") == "" || w.plays("ann") != w.plays("dan") || w.plays("bob") != "" {
		t.Errorf("ann plays %s, dan %s, bob %s", w.plays("ann"), w.plays("dan"), w.plays("bob"))
	}
	w.pass(10 * time.Second)
	if w.plays("bob") == "" || w.plays("bob") != w.plays("cy") {
		t.Errorf("bob plays %s, cy %s", w.plays("bob"), w.plays("cy"))
	}
	w.seeks("eve", `"base":180,"min":3000`)
	w.seeks("eve", `"base":60,"min":3000`)
	w.pass(time.Minute)
	w.rated("max", 3100)
	w.seeks("max", `"base":180`)
	if w.plays("eve") != w.plays("max") || len(w.machine(Lobby).(*lobby).seeks) != 0 {
		t.Error("eve's other seek is still open")
	}
	w.replayAll("ann", "bob", "cy", "dan", "max")
}

// replayAll replays what no test has set by hand.
func (w *world) replayAll(except ...string) {
	for _, u := range except {
		delete(w.done, Player(u))
	}
	w.replay()
}

// TestCrowd: many who come at once meet within the bounds of a step.
func TestCrowd(t *testing.T) {
	w := newWorld(t)
	for i := range 80 {
		user := fmt.Sprintf("u%02d", i)
		w.rated(user, int64(500+i%2*2000))
		w.seeks(user, fmt.Sprintf(`"base":180,"color":%q`, []string{"white", "black"}[i%2]))
	}
	w.pass(time.Second)
	if n := len(w.machine(Lobby).(*lobby).seeks); n != 80 {
		t.Fatalf("%d wait", n)
	}
	w.pass(3 * time.Minute)
	if n := len(w.machine(Lobby).(*lobby).seeks); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// TestSeeks is what a user may ask, and take back.
func TestSeeks(t *testing.T) {
	w := newWorld(t)
	me := Player("ann")
	for _, c := range []struct {
		code Code
		body string
	}{
		{BadControl, `{"type":"seek","base":-1}`}, {BadControl, `{"type":"seek","base":10801}`}, {BadControl, `{"type":"seek","base":60,"inc":181}`},
		{BadControl, `{"type":"seek","inc":5}`}, {BadControl, `{"type":"seek","rated":true}`}, {BadRequest, `{"type":"seek","base":60,"color":"red"}`},
		{BadControl, `{"type":"seek","base":60,"fen":"7k/8/8/8/8/8/R7/K7 w - - 0 1"}`}, {BadRequest, `{"type":"seek","base":60,"min":2,"max":1}`},
		{BadControl, `{"type":"seek","base":60,"delay":901}`}, {BadRequest, `{"type":"seek","base":"60"}`}, {BadRequest, `{"type":"seek","base":99999999999999999999}`},
		{BadRequest, `{"type":"join"}`}, {UnknownID, `{"type":"cancel","seek":"x"}`}, {0, `{"type":"cancel"}`}, {UnknownCommand, `{"type":"game"}`},
	} {
		w.must(c.code, "ann", me, c.body)
	}
	w.must(NotAllowed, "eve", me, `{"type":"seek","base":60}`)
	w.must(UnknownCommand, "ann", Lobby, `{"type":"seek","base":60}`)
	w.must(NotAllowed, "@"+string(Player("eve")), Lobby, `{"type":"seek","id":"x","user":"ann"}`)
	id := w.seeks("ann", `"base":60`)
	w.must(Exists, "ann", me, `{"type":"seek","base":60}`)
	for i := range 4 {
		w.seeks("ann", fmt.Sprintf(`"base":%d`, 61+i))
	}
	w.must(Full, "ann", me, `{"type":"seek","base":70}`)
	w.must(0, "ann", me, `{"type":"cancel","seek":"`+id+`"}`)
	if n := len(w.machine(Lobby).(*lobby).seeks); n != 4 || len(w.latest[Lobby]) != 4 {
		t.Errorf("%d seeks are left, %d records", n, len(w.latest[Lobby]))
	}
	w.here("ann", me, false)
	if n := len(w.machine(Lobby).(*lobby).seeks); n != 0 || len(w.latest[Lobby]) != 0 {
		t.Errorf("%d seeks are left of who is gone", n)
	}
	w.seeks("ann", `"base":60`)
	w.pass(15*time.Minute - time.Second)
	if field(w.last(me, "seek"), "why") != "canceled" {
		t.Errorf("a seek ended early: %s", w.last(me, "seek"))
	}
	w.pass(2 * time.Second)
	if field(w.last(me, "seek"), "why") != "expired" || !w.wakes[Lobby].IsZero() {
		t.Errorf("the seek ended as %s, the lobby wakes at %s", w.last(me, "seek"), w.wakes[Lobby])
	}
	w.replay()
}

// TestJoin: a seek can be taken by hand, once.
func TestJoin(t *testing.T) {
	w := newWorld(t)
	w.rated("bob", 2800)
	id := w.seeks("ann", `"base":180,"rated":true`)
	w.must(0, "ann", Player("ann"), `{"type":"join","seek":"`+id+`"}`)
	if field(w.last(Player("ann"), "seek"), "why") != "gone" {
		t.Error("ann plays herself")
	}
	w.must(0, "bob", Player("bob"), `{"type":"join","seek":"`+id+`"}`)
	if n := w.plays("bob"); n == "" || n != w.plays("ann") || points(w.game(n).agreed.players[0].Standing.Rating)+points(w.game(n).agreed.players[1].Standing.Rating) != 4300 {
		t.Fatal("they do not play")
	}
	w.must(0, "cy", Player("cy"), `{"type":"join","seek":"`+id+`"}`)
	if field(w.last(Player("cy"), "seek"), "why") != "gone" || w.plays("cy") != "" {
		t.Error("cy got what was gone")
	}
	w.replayAll("bob")
}

// TestGone: a game whose player does not come ends by itself.
func TestGone(t *testing.T) {
	w := newWorld(t)
	w.seeks("ann", `"base":180`)
	w.seeks("bob", `"base":180`)
	n := w.plays("ann")
	w.pass(time.Minute)
	w.expect(n, "aborted", "*", "first_move")
	if l := w.latest[Player("ann")]; len(l) != 0 {
		t.Errorf("left is %v", l)
	}
}

// TestLobbyIsBounded: of too many seeks the newest is told so.
func TestLobbyIsBounded(t *testing.T) {
	l := newLobby(Lobby)
	for i := range MaxOpen + 1 {
		user := fmt.Sprint("u", i)
		m := message{Type: "seek", ID: user, User: user, Standing: &standing{}, offer: offer{Base: int64(i + 1)}}
		c := m.to(Lobby)
		c.User = "@" + string(Player(user))
		o := l.Apply(c)
		if full := len(o.Sends) == 1 && strings.Contains(string(o.Sends[0].Body), `"full"`); full != (i == MaxOpen) {
			t.Fatalf("seek %d: %s", i, o.Reply)
		}
	}
}

// TestChallenges: who is asked answers; who asked can take it back, and time does.
func TestChallenges(t *testing.T) {
	w := newWorld(t)
	ann, bob := Player("ann"), Player("bob")
	for _, c := range []struct {
		code Code
		body string
	}{
		{UnknownUser, `{"type":"challenge","base":60}`}, {UnknownUser, `{"type":"challenge","user":"ann","base":60}`}, {UnknownUser, `{"type":"challenge","user":"@x","base":60}`},
		{BadControl, `{"type":"challenge","user":"bob","base":60,"rated":true,"fen":"7k/8/8/8/8/8/R7/K7 w - - 0 1"}`},
		{BadFEN, `{"type":"challenge","user":"bob","base":60,"fen":"x"}`}, {BadFEN, `{"type":"challenge","user":"bob","base":60,"fen":"` + strings.Repeat("8", 4000) + `"}`},
		{BadFEN, `{"type":"challenge","user":"bob","base":60,"fen":"7k/5Q2/6K1/8/8/8/8/8 b - - 0 1"}`}, // stalemate
		{BadRequest, `{"type":"challenge","user":"bob","base":60,"min":1}`}, {UnknownID, `{"type":"accept","challenge":"x"}`}, {UnknownID, `{"type":"withdraw"}`},
	} {
		w.must(c.code, "ann", ann, c.body)
	}
	ask := func(by, to string) string {
		t.Helper()
		return field(string(w.must(0, by, Player(by), `{"type":"challenge","user":"`+to+`","base":60}`).Reply), "challenge").(string)
	}
	id := ask("ann", "bob")
	w.must(Exists, "ann", ann, `{"type":"challenge","user":"bob","base":300}`)
	w.must(UnknownID, "ann", ann, `{"type":"accept","challenge":"`+id+`"}`)
	w.must(0, "bob", bob, `{"type":"decline","challenge":"`+id+`"}`)
	if field(w.last(ann, "challenge"), "state") != "declined" || len(w.latest[ann])+len(w.latest[bob]) != 0 {
		t.Errorf("declined: %s, %v, %v", w.last(ann, "challenge"), w.latest[ann], w.latest[bob])
	}
	id = ask("ann", "bob")
	w.must(0, "ann", ann, `{"type":"withdraw","challenge":"`+id+`"}`)
	w.must(UnknownID, "bob", bob, `{"type":"accept","challenge":"`+id+`"}`)
	ask("ann", "bob")
	w.pass(10 * time.Minute)
	if field(w.last(bob, "challenge"), "state") != "expired" || len(w.machine(bob).(*player).challenges) != 0 {
		t.Errorf("expired: %s", w.last(bob, "challenge"))
	}

	// An answer that crosses the end comes too late.
	id = ask("ann", "bob")
	w.one(channel.Command{Channel: bob, User: "bob", Body: []byte(`{"type":"accept","challenge":"` + id + `"}`)})
	w.one(channel.Command{Channel: ann, User: "ann", Body: []byte(`{"type":"withdraw","challenge":"` + id + `"}`)})
	w.deliver()
	if w.plays("bob") != "" || field(w.last(bob, "challenge"), "state") != "withdrawn" {
		t.Errorf("too late: %s", w.last(bob, "challenge"))
	}

	for i := range MaxReceived + 1 {
		ask(fmt.Sprint("u", i), "cy")
	}
	if got := field(w.last(Player(fmt.Sprint("u", MaxReceived)), "challenge"), "state"); got != "full" {
		t.Errorf("the one too many is %s", got)
	}
	for i := range MaxSent {
		ask("dan", fmt.Sprint("v", i))
	}
	w.must(Full, "dan", Player("dan"), `{"type":"challenge","user":"one-more","base":60}`)
	w.replay()
}

// TestRatings: what a game did to both, once, by the arithmetic of package rating.
func TestRatings(t *testing.T) {
	w := newWorld(t)
	w.restarts = 0
	n := w.match(`"base":180,"inc":2,"rated":true`)
	w.play(n, "f2f3", "e7e5", "g2g4", "d8h4")
	p := w.machine(Player("ann")).(*player)
	want, err := rating.Standard().Update(rating.Newcomer(), []rating.Opposed{{By: rating.Newcomer(), Score: rating.Loss}}, 0)
	if got := p.tallies[blitz].glicko(p.tallies[blitz].volatility); err != nil || math.Abs(got.Rating-want.Rating) > 0.001 || math.Abs(got.Deviation-want.Deviation) > 0.001 {
		t.Errorf("ann is %v, want %v, %v", got, want, err)
	}
	if tally := p.tallies[blitz]; tally.Elo != 1484_000 || tally.FIDE != 1480_00 || tally.games != 1 || tally.wins+tally.draws != 0 {
		t.Errorf("ann's tally is %+v", tally)
	}
	if w.total(n, "rating") != 2 || w.total(Player("ann"), "over") != 1 {
		t.Errorf("told %d times", w.total(n, "rating"))
	}

	// Whatever is said of the game again, it was rated.
	before := p.Snapshot(nil)
	var again []channel.Command
	for _, c := range w.done[Player("ann")] {
		if c.User == "@"+string(n) && strings.Contains(string(c.Body), `"result"`) {
			again = append(again, c)
		}
	}
	if len(again) != 1 {
		t.Fatalf("%d results were sent", len(again))
	}
	w.one(again[0])
	if string(before) != string(p.Snapshot(nil)) || w.rows["rating.blitz ann"].Rank != p.tallies[blitz].Rating/10 {
		t.Error("the game was rated twice")
	}
	w.must(NotAllowed, "@"+string(Player("eve")), Player("ann"), `{"type":"result","user":"eve","result":"1-0"}`)
	w.must(UnknownCommand, "ann", Player("ann"), `{"type":"result","result":"1-0"}`)

	// Deviation grows with the days, in the profile as in the next game.
	w.pass(365 * 24 * time.Hour)
	if s := p.tallies[blitz].now(w.now.UnixMilli()); s.Deviation <= p.tallies[blitz].Deviation || s.Rating != p.tallies[blitz].Rating {
		t.Errorf("after a year: %+v", s)
	}
	n = w.match(`"base":180,"rated":true`)
	if d := w.game(n).agreed.players[0].Standing.Deviation; d <= p.tallies[blitz].Deviation {
		t.Errorf("the game began with a deviation of %d", d)
	}
	w.replay()
}

// TestEloIsKept: what one side loses the other wins, also when two games end in another order than they began.
func TestEloIsKept(t *testing.T) {
	w := newWorld(t)
	one, two := w.match(`"base":180,"rated":true`), w.match(`"base":180,"rated":true`)
	w.play(one, "e2e4", "e7e5")
	w.play(two, "e2e4", "e7e5")
	w.must(0, "ann", two, `{"type":"resign"}`)
	w.must(0, "bob", one, `{"type":"draw_offer"}`)
	w.must(0, "ann", one, `{"type":"draw_accept"}`)
	w.match(`"base":180,"rated":true`)
	a, b := w.machine(Player("ann")).(*player).tallies[blitz], w.machine(Player("bob")).(*player).tallies[blitz]
	if a.Elo+b.Elo != 3000_000 || a.Elo != 1484_000 || a.draws != 1 || b.wins != 1 || a.games != 2 {
		t.Errorf("ann %+v, bob %+v", a, b)
	}
}

// TestArchive is what can be searched of a game.
func TestArchive(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180,"inc":2,"rated":true`)
	live, ok := w.rows["live "+idOf(n)]
	if !ok || !strings.Contains(strings.Join(live.Terms, " "), "player:ann player:bob speed:blitz rated") {
		t.Errorf("live is %+v", live)
	}
	w.play(n, "f2f3", "e7e5")
	w.pass(61_250 * time.Millisecond)
	w.play(n, "g2g4", "d8h4")
	row := w.rows["game "+idOf(n)]
	if _, ok := w.rows["live "+idOf(n)]; ok || row.Rank != w.now.UnixMilli() {
		t.Errorf("still live, or ended at %d", row.Rank)
	}
	if got := strings.Join(row.Terms, " "); got != "player:ann player:bob speed:blitz rated result:0-1 reason:checkmate" {
		t.Errorf("found by %s", got)
	}
	body := string(row.Body)
	if field(body, "white", "change") != -241.0 || field(body, "black", "change") != 241.0 || field(body, "plies") != 4.0 {
		t.Errorf("the row is %s", body)
	}
	text := field(body, "pgn").(string)
	g, problems, err := rules.ReadPGN(text).Next()
	if err != nil || len(problems) > 0 || g.Result != rules.BlackWins || len(g.Main.Plies) != 4 || g.Main.Plies[2].Comments[0] != "[%clk 0:02:00.7]" {
		t.Fatalf("%v %v: %s", err, problems, text)
	}
	for name, want := range map[string]string{
		"Event": "Rated blitz game", "Date": "2026.09.21", "White": "ann", "Black": "bob", "WhiteElo": "1500", "BlackRatingDiff": "+241",
		"TimeControl": "180+2", "Termination": "normal", "GameId": idOf(n),
	} {
		if g.Tag(name) != want {
			t.Errorf("%s is %q, want %q", name, g.Tag(name), want)
		}
	}
	w.replay()
}

// TestOddUsers: ids of any letters and length have channels, terms and games of their own.
func TestOddUsers(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat(`"\<x>`, 25)
	for _, user := range []string{long, long + "y", "a@b:c", "chess:player:x", "guest-1"} {
		w.must(0, user, Player(user), `{"type":"seek","base":180,"rated":true}`)
		w.must(0, "bob", Player("bob"), `{"type":"seek","base":180,"rated":true}`)
		for s := 0; s < 60 && w.plays(user) == ""; s++ { // bob grows stronger from game to game
			w.pass(time.Second)
		}
		n := w.plays(user)
		if n == "" || n != w.plays("bob") {
			t.Fatalf("%s does not play", user)
		}
		w.play(n, "e2e4", "e7e5")
		w.must(0, user, n, `{"type":"resign"}`)
		if row := w.rows["rating.blitz "+user]; row.Key != user || field(string(row.Body), "user") != user {
			t.Errorf("the row of %s is %+v", user, row)
		}
	}
	w.replay()
}

// TestProfile: others see ratings and no more.
func TestProfile(t *testing.T) {
	w := newWorld(t)
	w.match(`"base":180,"rated":true`)
	if got := string(w.must(0, "eve", Player("ann"), `{"type":"profile"}`).Reply); got != `{"user":"ann","ratings":{},"casual":0}` {
		t.Errorf("eve sees %s", got)
	}
	if got := string(w.must(0, "eve", Player("nobody"), `{"type":"profile"}`).Reply); got != `{"ratings":{},"casual":0}` {
		t.Errorf("eve sees %s", got)
	}
	if w.access[Player("ann")]["ann"] != channel.Read || w.access[Player("ann")]["eve"] != 0 {
		t.Errorf("who may read: %v", w.access[Player("ann")])
	}
}

// TestGamesAreBounded: with 100 games nobody begins another, and what comes nevertheless is not listed for ever.
func TestGamesAreBounded(t *testing.T) {
	w := newWorld(t)
	for i := range MaxGames {
		user := fmt.Sprint("u", i)
		w.must(0, user, Player(user), `{"type":"challenge","user":"ann"}`)
		w.must(0, "ann", Player("ann"), fmt.Sprintf(`{"type":"accept","challenge":%q}`, field(w.last(Player("ann"), "challenge"), "challenge")))
	}
	w.must(Full, "ann", Player("ann"), `{"type":"seek","base":60}`)
	w.must(Full, "ann", Player("ann"), `{"type":"challenge","user":"bob"}`)
	w.must(0, "bob", Player("bob"), `{"type":"challenge","user":"ann"}`)
	w.must(Full, "ann", Player("ann"), fmt.Sprintf(`{"type":"accept","challenge":%q}`, field(w.last(Player("ann"), "challenge"), "challenge")))
	n := w.plays("ann")
	w.must(0, "ann", n, `{"type":"abort"}`)
	w.must(0, "ann", Player("ann"), fmt.Sprintf(`{"type":"accept","challenge":%q}`, field(w.last(Player("bob"), "challenge"), "challenge")))
}

// TestWatch: spectators of a game with a delay see everything, later, and nothing before.
func TestWatch(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180,"delay":30,"rated":true`)
	relay := Watch(idOf(n))
	if a := w.access[n]; a["ann"] != channel.Read || a["bob"] != channel.Read || a[""] != 0 || w.access[relay][""] != channel.Read {
		t.Errorf("who may read: %v and %v", a, w.access[relay])
	}
	w.must(NotPlayer, "eve", n, `{"type":"state"}`)
	w.must(NoGame, "eve", Watch("none"), `{"type":"state"}`)
	w.must(UnknownCommand, "eve", relay, `{"type":"move"}`)
	w.must(NotAllowed, "@chess:game:other", relay, `{"type":"relay"}`)
	for _, m := range []string{"f2f3", "e7e5", "g2g4", "d8h4"} {
		w.play(n, m)
		w.pass(5 * time.Second)
	}
	if len(w.logs[relay]) != 0 {
		t.Fatalf("seen too early: %s", w.logs[relay][0].Body)
	}
	w.pass(12 * time.Second)
	if w.total(relay, "started") != 1 || w.total(relay, "move") != 1 {
		t.Errorf("%d moves after 32 s", w.total(relay, "move"))
	}
	if s := string(w.must(0, "eve", relay, `{"type":"state"}`).Reply); field(s, "summary", "ply") != 1.0 || field(s, "delay") != 30.0 {
		t.Errorf("the state is %s", s)
	}
	w.pass(time.Minute)
	if len(w.logs[relay]) != len(w.logs[n]) {
		t.Fatalf("%d of %d records are seen", len(w.logs[relay]), len(w.logs[n]))
	}
	for i, r := range w.logs[relay] {
		if string(r.Body) != string(w.logs[n][i].Body) {
			t.Errorf("record %d is %s, want %s", i, r.Body, w.logs[n][i].Body)
		}
	}
	if w.latest[relay]["summary"] != w.latest[n]["summary"] || !w.wakes[relay].IsZero() {
		t.Errorf("in the end it shows %s", w.latest[relay]["summary"])
	}
	w.replay()
}

// TestCrowded: who plays more games than can be listed begins none, and what he does play counts.
func TestCrowded(t *testing.T) {
	w := newWorld(t)
	w.restarts = 97
	n := w.match(`"base":180,"rated":true`)
	w.play(n, "f2f3", "e7e5", "g2g4", "d8h4")
	p := w.machine(Player("ann")).(*player)
	for i := range maxListed {
		p.games = append(p.games, listed{id: fmt.Sprint("g", i), other: "eve", offer: offer{}})
	}
	w.must(0, "ann", n, `{"type":"rematch_offer"}`)
	again := channel.Name(field(string(w.must(0, "bob", n, `{"type":"rematch_accept"}`).Reply), "game").(string))
	w.expect(again, "aborted", "*", "abort")
	if l := w.machine(Player("bob")).(*player).games; len(l) != 0 {
		t.Errorf("bob still plays %v", l)
	}
}

// TestRematchesAreBounded: offers after the end do not fill the log.
func TestRematchesAreBounded(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180`)
	w.must(0, "ann", n, `{"type":"abort"}`)
	for range MaxOffers {
		w.must(0, "ann", n, `{"type":"rematch_offer"}`)
		w.must(0, "ann", n, `{"type":"rematch_decline"}`)
	}
	w.must(Full, "ann", n, `{"type":"rematch_offer"}`)
	w.must(0, "bob", n, `{"type":"rematch_offer"}`)
	w.must(0, "ann", n, `{"type":"rematch_accept"}`)
	w.replay()
}
