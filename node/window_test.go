package node_test

import (
	"fmt"
	"testing"

	"carillon/channel"
	"carillon/node"
)

// TestF03WindowEdge: away for one record less than the window, for all of it, and for one more; the reply says which, and
// what comes is the exact rest or nothing of it.
func TestF03WindowEdge(t *testing.T) {
	for _, c := range []struct {
		name           string
		ring, kept     int // records
		before, away   int // records before the client left, and while it was away
		reason         string
		first, last    float64 // of the gap
		inHistory      int     // records of the gap that history still has
		durableJournal bool
	}{
		{name: "window-1", ring: 100, kept: 100, before: 10, away: 99},
		{name: "window", ring: 100, kept: 100, before: 10, away: 100},
		{name: "window+1", ring: 100, kept: 100, before: 10, away: 101, reason: "trimmed", first: 11, last: 111, inHistory: 100},
		{name: "nothing missed", ring: 100, kept: 100, before: 10, away: 0},
		{name: "log begins in the window", ring: 100, kept: 100, before: 0, away: 50},
		{name: "ring wraps many times", ring: 100, kept: 0, before: 950, away: 100},
		{name: "more than is replayed", ring: 50, kept: 100, before: 10, away: 51, reason: "too_many", first: 11, last: 61, inHistory: 51},
		{name: "ring shorter than the log", ring: 50, kept: 100, before: 10, away: 50},
		{name: "durable, in the ring", ring: 50, before: 200, away: 50, durableJournal: true},
		{name: "durable, too many", ring: 50, before: 200, away: 51, reason: "too_many", first: 201, last: 251, inHistory: 51, durableJournal: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, warm := range []bool{true, false} { // is the ring there, or must it be read from the journal?
				n := startNode(t, func(o *node.Options) {
					o.Data = t.TempDir()
					o.Policies = func(channel.Name) channel.Policy {
						p := channel.DefaultPolicy()
						p.Durable, p.Ring, p.Retention = c.durableJournal, channel.Keep{Records: c.ring}, channel.Keep{Records: c.kept}
						return p
					}
				})
				p, other := join(t, n), join(t, n)
				if warm {
					other.say(`{"type":"subscribe","id":2,"channel":"demo:w"}`)
					other.expect("reply")
				}
				at := fill(p, c.before)
				fill(p, c.away)
				k := join(t, n)
				k.say(`{"type":"subscribe","id":2,"channel":"demo:w","at":"` + at + `"}`)
				reply := k.expect("reply")
				k.say(`{"type":"ping","id":3}`)
				if c.reason == "" {
					recovered(t, k, reply, c.before, c.away)
					continue
				}
				gap, _ := reply["gap"].(map[string]any)
				if reply["recovered"] != false || gap["reason"] != c.reason || gap["from"] != c.first || gap["to"] != c.last {
					t.Fatalf("warm %v: %v", warm, reply)
				}
				if m := k.expect("reply"); m["time"] == nil {
					t.Fatalf("something was replayed beside the gap: %v", m)
				}
				k.say(`{"type":"history","id":4,"channel":"demo:w","limit":1000,"at":"` + at + `"}`)
				page := k.expect("reply")["records"].([]any)
				if len(page) != c.inHistory {
					t.Fatalf("history has %d records of the gap, want %d", len(page), c.inHistory)
				}
			}
		})
	}
}

// fill publishes so many records and returns the position behind the last; with none, the head.
func fill(k *talker, records int) (at string) {
	for i := range records {
		k.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:w","data":%d}`, i+2, i))
		at = k.expect("reply")["at"].(string)
	}
	if records == 0 {
		k.say(`{"type":"history","id":2,"channel":"demo:w","limit":1}`)
		at = k.expect("reply")["head"].(string)
	}
	return at
}

func recovered(t *testing.T, k *talker, reply message, before, away int) {
	t.Helper()
	if reply["recovered"] != true || reply["gap"] != nil || reply["offset"] != float64(before) {
		t.Fatalf("want %d records behind %d, heard %v", away, before, reply)
	}
	pong := false
	for next := before + 1; next <= before+away; {
		m := k.hear()
		if m["type"] == "reply" && !pong {
			pong = true
			continue
		}
		if m["offset"] != float64(next) {
			t.Fatalf("want record %d, heard %v", next, m)
		}
		next++
	}
}

// TestEpochGap: a position of a log that is gone is answered with the beginning of the new one.
func TestEpochGap(t *testing.T) {
	old := startNode(t, nil)
	at := fill(join(t, old), 5)
	n := startNode(t, nil)
	fill(join(t, n), 3)
	k := join(t, n)
	k.say(`{"type":"subscribe","id":2,"channel":"demo:w","at":"` + at + `"}`)
	m := k.expect("reply")
	gap, _ := m["gap"].(map[string]any)
	if m["recovered"] != false || gap["reason"] != "epoch" || gap["to"] != 3.0 || m["offset"] != 3.0 {
		t.Fatalf("heard %v", m)
	}
}
