package store

import (
	"strconv"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// systemPrefix begins the users as whom machines act, as package app says.
const systemPrefix = "@"

// SendRow is a row of sends.
type SendRow struct {
	Ticket  uint64
	Source  channel.Name
	Version int64 // of the source, that sent it
	Place   int64 // among the sends of that change
	Target  channel.Name
	Binary  bool
	Body    []byte
}

// Due is the command to be asked; its id follows from where it comes from, so that it is the same at every attempt.
func (r *SendRow) Due() journal.Due {
	return journal.Due{Ticket: r.Ticket, Source: r.Source, Command: channel.Command{
		Channel: r.Target, User: systemPrefix + string(r.Source), Binary: r.Binary, Body: r.Body,
		ID: strconv.FormatInt(r.Version, 10) + "." + strconv.FormatInt(r.Place, 10),
	}}
}

// TimerDue is the command of a timer that was armed by a version for a time (ns).
func TimerDue(n channel.Name, version, wake int64) journal.Due {
	return journal.Due{Armed: journal.Version(version), At: time.Unix(0, wake).UTC(), Source: n,
		Command: channel.Command{Channel: n, User: systemPrefix + string(n), ID: "timer." + strconv.FormatInt(version, 10)}}
}

// Agenda puts sends, at most max, and timers, at most max+1 by time, of which some may not be due yet, together as journal.Agenda's Due:
// where there is more of both than fits, they get half each.
func Agenda(sends, timers []journal.Due, now time.Time, max int) (due []journal.Due, next time.Time) {
	ready := 0
	for ready < len(timers) && ready < max && !timers[ready].At.After(now) {
		ready++
	}
	ready = min(ready, max-min(len(sends), (max+1)/2))
	if ready < len(timers) {
		next = timers[ready].At
	}
	sends = sends[:min(len(sends), max-ready)]
	return append(sends, timers[:ready]...), next
}
