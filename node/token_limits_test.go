package node_test

import (
	"fmt"
	"strings"
	"testing"

	"carillon/node"
)

// grant asks the server for a token of a user who may do everything, within limits.
func grant(t testing.TB, n *node.Node, user, limits string) string {
	t.Helper()
	return ask(t, n, "POST", "/api/token", fmt.Sprintf(
		`{"user":%q,"caps":[{"channels":["*"],"can":["*"]}],"limits":%s}`, user, limits), 200)["token"].(string)
}

// TestTokenLimits: what a token says of paces and bodies holds for its connection, beside what the server allows. A
// frame larger than the pace passes at first, and puts the next one further off than the server would hold it.
func TestTokenLimits(t *testing.T) {
	n := startNode(t, withTokens)
	publish := `{"type":"publish","id":%d,"channel":"demo:x","data":1}`
	ping := `{"type":"ping","id":%d}`
	many := func(request string) string {
		var rs []string
		for i := range 20 {
			rs = append(rs, fmt.Sprintf(request, 10+i))
		}
		return "[" + strings.Join(rs, ",") + "]"
	}
	long := fmt.Sprintf(`{"type":"publish","id":10,"channel":"demo:x","data":%q}`, strings.Repeat("x", 2000))
	for _, c := range []struct {
		limits, first, next string
		answers             int
		refused             bool
	}{
		{`{"publish":1}`, many(publish), fmt.Sprintf(publish, 5), 20, true},
		{`{"publish":1}`, many(publish), fmt.Sprintf(ping, 5), 20, false},
		{`{"publish":1}`, many(publish), `{"type":"command","id":5,"channel":"demo:x","data":1}`, 20, true},
		{`{"requests":1}`, many(ping), fmt.Sprintf(ping, 5), 20, true},
		{`{"bytes":100}`, long, fmt.Sprintf(ping, 5), 1, true},
		{`{"channels":3}`, many(publish), fmt.Sprintf(publish, 5), 20, false},
	} {
		k := dial(t, n)
		k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, grant(t, n, "ann", c.limits)))
		k.expect("connected")
		k.say(c.first)
		for range c.answers {
			k.expect("reply")
		}
		k.say(c.next)
		m := k.hear()
		if refused := m["code"] == "rate_limited"; refused != c.refused || m["id"] != 5.0 {
			t.Errorf("%s, then %s: heard %v", c.limits, c.next, m)
		}
		_ = k.conn.CloseNow()
	}
}

// TestTokenLimitsBody: a token narrows what one body may have, says so, and a refresh changes it.
func TestTokenLimitsBody(t *testing.T) {
	n := startNode(t, withTokens)
	publish := func(k *talker, bytes int) any {
		k.say(fmt.Sprintf(`{"type":"publish","id":2,"channel":"demo:x","data":%q}`, strings.Repeat("x", bytes-2)))
		return k.hear()["code"]
	}
	k := dial(t, n)
	k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, grant(t, n, "ann", `{"body":100}`)))
	if told := k.expect("connected")["limits"].(map[string]any)["body"]; told != 100.0 {
		t.Fatalf("connected tells a body of %v bytes", told)
	}
	if code := publish(k, 100); code != nil {
		t.Fatal(code)
	}
	if code := publish(k, 101); code != "too_large" {
		t.Fatalf("a body of 101 bytes: %v", code)
	}
	k.say(`{"type":"command","id":2,"channel":"demo:x","data":"` + strings.Repeat("x", 100) + `"}`)
	if m := k.hear(); m["code"] != "too_large" {
		t.Fatalf("a command of 102 bytes: %v", m)
	}
	k.say(fmt.Sprintf(`{"type":"refresh","id":3,"token":%q}`, grant(t, n, "ann", `{"body":200}`)))
	k.expect("reply")
	if code := publish(k, 200); code != nil {
		t.Fatalf("after a refresh: %v", code)
	}
	wide := dial(t, n)
	wide.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, grant(t, n, "ann", `{"body":16000000}`)))
	if told := wide.expect("connected")["limits"].(map[string]any)["body"]; told != 65536.0 {
		t.Fatalf("connected tells a body of %v bytes: a token cannot raise it", told)
	}
	if code := publish(wide, 65537); code != "too_large" {
		t.Fatalf("beyond the server's bound: %v", code)
	}
}
