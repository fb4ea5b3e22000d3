package chat

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon/app"
	"carillon/channel"
	"carillon/gateway/auth"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("u", 120)
	for user, want := range map[string]channel.Name{"ann": "chat:me:ann", "ann@example.org": "chat:me:ann:40example.org", "a:b": "chat:me:a:3ab"} {
		if got := Me(user); got != want {
			t.Errorf("%s: %s, want %s", user, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want channel.Name
	}{
		{"ann", "bob", "chat:dm:ann::bob"}, {"bob", "ann", "chat:dm:ann::bob"}, {"x@y", "bob", "chat:dm:bob::x:40y"},
		{long, "bob", "chat:dm::o1l6xbfU--gQ2leJZfdF_uquLiYgI95SmgyMzrVfcNs"},
	} {
		if got := Direct(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %s, want %s", c.a, c.b, got, c.want)
		}
	}
	user := rapid.StringMatching(`[!-?A-~][!-~]{0,127}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := user.Draw(t, "a"), user.Draw(t, "b"), user.Draw(t, "c")
		for _, n := range []channel.Name{Me(a), Direct(a, b)} {
			if _, err := channel.ParseName(string(n)); err != nil || strings.Contains(string(n), "@") {
				t.Fatalf("%s is no name", n)
			}
		}
		if kindOf(Me(a)) != ofUser || kindOf(Direct(a, b)) != ofTwo || !app.ValidUser(a) {
			t.Fatalf("%s and %s are taken for something else", Me(a), Direct(a, b))
		}
		if Direct(a, b) != Direct(b, a) || a != b && Me(a) == Me(b) || b != c && Direct(a, b) == Direct(a, c) {
			t.Fatalf("names of %q, %q and %q meet", a, b, c)
		}
		// The user's part of the name is the one of his channel for direct delivery, wherever that fits.
		id := strings.TrimPrefix(string(auth.UserChannel(a)), "user:")
		if mine := strings.TrimPrefix(string(Me(a)), "chat:me:"); mine != id && len("chat:me:"+id) <= channel.MaxName {
			t.Fatalf("%q is %s here and %s there", a, mine, id)
		}
	})
}

// TestDirect: a conversation of two belongs to these two.
func TestDirect(t *testing.T) {
	const dm channel.Name = "chat:dm:ann::bob"
	w := newWorld(t)
	w.must(NoRoom, "ann", dm, `{"do":"send","text":"x"}`)
	w.must(NotAllowed, "ann", dm, `{"do":"create"}`)
	w.must(NotAllowed, "eve", dm, `{"do":"open","user":"bob"}`)
	w.must(NotAllowed, "ann", dm, `{"do":"open","user":"eve"}`)
	w.must(BadRequest, "ann", dm, `{"do":"open","user":"ann"}`)
	w.must(0, "bob", dm, `{"do":"open","user":"ann"}`)
	w.must(0, "ann", dm, `{"do":"open","user":"bob"}`)
	if a := w.access[dm]; a[""] != 0 || a["ann"] != channel.Read|channel.Signal || a["bob"] != channel.Read|channel.Signal {
		t.Errorf("rights %v", a)
	}
	at := w.send("ann", dm, "hello bob")
	w.must(NotMember, "eve", dm, `{"do":"send","text":"x"}`)
	w.must(NotMember, "eve", dm, `{"do":"info"}`)
	w.must(NotYours, "bob", dm, fmt.Sprintf(`{"do":"delete","of":%d}`, at))
	for _, do := range []string{"join", "leave", "invite", "kick", "ban", "unban", "role", "slow", "title"} {
		w.must(NotAllowed, "ann", dm, `{"do":"`+do+`","user":"bob"}`)
	}
	w.must(0, "bob", dm, `{"do":"mute","user":"ann","ms":86400000}`)
	w.must(Muted, "ann", dm, `{"do":"send","text":"still there?"}`)
	w.must(0, "bob", dm, `{"do":"unmute","user":"ann"}`)

	reply := w.must(0, "bob", Me("bob"), `{"do":"rooms"}`).Reply
	want := `{"rooms":[{"room":"chat:dm:ann::bob","with":"ann","read":0,"last":1,"mentions":0}],"more":false,"invites":[]}`
	if string(reply) != want {
		t.Errorf("bob's list is %s", reply)
	}
	w.replay()
}

// TestList: what a user's own list hears, and who may touch it.
func TestList(t *testing.T) {
	w := lounge(t)
	mine := Me("cy")
	w.send("bob", lobby, "one")
	w.must(0, "bob", lobby, `{"do":"send","text":"@cy and @bob, look","mentions":["cy","bob"]}`)
	if got, want := w.last(mine), `{"type":"mention","room":"chat:lobby","by":"bob","n":2,"at":7}`; got != want {
		t.Errorf("cy is told %s, want %s", got, want)
	}
	if got, want := w.latest[mine]["chat:lobby"], `{"read":0,"last":2,"mentions":1}`; got != want {
		t.Errorf("cy's row is %s, want %s", got, want)
	}
	if strings.Contains(w.last(Me("bob")), "mention") {
		t.Error("bob is told that he mentioned himself")
	}
	w.must(0, "cy", mine, `{"do":"read","room":"chat:lobby","n":2}`)
	if o := w.must(0, "cy", mine, `{"do":"read","room":"chat:lobby","n":1}`); !o.ReadOnly || string(o.Reply) != `{"read":2}` {
		t.Errorf("an older mark is answered %s", o.Reply)
	}
	if got, want := w.latest[mine]["chat:lobby"], `{"read":2,"last":2,"mentions":0}`; got != want {
		t.Errorf("cy's row is %s, want %s", got, want)
	}
	w.must(0, "cy", mine, `{"do":"mute","room":"chat:lobby"}`)
	w.must(0, "bob", lobby, `{"do":"send","text":"psst","mentions":["cy"]}`)
	if got, want := w.latest[mine]["chat:lobby"], `{"read":2,"last":3,"mentions":1,"muted":true}`; got != want || !strings.Contains(w.last(mine), `"n":2`) {
		t.Errorf("cy's row is %s, want %s; the last event is %s", got, want, w.last(mine))
	}

	w.must(NotMember, "cy", mine, `{"do":"read","room":"chat:elsewhere","n":1}`)
	w.must(BadRequest, "cy", mine, `{"do":"read","room":"chat:lobby"}`)
	w.must(BadRequest, "cy", mine, `{"do":"read","room":"chat:lobby","n":9007199254740992}`)
	w.must(UnknownCommand, "cy", mine, `{"do":"joined","user":"cy"}`)
	w.must(NotAllowed, "bob", mine, `{"do":"rooms"}`)
	for _, from := range []channel.Name{"other:x", Directory, Me("bob"), mine} {
		if o := w.one(channel.Command{Channel: mine, User: app.UserOf(from), Body: []byte(`{"do":"joined","user":"cy"}`)}); o.Refused == 0 {
			t.Errorf("cy's list listens to %s", from)
		}
	}
	if w.access[mine]["cy"] != channel.Read || len(w.access[mine]) != 1 {
		t.Errorf("rights %v", w.access[mine])
	}
	w.must(0, "mod", lobby, `{"do":"kick","user":"cy"}`)
	if got := w.last(mine); got != `{"type":"left","room":"chat:lobby","why":"kick"}` || w.latest[mine]["chat:lobby"] != "" {
		t.Errorf("cy is told %s", got)
	}
	w.must(0, "bob", lobby, `{"do":"invite","user":"cy"}`)
	reply := w.must(0, "cy", mine, `{"do":"rooms"}`).Reply
	if want := `{"rooms":[],"more":false,"invites":[{"room":"chat:lobby","by":"bob","title":"The lobby","time":1767323045000}]}`; string(reply) != want {
		t.Errorf("cy's list is %s", reply)
	}
	w.must(0, "cy", mine, `{"do":"decline","room":"chat:lobby"}`)
	w.replay()
}

// TestFullList: strangers cannot fill a list so that nothing else fits.
func TestFullList(t *testing.T) {
	w := newWorld(t)
	mine := Me("ann")
	hear := func(from channel.Name, body string) app.Outcome {
		w.now = w.now.Add(time.Second)
		return w.one(channel.Command{Channel: mine, User: app.UserOf(from), Body: []byte(body)})
	}
	for i := range MaxRooms + 1 {
		o := hear(channel.Name(fmt.Sprint("chat:r", i)), `{"do":"joined","user":"ann"}`)
		if (Code(o.Refused) == Full) != (i == MaxRooms) {
			t.Fatalf("room %d: %s", i, o.Reply)
		}
		stranger := fmt.Sprint("s", i)
		if o := hear(Direct("ann", stranger), `{"do":"joined","user":"ann","with":"`+stranger+`"}`); o.Refused != 0 {
			t.Fatalf("conversation %d: %s", i, o.Reply)
		}
		if o := hear(channel.Name(fmt.Sprint("chat:i", i)), `{"do":"invited","user":"ann","by":"eve","title":"come"}`); o.Refused != 0 {
			t.Fatalf("invitation %d: %s", i, o.Reply)
		}
	}
	m := w.machine(mine).(*me)
	if len(m.rooms) != 2*MaxRooms || m.rooms.has(string(Direct("ann", "s0"))) || !m.rooms.has(string(Direct("ann", "s1000"))) || len(m.asked) != MaxAsked {
		t.Errorf("%d rooms, %d invitations", len(m.rooms), len(m.asked))
	}
	var page struct {
		Rooms []struct{ Room string }
		More  bool
	}
	n, after := 0, ""
	for more := true; more; more = page.More {
		o := w.ask("ann", mine, `{"do":"rooms","after":"`+after+`"}`)
		if err := json.Unmarshal(o.Reply, &page); err != nil {
			t.Fatal(err)
		}
		n, after = n+len(page.Rooms), page.Rooms[len(page.Rooms)-1].Room
	}
	if n != 2*MaxRooms {
		t.Errorf("the pages hold %d rooms", n)
	}
}

// TestDirectory: the directory follows the public rooms, some seconds behind.
func TestDirectory(t *testing.T) {
	w := newWorld(t)
	list := func() string { return string(w.must(0, "eve", Directory, `{"do":"list"}`).Reply) }
	if got := list(); got != `{"rooms":[],"more":false}` || w.access[Directory][""] != channel.Read {
		t.Errorf("an empty directory is %s", got)
	}
	w.must(0, "ann", lobby, `{"do":"create","title":"Lobby","public":true}`)
	w.must(0, "ann", "chat:den", `{"do":"create"}`)
	for i := range 100 {
		w.must(0, fmt.Sprint("u", i), lobby, `{"do":"join"}`)
	}
	if got := list(); got != `{"rooms":[{"room":"chat:lobby","title":"Lobby","members":1}],"more":false}` {
		t.Errorf("the directory is %s", got)
	}
	if got := w.last(Directory); got != `{"type":"room","room":"chat:lobby","title":"Lobby","members":1}` {
		t.Errorf("a new room is logged as %s", got)
	}
	before, logged := len(w.done[Directory]), len(w.logs[Directory])
	w.pass(5 * time.Second)
	if got := list(); got != `{"rooms":[{"room":"chat:lobby","title":"Lobby","members":101}],"more":false}` || len(w.done[Directory]) != before+1 {
		t.Errorf("after %d steps the directory is %s", len(w.done[Directory])-before, got)
	}
	if got := w.latest[Directory]["chat:lobby"]; got != `{"type":"room","room":"chat:lobby","title":"Lobby","members":101}` || len(w.logs[Directory]) != logged {
		t.Errorf("followers see %s, and %d records were logged", got, len(w.logs[Directory])-logged)
	}
	w.must(0, "ann", lobby, `{"do":"title","title":"Hall"}`)
	if got := w.last(Directory); got != `{"type":"room","room":"chat:lobby","title":"Hall","members":101}` {
		t.Errorf("a new title is logged as %s", got)
	}
	w.must(UnknownCommand, "eve", Directory, `{"do":"room","title":"Fake","members":1000000}`)
	if o := w.one(channel.Command{Channel: Directory, User: "@other:x", Body: []byte(`{"do":"room","title":"Fake"}`)}); Code(o.Refused) != NotAllowed {
		t.Error("another service wrote into the directory")
	}
	w.must(0, "bob", "chat:tiny", `{"do":"create","public":true}`)
	w.must(0, "bob", "chat:tiny", `{"do":"leave"}`)
	if strings.Contains(list(), "tiny") || w.last(Directory) != `{"type":"gone","room":"chat:tiny"}` {
		t.Errorf("a closed room stays: %s", list())
	}
	w.pass(time.Minute)
	w.replay()
}

// TestCodes: the numbers stay, each has its own name, and the page for clients has them all.
func TestCodes(t *testing.T) {
	want := strings.Fields(`bad_request unknown_command empty too_long control_characters no_room exists not_member banned muted
		too_fast not_yours not_allowed too_old unknown_message unknown_user full bad_emoji not_invited`)
	if len(Codes()) != len(want) {
		t.Fatalf("%d codes, want %d", len(Codes()), len(want))
	}
	page, err := os.ReadFile("../../docs/chat.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range Codes() {
		if c.Name() != want[i] || !strings.Contains(c.Sentence(), ": ") {
			t.Errorf("code %d is %s, want %s; it says %q", c, c.Name(), want[i], c.Sentence())
		}
		if row := fmt.Sprintf("| %d | `%s` |", c, c.Name()); !strings.Contains(string(page), row) {
			t.Errorf("docs/chat.md lacks the row %s", row)
		}
	}
}

// TestDamagedSnapshots: what cannot be read is refused with a sentence, and nothing else happens.
func TestDamagedSnapshots(t *testing.T) {
	w := lounge(t)
	w.send("bob", lobby, "one")
	w.must(0, "bob", lobby, `{"do":"send","text":"x","mentions":["cy"]}`)
	w.must(0, "mod", lobby, `{"do":"ban","user":"dan"}`)
	for n, m := range w.machines {
		whole := m.Snapshot(nil)
		for i := range whole {
			if _, err := Service().Restore(n, whole[:i]); err == nil || !strings.Contains(err.Error(), string(n)) {
				t.Errorf("%s: %d of %d bytes were taken: %v", n, i, len(whole), err)
			}
		}
		if _, err := Service().Restore(n, append(whole, 0)); err == nil {
			t.Errorf("%s: a byte too many was taken", n)
		}
		whole[0]++
		if _, err := Service().Restore(n, whole); err == nil || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("%s: %v", n, err)
		}
	}
}
