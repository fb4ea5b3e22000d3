package node_test

import (
	"fmt"
	"strings"
	"testing"

	"carillon/gateway/limit"
	"carillon/node"
)

// TestPaceKeepsOrder: a client that sends faster than its rate is slowed down, not refused: everything is done, in order.
func TestPaceKeepsOrder(t *testing.T) {
	n := startNode(t, func(o *node.Options) { o.Limits.Requests = limit.Pace{PerSecond: 400, Burst: 20} })
	k := join(t, n)
	id := 2
	for range 8 {
		var frame []string
		for range 25 {
			frame = append(frame, fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:p","data":%d}`, id, id))
			id++
		}
		k.say("[" + strings.Join(frame, ",") + "]")
	}
	for i := 2; i < id; i++ {
		if m := k.expect("reply"); m["id"] != float64(i) || m["offset"] != float64(i-1) {
			t.Fatalf("reply %v to request %d", m, i)
		}
	}
}

// TestTooFast: what would have to wait for longer than a few seconds is refused, with the time to come again, and done then.
func TestTooFast(t *testing.T) {
	n := startNode(t, func(o *node.Options) { o.Limits.Requests = limit.Pace{PerSecond: 0.01, Burst: 2} })
	k := join(t, n)
	k.say(`{"type":"ping","id":2}`)
	k.expect("reply")
	k.say(`{"type":"ping","id":3}`)
	if m := k.expect("error"); m["code"] != "rate_limited" || m["retry"] != true || m["retry_after"].(float64) < 5000 {
		t.Fatal(m)
	}
}
