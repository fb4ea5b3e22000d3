package chat

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/app"
	"carillon/channel"
)

const lobby channel.Name = "chat:lobby"

// lounge is a public room: ann owns it, mod moderates, bob and cy are members, and dan is not.
func lounge(t testing.TB) *world {
	w := newWorld(t)
	w.must(0, "ann", lobby, `{"do":"create","title":"The lobby","public":true}`)
	for _, u := range []string{"mod", "bob", "cy"} {
		w.must(0, u, lobby, `{"do":"join"}`)
	}
	w.must(0, "ann", lobby, `{"do":"role","user":"mod","role":"moderator"}`)
	return w
}

// TestRules is who may do what in a room. The message at 7 was written by bob, that at 8 by ann.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		user, body string
		want       Code
		event      string // the last logged record
	}{
		{"bob", `{"do":"send","text":"hello"}`, 0, `{"type":"message","n":3,"text":"hello"}`},
		{"bob", `{"do":"send","text":"two\nlines\tand a tab"}`, 0, `{"type":"message","n":3,"text":"two\nlines\tand a tab"}`},
		{"bob", `{"do":"send","text":"\"<script>\\"}`, 0, `{"type":"message","n":3,"text":"\"<script>\\"}`},
		{"bob", `{"do":"send","text":"yes","reply_to":8}`, 0, `{"type":"message","n":3,"text":"yes","reply_to":8}`},
		{"bob", `{"do":"send","text":"hi","mentions":["cy","dan","cy"]}`, 0, `{"type":"message","n":3,"text":"hi","mentions":["cy"]}`},
		{"bob", `{"do":"send","text":"yes","reply_to":2}`, UnknownMessage, ""},
		{"bob", `{"do":"send","text":"yes","reply_to":99}`, UnknownMessage, ""},
		{"bob", `{"do":"send","text":"yes","reply_to":-1}`, BadRequest, ""},
		{"bob", `{"do":"send","text":"x","mentions":["not an id"]}`, BadRequest, ""},
		{"bob", `{"do":"send","text":"x","mentions":["` + strings.Repeat(`a","`, 16) + `a"]}`, TooLong, ""},
		{"bob", `{"do":"send"}`, Empty, ""},
		{"bob", `{"do":"send","text":" \n\t "}`, Empty, ""},
		{"bob", `{"do":"send","text":"` + strings.Repeat("ü", MaxText) + `"}`, 0, `{"type":"message","n":3,"text":"` + strings.Repeat("ü", MaxText) + `"}`},
		{"bob", `{"do":"send","text":"` + strings.Repeat("ü", MaxText+1) + `"}`, TooLong, ""},
		{"bob", `{"do":"send","text":7}`, BadRequest, ""},
		{"dan", `{"do":"send","text":"hello"}`, NotMember, ""},
		{"bob", `{"do":"fly"}`, UnknownCommand, ""},
		{"bob", `{}`, BadRequest, ""},
		{"bob", `[]`, BadRequest, ""},
		{"bob", `null`, BadRequest, ""},
		{"bob", ``, BadRequest, ""},

		{"bob", `{"do":"edit","of":7,"text":"better"}`, 0, `{"type":"edit","of":7,"text":"better"}`},
		{"ann", `{"do":"edit","of":7,"text":"better"}`, NotYours, ""},
		{"bob", `{"do":"edit","of":8,"text":"better"}`, NotYours, ""},
		{"bob", `{"do":"edit","of":6,"text":"better"}`, UnknownMessage, ""},
		{"bob", `{"do":"edit","text":"better"}`, BadRequest, ""},
		{"bob", `{"do":"edit","of":7,"text":""}`, Empty, ""},
		{"bob", `{"do":"delete","of":7}`, 0, `{"type":"delete","of":7}`},
		{"mod", `{"do":"delete","of":8}`, 0, `{"type":"delete","of":8}`},
		{"cy", `{"do":"delete","of":7}`, NotYours, ""},
		{"dan", `{"do":"delete","of":7}`, NotMember, ""},
		{"cy", `{"do":"react","of":7,"emoji":"👍"}`, 0, `{"type":"react","of":7,"emoji":"👍","on":true}`},
		{"cy", `{"do":"react","of":7,"emoji":"+1"}`, BadEmoji, ""},
		{"dan", `{"do":"react","of":7,"emoji":"👍"}`, NotMember, ""},
		{"cy", `{"do":"unreact","of":7,"emoji":"👍"}`, 0, ""},

		{"dan", `{"do":"join"}`, 0, `{"type":"join"}`},
		{"bob", `{"do":"join"}`, 0, ""},
		{"bob", `{"do":"leave"}`, 0, `{"type":"leave"}`},
		{"dan", `{"do":"leave"}`, NotMember, ""},
		{"ann", `{"do":"leave"}`, NotAllowed, ""},
		{"dan", `{"do":"create"}`, Exists, ""},
		{"dan", `{"do":"open","user":"ann"}`, NotAllowed, ""},
		{"bob", `{"do":"invite","user":"dan"}`, 0, `{"type":"invite","user":"dan"}`},
		{"bob", `{"do":"invite","user":"cy"}`, 0, ""},
		{"dan", `{"do":"invite","user":"eve"}`, NotMember, ""},

		{"mod", `{"do":"mute","user":"bob","ms":60000}`, 0, `{"type":"mute","user":"bob","until":1767323105000}`},
		{"mod", `{"do":"mute","user":"bob"}`, BadRequest, ""},
		{"mod", `{"do":"mute","user":"bob","ms":31536000001}`, BadRequest, ""},
		{"mod", `{"do":"mute","user":"ann","ms":1}`, NotAllowed, ""},
		{"mod", `{"do":"mute","user":"mod","ms":1}`, BadRequest, ""},
		{"bob", `{"do":"mute","user":"cy","ms":1}`, NotAllowed, ""},
		{"dan", `{"do":"mute","user":"cy","ms":1}`, NotMember, ""},
		{"mod", `{"do":"unmute","user":"bob"}`, 0, ""},
		{"mod", `{"do":"kick","user":"bob"}`, 0, `{"type":"kick","user":"bob"}`},
		{"mod", `{"do":"kick","user":"dan"}`, UnknownUser, ""},
		{"mod", `{"do":"kick","user":"ann"}`, NotAllowed, ""},
		{"mod", `{"do":"kick"}`, BadRequest, ""},
		{"ann", `{"do":"kick","user":"mod"}`, 0, `{"type":"kick","user":"mod"}`},
		{"mod", `{"do":"ban","user":"dan"}`, 0, `{"type":"ban","user":"dan"}`},
		{"mod", `{"do":"ban","user":"@chat:lobby"}`, BadRequest, ""},
		{"bob", `{"do":"ban","user":"dan"}`, NotAllowed, ""},
		{"mod", `{"do":"unban","user":"dan"}`, 0, ""},
		{"ann", `{"do":"role","user":"bob","role":"owner"}`, 0, `{"type":"role","user":"bob","role":"owner"}`},
		{"ann", `{"do":"role","user":"bob","role":"king"}`, BadRequest, ""},
		{"ann", `{"do":"role","user":"dan","role":"owner"}`, UnknownUser, ""},
		{"ann", `{"do":"role","user":"ann","role":"member"}`, NotAllowed, ""},
		{"mod", `{"do":"role","user":"mod","role":"owner"}`, NotAllowed, ""},
		{"mod", `{"do":"slow","seconds":10}`, 0, `{"type":"slow","seconds":10}`},
		{"mod", `{"do":"slow"}`, BadRequest, ""},
		{"mod", `{"do":"slow","seconds":21601}`, BadRequest, ""},
		{"bob", `{"do":"slow","seconds":0}`, NotAllowed, ""},
		{"mod", `{"do":"title","title":"Elsewhere"}`, 0, `{"type":"title","title":"Elsewhere"}`},
		{"mod", `{"do":"title","title":"Two\nlines"}`, ControlCharacters, ""},
		{"mod", `{"do":"title","title":"` + strings.Repeat("x", MaxTitle+1) + `"}`, TooLong, ""},
		{"bob", `{"do":"title","title":"Mine"}`, NotAllowed, ""},
	} {
		t.Run(c.user+" "+c.body[:min(len(c.body), 60)], func(t *testing.T) {
			w := lounge(t)
			w.must(0, "ann", lobby, `{"do":"title","title":"Lobby"}`)
			if first, second := w.send("bob", lobby, "one"), w.send("ann", lobby, "two"); first != 7 || second != 8 {
				t.Fatalf("the messages stand at %d and %d", first, second)
			}
			before := len(w.logs[lobby])
			w.must(c.want, c.user, lobby, c.body)
			if c.event == "" && len(w.logs[lobby]) != before || c.event != "" && w.last(lobby) != c.event {
				t.Errorf("logged %s, want %s", w.last(lobby), c.event)
			}
			w.replay()
		})
	}
}

// TestTexts: what is refused, and what must not be.
func TestTexts(t *testing.T) {
	for text, want := range map[string]Code{
		"hello": 0, "שלום": 0, "مرحبا": 0, "\u200fשלום\u200e": 0, "👩‍👩‍👧‍👦": 0, "…": 0, "漢字": 0, "a\u0301": 0, "x\u00a0y": 0,
		"": Empty, "\u200b": Empty, "\u200b\u200d\ufeff\u2060": Empty, "\u3164": Empty, "\u2800\u00a0\u3000": Empty, "\u0301": Empty,
		"a\x00b": ControlCharacters, "a\x1b[31m": ControlCharacters, "a\rb": ControlCharacters, "a\u0085b": ControlCharacters, "a\x7f": ControlCharacters,
		"\u202etxt.exe": ControlCharacters, "a\u2066b": ControlCharacters, "a\u2028b": ControlCharacters, "\u202d": ControlCharacters,
		strings.Repeat("👍", MaxText): 0, strings.Repeat("👍", MaxText) + "a": TooLong, strings.Repeat("\u200b", MaxText+1): TooLong,
	} {
		no := checkText(text, MaxText, true)
		if no == nil && want != 0 || no != nil && no.code != want {
			t.Errorf("%.40q: %+v, want %s", text, no, want.Name())
		}
	}
	for s, ok := range map[string]bool{
		"👍": true, "👍🏽": true, "❤️": true, "👩‍👩‍👧‍👦": true, "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f": true, "🇪🇺": true, "1️⃣": true, "#⃣": true, "😀😀": true,
		"": false, "a": false, "1": false, "👍a": false, "👍1": false, "\u200d": false, "\u200d👍": false, " 👍": false, "👍\n": false, "\u202e👍": false,
		"👍\u0301": false, strings.Repeat("👍", 8): true, strings.Repeat("👍", 9): false, "<b>": false, "漢": false,
	} {
		if no := checkEmoji(s); (no == nil) != ok {
			t.Errorf("%q: %+v, want taken: %v", s, no, ok)
		}
	}
}

// TestModerationActs: what moderation means for live sockets, and how it ends.
func TestModerationActs(t *testing.T) {
	const all, reads, none = channel.Read | channel.Signal, channel.Read, channel.Rights(0)
	w := lounge(t)
	rights := func(want map[string]channel.Rights) {
		t.Helper()
		for u, r := range want {
			if got, ok := w.access[lobby][u]; !ok || got != r {
				t.Errorf("%q has the rights %b (%v), want %b", u, got, ok, r)
			}
		}
	}
	rights(map[string]channel.Rights{"": reads, "ann": all, "bob": all})

	w.must(0, "mod", lobby, `{"do":"mute","user":"bob","ms":60000}`)
	rights(map[string]channel.Rights{"bob": reads})
	o := w.must(Muted, "bob", lobby, `{"do":"send","text":"but"}`)
	if !strings.Contains(string(o.Reply), `"retry_after":60000`) {
		t.Errorf("refused with %s", o.Reply)
	}
	w.must(0, "bob", lobby, `{"do":"leave"}`)
	w.must(0, "bob", lobby, `{"do":"join"}`)
	rights(map[string]channel.Rights{"bob": reads})
	w.pass(59 * time.Second)
	w.must(Muted, "bob", lobby, `{"do":"react","of":99,"emoji":"👍"}`)
	w.pass(time.Second)
	rights(map[string]channel.Rights{"bob": all})
	w.send("bob", lobby, "again")

	w.must(0, "mod", lobby, `{"do":"kick","user":"cy"}`)
	rights(map[string]channel.Rights{"cy": reads})
	w.must(NotMember, "cy", lobby, `{"do":"send","text":"x"}`)
	w.must(0, "cy", lobby, `{"do":"join"}`)

	w.must(0, "mod", lobby, `{"do":"ban","user":"cy"}`)
	rights(map[string]channel.Rights{"cy": none})
	for _, body := range []string{`{"do":"send","text":"x"}`, `{"do":"join"}`, `{"do":"info"}`} {
		w.must(Banned, "cy", lobby, body)
	}
	w.must(Banned, "bob", lobby, `{"do":"invite","user":"cy"}`)
	w.must(0, "mod", lobby, `{"do":"unban","user":"cy"}`)
	rights(map[string]channel.Rights{"cy": reads})
	w.must(0, "cy", lobby, `{"do":"join"}`)
	w.replay()
}

func TestSlowMode(t *testing.T) {
	w := lounge(t)
	w.must(0, "mod", lobby, `{"do":"slow","seconds":10}`)
	w.pass(10 * time.Second)
	w.send("bob", lobby, "one")
	w.pass(4 * time.Second)
	if o := w.must(TooFast, "bob", lobby, `{"do":"send","text":"two"}`); !strings.Contains(string(o.Reply), `"retry_after":6000`) {
		t.Errorf("refused with %s", o.Reply)
	}
	w.send("mod", lobby, "moderators")
	w.send("ann", lobby, "and owners go on")
	w.send("ann", lobby, "as they like")
	w.must(0, "bob", lobby, `{"do":"leave"}`)
	w.must(0, "bob", lobby, `{"do":"join"}`)
	w.must(TooFast, "bob", lobby, `{"do":"send","text":"leaving does not help"}`)
	w.pass(10 * time.Second)
	w.send("bob", lobby, "two")
	if got := w.latest[lobby]["settings"]; got != `{"title":"The lobby","public":true,"slow":10}` {
		t.Errorf("settings %s", got)
	}
}

// TestPrivate: who is not asked in sees nothing.
func TestPrivate(t *testing.T) {
	const den channel.Name = "chat:den"
	w := newWorld(t)
	w.must(NoRoom, "ann", den, `{"do":"join"}`)
	w.must(NoRoom, "ann", den, `{"do":"info"}`)
	w.must(0, "ann", den, `{"do":"create"}`)
	if w.access[den][""] != 0 || w.access[den]["ann"] != channel.Read|channel.Signal {
		t.Errorf("rights %v", w.access[den])
	}
	w.must(NotInvited, "bob", den, `{"do":"join"}`)
	w.must(NotMember, "bob", den, `{"do":"info"}`)
	w.must(0, "ann", den, `{"do":"invite","user":"bob"}`)
	w.must(0, "bob", den, `{"do":"join"}`)
	w.must(0, "bob", den, `{"do":"leave"}`)
	if w.access[den]["bob"] != 0 {
		t.Error("who left a private room still reads it")
	}
	w.must(NotInvited, "bob", den, `{"do":"join"}`)
	w.must(0, "ann", den, `{"do":"leave"}`)
	w.must(Exists, "bob", den, `{"do":"create"}`)
	w.must(NoRoom, "ann", den, `{"do":"send","text":"x"}`)
	if w.machines[Directory] != nil {
		t.Error("the directory heard of a private room")
	}
	for _, n := range []channel.Name{"chat:me", "chat:dm", "chat:directory:x", "chat:x@presence", "chat:", "other:x", "chat::x"} {
		w.must(NoRoom, "ann", n, `{"do":"create"}`)
	}
	w.replay()
}

// TestErased: a deleted message takes its text, its edits and its preview with it.
func TestErased(t *testing.T) {
	w := lounge(t)
	w.send("bob", lobby, "harmless")
	at := w.send("bob", lobby, "my secret")
	w.must(0, "bob", lobby, fmt.Sprintf(`{"do":"edit","of":%d,"text":"my other secret"}`, at))
	if got := w.latest[lobby]["summary"]; got != fmt.Sprintf(`{"n":2,"at":%d,"last":{"user":"bob","time":1767323045000,"preview":"my other secret"}}`, at) {
		t.Errorf("summary %s", got)
	}
	o := w.must(0, "mod", lobby, fmt.Sprintf(`{"do":"delete","of":%d}`, at))
	if len(o.Erase) != 2 || o.Erase[0] != at || o.Erase[1] != at+1 {
		t.Errorf("erased %v", o.Erase)
	}
	if got := w.latest[lobby]["summary"]; got != fmt.Sprintf(`{"n":2,"at":%d}`, at) {
		t.Errorf("summary %s", got)
	}
	for n, m := range w.machines {
		if bytes.Contains(m.Snapshot(nil), []byte("secret")) {
			t.Errorf("the snapshot of %s has it", n)
		}
		for _, r := range w.logs[n] {
			if bytes.Contains(r.Body, []byte("secret")) {
				t.Errorf("the log of %s has it", n)
			}
		}
	}
	for _, body := range []string{`{"do":"delete","of":%d}`, `{"do":"edit","of":%d,"text":"x"}`, `{"do":"react","of":%d,"emoji":"👍"}`, `{"do":"send","text":"x","reply_to":%d}`} {
		w.must(UnknownMessage, "bob", lobby, fmt.Sprintf(body, at))
	}
}

// TestBounds: what is full says so, and a room with very many messages stays small.
func TestBounds(t *testing.T) {
	w := lounge(t)
	first := w.send("bob", lobby, "first")
	for i := range MaxReactions {
		w.must(0, "cy", lobby, fmt.Sprintf(`{"do":"react","of":%d,"emoji":"%c"}`, first, 0x1f600+i))
	}
	w.must(Full, "cy", lobby, fmt.Sprintf(`{"do":"react","of":%d,"emoji":"❤️"}`, first))
	w.must(0, "cy", lobby, fmt.Sprintf(`{"do":"unreact","of":%d,"emoji":"😀"}`, first))
	for range MaxEdits {
		w.must(0, "bob", lobby, fmt.Sprintf(`{"do":"edit","of":%d,"text":"x"}`, first))
	}
	w.must(Full, "bob", lobby, fmt.Sprintf(`{"do":"edit","of":%d,"text":"x"}`, first))

	m := w.machine(lobby)
	body := []byte(`{"do":"send","text":"` + strings.Repeat("x", 1000) + `"}`)
	head := uint64(len(w.logs[lobby]))
	for range 3 * MaxWindow {
		if o := m.Apply(channel.Command{Channel: lobby, User: "bob", Time: w.now, Head: head, Body: body}); o.Refused != 0 {
			t.Fatalf("%s", o.Reply)
		}
		head++
	}
	if size := len(m.Snapshot(nil)); size > 20*MaxWindow {
		t.Errorf("a snapshot has %d bytes", size)
	}
	for body, want := range map[string]Code{
		`{"do":"edit","of":%d,"text":"x"}`: TooOld, `{"do":"delete","of":%d}`: TooOld, `{"do":"react","of":%d,"emoji":"👍"}`: TooOld,
		`{"do":"send","text":"x","reply_to":%d}`: 0,
	} {
		o := m.Apply(channel.Command{Channel: lobby, User: "bob", Time: w.now, Head: head, Body: fmt.Appendf(nil, body, first)})
		if Code(o.Refused) != want {
			t.Errorf("%s: %s", body, o.Reply)
		}
	}
	back, err := Service().Restore(lobby, m.Snapshot(nil))
	if err != nil || !bytes.Equal(back.Snapshot(nil), m.Snapshot(nil)) {
		t.Errorf("it does not come back: %v", err)
	}
}

// TestFullRoom: every table of a room ends somewhere.
func TestFullRoom(t *testing.T) {
	r := newRoom(lobby)
	apply := func(user, body string) app.Outcome {
		return r.Apply(channel.Command{Channel: lobby, User: user, Time: time.UnixMilli(1), Body: []byte(body)})
	}
	apply("ann", `{"do":"create","public":true}`)
	for i := range MaxMembers - 1 {
		if o := apply(fmt.Sprint("m", i), `{"do":"join"}`); o.Refused != 0 {
			t.Fatalf("%d: %s", i, o.Reply)
		}
	}
	for i := range MaxBans {
		for _, do := range []string{`"ban"`, `"invite"`, `"mute","ms":1000`} {
			if o := apply("ann", fmt.Sprintf(`{"do":%s,"user":"%s%d"}`, do, do[1:4], i)); o.Refused != 0 {
				t.Fatalf("%s %d: %s", do, i, o.Reply)
			}
		}
	}
	for _, do := range []string{`"ban"`, `"invite"`, `"mute","ms":1000`} {
		if o := apply("ann", `{"do":`+do+`,"user":"last"}`); Code(o.Refused) != Full {
			t.Errorf("%s: %+v", do, o)
		}
	}
	if o := apply("dan", `{"do":"join"}`); Code(o.Refused) != Full {
		t.Errorf("joined as member %d", len(r.members))
	}
	if o := apply("ann", `{"do":"info","limit":9999}`); len(o.Reply) > app.MaxReply || !strings.Contains(string(o.Reply), `"count":10000,`) {
		t.Errorf("the answer has %d bytes", len(o.Reply))
	}
	if s := r.Snapshot(nil); len(s) > 300<<10 {
		t.Errorf("the snapshot has %d bytes", len(s))
	}
}
