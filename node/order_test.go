package node_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestOrderOfReplies: the reply to a subscribe comes before the channel's records, and none of them after the reply to
// the unsubscribe, however busy the connection is with other channels.
func TestOrderOfReplies(t *testing.T) {
	const rounds = 500
	n := startNode(t, nil)
	p, k := join(t, n), join(t, n)
	for i := range 10 {
		p.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:b","data":%d}`, i+2, i))
		p.expect("reply")
	}
	k.say(`{"type":"subscribe","id":2,"channel":"demo:a"}`)
	k.expect("reply")
	var over atomic.Bool
	var noise sync.WaitGroup
	for range 2 {
		q := join(t, n)
		noise.Go(func() {
			for i := 2; !over.Load(); i++ {
				q.say(fmt.Sprintf(`[{"type":"publish","id":%d,"channel":"demo:a","data":0},{"type":"publish","id":%d,"channel":"demo:b","data":0}]`, 2*i, 2*i+1))
				q.expect("reply")
				q.expect("reply")
			}
		})
	}
	defer noise.Wait()
	defer over.Store(true)
	for i := range rounds {
		first := float64(10 + 2*i)
		k.say(fmt.Sprintf(`{"type":"subscribe","id":%.0f,"channel":"demo:b","rewind":5}`, first))
		for on := false; !on; {
			switch m := k.hear(); {
			case m["type"] == "reply" && m["id"] == first:
				on = true
			case m["type"] == "record" && m["channel"] == "demo:b":
				t.Fatalf("round %d: a record overtook the reply to its subscribe", i)
			}
		}
		k.say(fmt.Sprintf(`{"type":"unsubscribe","id":%.0f,"channel":"demo:b"}`, first+1))
		for on := true; on; {
			m := k.hear()
			on = m["type"] != "reply" || m["id"] != first+1
		}
	}
}

// TestSendWhileJoining: what a client sends after its subscribe, without waiting for the reply, reaches that subscription.
func TestSendWhileJoining(t *testing.T) {
	n := startNode(t, nil)
	for i := range 200 {
		k := join(t, n)
		c := fmt.Sprintf("demo:fresh%d", i)
		k.say(fmt.Sprintf(`{"type":"subscribe","id":2,"channel":"%[1]s"}`, c))
		k.say(fmt.Sprintf(`{"type":"publish","id":3,"channel":"%[1]s","data":%[2]d}`, c, i))
		for replies, seen := 0, false; replies < 2 || !seen; {
			switch m := k.hear(); m["type"] {
			case "reply":
				replies++
			case "record":
				seen = m["data"] == float64(i)
			case "error":
				t.Fatal(m)
			}
		}
	}
}

// TestSignalWhileJoining: the same where a service has to say first who may send.
func TestSignalWhileJoining(t *testing.T) {
	n := startNode(t, chatting)
	ann := meet(t, n, "ann")
	ann.do("chat:den", `{"do":"create","title":"Den","public":false}`)
	for range 100 {
		ann.id++
		ann.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"chat:den"}`, ann.id))
		if m := ann.request(`"type":"publish","channel":"chat:den","class":"fleeting","key":"typing","data":{"on":true}`); m["type"] != "reply" {
			t.Fatal(m)
		}
		if m := ann.request(`"type":"unsubscribe","channel":"chat:den"`); m["type"] != "reply" {
			t.Fatal(m)
		}
	}
}
