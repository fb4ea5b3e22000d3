package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"carillon/app"
	"carillon/bus"
	"carillon/channel"
	"carillon/journal"
)

// shower is a machine that states the rows it is told to.
type shower struct{}

func (shower) Snapshot(dst []byte) []byte { return append(dst, '1') }

func (shower) Apply(c channel.Command) app.Outcome {
	var out app.Outcome
	if err := json.Unmarshal(c.Body, &out.Rows); err != nil {
		panic(err)
	}
	if strings.Contains(c.ID, "refuse") {
		out.Refused = 1
	}
	return out
}

// TestRows: what a machine states is found once the command is answered; what no row may be stops the channel.
func TestRows(t *testing.T) {
	x := open(t, func(x *world) {
		x.o.Service = app.Service{
			Name: "tally",
			New:  func(channel.Name) app.Machine { return shower{} }, Restore: func(channel.Name, []byte) (app.Machine, error) { return shower{}, nil },
		}
		x.o.Reload = 1
	})
	state := func(n channel.Name, id string, rows ...channel.Row) error {
		b, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		_, err = x.ask(n, id, string(b))
		return err
	}
	find := func(s journal.Search) journal.Found {
		t.Helper()
		s.Service = "tally"
		found, err := x.store.Find(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	fine := channel.Row{Kind: "rating.blitz", Key: "ann", Rank: 1500_00, Terms: []string{"player:ann"}, Body: []byte(`{"rating":1500}`)}
	if err := state("tally:a", "1", fine); err != nil {
		t.Fatal(err)
	}
	if f := find(journal.Search{Kind: "rating.blitz", Terms: []string{"player:ann"}}); len(f.Rows) != 1 || string(f.Rows[0].Body) != string(fine.Body) {
		t.Errorf("found %+v", f)
	}
	long := strings.Repeat("x", channel.MaxTerm)
	most := make([]channel.Row, app.MaxRows)
	for i := range most {
		most[i] = channel.Row{Kind: "most." + strings.Repeat("k", channel.MaxKind-5), Key: fmt.Sprint(i) + long[:100], Terms: make([]string, channel.MaxTerms), Body: []byte("1")}
		for j := range most[i].Terms {
			most[i].Terms[j] = fmt.Sprint(j) + long[:120]
		}
	}
	if err := state("tally:a", "most", most...); err != nil {
		t.Errorf("as much as is allowed: %v", err)
	}
	change := func(f func(*channel.Row)) channel.Row { r := fine; r.Terms = []string{"t"}; f(&r); return r }
	for i, bad := range [][]channel.Row{
		append(most, fine),
		{change(func(r *channel.Row) { r.Kind = "" })},
		{change(func(r *channel.Row) { r.Kind = "Game" })},
		{change(func(r *channel.Row) { r.Kind = "ga_me" })},
		{change(func(r *channel.Row) { r.Kind = long })},
		{change(func(r *channel.Row) { r.Key = "" })},
		{change(func(r *channel.Row) { r.Key = long + "y" })},
		{change(func(r *channel.Row) { r.Key = "a\x00b" })},
		{change(func(r *channel.Row) { r.Terms = []string{""} })},
		{change(func(r *channel.Row) { r.Terms = []string{long + "y"} })},
		{change(func(r *channel.Row) { r.Terms = []string{"a\x00"} })},
		{change(func(r *channel.Row) { r.Terms = make([]string, channel.MaxTerms+1) })},
		{change(func(r *channel.Row) { r.Body = []byte("{") })},
		{change(func(r *channel.Row) { r.Body = []byte{} })},
		{change(func(r *channel.Row) { r.Body = []byte(`"` + strings.Repeat("x", app.MaxBytes) + `"`) })},
	} {
		if err := state(channel.Name(fmt.Sprint("tally:bad", i)), "1", bad...); !errors.Is(err, bus.ErrStopped) {
			t.Errorf("bad rows %d: %v", i, err)
		}
	}
	if err := state("tally:refused", "refuse", fine); !errors.Is(err, bus.ErrStopped) {
		t.Errorf("a refusal with rows: %v", err)
	}
	fine.Body = nil
	if err := state("tally:a", "gone", fine); err != nil {
		t.Fatal(err)
	}
	if f := find(journal.Search{Kind: "rating.blitz"}); len(f.Rows) != 0 {
		t.Errorf("found %+v after it was deleted", f)
	}
	x.replays("tally:a")
}
