package node_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/node"
)

// person is a guest who chats: what comes beside the answers is kept until it is asked for.
type person struct {
	*talker
	user  string
	id    int
	heard []message
}

func meet(t testing.TB, n *node.Node, name string) *person {
	t.Helper()
	return meetAt(t, n.URL(), "guest-"+name)
}

// meetAt is a person at a URL.
func meetAt(t testing.TB, url, user string) *person {
	t.Helper()
	p := &person{talker: dialAt(t, url), user: user}
	m := p.request(`"type":"connect","token":%q`, p.user)
	if m["user"] != p.user {
		t.Fatalf("connected as %v", m["user"])
	}
	return p
}

// request sends one and returns its answer.
func (p *person) request(format string, args ...any) message {
	p.t.Helper()
	p.id++
	p.say(fmt.Sprintf(`{"id":%d,`+format+`}`, append([]any{p.id}, args...)...))
	for {
		m := p.hear()
		if m["id"] == float64(p.id) && m["type"] != "accepted" {
			return m
		}
		p.heard = append(p.heard, m)
	}
}

// do sends a command and wants it done.
func (p *person) do(channel, body string) message {
	p.t.Helper()
	m := p.request(`"type":"command","channel":%q,"data":%s`, channel, body)
	if m["type"] != "reply" || m["code"] != nil {
		p.t.Fatalf("%s: %v", body, m)
	}
	return m
}

// eventually sends a command until it is done: what another machine sends before it may still be on its way.
func (p *person) eventually(channel, body string) {
	p.t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		if m := p.request(`"type":"command","channel":%q,"data":%s`, channel, body); m["type"] == "reply" && m["code"] == nil {
			return
		}
	}
	p.t.Fatalf("%s is refused for 10 s", body)
}

// refused sends a command and wants it refused by name.
func (p *person) refused(channel, body, why string) {
	p.t.Helper()
	m := p.request(`"type":"command","channel":%q,"data":%s`, channel, body)
	data, _ := m["data"].(map[string]any)
	if m["type"] != "reply" || m["code"] == nil || data["error"] != why || data["message"] == "" {
		p.t.Errorf("%.80s: %v, want %s", body, m, why)
	}
}

func (p *person) subscribe(channel string) {
	p.t.Helper()
	if m := p.request(`"type":"subscribe","channel":%q`, channel); m["type"] != "reply" {
		p.t.Fatalf("subscribe %s: %v", channel, m)
	}
}

// until returns the first thing heard, or yet to be heard, that ok says.
func (p *person) until(ok func(message) bool) message {
	p.t.Helper()
	for {
		for i, m := range p.heard {
			if ok(m) {
				p.heard = append(p.heard[:i:i], p.heard[i+1:]...)
				return m
			}
		}
		m, err := p.next()
		if err != nil {
			p.t.Fatalf("%s waits in vain (%v), having heard %v", p.user, err, p.heard)
		}
		p.heard = append(p.heard, m)
	}
}

func event(kind string) func(message) bool {
	return func(m message) bool {
		data, _ := m["data"].(map[string]any)
		return m["type"] == "record" && data["type"] == kind
	}
}

func chatting(o *node.Options) { o.Services = []string{"chat"} }

// TestChat: two people in a room, from its making to a deleted message that nobody finds any more.
func TestChat(t *testing.T) {
	n := startNode(t, chatting)
	ann, bob := meet(t, n, "ann"), meet(t, n, "bob")
	ann.do("chat:lobby", `{"do":"create","title":"Lobby","public":true}`)
	bob.do("chat:lobby", `{"do":"join"}`)
	ann.subscribe("chat:lobby")
	bob.subscribe("chat:lobby")
	sent := ann.do("chat:lobby", `{"do":"send","text":"a secret","mentions":["guest-bob"]}`)
	at := sent["data"].(map[string]any)["at"].(float64)
	if r := bob.until(event("message")); r["offset"] != at || r["user"] != "guest-ann" {
		t.Fatalf("record %v, reply %v", r, sent)
	}
	bob.do("chat:lobby", fmt.Sprintf(`{"do":"react","of":%v,"emoji":"👍"}`, at))
	ann.until(event("react"))
	bob.eventually("chat:me:guest-bob", `{"do":"read","room":"chat:lobby","n":1}`)

	ann.do("chat:lobby", fmt.Sprintf(`{"do":"delete","of":%v}`, at))
	bob.until(event("delete"))
	late := meet(t, n, "late")
	late.subscribe("chat:lobby")
	page := late.request(`"type":"history","channel":"chat:lobby"`)
	if b, _ := json.Marshal(page); strings.Contains(string(b), "secret") {
		t.Errorf("history still tells it: %s", b)
	}
	if m := late.request(`"type":"subscribe","channel":"chat:lobby","rewind":100`); m["type"] != "reply" {
		t.Errorf("%v", m)
	}
	req, _ := http.NewRequest(http.MethodGet, "http://"+n.Address()+"/api/channels/chat:lobby/history", nil)
	req.Header.Set("Authorization", "Bearer guest-late")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var rest struct {
		Records []struct{ Data json.RawMessage }
	}
	if err := json.NewDecoder(resp.Body).Decode(&rest); err != nil || resp.StatusCode != http.StatusOK || len(rest.Records) == 0 {
		t.Fatalf("REST: %v, %v, %v", resp.Status, err, rest)
	}
	for _, r := range rest.Records {
		if strings.Contains(string(r.Data), "secret") {
			t.Errorf("REST still tells it: %s", r.Data)
		}
	}
}

// TestChatExpels: mute, kick and ban take hold of live sockets at once, on every way to the room.
func TestChatExpels(t *testing.T) {
	n := startNode(t, chatting)
	ann, bob, eve := meet(t, n, "ann"), meet(t, n, "bob"), meet(t, n, "eve")
	ann.do("chat:den", `{"do":"create","title":"Den","public":false}`)
	for _, p := range []*person{bob, eve} {
		if m := p.request(`"type":"subscribe","channel":"chat:den"`); m["code"] != "forbidden" {
			t.Fatalf("a stranger subscribes to a private room: %v", m)
		}
		ann.do("chat:den", fmt.Sprintf(`{"do":"invite","user":%q}`, p.user))
		p.do("chat:den", `{"do":"join"}`)
		p.subscribe("chat:den")
		p.subscribe("chat:den@presence")
	}
	typing := `"type":"publish","channel":"chat:den","class":"fleeting","key":"typing","data":{"on":true}`
	if m := bob.request(typing); m["type"] != "reply" {
		t.Fatalf("a member types: %v", m)
	}
	began := time.Now()
	ann.do("chat:den", `{"do":"kick","user":"guest-bob"}`)
	ann.do("chat:den", `{"do":"ban","user":"guest-eve"}`)
	for _, p := range []*person{bob, eve} {
		for _, channel := range []string{"chat:den", "chat:den@presence"} {
			m := p.until(func(m message) bool { return m["type"] == "unsubscribed" && m["channel"] == channel })
			if m["code"] != "forbidden" {
				t.Errorf("%v", m)
			}
		}
	}
	t.Logf("both were out within %v", time.Since(began).Round(time.Millisecond))
	ann.do("chat:den", `{"do":"send","text":"they are gone"}`)
	for _, p := range []*person{bob, eve} {
		for _, ask := range []string{
			`"type":"subscribe","channel":"chat:den"`, `"type":"subscribe","channel":"chat:den@presence"`,
			`"type":"history","channel":"chat:den"`, `"type":"presence","channel":"chat:den"`, typing,
		} {
			if m := p.request(ask); m["code"] != "forbidden" {
				t.Errorf("%s: %v", ask, m)
			}
		}
		for _, m := range p.heard {
			if event("message")(m) {
				t.Errorf("%s still hears %v", p.user, m)
			}
		}
	}
	eve.refused("chat:den", `{"do":"join"}`, "banned")
	bob.refused("chat:den", `{"do":"send","text":"hi"}`, "not_member")
}

// TestChatRefuses: bad input gets a code and changes nothing.
func TestChatRefuses(t *testing.T) {
	n := startNode(t, chatting)
	ann, bob := meet(t, n, "ann"), meet(t, n, "bob")
	const room = "chat:r"
	ann.refused("chat:nowhere", `{"do":"send","text":"x"}`, "no_room")
	ann.do(room, `{"do":"create","title":"R","public":true}`)
	bob.refused(room, `{"do":"send","text":"x"}`, "not_member")
	bob.do(room, `{"do":"join"}`)
	at := ann.do(room, `{"do":"send","text":"mine"}`)["data"].(map[string]any)["at"]
	before := ann.request(`"type":"history","channel":%q`, room)["head"]

	bob.refused(room, `{"do":"send","text":"`+strings.Repeat("x", 4001)+`"}`, "too_long")
	bob.refused(room, `{"do":"send","text":"  "}`, "empty")
	bob.refused(room, `{"do":"send","text":"a\u0007b"}`, "control_characters")
	bob.refused(room, fmt.Sprintf(`{"do":"edit","of":%v,"text":"yours"}`, at), "not_yours")
	bob.refused(room, `{"do":"edit","of":999,"text":"yours"}`, "unknown_message")
	bob.refused(room, `{"do":"kick","user":"guest-ann"}`, "not_allowed")
	bob.refused(room, `{"do":"dance"}`, "unknown_command")
	bob.refused(room, `[1,2]`, "bad_request")
	if m := bob.request(`"type":"command","channel":%q,"data":{"do":"send","text":%q}`, room, strings.Repeat("y", 40<<10)); m["code"] != "too_large" {
		t.Errorf("an oversized command: %v", m)
	}
	if m := bob.request(`"type":"command","channel":"plain:x","data":1`); m["code"] != "no_service" {
		t.Errorf("a command to nobody: %v", m)
	}
	if m := bob.request(`"type":"publish","channel":%q,"data":{"type":"message","text":"forged"}`, room); m["code"] != "forbidden" {
		t.Errorf("a client writes into the log: %v", m)
	}
	if after := ann.request(`"type":"history","channel":%q`, room)["head"]; after != before {
		t.Errorf("refusals moved the head from %v to %v", before, after)
	}

	first := bob.request(`"type":"command","channel":%q,"idem":"once","data":{"do":"send","text":"one"}`, room)
	again := bob.request(`"type":"command","channel":%q,"idem":"once","data":{"do":"send","text":"one"}`, room)
	if first["offset"] != again["offset"] || first["at"] != again["at"] {
		t.Errorf("a resend is answered %v, the first was %v", again, first)
	}
	if m := bob.request(`"type":"command","channel":%q,"idem":"once","data":{"do":"send","text":"two"}`, room); m["code"] != "id_reuse" {
		t.Errorf("an id for another body: %v", m)
	}
	ann.do(room, `{"do":"slow","seconds":60}`)
	bob.refused(room, `{"do":"send","text":"x"}`, "too_fast")
	ann.do(room, `{"do":"mute","user":"guest-bob","ms":60000}`)
	bob.refused(room, `{"do":"send","text":"x"}`, "muted")
}

// TestChatLogIsTheServices: not even a server key writes into the log of a service, whose machines count its offsets.
func TestChatLogIsTheServices(t *testing.T) {
	const key = "a-server-key-of-at-least-thirty-two-bytes"
	n := startNode(t, func(o *node.Options) {
		chatting(o)
		o.Internal, o.ServerKeys = "127.0.0.1:0", []string{key}
	})
	ann := meet(t, n, "ann")
	ann.do("chat:lobby", `{"do":"create","title":"Lobby","public":true}`)
	req, _ := http.NewRequest(http.MethodPost, "http://"+n.InternalAddress()+"/api/publish", strings.NewReader(`{"channel":"chat:lobby","data":{"text":"from outside"}}`))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a publish from outside: %s", resp.Status)
	}
	sent := ann.do("chat:lobby", `{"do":"send","text":"hi"}`)
	if at := sent["data"].(map[string]any)["at"]; at != sent["offset"] {
		t.Errorf("the machine thinks its message is at %v, and it is at %v", at, sent["offset"])
	}
}
