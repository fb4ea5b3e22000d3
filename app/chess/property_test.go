package chess

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	quick "pgregory.net/rapid"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// rapidTB lets the world fail a property as it fails a test.
type rapidTB struct {
	testing.TB
	t *quick.T
}

func (r rapidTB) Helper()                           {}
func (r rapidTB) Fatalf(format string, args ...any) { r.t.Fatalf(format, args...) }

var people = []string{"ann", "bob", "cy"}

// command draws one that has a good chance of being accepted, and now and then one that has none.
func (w *world) command(t *quick.T, games []channel.Name) (user string, n channel.Name, body string) {
	user = quick.SampledFrom(people).Draw(t, "user")
	other := quick.SampledFrom(people).Draw(t, "other")
	small := quick.SampledFrom([]int{0, 0, 1, 2, 60, 180}).Draw(t, "number")
	f := map[string]any{"user": other, "base": small, "inc": small % 3, "rated": small%2 == 0 && small > 0, "delay": small % 4}
	if len(games) == 0 || quick.IntRange(0, 4).Draw(t, "where") == 0 {
		n = Player(user)
		f["type"] = quick.SampledFrom([]string{"seek", "seek", "challenge", "challenge", "accept", "accept", "decline", "withdraw", "cancel", "join", "profile", "x"}).Draw(t, "type")
		p := w.machine(n).(*player)
		for i := range p.challenges {
			f["challenge"] = p.challenges[i].id
		}
		for _, s := range w.machine(Lobby).(*lobby).seeks {
			f["seek"] = s.id
		}
		return user, n, encode(t, f)
	}
	n = quick.SampledFrom(games).Draw(t, "game")
	f["type"] = quick.SampledFrom([]string{
		"move", "move", "move", "move", "move", "move", "move", "move", "move", "resign", "abort", "draw_offer", "draw_offer", "draw_accept", "draw_decline", "draw_claim",
		"takeback_offer", "takeback_offer", "takeback_accept", "takeback_decline", "more_time", "claim", "rematch_offer", "rematch_accept", "rematch_decline", "state", "x",
	}).Draw(t, "type")
	f["lag"] = small * 10
	f["as"] = []string{"win", "draw"}[small%2]
	if g := w.game(n); g.play != nil {
		p := g.play.Position()
		legal := p.LegalMoves(nil)
		f["uci"] = string(p.AppendUCI(nil, legal[quick.IntRange(0, len(legal)-1).Draw(t, "move")]))
		f["ply"] = g.play.Ply()
		if f["type"] == "move" {
			user = g.agreed.players[g.turn()].User
		}
	}
	return user, n, encode(t, f)
}

// encode is a command as JSON, some of them with one odd field.
func encode(t *quick.T, f map[string]any) string {
	if quick.IntRange(0, 20).Draw(t, "odd") == 0 {
		odd := quick.SampledFrom([]any{nil, -1, 1.5, "\u202e", "", "a1a1", 1 << 60, []any{[]any{}}, map[string]any{"a": 1}, strings.Repeat("x", 5000)}).Draw(t, "what")
		f[quick.SampledFrom([]string{"type", "ply", "uci", "lag", "as", "user", "base", "inc", "color", "min", "delay", "fen", "seek", "challenge"}).Draw(t, "field")] = odd
	}
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSequences: whatever users do, the machines keep their word. That refusals and questions change nothing, that
// restarts are not noticed, and that outcomes hold what they must, the world checks at every step.
func TestSequences(t *testing.T) {
	quick.Check(t, func(t *quick.T) {
		w := newWorld(rapidTB{nil, t})
		w.restarts = 7
		w.machine(Lobby)
		var games []channel.Name
		for range quick.IntRange(60, 120).Draw(t, "steps") {
			user, n, body := w.command(t, games)
			w.ask(user, n, body)
			pause := time.Duration(quick.SampledFrom([]int{0, 1, 100, 900, 5000, 20_000}).Draw(t, "pause")) * time.Millisecond
			switch quick.IntRange(0, 19).Draw(t, "event") {
			case 0:
				w.outage(pause)
			case 1:
				w.here(quick.SampledFrom(people).Draw(t, "who"), n, false)
			case 2:
				w.here(quick.SampledFrom(people).Draw(t, "who"), n, true)
			}
			w.pass(pause)
			games = games[:0]
			for _, user := range people { // the newest of each
				if g := w.plays(user); g != "" {
					games = append(games, g)
				}
			}
		}
		w.pass(24 * time.Hour)
		for n, m := range w.machines {
			if g, ok := m.(*game); ok && g.phase != unborn {
				w.sound(n, g)
			}
		}
		w.ratedOnce()
		w.replay()
	})
}

// sound demands that what a game has told is what it is: the log tells the moves, clocks that never grew by themselves, and
// at most one end.
func (w *world) sound(n channel.Name, g *game) {
	ply, ends := 0, 0
	r := rules.NewGame(g.start())
	for _, rec := range w.logs[n] {
		b := string(rec.Body)
		at, _ := field(b, "ply").(float64)
		switch field(b, "type") {
		case "move":
			p := r.Position()
			uci, _ := field(b, "uci").(string)
			m, err := p.ParseUCI(uci)
			if ply++; int(at) != ply || err != nil || ends > 0 {
				w.fatal("%s tells %s as ply %d: %v", n, b, ply, err)
			}
			san, err := r.Apply(nil, m)
			if spent, ok := field(b, "spent").(float64); err != nil || string(san) != field(b, "san") || ok && spent < 0 {
				w.fatal("%s tells %s, which is %s: %v", n, b, san, err)
			}
		case "takeback":
			if field(b, "state") == "accepted" {
				r.Undo(ply - int(at))
				p := r.Position()
				if ply = int(at); field(b, "fen") != p.FEN() {
					w.fatal("%s tells %s at %s", n, b, p.FEN())
				}
			}
		case "end":
			if ends++; ends > 1 || int(at) != ply {
				w.fatal("%s has ended twice, or at another ply: %s", n, b)
			}
		}
	}
	p := r.Position()
	if s := w.latest[n]["summary"]; field(s, "fen") != p.FEN() || field(s, "ply") != float64(ply) || (ends == 1) != (g.phase != playing) {
		w.fatal("%s is at %s after %d ends, but shows %s", n, p.FEN(), ends, s)
	}
	if g.clock.left[0] < 0 || g.clock.left[1] < 0 || g.phase == playing && g.agreed.control.timed() {
		w.fatal("%s is %s after a day, with %d and %d ms", n, g.phase, g.clock.left[0], g.clock.left[1])
	}
}

// ratedOnce demands that players have as many rated games as ended, and that Elo is neither made nor lost.
func (w *world) ratedOnce() {
	rated := int64(0)
	for _, m := range w.machines {
		if g, ok := m.(*game); ok && g.phase == over && g.agreed.rated {
			rated++
			if !g.changes[0].told || !g.changes[1].told {
				w.fatal("%s does not know what it did to ratings", g.name)
			}
		}
	}
	games, elo, people := int64(0), int64(0), int64(0)
	for _, m := range w.machines {
		if p, ok := m.(*player); ok {
			for s := range p.tallies {
				if t := &p.tallies[s]; t.played() {
					games, elo, people = games+t.games, elo+t.Elo, people+1
				}
			}
		}
	}
	if games != 2*rated || elo != people*firstElo*thousandth {
		w.fatal("%d games were rated, players have %d; Elo is %d for %d", rated, games, elo, people)
	}
}

// FuzzApply: no body of anybody brings a machine down, and what comes out is in order.
func FuzzApply(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `{"type":"move","ply":2,"uci":"g1f3"}`, `{"type":"move","ply":2,"uci":"e1g1","lag":9223372036854775807}`, `{"type":"move","ply":2,"uci":"\u0000"}`,
		`{"TYPE":"resign","type":1}`, `{"type":"draw_offer"}`, `{"type":"takeback_offer"}`, `{"type":"claim","as":"win"}`, `{"type":"state"}`, `{"type":"profile"}`,
		`{"type":"seek","base":180,"inc":2}`, `{"type":"challenge","user":"bob","fen":"8/8/8/8/8/8/8/8 w - - 0 1"}`, `{"type":"seeks"}`, `{"here":false,"user":"bob"}`,
		`{"type":"create","white":{"user":"a","standing":{}},"black":{"user":"b"},"base":60}`, `{"type":"result","to":"ann","result":"1-0","color":"white","rated":true,"base":60}`,
		`{"type":"seek","id":"x","user":"ann","standing":{"r":9223372036854775807},"base":60}`, `{"type":"join","id":"y","seek":"x","user":"ann","standings":[]}`,
		`{"type":"relay","step":{"delay":1,"events":[{},1]}}`, `{"type":"challenged","id":"z","user":"bob","to":"ann","standing":{},"base":60}`,
	} {
		for where := range uint8(5) {
			f.Add("ann", where, false, []byte(body))
			f.Add(app.PresenceUser, where, false, []byte(body))
		}
		f.Add("@chess:lobby", uint8(3), false, []byte(body))
		f.Add("@chess:player:ann", uint8(2), true, []byte(body))
		f.Add("@chess:player:bob", uint8(1), false, []byte(body))
	}
	f.Fuzz(func(t *testing.T, user string, where uint8, binary bool, body []byte) {
		w := newWorld(t)
		n := w.match(`"base":180`)
		w.play(n, "e2e4", "e7e5")
		c := []channel.Name{n, Player("ann"), Lobby, "chess:game:new", "chess:watch:new"}[where%5]
		w.one(channel.Command{Channel: c, User: user, Binary: binary, Body: body})
		w.sends = nil
		w.replay()
	})
}

// FuzzRestore: no bytes bring a machine back that cannot take a step, and what comes back gives its bytes again.
func FuzzRestore(f *testing.F) {
	w := newWorld(f)
	n := w.match(`"base":180,"rated":true,"delay":5`)
	w.play(n, "e2e4", "e7e5")
	w.seeks("cy", `"base":60`)
	for n, m := range w.machines {
		f.Add(string(n), m.Snapshot(nil))
	}
	w.must(0, "ann", n, `{"type":"resign"}`)
	for n, m := range w.machines {
		f.Add(string(n), m.Snapshot(nil))
	}
	f.Fuzz(func(t *testing.T, n string, snapshot []byte) {
		if _, err := channel.ParseName(n); err != nil {
			return
		}
		m, err := Service().Restore(channel.Name(n), snapshot)
		if err != nil {
			return
		}
		first := m.Snapshot(nil)
		again, err := Service().Restore(channel.Name(n), first)
		if err != nil || !bytes.Equal(again.Snapshot(nil), first) {
			t.Fatalf("%s: %q came back as %q: %v", n, snapshot, first, err)
		}
		for _, body := range []string{`{"type":"state"}`, `{"type":"profile"}`, `{"type":"seeks"}`, `{"type":"move","ply":2,"uci":"g1f3"}`, `{"type":"takeback_offer"}`, `{"type":"resign"}`} {
			m.Apply(channel.Command{Channel: channel.Name(n), User: "ann", Head: 9, Body: []byte(body)})
		}
		m.Apply(channel.Command{Channel: channel.Name(n), User: "@" + n, Time: time.UnixMilli(1 << 42)})
	})
}

// TestStrayMessages: a machine believes only those of whom it can come.
func TestStrayMessages(t *testing.T) {
	w := newWorld(t)
	n := w.match(`"base":180,"rated":true`)
	for _, c := range []struct {
		from, to channel.Name
		body     string
	}{
		{"chess:watch:x", n, `{"type":"create"}`}, {"dice:table", n, `{"type":"rated","user":"ann","before":{},"standing":{}}`},
		{Player("eve"), n, `{"type":"rated","user":"ann","before":{},"standing":{}}`}, {Player("eve"), Player("ann"), `{"type":"challenged","user":"bob","to":"ann","id":"x","standing":{}}`},
		{Player("eve"), Player("ann"), `{"type":"result","to":"ann","result":"1-0"}`}, {n, Player("ann"), `{"type":"over","id":"x"}`}, {n, Lobby, `{"type":"seek","user":"ann","id":"x"}`},
		{Lobby, Player("ann"), `{"type":"game","to":"bob"}`}, {"chess:game:other", Watch("x"), `{"type":"relay","step":{"delay":5}}`},
	} {
		o := w.one(channel.Command{Channel: c.to, User: app.UserOf(c.from), Body: []byte(c.body)})
		if o.Refused == 0 && !o.ReadOnly {
			t.Errorf("%s believes %s: %s", c.to, c.from, c.body)
		}
	}
	before := w.machine(Player("ann")).Snapshot(nil)
	w.one(channel.Command{Channel: Player("ann"), User: "@chess:game:other", Body: []byte(`{"type":"result","to":"ann","result":"1-0","color":"white","rated":true,"base":180,"before":{},"standing":{}}`)})
	if !bytes.Equal(before, w.machine(Player("ann")).Snapshot(nil)) {
		t.Error("a game that ann does not play changed her ratings")
	}
	if fmt.Sprint(kindOf("chess:game:a:b"), kindOf("chess:game:"), kindOf("chess:x"), kindOf("chess:lobby:x"), kindOf("chess:player::x")) != fmt.Sprint(ofNobody, ofNobody, ofNobody, ofNobody, ofPlayer) {
		t.Error("names are taken for others")
	}
}
