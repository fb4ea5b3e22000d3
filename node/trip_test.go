package node_test

import (
	"fmt"
	"testing"
	"time"

	"carillon/node"
)

// all gives everything heard that ok says, in order.
func (c *chair) all(ok func(message) bool) (ms []message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.heard {
		if ok(m) {
			ms = append(ms, m)
		}
	}
	return ms
}

func (c *chair) pings() int { return len(c.all(func(m message) bool { return m["type"] == "ping" })) }

// TestTripIsTrusted: the first command of a line has the trip to its client measured, and no more lag is believed than that
// makes likely. A pong that was not asked for changes nothing, and an idle line hears no ping for it.
func TestTripIsTrusted(t *testing.T) {
	const away = 200 * time.Millisecond
	o := patient()
	o.Services = []string{"chess"}
	bubble(t, o, func(t *testing.T, n *node.Node) {
		idle := attend(t, n, "idle")
		defer idle.Close()
		ann, bob := take(t, n, "ann"), take(t, n, "bob")
		for _, c := range []*chair{ann, bob} {
			defer c.leave()
			if c.pings() != 1 {
				t.Errorf("after its first commands a line has heard %d pings", c.pings())
			}
		}
		bob.leave() // and comes back on a line that never answers
		bob = take(t, n, "bob")
		defer bob.leave()
		pass(away)
		ann.l.say(`{"type":"pong"}`)
		ann.l.say(`{"type":"pong"}`)
		id := ann.do(ann.home, `{"type":"challenge","user":"guest-bob","color":"white","base":300,"inc":0}`)["challenge"]
		pass(30 * time.Second)
		ann.l.say(`{"type":"pong"}`)
		bob.do(bob.home, fmt.Sprintf(`{"type":"accept","challenge":%q}`, id))
		pass(time.Second)
		game := ann.find(event("game"))["data"].(map[string]any)["game"].(string)
		ann.request(`"type":"subscribe","channel":%q`, game)
		for ply, uci := range []string{"e2e4", "e7e5", "g1f3", "b8c6"} {
			pass(5 * time.Second)
			[]*chair{ann, bob}[ply%2].do(game, fmt.Sprintf(`{"type":"move","ply":%d,"uci":%q,"lag":900}`, ply, uci))
		}
		spent := map[float64]float64{}
		for _, m := range ann.all(event("move")) {
			data := m["data"].(map[string]any)
			spent[data["ply"].(float64)] = data["spent"].(float64)
		}
		granted := func(ply float64) time.Duration { return 5*time.Second - time.Duration(spent[ply])*time.Millisecond }
		if g := granted(3); g < away || g > 2*away+250*time.Millisecond {
			t.Errorf("with a trip of %v a claim of 900 ms was granted %v", away, g)
		}
		if g := granted(4); g < 850*time.Millisecond {
			t.Errorf("without a known trip a claim of 900 ms was granted %v", g)
		}
		if ann.pings() != 1 {
			t.Errorf("a line with a known trip has heard %d pings", ann.pings())
		}
		_ = idle.SetReadDeadline(time.Now().Add(time.Millisecond))
		if m, _, err := idle.next(); err == nil {
			t.Errorf("a line that asks nothing has heard %v", m)
		}
	})
}
