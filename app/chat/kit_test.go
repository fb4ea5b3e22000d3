package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app"
	"carillon/channel"
)

// world runs machines as the runtime does: it stamps time and head, keeps logs, delivers sends and fires timers, and
// demands of every outcome what the contract does.
type world struct {
	t        testing.TB
	now      time.Time
	machines map[channel.Name]app.Machine
	logs     map[channel.Name][]channel.Record  // offset i+1 at i
	latest   map[channel.Name]map[string]string // of those that are not logged, the newest by key
	access   map[channel.Name]map[string]channel.Rights
	wakes    map[channel.Name]time.Time
	done     map[channel.Name][]channel.Command // what was accepted, for a replay
	sends    []channel.Command
}

func newWorld(t testing.TB) *world {
	return &world{
		t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		machines: map[channel.Name]app.Machine{}, logs: map[channel.Name][]channel.Record{},
		latest: map[channel.Name]map[string]string{}, access: map[channel.Name]map[string]channel.Rights{},
		wakes: map[channel.Name]time.Time{}, done: map[channel.Name][]channel.Command{},
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
	c.Time, c.Head = w.now, uint64(len(w.logs[c.Channel]))
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
	w.done[c.Channel] = append(w.done[c.Channel], c)
	for _, at := range o.Erase {
		w.logs[c.Channel][at-1].Body = nil
	}
	for _, e := range o.Events {
		if e.Class == channel.Logged {
			if e.From == "" {
				e.From = c.User
			}
			w.logs[c.Channel] = append(w.logs[c.Channel], e)
		} else {
			if e.From != app.UserOf(c.Channel) {
				w.fatal("%s: %s made an entry %q of a user, where another cannot replace it", c.Channel, c.Body, e.Key)
			}
			w.latest[c.Channel][e.Key] = string(e.Body)
		}
	}
	for _, a := range o.Access {
		w.access[c.Channel][a.User] = a.Rights
	}
	w.wakes[c.Channel] = o.WakeAt
	for _, s := range o.Sends {
		s.User = app.UserOf(c.Channel)
		w.sends = append(w.sends, s)
	}
	return o
}

// judge demands what the contract of an outcome demands.
func (w *world) judge(c channel.Command, o app.Outcome) {
	w.t.Helper()
	if (o.Refused != 0 || o.ReadOnly) && (o.Refused != 0 && o.ReadOnly || len(o.Events)+len(o.Sends)+len(o.Access)+len(o.Erase) > 0 || !o.WakeAt.IsZero()) {
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
	if len(o.Events) > app.MaxEvents || len(o.Sends) > app.MaxSends || len(o.Access) > app.MaxAccess || len(o.Erase) > app.MaxErase {
		w.fatal("%s: the outcome of %s is too large", c.Channel, c.Body)
	}
	for _, e := range o.Events {
		if e.Class == channel.Logged && !json.Valid(e.Body) || len(e.Body) > 0 && !json.Valid(e.Body) || (e.Class == channel.Logged) != (e.Key == "") {
			w.fatal("%s: %s made the record %+v", c.Channel, c.Body, e)
		}
	}
	for _, s := range o.Sends {
		if _, err := channel.ParseName(string(s.Channel)); err != nil || !json.Valid(s.Body) || kindOf(s.Channel) == ofNobody {
			w.fatal("%s sends %s to %s", c.Channel, s.Body, s.Channel)
		}
	}
	for i, at := range o.Erase {
		if at == 0 || at > c.Head || slices.Contains(o.Erase[:i], at) {
			w.fatal("%s erases %d at head %d", c.Channel, at, c.Head)
		}
	}
}

// ask has a user command a channel, and delivers everything that follows from it.
func (w *world) ask(user string, n channel.Name, body string) app.Outcome {
	w.t.Helper()
	o := w.one(channel.Command{Channel: n, User: user, Body: []byte(body)})
	w.deliver()
	return o
}

func (w *world) deliver() {
	w.t.Helper()
	for len(w.sends) > 0 {
		s := w.sends[0]
		w.sends = w.sends[1:]
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

// last is the body of the newest logged record.
func (w *world) last(n channel.Name) string {
	log := w.logs[n]
	if len(log) == 0 {
		return ""
	}
	return string(log[len(log)-1].Body)
}

// send is an accepted message, by its offset.
func (w *world) send(user string, n channel.Name, text string) uint64 {
	w.t.Helper()
	o := w.must(0, user, n, fmt.Sprintf(`{"do":"send","text":%q}`, text))
	var r struct{ N, At uint64 }
	if err := json.Unmarshal(o.Reply, &r); err != nil || r.At == 0 {
		w.fatal("sending is answered %s", o.Reply)
	}
	return r.At
}
