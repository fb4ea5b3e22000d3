package session

import (
	"fmt"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
)

// TestDeclinedIsBounded: whatever a client unsubscribes from, only what the server would attach by itself is
// remembered, each once, and forgotten when the client subscribes after all.
func TestDeclinedIsBounded(t *testing.T) {
	who, err := auth.NewIdentity("ann", nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{who: who}
	own := auth.UserChannel("ann")
	for i := range 10_000 {
		s.decline(channel.Name(fmt.Sprint("demo:", i)))
		s.decline(auth.UserChannel(fmt.Sprint("other", i)))
		s.decline(channel.All)
		s.decline(own)
	}
	if len(s.declined) != 2 || cap(s.declined) > 8 {
		t.Fatalf("%d channels are remembered, with room for %d", len(s.declined), cap(s.declined))
	}
	s.welcome(own)
	if len(s.declined) != 1 || s.declined[0] != channel.All {
		t.Fatalf("after it subscribed to its own channel: %v", s.declined)
	}
}
