package chess

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/app"
	"carillon/channel"
)

// world runs machines as the runtime does: it stamps time, head, seed and lost time, keeps logs and rows, delivers sends
// and fires timers, and demands of every outcome what the contract does.
type world struct {
	t        testing.TB
	now      time.Time
	machines map[channel.Name]app.Machine
	logs     map[channel.Name][]channel.Record  // offset i+1 at i
	latest   map[channel.Name]map[string]string // the newest by key; deleted ones are not there
	access   map[channel.Name]map[string]channel.Rights
	rows     map[string]channel.Row // by kind and key
	wakes    map[channel.Name]time.Time
	done     map[channel.Name][]channel.Command // what was accepted, for a replay
	sends    []channel.Command
	doubts   []string                       // what machines asked of presence: channel, user, whether he is believed there
	said     []said                         // records of the last command and what followed
	lost     map[channel.Name]time.Duration // that the next commands are told of
	count    uint64
	restarts uint64 // every so many commands a machine comes back from its snapshot; 0: never
}

type said struct {
	channel channel.Name
	record  channel.Record
}

func newWorld(t testing.TB) *world {
	return &world{
		t: t, now: time.UnixMilli(1_790_000_000_000).UTC(),
		machines: map[channel.Name]app.Machine{}, logs: map[channel.Name][]channel.Record{},
		latest: map[channel.Name]map[string]string{}, access: map[channel.Name]map[string]channel.Rights{}, rows: map[string]channel.Row{}, restarts: 1,
		wakes: map[channel.Name]time.Time{}, done: map[channel.Name][]channel.Command{}, lost: map[channel.Name]time.Duration{},
	}
}

func (w *world) machine(n channel.Name) app.Machine {
	if w.machines[n] == nil {
		w.machines[n] = Service().New(n)
		w.latest[n], w.access[n] = map[string]string{}, map[string]channel.Rights{}
	}
	return w.machines[n]
}

// fatal fails the test with a message; t is also that of a property.
func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf(format, args...)
}

// one applies a command and takes up its outcome, without what it sends.
func (w *world) one(c channel.Command) app.Outcome {
	w.t.Helper()
	m := w.machine(c.Channel)
	w.count++
	c.Time, c.Head, c.Lost = w.now, uint64(len(w.logs[c.Channel])), w.lost[c.Channel]
	c.Seed = sha256.Sum256(binary.BigEndian.AppendUint64(nil, w.count))
	before, body := m.Snapshot(nil), bytes.Clone(c.Body)
	o := m.Apply(c)
	if !bytes.Equal(body, c.Body) {
		w.fatal("%s changed the body of its command", c.Channel)
	}
	w.judge(c, o)
	if o.Refused != 0 || o.ReadOnly {
		if after := m.Snapshot(nil); !bytes.Equal(before, after) {
			w.fatal("%s: %s by %s changed the state: %q became %q", c.Channel, c.Body, c.User, before, after)
		}
		return o
	}
	w.take(c, o)
	if w.restarts > 0 && w.count%w.restarts == 0 { // a restart must not be noticed
		w.restart(c.Channel)
	}
	return o
}

// take takes up an accepted outcome.
func (w *world) take(c channel.Command, o app.Outcome) {
	n := c.Channel
	delete(w.lost, n)
	w.done[n] = append(w.done[n], c)
	for _, e := range o.Events {
		if e.From == "" {
			e.From = c.User
		}
		w.said = append(w.said, said{n, e})
		switch {
		case e.Class == channel.Logged:
			w.logs[n] = append(w.logs[n], e)
		case e.From != app.UserOf(n):
			w.fatal("%s: %s made an entry %q of a user, where another cannot replace it", n, c.Body, e.Key)
		case len(e.Body) == 0:
			delete(w.latest[n], e.Key)
		default:
			w.latest[n][e.Key] = string(e.Body)
		}
	}
	for _, a := range o.Access {
		w.access[n][a.User] = a.Rights
	}
	for _, r := range o.Rows {
		if r.Body == nil {
			delete(w.rows, r.Kind+" "+r.Key)
		} else {
			w.rows[r.Kind+" "+r.Key] = r
		}
	}
	w.wakes[n] = o.WakeAt
	for _, s := range o.Sends {
		s.User = app.UserOf(n)
		w.sends = append(w.sends, s)
	}
}

func (w *world) restart(n channel.Name) {
	w.t.Helper()
	s := w.machines[n].Snapshot(nil)
	back, err := Service().Restore(n, s)
	if err != nil || !bytes.Equal(back.Snapshot(nil), s) {
		w.fatal("%s does not come back from its snapshot: %v", n, err)
	}
	w.machines[n] = back
}

// judge demands what the contract of an outcome demands.
func (w *world) judge(c channel.Command, o app.Outcome) {
	w.t.Helper()
	quiet := len(o.Events)+len(o.Sends)+len(o.Access)+len(o.Erase)+len(o.Rows) == 0 && o.WakeAt.IsZero()
	if (o.Refused != 0 || o.ReadOnly) && (o.Refused != 0 && o.ReadOnly || !quiet) {
		w.fatal("%s: %s does something and is none: %+v", c.Channel, c.Body, o)
	}
	if o.Refused < 0 || o.Refused > len(Codes()) {
		w.fatal("refused with the unknown code %d", o.Refused)
	}
	if o.Refused != 0 {
		var r struct{ Error, Message string }
		if json.Unmarshal(o.Reply, &r) != nil || r.Error != Code(o.Refused).Name() || !strings.Contains(r.Message, ": ") {
			w.fatal("refused %d with %s", o.Refused, o.Reply)
		}
	}
	if len(o.Reply) > 0 && !json.Valid(o.Reply) || len(o.Reply) > app.MaxReply {
		w.fatal("%s: %s is answered %s", c.Channel, c.Body, o.Reply)
	}
	if len(o.Events) > app.MaxEvents || len(o.Sends) > app.MaxSends || len(o.Access) > app.MaxAccess || len(o.Rows) > app.MaxRows {
		w.fatal("%s: the outcome of %s is too large", c.Channel, c.Body)
	}
	for _, e := range o.Events {
		if e.Class == channel.Logged && len(e.Body) == 0 || len(e.Body) > 0 && !json.Valid(e.Body) || (e.Class == channel.Logged) != (e.Key == "") {
			w.fatal("%s: %s made the record %+v %s", c.Channel, c.Body, e, e.Body)
		}
	}
	for _, r := range o.Rows {
		if r.Kind == "" || len(r.Key) > 128 || len(r.Terms) > 16 || r.Body != nil && !json.Valid(r.Body) {
			w.fatal("%s: %s made the row %+v", c.Channel, c.Body, r)
		}
		for _, t := range r.Terms {
			if len(t) > 128 {
				w.fatal("%s: the term %s is too long", c.Channel, t)
			}
		}
	}
	for _, s := range o.Sends {
		if _, err := channel.ParseName(string(s.Channel)); err != nil || !json.Valid(s.Body) || kindOf(s.Channel) == ofNobody && s.Channel != app.PresenceChannel || len(s.Body) > 8*MaxBody {
			w.fatal("%s sends %s to %s", c.Channel, s.Body, s.Channel)
		}
	}
	if !o.WakeAt.IsZero() && !o.WakeAt.After(c.Time) && !app.IsTimer(c) {
		// An overdue timer fires at once; one that is overdue after its own firing would do so for ever.
		return
	}
	if app.IsTimer(c) && !o.WakeAt.IsZero() && !o.WakeAt.After(c.Time) {
		w.fatal("%s: the timer at %s is set to %s", c.Channel, c.Time, o.WakeAt)
	}
}

// ask has a user command a channel, and delivers everything that follows from it.
func (w *world) ask(user string, n channel.Name, body string) app.Outcome {
	w.t.Helper()
	w.said = nil
	o := w.one(channel.Command{Channel: n, User: user, Body: []byte(body)})
	w.deliver()
	return o
}

func (w *world) deliver() {
	w.t.Helper()
	for len(w.sends) > 0 {
		s := w.sends[0]
		w.sends = w.sends[1:]
		if b := string(s.Body); s.Channel == app.PresenceChannel {
			w.doubts = append(w.doubts, fmt.Sprint(field(b, "channel"), " ", field(b, "user"), " ", field(b, "here")))
			continue
		}
		w.one(s)
	}
}

// pass lets time go by, with the timers that come due.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for {
		var next channel.Name
		for n, at := range w.wakes {
			if !at.IsZero() && !at.After(end) && (next == "" || at.Before(w.wakes[next]) || at.Equal(w.wakes[next]) && n < next) {
				next = n
			}
		}
		if next == "" {
			break
		}
		if at := w.wakes[next]; at.After(w.now) {
			w.now = at
		}
		w.wakes[next] = time.Time{}
		w.one(channel.Command{Channel: next, User: app.UserOf(next)})
		w.deliver()
	}
	w.now = end
}

// outage is time in which the service can do nothing: timers wait, and every machine is told with its next command.
func (w *world) outage(d time.Duration) {
	w.now = w.now.Add(d)
	for n := range w.machines {
		w.lost[n] += d
	}
}

// here tells a channel of presence.
func (w *world) here(user string, n channel.Name, here bool) {
	w.t.Helper()
	w.ask(app.PresenceUser, n, fmt.Sprintf(`{"here":%v,"user":%q}`, here, user))
}

// must demands that a command is accepted, or refused with a code.
func (w *world) must(code Code, user string, n channel.Name, body string) app.Outcome {
	w.t.Helper()
	o := w.ask(user, n, body)
	if Code(o.Refused) != code {
		w.fatal("%s: %s %s: refused with %d (%s), want %d (%s)", n, user, body, o.Refused, o.Reply, code, code.Name())
	}
	return o
}

// replay runs what was accepted on new machines, one of them brought back from a snapshot half way, and demands the same
// bytes.
func (w *world) replay() {
	w.t.Helper()
	for n, cs := range w.done {
		m := Service().New(n)
		for i, c := range cs {
			if i == len(cs)/2 {
				s := m.Snapshot(nil)
				back, err := Service().Restore(n, s)
				if err != nil || !bytes.Equal(back.Snapshot(nil), s) {
					w.fatal("%s does not come back from its snapshot: %v", n, err)
				}
				m = back
			}
			m.Apply(c)
		}
		if !bytes.Equal(m.Snapshot(nil), w.machines[n].Snapshot(nil)) {
			w.fatal("%s: a replay ends elsewhere", n)
		}
	}
}

// field is a value within a JSON text, by its path.
func field(text string, path ...string) any {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return nil
	}
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// last is the newest logged record of a type, as JSON; "" if there is none.
func (w *world) last(n channel.Name, kind string) string {
	for i := len(w.logs[n]) - 1; i >= 0; i-- {
		if b := string(w.logs[n][i].Body); field(b, "type") == kind {
			return b
		}
	}
	return ""
}

// total counts the logged records of a type.
func (w *world) total(n channel.Name, kind string) (count int) {
	for _, r := range w.logs[n] {
		if field(string(r.Body), "type") == kind {
			count++
		}
	}
	return count
}

// match has ann, white, play bob: a challenge with these fields that he accepts. It is the game's channel.
func (w *world) match(fields string) channel.Name {
	w.t.Helper()
	w.must(0, "ann", Player("ann"), `{"type":"challenge","user":"bob","color":"white",`+fields+`}`)
	id := field(w.last(Player("bob"), "challenge"), "challenge")
	w.must(0, "bob", Player("bob"), fmt.Sprintf(`{"type":"accept","challenge":%q}`, id))
	n, _ := field(w.last(Player("ann"), "game"), "game").(string)
	if n == "" {
		w.fatal("no game was begun")
	}
	return channel.Name(n)
}

// game is the machine of a game.
func (w *world) game(n channel.Name) *game {
	g, ok := w.machine(n).(*game)
	if !ok {
		w.fatal("%s is no game", n)
	}
	return g
}

// play has the sides move in turn, each at once.
func (w *world) play(n channel.Name, moves ...string) {
	w.t.Helper()
	for _, m := range moves {
		w.move(n, m, 0)
	}
}

// move has the side on turn move.
func (w *world) move(n channel.Name, uci string, lag int) app.Outcome {
	w.t.Helper()
	g := w.game(n)
	if g.play == nil {
		w.fatal("%s before %s: the game is over: %s", n, uci, g.reason)
	}
	return w.must(0, g.agreed.players[g.turn()].User, n, fmt.Sprintf(`{"type":"move","ply":%d,"uci":%q,"lag":%d}`, g.play.Ply(), uci, lag))
}
