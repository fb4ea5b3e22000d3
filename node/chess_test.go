package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/node"
	"carillon/wire"
)

func playing(o *node.Options) { o.Services = []string{"chess"} }

const chessPatience = 30 * time.Second

// player is a user of chess with the Go client.
type player struct {
	t    testing.TB
	c    *client.Client
	user string
	home string // his channel
	subs map[string]*client.Subscription
	twin *client.Client // another user's; see as

	mu   sync.Mutex
	line net.Conn
}

func sit(t testing.TB, n *node.Node, name string) *player { t.Helper(); return sitAt(t, n.URL(), name) }

// sitAt is sit at a URL.
func sitAt(t testing.TB, url, name string) *player {
	t.Helper()
	p := &player{t: t, user: "guest-" + name, subs: make(map[string]*client.Subscription)}
	p.home = "chess:player:" + p.user
	p.c = client.New(url, client.Options{
		Token: client.StaticToken(p.user), Backoff: client.Backoff{Min: 5 * time.Millisecond, Max: 50 * time.Millisecond}, NetDial: p.dial,
	})
	t.Cleanup(func() { _ = p.c.Close() })
	p.ask(p.home, `{"type":"profile"}`)
	p.follow(p.home)
	return p
}

func (p *player) dial(ctx context.Context, network, address string) (net.Conn, error) {
	line, err := new(net.Dialer).DialContext(ctx, network, address)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = line
	return line, err
}

// cut ends the line under the player, who comes back by himself.
func (p *player) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.line.Close()
}

func (p *player) context() context.Context {
	ctx, cancel := context.WithTimeout(p.t.Context(), chessPatience)
	p.t.Cleanup(cancel)
	return ctx
}

type fields map[string]any

// send sends a command under an id and gives the refusal's name, "" for none, and the reply.
func (p *player) send(channel, id, body string) (refused string, data fields, r client.Reply) {
	p.t.Helper()
	r, err := p.c.Command(p.context(), channel, []byte(body), client.CommandOptions{ID: id})
	if err != nil {
		p.t.Fatalf("%s sends %s to %s: %v", p.user, body, channel, err)
	}
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &data); err != nil {
			p.t.Fatalf("%s is answered %q", body, r.Body)
		}
	}
	if r.Refused != 0 {
		refused, _ = data["error"].(string)
		if refused == "" || data["message"] == "" {
			p.t.Errorf("%s is refused with %s", body, r.Body)
		}
	}
	return refused, data, r
}

// ask sends a command that must be done.
func (p *player) ask(channel, body string) fields {
	p.t.Helper()
	refused, data, _ := p.send(channel, "", body)
	if refused != "" {
		p.t.Fatalf("%s sends %s to %s: %v", p.user, body, channel, data)
	}
	return data
}

func (p *player) follow(channel string) {
	p.t.Helper()
	s, err := p.c.Subscribe(p.context(), channel, client.SubscribeOptions{})
	if err != nil {
		p.t.Fatalf("%s subscribes to %s: %v", p.user, channel, err)
	}
	p.subs[channel] = s
}

// until reads on to the next Logged record of a type, or Latest one of a key.
func (p *player) until(n, what string) fields {
	p.t.Helper()
	ctx := p.context()
	for {
		e, err := p.subs[n].Next(ctx)
		if err != nil || e.Gap != nil {
			p.t.Fatalf("%s waits for %s in %s: %v, %+v", p.user, what, n, err, e.Gap)
		}
		var data fields
		_ = json.Unmarshal(e.Record.Body, &data) // a deletion has none
		if e.Record.Class == channel.Logged && data["type"] == what || e.Record.Class == channel.Latest && e.Record.Key == what {
			return data
		}
	}
}

// pair has two players begin a game by a challenge, and gives its channel.
func pair(white, black *player, terms string) string {
	white.t.Helper()
	id := white.ask(white.home, fmt.Sprintf(`{"type":"challenge","user":%q,"color":"white",%s}`, black.user, terms))["challenge"]
	for black.until(black.home, "challenge")["challenge"] != id {
	}
	black.ask(black.home, fmt.Sprintf(`{"type":"accept","challenge":%q}`, id))
	game := white.until(white.home, "game")["game"].(string)
	if other := black.until(black.home, "game")["game"]; other != game {
		white.t.Fatalf("one plays %s, the other %s", game, other)
	}
	return game
}

// operaGame was played in Paris in 1858: 33 plies with castling to the long side, ending in mate.
var operaGame = strings.Fields(`e2e4 e7e5 g1f3 d7d6 d2d4 c8g4 d4e5 g4f3 d1f3 d6e5 f1c4 g8f6 f3b3 d8e7 b1c3 c7c6 c1g5 b7b5 c3b5 c6b5 c4b5 b8d7 e1c1
	a8d8 d1d7 d8d7 h1d1 e7e6 b5d7 f6d7 b3b8 d7b8 d1d8`)

func move(ply int, uci string) string {
	return fmt.Sprintf(`{"type":"move","ply":%d,"uci":%q}`, ply, uci)
}

// rowsOf asks over HTTP what chess shows.
func rowsOf(t testing.TB, n *node.Node, user, kind, query string) []fields {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.Address()+"/api/rows/chess/"+kind+"?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+user)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct{ Rows []fields }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("rows of %s: %s, %v", kind, resp.Status, err)
	}
	return page.Rows
}

// comesTrue waits for what other channels do by themselves.
func comesTrue(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(chessPatience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, chessPatience)
		}
	}
}

// TestChess: a whole game over sockets, watched by a spectator, with lines that are cut; everybody has the same log, and
// ratings and archive tell of it once, also after a restart.
func TestChess(t *testing.T) {
	dir := t.TempDir()
	data := func(o *node.Options) { playing(o); o.Data = dir }
	n := startNode(t, data)
	ann, bob, eve := sit(t, n, "ann"), sit(t, n, "bob"), sit(t, n, "eve")
	game := pair(ann, bob, `"base":300,"inc":2,"rated":true`)
	for _, p := range []*player{ann, bob, eve} {
		p.follow(game)
	}
	for ply, uci := range operaGame {
		mover := []*player{ann, bob}[ply%2]
		if ply%7 == 3 {
			for _, p := range []*player{ann, bob, eve}[ply%3:] {
				p.cut()
			}
		}
		if answer := mover.ask(game, move(ply, uci)); answer["ply"] != float64(ply+1) {
			t.Fatalf("ply %d is answered %v", ply, answer)
		}
	}
	for _, p := range []*player{ann, bob, eve} {
		for ply, uci := range operaGame {
			if m := p.until(game, "move"); m["ply"] != float64(ply+1) || m["uci"] != uci {
				t.Fatalf("%s sees ply %d as %v, not %s", p.user, ply, m, uci)
			}
		}
		if end := p.until(game, "end"); end["result"] != "1-0" || end["reason"] != "checkmate" {
			t.Errorf("%s sees the end %v", p.user, end)
		}
	}
	state := eve.ask(game, `{"type":"state"}`)
	if fmt.Sprint(state["moves"]) != fmt.Sprint(operaGame) || state["result"] != "1-0" || state["turn"] != "black" {
		t.Errorf("the state is %v", state)
	}
	for i, p := range []*player{ann, bob} {
		over := p.until(p.home, "over")
		rating := over["rating"].(map[string]any)
		if over["game"] != game || rating["change"].(float64)*float64(1-2*i) <= 0 {
			t.Errorf("%s is told %v", p.user, over)
		}
		eve.until(game, "rating")
	}
	check := func(n *node.Node) {
		t.Helper()
		id := strings.TrimPrefix(game, "chess:game:")
		var rows []fields
		comesTrue(t, "the archive has the game with its changes of rating", func() bool {
			rows = rowsOf(t, n, eve.user, "game", "term="+url.QueryEscape("player:"+ann.user)+"&term="+url.QueryEscape("player:"+bob.user))
			if len(rows) != 1 {
				return false
			}
			body := rows[0]["body"].(map[string]any)
			w, b := body["white"].(map[string]any), body["black"].(map[string]any)
			return w["change"] != nil && b["change"] != nil
		})
		body := rows[0]["body"].(map[string]any)
		pgn, _ := body["pgn"].(string)
		if rows[0]["key"] != id || body["result"] != "1-0" || !strings.Contains(pgn, "Rd8#") || !strings.Contains(pgn, "O-O-O") {
			t.Errorf("the archive says %v", rows[0])
		}
		if live := rowsOf(t, n, eve.user, "live", ""); len(live) != 0 {
			t.Errorf("still going on: %v", live)
		}
		board := rowsOf(t, n, eve.user, "rating.blitz", "")
		if len(board) != 2 || board[0]["key"] != ann.user || board[1]["key"] != bob.user {
			t.Fatalf("the leaderboard is %v", board)
		}
		for _, row := range board {
			if body := row["body"].(map[string]any); body["games"] != 1.0 {
				t.Errorf("a game was rated more than once: %v", body)
			}
		}
	}
	check(n)
	stopNode(t, n)
	again := startNode(t, data)
	check(again)
	late := sit(t, again, "late")
	if state := late.ask(game, `{"type":"state"}`); fmt.Sprint(state["moves"]) != fmt.Sprint(operaGame) {
		t.Errorf("after a restart the game is %v", state)
	}
}

// TestChessRefuses: whatever is sent to a game that may not be, it gets a clear code and the game is as it was.
func TestChessRefuses(t *testing.T) {
	n := startNode(t, playing)
	ann, bob, eve := sit(t, n, "ann"), sit(t, n, "bob"), sit(t, n, "eve")
	game := pair(ann, bob, `"base":300,"inc":0,"rated":false`)
	over := pair(ann, bob, `"base":60,"inc":0,"rated":false`)
	ann.ask(over, `{"type":"abort"}`)
	_, first, _ := ann.send(game, "one", move(0, "e2e4"))
	before := eve.ask(game, `{"type":"state"}`)
	head := func() string {
		_, _, r := eve.send(game, "", `{"type":"state"}`)
		return r.At.String()
	}
	at := head()
	for _, c := range []struct {
		who     *player
		channel string
		body    string
		want    string
	}{
		{ann, game, move(1, "d2d4"), "not_your_turn"},
		{bob, game, move(1, "e7e4"), "illegal_move"},
		{bob, game, move(1, "e2e4"), "illegal_move"},
		{bob, game, move(1, "e7e8q"), "illegal_move"},
		{bob, game, move(1, "0000"), "bad_request"},
		{bob, game, move(1, strings.Repeat("e7e5", 100)), "bad_request"},
		{bob, game, move(0, "e7e5"), "stale_ply"},
		{bob, game, move(2, "e7e5"), "stale_ply"},
		{eve, game, move(1, "e7e5"), "not_player"},
		{eve, game, `{"type":"resign"}`, "not_player"},
		{bob, over, move(0, "e7e5"), "finished"},
		{ann, over, `{"type":"abort"}`, "finished"},
		{bob, "chess:game:aaaaaaaaaaaaaaaa", move(0, "e7e5"), "no_game"},
		{bob, "chess:nonsense", `{"type":"state"}`, "no_game"},
		{bob, game, `{"type":"resign"}`, "not_now"},
		{bob, game, `{"type":"draw_claim"}`, "no_claim"},
		{bob, game, `{"type":"draw_accept"}`, "not_now"},
		{bob, game, `{"type":"claim","as":"win"}`, "not_now"},
		{bob, game, `{"type":"castle"}`, "unknown_command"},
		{bob, game, `{"type":"move","ply":1}`, "bad_request"},
		{bob, game, `{"type":"move","ply":-1,"uci":"e7e5"}`, "stale_ply"},
		{bob, game, `{"type":"move","ply":1.5,"uci":"e7e5"}`, "bad_request"},
		{bob, game, `{"type":"move","ply":"1","uci":"e7e5"}`, "bad_request"},
		{bob, game, `[1]`, "bad_request"},
		{bob, game, `{"here":false,"user":"guest-ann"}`, "bad_request"}, // as presence tells it
		{bob, game, move(1, strings.Repeat("x", 8<<10)), "too_long"},
		{bob, ann.home, `{"type":"seek","base":60,"inc":0}`, "not_allowed"},
		{bob, bob.home, `{"type":"seek","base":-5,"inc":0}`, "bad_control"},
		{bob, bob.home, `{"type":"challenge","user":"guest-ann","base":60,"inc":0,"fen":"8/8/8/8/8/8/8/8 w - - 0 1"}`, "bad_fen"},
		{bob, bob.home, `{"type":"challenge","user":"guest-ann","base":60,"inc":0,"fen":"` + strings.Repeat("/", 30<<10) + `"}`, "too_long"},
	} {
		if refused, data, _ := c.who.send(c.channel, "", c.body); refused != c.want {
			t.Errorf("%s sends %.80s to %s: %q (%v), want %s", c.who.user, c.body, c.channel, refused, data["message"], c.want)
		}
	}
	// What is too large for any service does not even get there.
	_, err := bob.c.Command(bob.context(), bob.home, []byte(`{"type":"challenge","user":"guest-ann","fen":"`+strings.Repeat("/", 100_000)+`"}`), client.CommandOptions{})
	if e := (*client.Error)(nil); !errors.As(err, &e) || e.Code != wire.CodeTooLarge {
		t.Errorf("a position of 100,000 characters: %v", err)
	}
	// An id again is the same answer, with another move none at all.
	if refused, again, _ := ann.send(game, "one", move(0, "e2e4")); refused != "" || fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("a resend is answered %v, the first was %v", again, first)
	}
	_, err = ann.c.Command(ann.context(), game, []byte(move(0, "d2d4")), client.CommandOptions{ID: "one"})
	if e := (*client.Error)(nil); !errors.As(err, &e) || e.Code != wire.CodeIDReuse {
		t.Errorf("an id for another move: %v", err)
	}
	if now := head(); now != at {
		t.Errorf("refusals moved the log from %s to %s", at, now)
	}
	after := eve.ask(game, `{"type":"state"}`)
	for key := range before {
		if key != "now" && key != "white" && key != "black" && fmt.Sprint(before[key]) != fmt.Sprint(after[key]) {
			t.Errorf("%s was %v and is %v", key, before[key], after[key])
		}
	}
	if answer := bob.ask(game, move(1, "e7e5")); answer["ply"] != 2.0 {
		t.Errorf("the game goes on with %v", answer)
	}
}

// TestChessPairs: two seeks that fit become a game, whose players each hear of it once.
func TestChessPairs(t *testing.T) {
	n := startNode(t, playing)
	ann, bob := sit(t, n, "ann"), sit(t, n, "bob")
	ann.ask(ann.home, `{"type":"seek","base":60,"inc":1,"rated":true,"color":"black"}`)
	bob.ask(bob.home, `{"type":"seek","base":60,"inc":1,"rated":true}`)
	a, b := ann.until(ann.home, "game"), bob.until(bob.home, "game")
	if a["game"] != b["game"] || a["color"] != "black" || b["color"] != "white" {
		t.Fatalf("ann is told %v, bob %v", a, b)
	}
	game := a["game"].(string)
	bob.ask(game, move(0, "e2e4"))
	ann.ask(game, move(1, "e7e5"))
	if live := rowsOf(t, n, ann.user, "live", "term="+url.QueryEscape("player:"+bob.user)); len(live) != 1 {
		t.Errorf("games going on: %v", live)
	}
	ann.ask(game, `{"type":"resign"}`)
	if over := bob.until(bob.home, "over"); over["result"] != "1-0" || over["reason"] != "resignation" {
		t.Errorf("bob is told %v", over)
	}
}
