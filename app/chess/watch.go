package chess

import (
	"encoding/json"
	"time"

	"carillon/app"
	"carillon/channel"
)

// watch shows a game later, to those who must not know more than the players.
type watch struct {
	name  channel.Name
	self  string
	delay int64 // milliseconds; 0: there is no such game
	held  []heldStep
	shown []byte // the last summary, as JSON
}

// heldStep is what the game told and is not shown yet.
type heldStep struct {
	due     int64
	summary []byte
	events  [][]byte
}

func newWatch(n channel.Name) *watch { return &watch{name: n, self: app.UserOf(n)} }

// Apply takes a step of the relay.
func (w *watch) Apply(c channel.Command) app.Outcome {
	now := c.Time.UnixMilli()
	from, sent := app.SentBy(c)
	switch {
	case app.IsTimer(c):
		o := w.show(now)
		o.WakeAt = w.wake()
		return o
	case c.User == app.PresenceUser:
		return answer(nil)
	case !sent:
		return w.ask(c)
	case from != Game(idOf(w.name)):
		return fromElsewhere()
	}
	m, no := readMessage(c)
	switch {
	case no != nil:
		return no.outcome()
	case m.Type != "relay" || m.Step == nil || m.Step.Delay <= 0:
		return refuse(BadRequest).outcome()
	case len(w.held) >= MaxHeld:
		return refuse(Full).outcome()
	}
	var o app.Outcome
	if w.delay == 0 {
		o.Access = []channel.Access{{Rights: channel.Read}}
	}
	w.delay = m.Step.Delay
	s := heldStep{due: now + w.delay, summary: m.Step.Summary}
	for _, e := range m.Step.Events {
		s.events = append(s.events, e)
	}
	w.held = append(w.held, s)
	o.WakeAt = w.wake()
	return o
}

func (w *watch) wake() time.Time {
	if len(w.held) == 0 {
		return time.Time{}
	}
	return moment(w.held[0].due)
}

// show lets out what is old enough, within the bounds of one step.
func (w *watch) show(now int64) (o app.Outcome) {
	n := 0
	var summary []byte
	for n < len(w.held) && w.held[n].due <= now && len(o.Events)+len(w.held[n].events) < app.MaxEvents {
		for _, e := range w.held[n].events {
			o.Events = append(o.Events, channel.Record{From: w.self, Body: e})
		}
		if s := w.held[n].summary; len(s) > 0 {
			summary = s
		}
		n++
	}
	w.held = append([]heldStep(nil), w.held[n:]...)
	if summary != nil {
		w.shown = summary
		o.Events = append(o.Events, channel.Record{Class: channel.Latest, Key: "summary", From: w.self, Body: summary})
	}
	return o
}

func (w *watch) ask(c channel.Command) app.Outcome {
	k, no := readCall(c)
	switch {
	case no != nil:
		return no.outcome()
	case w.delay == 0:
		return because(NoGame, "no game is shown here: games without a delay are followed on their own channel").outcome()
	case k.Type != "state":
		return refuse(UnknownCommand).outcome()
	}
	o := app.NewObject(64 + len(w.shown))
	if w.shown != nil {
		o = o.Raw("summary", json.RawMessage(w.shown))
	}
	return answer(o.Number("delay", w.delay/second).End())
}
