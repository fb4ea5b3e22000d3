package node_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/internal/servertest"
	"carillon/node"
)

var chessFront = with(node.Roles{Gateway: true, API: true}, "chess")

// mirrored is the copy of a game's summary in Redis, by the key that the documentation names.
func (w *world) mirrored(game string) (s fields) {
	_ = json.Unmarshal([]byte(w.redis.Do("GET", w.prefix+":latest:{"+game+"}:summary")), &s)
	return s
}

// TestChessMirror: the summary of a game is found in Redis by any program, for two hours, and follows the game through a
// take-over by another worker and a Redis that forgets everything.
func TestChessMirror(t *testing.T) {
	mostlyWaits(t)
	s := &servers{redis: servertest.StartRedis(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	w := s.world()
	worker := childSpec{Name: "one", Durable: []string{"news"}, Services: []string{"chess"}, Roles: node.Roles{Worker: true}}
	one := w.child(t, worker)
	n := w.node(t, "front", chessFront)
	ann, bob := sit(t, n, "ann"), sit(t, n, "bob")
	game := pair(ann, bob, `"base":600,"inc":0`)
	key := w.prefix + ":latest:{" + game + "}:summary"
	plies := 0
	play := func(uci string) {
		t.Helper()
		[]*player{ann, bob}[plies%2].ask(game, move(plies, uci))
		plies++
		eventually(t, "the copy is the game after "+uci, func() bool { return w.mirrored(game)["last"] == uci })
		copied, state := w.mirrored(game), ann.ask(game, `{"type":"state"}`)
		for _, field := range []string{"fen", "turn", "ply", "last", "updated", "status"} {
			if copied[field] == nil || copied[field] != state[field] {
				t.Errorf("after %s the copy has the %s %v, the game %v", uci, field, copied[field], state[field])
			}
		}
		if left, _ := strconv.Atoi(w.redis.Do("TTL", key)); left < 7000 || left > 7200 {
			t.Errorf("the copy lasts %d s more", left)
		}
	}
	play("e2e4")
	play("e7e5")
	worker.Name = "two"
	w.child(t, worker)
	one.kill()
	play("g1f3")
	play("b8c6")
	w.redis.Kill()
	w.redis.Start()
	if found := w.redis.Do("EXISTS", key); found != "0" {
		t.Errorf("Redis was to forget, and has the copy: %s", found)
	}
	play("f1b5")
	ann.ask(game, `{"type":"resign"}`)
	eventually(t, "the copy says that it is over", func() bool { return w.mirrored(game)["result"] == "0-1" })
}

// TestChessPostgresAway: the store is away for longer than a player has on his clock. His moves are refused at once with a
// code, nobody is charged, play goes on by itself when it is back, and flags still fall.
func TestChessPostgresAway(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: takes some seconds")
	}
	mostlyWaits(t)
	gone, base := 6*time.Second, 5
	if long() {
		gone, base = time.Minute, 15
	}
	s := &servers{redis: servertest.StartRedis(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	w := s.world()
	n := w.node(t, "front", chessFront)
	w.node(t, "worker", with(node.Roles{Worker: true}, "chess"))
	ann, bob, eve := sit(t, n, "ann"), sit(t, n, "bob"), sit(t, n, "eve")
	hands := []*person{meet(t, n, "ann"), meet(t, n, "bob")} // who are told what is refused
	outages := map[string][2]func(){"killed": {w.postgres.Kill, w.postgres.Start}}
	if long() {
		outages["frozen"] = [2]func(){w.postgres.Freeze, w.postgres.Thaw}
	}
	for name, act := range outages {
		game := pair(ann, bob, fmt.Sprintf(`"base":%d,"inc":0`, base))
		eve.follow(game)
		for ply, uci := range strings.Fields("e2e4 e7e5 g1f3 b8c6") {
			hands[ply%2].do(game, move(ply, uci))
		}
		try := func() message { // under one id, like a client that lost an answer: what froze with Postgres may still come true
			return hands[0].request(`"type":"command","channel":%q,"data":%s,"idem":"held"`, game, move(4, "f1b5"))
		}
		began := time.Now()
		act[0]()
		left, slowest := time.Now(), time.Duration(0)
		for tries := 0; time.Since(left) < gone; tries++ {
			asked := time.Now()
			m := try()
			if m["type"] != "error" || m["code"] != "unavailable" && m["code"] != "unconfirmed" || m["retry"] != true {
				t.Errorf("Postgres %s: a move is answered %v", name, m)
			}
			if tries > 0 { // the first one finds it out
				slowest = max(slowest, time.Since(asked))
			}
			<-time.After(100 * time.Millisecond)
		}
		away := time.Since(left)
		t.Logf("Postgres %s: the slowest refusal took %v", name, slowest)
		if long() && slowest > time.Second {
			t.Error("moves were not refused at once")
		}
		act[1]()
		eventually(t, "the move is taken", func() bool {
			m := try()
			return m["type"] == "reply" && m["code"] == nil
		})
		took := time.Since(began)
		var moved fields
		for moved["ply"] != 5.0 {
			moved = eve.until(game, "move")
		}
		if spent := moved["spent"].(float64); spent > float64((took - away).Milliseconds()) {
			t.Errorf("Postgres %s: %v ms were charged for a move that took %v, of which Postgres was away %v", name, spent, took, away)
		}
		hands[1] = meet(t, n, "bob") // in the long form his line was silent for too long
		hands[1].do(game, move(5, "a7a6"))
		end := eve.until(game, "end") // ann does nothing more
		if end["reason"] != "time" || end["result"] != "0-1" || end["white"] != 0.0 || end["black"] == 0.0 {
			t.Errorf("Postgres %s: it ended %v", name, end)
		}
		for _, p := range []*player{ann, bob} {
			for p.until(p.home, "over")["game"] != game {
			}
		}
	}
}
