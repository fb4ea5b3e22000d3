package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon/app"
	"carillon/channel"
)

// command draws one that has a good chance of being accepted, and now and then one that has none.
func (w *world) command(t *rapid.T, secret int) (user string, n channel.Name, body string) {
	users := []string{"ann", "ann", "mod", "mod", "bob", "cy", "dan", "e@f"}
	user = rapid.SampledFrom(users).Draw(t, "user")
	other := rapid.SampledFrom(users).Draw(t, "other")
	n = rapid.SampledFrom([]channel.Name{lobby, lobby, lobby, lobby, lobby, "chat:den", Direct(user, other), Direct(user, other), Me(user), Me(other), Directory}).Draw(t, "channel")
	dos := []string{"create", "join", "leave", "send", "send", "send", "send", "edit", "edit", "edit", "delete", "react",
		"unreact", "mute", "unmute", "kick", "ban", "unban", "unban", "role", "slow", "title", "invite", "info", "x"}
	switch kindOf(n) {
	case ofTwo:
		dos = []string{"open", "open", "send", "edit", "delete", "react", "mute", "unmute", "info", "join"}
	case ofUser:
		dos = []string{"rooms", "read", "read", "mute", "unmute", "decline", "joined"}
	case ofDirectory:
		dos = []string{"list", "room"}
	}
	small := rapid.SampledFrom([]int{0, 1, 2, 3, 5, 7, 12}).Draw(t, "number")
	of := uint64(small)
	if r, ok := w.machine(n).(*room); ok && len(r.window) > 0 && small > 0 {
		m := rapid.SampledFrom(r.window).Draw(t, "of")
		if of = m.at; small%2 == 0 { // its author is the one who may do most with it
			user = m.author
		}
	}
	fields := map[string]any{
		"do": rapid.SampledFrom(dos).Draw(t, "do"), "of": of, "user": other, "text": fmt.Sprintf("secret-%d-", secret),
		"mentions": []string{other}, "emoji": "👍", "role": rapid.SampledFrom([]string{"member", "moderator", "owner"}).Draw(t, "role"),
		"ms": 1 + small*1000, "seconds": small % 4, "public": small%2 == 0, "title": fmt.Sprint("title", small), "room": lobby, "n": small,
	}
	if rapid.IntRange(0, 20).Draw(t, "odd") == 0 {
		odd := rapid.SampledFrom([]any{nil, -1, 1.5, "\u202e", "", []any{[]any{}}, map[string]any{"a": 1}, strings.Repeat("x", 5000)}).Draw(t, "what")
		fields[rapid.SampledFrom([]string{"do", "of", "user", "text", "mentions", "emoji", "ms", "title", "reply_to"}).Draw(t, "where")] = odd
	}
	b, _ := json.Marshal(fields)
	return user, n, string(b)
}

// TestSequences: whatever users do, the machines keep their word. That refusals and questions change nothing, and that
// outcomes hold what they must, the world checks at every step.
func TestSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := lounge(rapidTB{nil, t})
		steps := rapid.IntRange(60, 90).Draw(t, "steps")
		for i := range steps {
			user, n, body := w.command(t, i)
			w.ask(user, n, body)
			w.pass(time.Duration(rapid.IntRange(0, 4000).Draw(t, "pause")) * time.Millisecond)
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 { // a restart must not be noticed
				back, err := Service().Restore(n, w.machine(n).Snapshot(nil))
				if err != nil {
					t.Fatal(err)
				}
				w.machines[n] = back
			}
		}
		w.pass(time.Hour)
		w.replay()
		for n, m := range w.machines {
			w.texts(n, m)
			if r, ok := m.(*room); ok {
				w.room(n, r)
			}
		}
	})
}

// rapidTB lets the world fail a property as it fails a test.
type rapidTB struct {
	testing.TB
	t *rapid.T
}

func (r rapidTB) Helper()                           {}
func (r rapidTB) Fatalf(format string, args ...any) { r.t.Fatalf(format, args...) }

// texts demands that no machine keeps what users write into messages, so that erasing the log erases it all.
func (w *world) texts(n channel.Name, m app.Machine) {
	if s := m.Snapshot(nil); bytes.Contains(s, []byte("secret-")) {
		w.fatal("the snapshot of %s holds a text: %q", n, s)
	}
}

// room demands that numbers run without a hole, that erased texts are nowhere, and that rights are those of the state.
func (w *world) room(n channel.Name, r *room) {
	number, gone := uint64(0), map[uint64]bool{}
	for i, rec := range w.logs[n] {
		var e struct {
			Type  string
			N, Of uint64
			Text  string
		}
		if rec.Body == nil {
			continue
		}
		if err := json.Unmarshal(rec.Body, &e); err != nil {
			w.fatal("%s", err)
		}
		switch e.Type {
		case "delete":
			gone[e.Of] = true
		case "edit":
			if w.logs[n][e.Of-1].Body == nil {
				w.fatal("%s: an edit of the erased message %d is left at %d", n, e.Of, i+1)
			}
		}
		if e.Type == "message" && (e.N <= number || gone[uint64(i+1)]) {
			w.fatal("%s: message %d after %d", n, e.N, number)
		} else if e.Type == "message" {
			number = e.N
		}
	}
	for i, m := range r.window {
		if m.gone != gone[m.at] || gone[m.at] != (w.logs[n][m.at-1].Body == nil) {
			w.fatal("%s: message %d at %d: gone %v, erased %v", n, i, m.at, m.gone, gone[m.at])
		}
	}
	if r.number != uint64(len(r.window)) {
		w.fatal("%s: %d messages, the last has number %d", n, len(r.window), r.number)
	}
	if s := w.latest[n]["summary"]; s != "" && !strings.HasPrefix(s, fmt.Sprintf(`{"n":%d,"at":%d`, r.number, r.window[len(r.window)-1].at)) {
		w.fatal("%s: the summary is %s", n, s)
	}
	for user, got := range w.access[n] {
		if user != "" && got != r.access(user, w.now.UnixMilli()).Rights {
			w.fatal("%s: %s may %b, and should %b", n, user, got, r.access(user, w.now.UnixMilli()).Rights)
		}
	}
	for _, b := range r.bans {
		if got, ok := w.access[n][b.key]; r.members.has(b.key) || !ok || got != 0 {
			w.fatal("%s: %s is banned and may %b", n, b.key, got)
		}
	}
}

// FuzzApply: no body of anybody brings a machine down, and what comes out is in order.
func FuzzApply(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `{"do":"send","text":"hi"}`, `{"do":"send","text":"\u202e\ud83d"}`, `{"do":"edit","of":7,"text":"x"}`, `{"do":"delete","of":7}`,
		`{"do":"react","of":7,"emoji":"👍"}`, `{"do":"mute","user":"cy","ms":99999999999999999999}`, `{"do":"join"}`, `{"do":"info","limit":18446744073709551615,"after":"\u0000"}`,
		`{"do":"send","text":"x","mentions":["cy","@x",""]}`, `{"DO":"send","do":1}`, `{"do":"read","room":"chat:lobby","n":1}`, `{"do":"rooms"}`,
		`{"do":"send","text":"x","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "{\"do\":\"title\",\"title\":\"\xff\"}", `{"do":"joined","user":"cy","with":"bob"}`,
	} {
		f.Add("cy", uint8(0), false, []byte(body))
		f.Add("mod", uint8(1), true, []byte(body))
		f.Add("@chat:lobby", uint8(2), false, []byte(body))
	}
	f.Fuzz(func(t *testing.T, user string, where uint8, binary bool, body []byte) {
		w := lounge(t)
		w.send("cy", lobby, "one")
		n := []channel.Name{lobby, Me("cy"), Directory, Direct("cy", "mod"), "chat:x@y"}[where%5]
		w.one(channel.Command{Channel: n, User: user, Binary: binary, Body: body})
		w.sends = nil
		w.replay()
	})
}

// FuzzRestore: no bytes bring a machine back that cannot take a step, and what comes back gives its bytes again.
func FuzzRestore(f *testing.F) {
	w := lounge(f)
	w.send("cy", lobby, "one")
	w.must(0, "mod", lobby, `{"do":"mute","user":"cy","ms":1000}`)
	for n, m := range w.machines {
		f.Add(string(n), m.Snapshot(nil))
	}
	f.Fuzz(func(t *testing.T, n string, snapshot []byte) {
		if _, err := channel.ParseName(n); err != nil {
			return
		}
		m, err := Service().Restore(channel.Name(n), snapshot)
		if err != nil {
			return
		}
		first := m.Snapshot(nil)
		again, err := Service().Restore(channel.Name(n), first)
		if err != nil || !bytes.Equal(again.Snapshot(nil), first) {
			t.Fatalf("%s: %q came back as %q: %v", n, snapshot, first, err)
		}
		for _, body := range []string{`{"do":"info"}`, `{"do":"send","text":"x"}`, `{"do":"leave"}`, `{"do":"rooms"}`, `{"do":"list"}`, `{"do":"delete","of":1}`} {
			m.Apply(channel.Command{Channel: channel.Name(n), User: "ann", Head: 9, Body: []byte(body)})
		}
		m.Apply(channel.Command{Channel: channel.Name(n), User: "@" + n})
	})
}
