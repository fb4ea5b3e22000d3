package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/client"
	"carillon/wire"
)

// compatData has one data folder under the old build, the new one, the old one again and the new one again: the deploy of
// an update, its rollback, and the next try. Whatever a build finds there is as it was, also for who comes with a position
// or an id of before; and each goes on with it. A build that is updated may have died; one that is rolled back has ended in
// good order, see crash.
func compatData(t *testing.T, old, now edition) {
	dir := t.TempDir()
	h := newHost(t, old, "data: "+dir)
	k := keep(t, h)
	k.goOn(h)
	for i, b := range []edition{now, old, now} {
		if b == old || i == 0 {
			h.stop()
		} else {
			h.kill() // leaves a write-ahead log, and commands behind the last snapshot
		}
		err := h.try(b)
		if err != nil && b == old {
			if !strings.Contains(h.said.String(), "use the newer program that wrote it") {
				t.Fatalf("a data folder of the new build is refused by the old one without a word about why: %s", h.said)
			}
			t.Log("no way back: this build's schema is newer than the old build's, which says so and touches nothing")
			continue
		}
		if err != nil {
			t.Fatalf("%s build: %v\n%s", b.name, err, h.said)
		}
		k.find(h)
		k.goOn(h)
	}
	k.crash(h, old, now)
	h.stop()
	for _, name := range []string{k.game, "chat:tea", "counter:c"} {
		if p := now.shell(t, h.at, "ann", "", "replay", name, "--data", dir, "--json")[0]; p["to"] == 0.0 {
			t.Errorf("nothing is proved of %s: %v", name, p)
		}
	}
}

// crash is a rollback after a crash of the new build: behind the last snapshot stand commands as it wrote them. The old
// build need not understand those: then it stops their channels. What is plain it has, and it spoils nothing.
func (k *kept) crash(h *host, old, now edition) {
	k.t.Helper()
	h.kill()
	if h.try(old) == nil {
		eve := client.New(h.at, client.Options{Token: client.StaticToken("guest-eve")})
		ctx, cancel := context.WithTimeout(k.t.Context(), soon)
		defer cancel()
		if log, err := wholeLog(ctx, eve, "news:log"); err != nil || sameLog(k.logs["news:log"], log) != nil {
			k.t.Errorf("SET: after a crash and a rollback: %v, %v", err, sameLog(k.logs["news:log"], log))
		}
		short, end := context.WithTimeout(ctx, time.Second)
		defer end()
		if r, err := eve.Command(short, k.game, []byte(`{"type":"state"}`), client.CommandOptions{}); err != nil || r.Refused != 0 {
			k.t.Logf("rolled back after a crash, the old build does not serve the game of the new one until that is back: %s %v", r.Body, err)
			h.said.forget() // it said why, and may
		}
		_ = eve.Close()
		h.kill()
	}
	h.start(now)
	k.find(h)
}

// kept is what a data folder holds, as those know it who made it.
type kept struct {
	t     testing.TB
	game  string
	plies int
	logs  map[string][]client.Record
	done  []done
}

// done is something that was acknowledged, by which it can be asked for again.
type done struct {
	channel, id, body string
	publish           bool
	at                client.Position
	reply             string
}

// keptChannels are those whose logs are compared; the game is another.
var keptChannels = []string{"news:log", "chat:tea", "counter:c"}

// keep begins: a room, and a game.
func keep(t testing.TB, h *host) *kept {
	k := &kept{t: t, logs: map[string][]client.Record{}}
	ann, bob := sitAt(t, h.at, "ann"), sitAt(t, h.at, "bob")
	defer leave(ann, bob)
	ann.ask("chat:tea", `{"do":"create","public":true}`)
	k.game = pair(ann, bob, `"base":3600,"inc":0,"rated":true`)
	return k
}

func leave(ps ...*player) {
	for _, p := range ps {
		_ = p.c.Close()
	}
}

// goOn does more of everything at a host, and notes what was acknowledged and how all logs stand.
func (k *kept) goOn(h *host) {
	k.t.Helper()
	ann, bob := sitAt(k.t, h.at, "ann"), sitAt(k.t, h.at, "bob")
	defer leave(ann, bob)
	round := len(k.done)
	note := func(p *player, d done) {
		k.t.Helper()
		d.id = fmt.Sprint("id", len(k.done))
		k.do(p, &d)
		k.done = append(k.done, d)
	}
	for i := range 10 {
		note(ann, done{channel: "news:log", body: fmt.Sprintf(`"%d/%d"`, round, i), publish: true})
	}
	note(ann, done{channel: "chat:tea", body: fmt.Sprintf(`{"do":"send","text":"cup %d"}`, round)})
	note(ann, done{channel: "counter:c", body: `{"do":"add","by":3}`})
	note(ann, done{channel: "counter:c", body: `{"do":"add","by":-1}`})
	for range 4 {
		note([]*player{ann, bob}[k.plies%2], done{channel: k.game, body: move(k.plies, operaGame[k.plies])})
		k.plies++
	}
	for _, name := range append(keptChannels, k.game) {
		k.logs[name] = k.read(ann, name)
	}
}

// do publishes or commands, and notes the answer.
func (k *kept) do(p *player, d *done) {
	k.t.Helper()
	if d.publish {
		ack, err := p.c.Publish(p.context(), d.channel, []byte(d.body), client.PublishOptions{ID: d.id})
		if err != nil || ack.Level != wire.AckDurable {
			k.t.Fatalf("publishing %s to %s: %+v, %v", d.body, d.channel, ack, err)
		}
		d.at = ack.At
		return
	}
	r, err := p.c.Command(p.context(), d.channel, []byte(d.body), client.CommandOptions{ID: d.id})
	if err != nil || r.Refused != 0 {
		k.t.Fatalf("sending %s to %s: %s, %v", d.body, d.channel, r.Body, err)
	}
	d.at, d.reply = r.At, string(r.Body)
}

func (k *kept) read(p *player, name string) []client.Record {
	k.t.Helper()
	log, err := wholeLog(p.context(), p.c, name)
	if err != nil {
		k.t.Fatalf("reading %s: %v", name, err)
	}
	return log
}

// find looks for everything that was kept, on a host that may be of another build.
func (k *kept) find(h *host) {
	k.t.Helper()
	ann, bob := sitAt(k.t, h.at, "ann"), sitAt(k.t, h.at, "bob")
	defer leave(ann, bob)
	by := map[bool]*player{true: ann, false: bob}
	ply := 0
	for _, d := range k.done {
		p := ann
		if d.channel == k.game {
			p = by[ply%2 == 0]
			ply++
		}
		again := d
		if k.do(p, &again); again != d {
			k.t.Errorf("DUP: %s build: acknowledged as %+v, and sent again as %+v", h.build.name, d, again)
		}
	}
	for _, name := range append(keptChannels, k.game) {
		log := k.read(ann, name)
		if err := sameLog(k.logs[name], log); err != nil {
			k.t.Errorf("%s build: %s: %v", h.build.name, name, err)
		}
		k.resume(ann, name, log)
	}
	if state := ann.ask(k.game, `{"type":"state"}`); fmt.Sprint(state["moves"]) != fmt.Sprint(operaGame[:k.plies]) || state["result"] != nil && state["result"] != "*" && state["result"] != "" {
		k.t.Errorf("%s build: the game after %d plies is %v", h.build.name, k.plies, state)
	}
	if c := ann.ask("counter:c", `{"do":"get"}`); c["value"] != float64(k.plies/4*2) {
		k.t.Errorf("%s build: after %d rounds the counter says %v", h.build.name, k.plies/4, c)
	}
}

// resume goes on behind a position in the middle of a log, as one does who was away meanwhile.
func (k *kept) resume(p *player, name string, log []client.Record) {
	k.t.Helper()
	half := len(log) / 2
	ctx := p.context()
	s, err := p.c.Subscribe(ctx, name, client.SubscribeOptions{After: log[half-1].At})
	if err != nil {
		k.t.Fatal(err)
	}
	defer s.Close()
	for _, want := range log[half:] {
		e, err := s.Next(ctx)
		for err == nil && e.Gap == nil && e.Record.At.IsZero() { // the table of a room
			e, err = s.Next(ctx)
		}
		if err != nil || e.Gap != nil || e.Record.At != want.At {
			k.t.Fatalf("GAP: %s: behind %v comes %+v, %v, want %v", name, log[half-1].At, e, err, want.At)
		}
	}
}

// sameLog wants two readings of a log to be the same.
func sameLog(before, after []client.Record) error {
	if len(before) == 0 || len(after) != len(before) {
		return fmt.Errorf("SET: %d records were there, %d are found", len(before), len(after))
	}
	var wrong []error
	for i, r := range after {
		if b := before[i]; r.At != b.At || string(r.Body) != string(b.Body) || r.From != b.From || !r.Time.Equal(b.Time) {
			wrong = append(wrong, fmt.Errorf("SET: record %d was %s of %s at %v, and is %s of %s at %v", i, b.Body, b.From, b.At, r.Body, r.From, r.At))
		}
	}
	return errors.Join(wrong...)
}
