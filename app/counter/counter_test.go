package counter

import (
	"bytes"
	"testing"

	"carillon/app"
	"carillon/channel"
)

// TestCounter is what a person would try first: who asks what, and what comes of it.
func TestCounter(t *testing.T) {
	apples := create("counter:apples")
	for _, c := range []struct {
		body    string
		refused int
		reply   string
	}{
		{`{"do":"get"}`, 0, `{"value":0}`},
		{`{"do":"add","by":3}`, 0, `{"value":3}`},
		{`{"do":"add","by":-1}`, 0, `{"value":2}`},
		{`{"do":"add","by":1001}`, badRequest, ``},
		{`{"do":"add"}`, badRequest, ``},
		{`[`, badRequest, ``},
		{`{"do":"get"}`, 0, `{"value":2}`},
	} {
		before := apples.Snapshot(nil)
		o := apples.Apply(channel.Command{Channel: "counter:apples", User: "ann", Body: []byte(c.body)})
		if o.Refused != c.refused || c.refused == 0 && string(o.Reply) != c.reply {
			t.Errorf("%s: refused %d, %s", c.body, o.Refused, o.Reply)
		}
		if (o.Refused != 0 || o.ReadOnly) && !bytes.Equal(before, apples.Snapshot(nil)) {
			t.Errorf("%s changed the state", c.body)
		}
	}
}

// TestBoard: the leaderboard believes counters alone, and comes back from its snapshot.
func TestBoard(t *testing.T) {
	board := create(Board)
	for _, c := range []struct{ user, body string }{
		{app.UserOf("counter:apples"), `{"value":2}`},
		{app.UserOf("counter:pears"), `{"value":5}`},
		{"eve", `{"value":1000000}`},
		{app.UserOf("chess:g81"), `{"value":1000000}`},
		{app.UserOf("counter:apples"), `{"value":9}`},
	} {
		board.Apply(channel.Command{Channel: Board, User: c.user, Body: []byte(c.body)})
	}
	back, err := restore(Board, board.Snapshot(nil))
	if err != nil {
		t.Fatal(err)
	}
	top := back.Apply(channel.Command{Channel: Board, User: "ann", Body: []byte(`{"do":"top"}`)})
	if want := `[{"counter":"counter:apples","value":9},{"counter":"counter:pears","value":5}]`; string(top.Reply) != want {
		t.Errorf("the leaderboard is %s, want %s", top.Reply, want)
	}
}
