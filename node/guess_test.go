package node_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carillon/gateway/limit"
	"carillon/node"
)

// guarded is a node that looks at ten wrong credentials of an address and then at none for hours.
func guarded(t testing.TB) *node.Node {
	return startNode(t, func(o *node.Options) {
		withTokens(o)
		o.Limits.Wrong = limit.Pace{PerSecond: 0.0001, Burst: 10}
	})
}

// TestA09GuessesOnManyLines: lines that are open already and guess tokens at the same moment get no further together
// than one; the address is then kept out at the door, of sockets and of the HTTP API.
func TestA09GuessesOnManyLines(t *testing.T) {
	n := guarded(t)
	good := sign(t, "ann")
	var lines []*talker
	for range 40 {
		lines = append(lines, dial(t, n))
	}
	var all sync.WaitGroup
	var unauthorized, limited atomic.Int32
	for _, k := range lines {
		all.Go(func() {
			k.say(`{"type":"connect","id":1,"token":"` + good[:len(good)-4] + `AAAA"}`)
			switch m, _ := k.next(); m["code"] {
			case "unauthorized":
				unauthorized.Add(1)
			case "rate_limited":
				limited.Add(1)
			}
		})
	}
	all.Wait()
	if unauthorized.Load() != 10 || limited.Load() != 30 {
		t.Errorf("of 40 guesses %d were looked at and %d refused, want 10 and 30", unauthorized.Load(), limited.Load())
	}
	if status := statusOf(t, "http://"+n.Address()+"/ws", ""); status != http.StatusTooManyRequests {
		t.Errorf("a handshake was answered %d", status)
	}
	if status := statusOf(t, "http://"+n.InternalAddress()+"/api/channels", serverKey); status != http.StatusTooManyRequests {
		t.Errorf("the server API answered %d", status)
	}
}

// TestS20GoodKeysAreNoGuesses: what is right costs nothing, however often and however many at once.
func TestS20GoodKeysAreNoGuesses(t *testing.T) {
	n := guarded(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if status := statusOf(t, "http://"+n.InternalAddress()+"/api/channels", serverKey); status != http.StatusOK {
					t.Errorf("answered %d", status)
				}
			}
		})
	}
	all.Wait()
	for i := range 12 {
		want := http.StatusUnauthorized
		if i >= 10 {
			want = http.StatusTooManyRequests
		}
		if status := statusOf(t, "http://"+n.InternalAddress()+"/api/channels", strings.Repeat("x", 40)); status != want {
			t.Errorf("guess %d was answered %d, want %d", i, status, want)
		}
	}
}

// statusOf asks with a credential, or without.
func statusOf(t testing.TB, url, credential string) int {
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
