package node_test

import (
	"fmt"
	"testing"
	"time"

	"carillon/gateway/session"
	"carillon/node"
)

func TestRefusals(t *testing.T) {
	n := startNode(t, nil)
	for _, c := range []struct{ say, code string }{
		{`{"type":"publish","id":7,"channel":"demo:x","data":1}`, ""},
		{`{"type":"publish","id":7,"channel":"demo x","data":1}`, "bad_channel"},
		{`{"type":"publish","id":7,"channel":"demo:x@presence","data":1}`, "forbidden"},
		{`{"type":"publish","id":7,"channel":"@sys","data":1}`, "forbidden"},
		{`{"type":"subscribe","id":7,"channel":"@sys"}`, "forbidden"},
		{`{"type":"publish","id":7,"channel":"demo:x","data":1,"class":"latest"}`, "bad_request"},
		{`{"type":"publish","id":7,"channel":"demo:x","data64":""}`, "bad_request"},
		{`{"type":"publish","id":-7,"channel":"demo:x","data":1}`, "bad_request"},
		{`{"type":"command","id":7,"channel":"demo:x","data":1}`, "no_service"},
		{`{"type":"presence","id":7,"channel":"demo:x"}`, "unsupported"},
		{`{"type":"dance","id":7}`, "bad_request"},
		{`not JSON`, "bad_request"},
		{`{"type":"unsubscribe","id":7,"channel":"demo:x"}`, "not_subscribed"},
	} {
		k := join(t, n)
		k.say(c.say)
		if m := k.hear(); c.code != "" && m["code"] != c.code || c.code == "" && m["type"] != "reply" {
			t.Errorf("%s: heard %v, want code %q", c.say, m, c.code)
		}
	}
}

func TestFirstMessageMustBeConnect(t *testing.T) {
	n := startNode(t, nil)
	k := dial(t, n)
	k.say(`{"type":"subscribe","id":1,"channel":"demo:x"}`)
	if m := k.expect("error"); m["code"] != "unauthorized" {
		t.Fatal(m)
	}
	k.say(`[{"type":"connect","id":2},{"type":"ping","id":3}]`)
	k.expect("connected")
	k.expect("reply")
	k.say(`{"type":"connect","id":4}`)
	k.expect("error")
	if code := k.closed(); code != 4003 {
		t.Fatalf("closed with %d", code)
	}
}

func TestSilentClientIsAskedToGo(t *testing.T) {
	n := startNode(t, func(o *node.Options) {
		o.Settings = session.DefaultSettings()
		o.Settings.ConnectTimeout = 200 * time.Millisecond
	})
	if code := dial(t, n).closed(); code != 4002 {
		t.Fatalf("closed with %d", code)
	}
}

func TestTooManyErrors(t *testing.T) {
	n := startNode(t, nil)
	k := join(t, n)
	for range 10 {
		k.say(`{"type":"publish"`)
	}
	if code := k.closed(); code != 4007 {
		t.Fatalf("closed with %d", code)
	}
}

func TestSubscribeTwiceMovesNothing(t *testing.T) {
	n := startNode(t, nil)
	k := join(t, n)
	k.say(`{"type":"subscribe","id":2,"channel":"demo:x"}`)
	k.expect("reply")
	k.say(`{"type":"subscribe","id":3,"channel":"demo:x"}`)
	if m := k.expect("reply"); m["at"] != nil || m["channel"] != "demo:x" {
		t.Fatal(m)
	}
}

func TestManyChannelsOnOneConnection(t *testing.T) {
	n := startNode(t, nil)
	k := join(t, n)
	for i := range 128 {
		k.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"demo:%d"}`, i+2, i))
		k.expect("reply")
	}
	k.say(`{"type":"subscribe","id":500,"channel":"demo:more"}`)
	if m := k.expect("error"); m["code"] != "limit" {
		t.Fatal(m)
	}
	p := join(t, n)
	for i := range 128 {
		p.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:%d","data":%d}`, i+2, i, i))
	}
	got := map[string]bool{}
	for range 128 {
		got[k.expect("record")["channel"].(string)] = true
	}
	if len(got) != 128 {
		t.Fatalf("records of %d channels", len(got))
	}
	k.say(`{"type":"unsubscribe","id":501,"channel":"demo:3"}`)
	k.expect("reply")
	p.say(`[{"type":"publish","id":900,"channel":"demo:3","data":0},{"type":"publish","id":901,"channel":"demo:4","data":0}]`)
	if m := k.expect("record"); m["channel"] != "demo:4" {
		t.Fatal(m)
	}
}
