// Package counter is the sample of docs/writing-an-app.md, whose code it is line for line: counters that everybody may
// add to, and a leaderboard that they feed.
package counter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"carillon/app"
	"carillon/channel"
)

// Board is the channel of the leaderboard. Every other channel of the service is a counter.
const Board channel.Name = "counter:leaderboard"

// Service is the counters as the runtime takes them.
func Service() app.Service {
	return app.Service{Name: "counter", New: create, Restore: restore}
}

func create(n channel.Name) app.Machine {
	if n == Board {
		return &board{Rows: []row{}}
	}
	return &counter{}
}

func restore(n channel.Name, snapshot []byte) (app.Machine, error) {
	m := create(n)
	if err := json.Unmarshal(snapshot, m); err != nil {
		return nil, fmt.Errorf("counter: the snapshot of %s is damaged, take the one before it: %w", n, err)
	}
	return m, nil
}

// The codes of a refusal.
const (
	badRequest = iota + 1
	outOfRange
)

func refuse(code int, name, message string) app.Outcome {
	return app.Outcome{Refused: code, Reply: text(map[string]string{"error": name, "message": message})}
}

// text is a value as JSON; equal values give equal bytes.
func text(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // stops this channel, and no other
	}
	return b
}

// Bounds: of a counter and a step, and the rows of the leaderboard.
const (
	maxValue = 1_000_000_000
	maxStep  = 1000
	maxRows  = 100
)

// counter is the state of one channel. Its exported fields are the snapshot.
type counter struct {
	Steps int
	Value int
}

// Apply takes {"do":"add","by":N} and {"do":"get"}.
func (m *counter) Apply(c channel.Command) app.Outcome {
	var q struct {
		Do string
		By int
	}
	switch err := json.Unmarshal(c.Body, &q); {
	case err == nil && q.Do == "get":
		return app.Outcome{ReadOnly: true, Reply: text(map[string]int{"value": m.Value})}
	case err != nil || q.Do != "add" || q.By == 0 || q.By < -maxStep || q.By > maxStep:
		return refuse(badRequest, "bad_request", `send {"do":"get"}, or {"do":"add","by":N} with N from -1000 to 1000 and not 0`)
	case m.Value+q.By < -maxValue || m.Value+q.By > maxValue:
		return refuse(outOfRange, "out_of_range", "the counter ends at a billion: go the other way")
	}
	m.Steps++
	m.Value += q.By
	reply := text(map[string]int{"value": m.Value})
	out := app.Outcome{
		Reply:  reply,
		Events: []channel.Record{{Body: text(map[string]int{"by": q.By, "value": m.Value})}},
		Sends:  []channel.Command{{Channel: Board, Body: reply}},
	}
	if m.Steps == 1 { // from now on everybody may read
		out.Access = []channel.Access{{Rights: channel.Read}}
	}
	return out
}

// Snapshot appends the state.
func (m *counter) Snapshot(dst []byte) []byte { return append(dst, text(m)...) }

type row struct {
	Counter channel.Name `json:"counter"`
	Value   int          `json:"value"`
}

// board is the leaderboard: the highest counters first.
type board struct {
	Steps int
	Rows  []row
}

// Apply takes {"do":"top"} of users, and the values that counters send.
func (m *board) Apply(c channel.Command) app.Outcome {
	var q struct {
		Do    string
		Value int
	}
	err := json.Unmarshal(c.Body, &q)
	from, sent := app.SentBy(c)
	switch {
	case err == nil && !sent && q.Do == "top":
		return app.Outcome{ReadOnly: true, Reply: text(m.Rows)}
	case err != nil || !sent || from.Namespace() != "counter":
		return refuse(badRequest, "bad_request", `send {"do":"top"}; the rows come from the counters themselves`)
	}
	m.Steps++
	m.Rows = slices.DeleteFunc(m.Rows, func(r row) bool { return r.Counter == from })
	m.Rows = append(m.Rows, row{from, q.Value})
	slices.SortFunc(m.Rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Counter, b.Counter))
	})
	m.Rows = m.Rows[:min(len(m.Rows), maxRows)]
	out := app.Outcome{Events: []channel.Record{{
		Class: channel.Latest, Key: "top", From: app.UserOf(Board), Body: text(m.Rows[:min(len(m.Rows), 10)]),
	}}}
	if m.Steps == 1 {
		out.Access = []channel.Access{{Rights: channel.Read}}
	}
	return out
}

// Snapshot appends the state.
func (m *board) Snapshot(dst []byte) []byte { return append(dst, text(m)...) }
