package node_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/node"
)

// TestDataFolderDeleted: a node whose data folder is deleted acknowledges nothing more as durable, says so to whoever
// asks whether it is ready, and once in the log. What is not durable goes on.
func TestDataFolderDeleted(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	var p *page
	n := startNode(t, func(o *node.Options) {
		withTokens(o)
		p = logged(t, o)
		o.Data, o.Durable = data, []string{"keep"}
	})
	k := dial(t, n)
	k.say(`{"type":"connect","id":1,"token":"` + sign(t, "ann") + `"}`)
	k.expect("connected")
	publish := func(channel string) message {
		k.say(`{"type":"publish","id":2,"channel":"` + channel + `","data":1}`)
		return k.hear()
	}
	ready := func() (status int, why string) {
		resp, err := http.Get("http://" + n.InternalAddress() + "/readyz?verbose")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var checks []struct{ Name, Why string }
		if err := json.NewDecoder(resp.Body).Decode(&checks); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, checks[len(checks)-1].Why
	}
	if m := publish("keep:x"); m["ack"] != "durable" {
		t.Fatal(m)
	}
	if status, why := ready(); status != 200 {
		t.Fatal(status, why)
	}
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if m := publish("keep:x"); m["code"] != "unavailable" && m["code"] != "unconfirmed" {
			t.Fatalf("published into a folder that is gone: %v", m)
		}
	}
	if m := publish("plain:x"); m["ack"] != "appended:memory" {
		t.Fatalf("what is not durable: %v", m)
	}
	if status, why := ready(); status != 503 || !strings.Contains(why, "put the data folder back") {
		t.Fatalf("ready: %d, %q", status, why)
	}
	if lines := p.lines(t, "the store takes nothing"); len(lines) != 1 || !strings.Contains(lines[0]["error"].(string), "start again") {
		t.Fatalf("the log has %v", lines)
	}
}
