package node_test

import (
	"fmt"
	"testing"

	"carillon/node"
)

// TestOwnChannelAndAnnouncements: what is for one user reaches all his connections, and what is for all reaches everybody,
// without a subscribe; each record once and in order, also for who connects in between.
func TestOwnChannelAndAnnouncements(t *testing.T) {
	n := startNode(t, func(o *node.Options) { o.Internal, o.ServerKeys = "127.0.0.1:0", []string{serverKey} })
	enter := func(name string) *talker {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":"guest-%s"}`, name))
		k.expect("connected")
		return k
	}
	ann1, ann2, bob := enter("ann"), enter("ann"), enter("bob")
	for i := range 3 {
		ask(t, n, "POST", "/api/users/guest-ann/publish", fmt.Sprintf(`{"data":%d}`, i), 200)
		ask(t, n, "POST", "/api/announce", fmt.Sprintf(`{"data":"all %d"}`, i), 200)
	}
	late := enter("ann")
	ask(t, n, "POST", "/api/users/guest-ann/publish", `{"data":3}`, 200)
	want := func(k *talker, who, channel string, offset int) {
		t.Helper()
		for {
			m := k.expect("record")
			if m["channel"] != channel {
				continue
			}
			if m["offset"] != float64(offset) {
				t.Fatalf("%s heard %v, want %s %d", who, m, channel, offset)
			}
			return
		}
	}
	for i := 1; i <= 4; i++ {
		want(ann1, "ann", "user:guest-ann", i)
		want(ann2, "ann's other device", "user:guest-ann", i)
	}
	for i := 1; i <= 3; i++ {
		want(bob, "bob", "@all", i)
	}
	want(late, "who came late", "user:guest-ann", 4)
	ann1.say(`{"type":"unsubscribe","id":9,"channel":"user:guest-ann"}`)
	for ann1.hear()["id"] != 9.0 {
	}
	ask(t, n, "POST", "/api/users/guest-ann/publish", `{"data":4}`, 200)
	want(ann2, "ann's other device", "user:guest-ann", 5)
	ann1.say(`{"type":"ping","id":10}`)
	if m := ann1.hear(); m["id"] != 10.0 {
		t.Fatalf("who unsubscribed heard %v", m)
	}
	ann1.say(`{"type":"subscribe","id":11,"channel":"user:guest-ann","rewind":2}`)
	ann1.expect("reply")
	want(ann1, "who came back", "user:guest-ann", 4)
}
