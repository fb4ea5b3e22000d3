package gateway_test

import (
	"testing"

	"carillon/wire"
)

// TestStaleIsTold: everybody hears once that the node is cut off, who comes meanwhile too, right after he is connected; and
// everybody who heard that hears once that it is over.
func TestStaleIsTold(t *testing.T) {
	url, sessions := served(t, nil)
	early := subscriber(t, url, wire.Protocols()[0])
	hears := func(l *line, want bool) {
		t.Helper()
		if m, err := l.hear(); err != nil || m.Type != wire.MsgStale || m.Stale != want || m.Channel != "" {
			t.Fatalf("heard %+v, %v; want stale %v", m, err, want)
		}
	}
	for range 3 {
		sessions.Stale(true)
		hears(early, true)
		sessions.Stale(true) // nothing new
		late := subscriberOf(t, url)
		hears(late, true)
		sessions.Stale(false)
		hears(early, false)
		hears(late, false)
		late.say(wire.Request{Type: wire.ReqPing, ID: 9})
		if m, err := late.hear(); err != nil || m.Type != wire.MsgReply || m.ID != 9 {
			t.Fatalf("heard %+v, %v", m, err)
		}
	}
}

// subscriberOf connects, and hears that it is.
func subscriberOf(t *testing.T, url string) *line {
	t.Helper()
	l := dialled(t, url, wire.Protocols()[0])
	l.say(wire.Request{Type: wire.ReqConnect, ID: 1})
	if m, err := l.hear(); err != nil || m.Type != wire.MsgConnected {
		t.Fatalf("heard %+v, %v", m, err)
	}
	return l
}
