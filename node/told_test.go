package node_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/app"
	"carillon/gateway/auth"
	"carillon/node"
)

// chair is a player on a line in memory, with everything he heard.
type chair struct {
	t    *testing.T
	l    *line
	user string
	home string
	read sync.WaitGroup
	id   int

	mu    sync.Mutex
	heard []message
}

func take(t *testing.T, n *node.Node, name string) *chair {
	t.Helper()
	c := &chair{t: t, l: pipeLine(t, n), user: "guest-" + name, home: "chess:player:guest-" + name}
	c.read.Go(func() {
		for {
			m, _, err := c.l.next()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.heard = append(c.heard, m)
			c.mu.Unlock()
		}
	})
	c.request(`"type":"connect","token":%q`, c.user)
	c.do(c.home, `{"type":"profile"}`)
	c.request(`"type":"subscribe","channel":%q`, c.home)
	return c
}

// leave cuts the line without a word.
func (c *chair) leave() {
	_ = c.l.Close()
	c.read.Wait()
}

// find gives the last thing heard that ok says.
func (c *chair) find(ok func(message) bool) message {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.heard) - 1; i >= 0; i-- {
		if ok(c.heard[i]) {
			return c.heard[i]
		}
	}
	return nil
}

func (c *chair) request(format string, args ...any) message {
	c.t.Helper()
	c.id++
	id := c.id
	c.l.say(fmt.Sprintf(`{"id":%d,`+format+`}`, append([]any{id}, args...)...))
	for range 1000 {
		synctest.Wait()
		if m := c.find(func(m message) bool { return m["id"] == float64(id) && m["type"] != "accepted" }); m != nil {
			return m
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatalf("%s: no answer", fmt.Sprintf(format, args...))
	return nil
}

func (c *chair) do(channel, body string) map[string]any {
	c.t.Helper()
	m := c.request(`"type":"command","channel":%q,"data":%s`, channel, body)
	data, _ := m["data"].(map[string]any)
	if m["type"] != "reply" || m["code"] != nil {
		c.t.Fatalf("%s sends %s: %v", c.user, body, m)
	}
	return data
}

// absent is the table's word on who is gone.
func (c *chair) absent(game string) string {
	data := c.do(game, `{"type":"state"}`)["absent"]
	b, _ := json.Marshal(data)
	return string(b)
}

// pass lets time go by, of the bubble's clock.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestMachinesHearOfPresence: a machine is told of a player whose line was lost when the half minute is over, of his coming
// back at once, and of an absence that was shorter not at all.
func TestMachinesHearOfPresence(t *testing.T) {
	o := patient()
	o.Services = []string{"chess"}
	bubble(t, o, func(t *testing.T, n *node.Node) {
		ann, bob := take(t, n, "ann"), take(t, n, "bob")
		defer ann.leave()
		id := ann.do(ann.home, `{"type":"challenge","user":"guest-bob","color":"white","base":300,"inc":0}`)["challenge"]
		pass(time.Second)
		bob.do(bob.home, fmt.Sprintf(`{"type":"accept","challenge":%q}`, id))
		pass(time.Second)
		began := ann.find(event("game"))
		if began == nil {
			t.Fatalf("ann heard %v", ann.heard)
		}
		game := began["data"].(map[string]any)["game"].(string)
		for _, c := range []*chair{ann, bob} {
			c.request(`"type":"subscribe","channel":%q`, game)
		}
		ann.do(game, `{"type":"move","ply":0,"uci":"e2e4"}`)
		bob.do(game, `{"type":"move","ply":1,"uci":"e7e5"}`)
		bob.leave()
		pass(20 * time.Second)
		bob = take(t, n, "bob")
		bob.request(`"type":"subscribe","channel":%q`, game)
		pass(20 * time.Second)
		if a := ann.absent(game); a != "{}" {
			t.Errorf("after a short absence: %s", a)
		}
		bob.leave()
		pass(29 * time.Second)
		if a := ann.absent(game); a != "{}" {
			t.Errorf("before half a minute is over: %s", a)
		}
		pass(3 * time.Second)
		if a := ann.absent(game); a == "{}" || a[:9] != `{"black":` {
			t.Errorf("bob is gone, and the game says %s", a)
		}
		bob = take(t, n, "bob")
		defer bob.leave()
		bob.request(`"type":"subscribe","channel":%q`, game)
		pass(time.Second)
		if a := ann.absent(game); a != "{}" {
			t.Errorf("bob is back, and the game says %s", a)
		}
	})
}

// TestNobodyIsPresence: the name under which nodes tell machines of presence is nobody's, whoever signs for it.
func TestNobodyIsPresence(t *testing.T) {
	if who, err := auth.NewIdentity(app.PresenceUser, nil, time.Time{}); err == nil {
		t.Errorf("there is a user %v", who.User)
	}
	keys, err := auth.NewKeys([]byte(secret), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Sign(app.PresenceUser, []auth.Capability{{Channels: []string{"*"}, Can: []string{"*"}}}, time.Hour); err == nil {
		t.Error("its token was signed")
	}
	n := startNode(t, func(o *node.Options) { withTokens(o); o.Services = []string{"chess"} })
	for _, path := range []string{"/api/token"} {
		ask(t, n, "POST", path, fmt.Sprintf(`{"user":%q,"caps":[{"channels":["*"],"can":["*"]}]}`, app.PresenceUser), 400)
	}
}

// TestMissedAfterRestart: who was there when the node ended and does not come back is told to be gone, though nobody saw him
// leave; who comes back is not. Nor does who is gone seek on.
func TestMissedAfterRestart(t *testing.T) {
	o := patient()
	o.Services, o.Data = []string{"chess"}, t.TempDir()
	var game string
	bubble(t, o, func(t *testing.T, n *node.Node) {
		ann, bob, eve := take(t, n, "ann"), take(t, n, "bob"), take(t, n, "eve")
		id := ann.do(ann.home, `{"type":"challenge","user":"guest-bob","color":"white","base":900,"inc":0}`)["challenge"]
		pass(time.Second)
		bob.do(bob.home, fmt.Sprintf(`{"type":"accept","challenge":%q}`, id))
		pass(time.Second)
		game = ann.find(event("game"))["data"].(map[string]any)["game"].(string)
		for _, c := range []*chair{ann, bob} {
			c.request(`"type":"subscribe","channel":%q`, game)
		}
		ann.do(game, `{"type":"move","ply":0,"uci":"e2e4"}`)
		bob.do(game, `{"type":"move","ply":1,"uci":"e7e5"}`)
		ann.do(game, `{"type":"move","ply":2,"uci":"g1f3"}`)
		eve.do(eve.home, `{"type":"seek","base":60,"inc":0}`)
		for _, c := range []*chair{ann, bob, eve} {
			defer c.leave()
		}
	})
	bubble(t, o, func(t *testing.T, n *node.Node) {
		ann := take(t, n, "ann")
		defer ann.leave()
		ann.request(`"type":"subscribe","channel":%q`, game)
		pass(20 * time.Second)
		if a := ann.absent(game); a != "{}" {
			t.Errorf("right after the restart: %s", a)
		}
		pass(50 * time.Second)
		if a := ann.absent(game); a != "{}" { // the game has asked, and bob is given half a minute more
			t.Errorf("when he was missed for a moment: %s", a)
		}
		pass(2 * time.Minute)
		if a := ann.absent(game); len(a) < 9 || a[:9] != `{"black":` {
			t.Errorf("bob did not come back, and the game says %s", a)
		}
		if seeks, _ := json.Marshal(ann.do("chess:lobby", `{"type":"seeks"}`)["seeks"]); string(seeks) != "[]" {
			t.Errorf("eve did not come back, and the lobby has %s", seeks)
		}
		bob := take(t, n, "bob")
		bob.request(`"type":"subscribe","channel":%q`, game)
		pass(3 * time.Minute)
		if a := ann.absent(game); a != "{}" {
			t.Errorf("bob is back, and the game says %s", a)
		}
		bob.leave()
		pass(3 * time.Minute)
		if data := ann.do(game, `{"type":"claim","as":"win"}`); data["reason"] != "abandoned" || data["result"] != "1-0" {
			t.Errorf("the claim came to %v", data)
		}
	})
}
