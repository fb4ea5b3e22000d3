package worker

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"carillon/app"
	"carillon/channel"
	"carillon/journal"
)

// resident is a machine in memory. It may be ahead of what is committed.
type resident struct {
	name    channel.Name
	machine app.Machine
	version journal.Version  // after all that was applied
	offset  uint64           // of the head after all that was applied
	head    channel.Position // committed
	time    time.Time        // of the last command
	changed time.Time        // of the last one that changed it
	wakeAt  time.Time        // of the timer that version armed; zero: none
	since   int              // commands after the last snapshot
	size    int              // bytes of a snapshot, when it was last measured
	pending int              // changes and questions that are applied and not committed
	used    time.Time
	newer   *resident // in order of use
	older   *resident
}

// begin makes the machine that a snapshot holds, or a new one. Whatever the service does wrong is a *failure.
func begin(s app.Service, n channel.Name, st *journal.State) (m app.Machine, err error) {
	defer catch(&err)
	if st.Snapshot == nil && st.At == 0 {
		return s.New(n), nil
	}
	m, e := s.Restore(n, st.Snapshot)
	if e != nil {
		return nil, broken("the snapshot at version %d cannot be restored: %v", st.At, e)
	}
	return m, nil
}

// catch makes a *failure of a panic.
func catch(err *error) {
	if p := recover(); p != nil {
		f := broken("panic: %v", p)
		f.stack = debug.Stack()
		*err = f
	}
}

// step applies a command and checks the outcome.
func step(m app.Machine, c channel.Command) (out app.Outcome, err error) {
	defer catch(&err)
	out = m.Apply(c)
	return out, check(&out)
}

// snapshot is never nil.
func snapshot(m app.Machine) (b []byte, err error) {
	defer catch(&err)
	if b = m.Snapshot(nil); b == nil {
		b = []byte{}
	}
	return b, nil
}

// check holds an outcome against its contract: what is broken here would be broken for ever in the log.
func check(o *app.Outcome) error {
	if o.Refused < 0 || o.Refused > 0 && o.ReadOnly {
		return broken("outcome has the refusal code %d, and is read-only: %v", o.Refused, o.ReadOnly)
	}
	if (o.Refused > 0 || o.ReadOnly) && (len(o.Events) > 0 || len(o.Sends) > 0 || len(o.Access) > 0 || len(o.Rows) > 0 || len(o.Erase) > 0 || !o.WakeAt.IsZero()) {
		return broken("outcome refuses or only reads, and yet changes something")
	}
	if len(o.Events) > app.MaxEvents || len(o.Sends) > app.MaxSends || len(o.Access) > app.MaxAccess || len(o.Rows) > app.MaxRows || len(o.Erase) > app.MaxErase || len(o.Reply) > app.MaxReply {
		return broken("outcome exceeds its bounds: %d events, %d sends, %d access, %d rows, %d erase, %d bytes of reply",
			len(o.Events), len(o.Sends), len(o.Access), len(o.Rows), len(o.Erase), len(o.Reply))
	}
	if len(o.Reply) > 0 && !text(o.Reply) {
		return broken("outcome has a reply that is no JSON text")
	}
	bytes := len(o.Reply)
	for i := range o.Events {
		e := &o.Events[i]
		bytes += len(e.Body)
		switch {
		case e.Class > channel.Fleeting:
			return broken("event %d has the class %d", i, e.Class)
		case e.Class == channel.Logged && len(e.Body) == 0:
			return broken("event %d is logged and has no body", i)
		case !e.Binary && len(e.Body) > 0 && !text(e.Body):
			return broken("event %d has a body that is no JSON text", i)
		}
	}
	for i := range o.Sends {
		s := &o.Sends[i]
		bytes += len(s.Body)
		if _, err := channel.ParseName(string(s.Channel)); err != nil || !s.Binary && len(s.Body) > 0 && !text(s.Body) {
			return broken("send %d to %q has no channel, or a body that is no JSON text", i, s.Channel)
		}
	}
	for i := range o.Rows {
		r := &o.Rows[i]
		bytes += len(r.Body)
		if why := checkRow(r); why != "" {
			return broken("row %d, %s %q, %s", i, r.Kind, r.Key, why)
		}
	}
	if bytes > app.MaxBytes {
		return broken("outcome has %d bytes of bodies, more than %d", bytes, app.MaxBytes)
	}
	return nil
}

// checkRow tells what is wrong with a row; "": nothing.
func checkRow(r *channel.Row) string {
	switch {
	case !isKind(r.Kind):
		return "has a kind that is not 1 to 32 of a-z 0-9 . -"
	case r.Key == "" || !word(r.Key):
		return "has a key that is not 1 to 128 bytes of text"
	case len(r.Terms) > channel.MaxTerms || slices.ContainsFunc(r.Terms, func(t string) bool { return t == "" || !word(t) }):
		return "has too many terms, or one that is not 1 to 128 bytes of text"
	case r.Body != nil && !text(r.Body):
		return "has a body that is no JSON text"
	}
	return ""
}

func isKind(s string) bool {
	return s != "" && len(s) <= channel.MaxKind && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// word tells text that any store can keep.
func word(s string) bool {
	return len(s) <= channel.MaxTerm && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

func text(b []byte) bool { return json.Valid(b) && utf8.Valid(b) }

// logged counts the events that take offsets.
func logged(events []channel.Record) (n uint64) {
	for i := range events {
		if events[i].Class == channel.Logged {
			n++
		}
	}
	return n
}

// again runs a command that was committed, and proves that it comes to the same records.
func again(m app.Machine, k *journal.Kept, head channel.Position) (channel.Position, app.Outcome, error) {
	out, err := step(m, k.Command)
	if err != nil {
		return head, out, err
	}
	if out.Refused > 0 || out.ReadOnly {
		return head, out, broken("version %d was a change, and run again it is none (code %d): the log was written by other rules than those of this program", k.Version, out.Refused)
	}
	for i := range out.Events {
		if out.Events[i].Class == channel.Logged {
			head = head.Next(out.Events[i].Body)
		}
	}
	if head != k.Head {
		return head, out, broken("version %d led to %v, and run again it leads to %v: the log was written by other rules than those of this program", k.Version, k.Head, head)
	}
	return head, out, nil
}

// load brings a machine back: its last snapshot, and the commands since, each proved by the tag it left behind.
// An error is a *failure where the service or the log is at fault, otherwise the store's.
func (w *Worker) load(ctx context.Context, n channel.Name) (*resident, error) {
	st, err := w.o.Stage.Load(ctx, n)
	if err != nil {
		return nil, err
	}
	w.counts.loads.Add(1)
	m, err := begin(w.o.Service, n, &st)
	if err != nil {
		return nil, err
	}
	head := st.Start
	for i := range st.Commands {
		if head, _, err = again(m, &st.Commands[i], head); err != nil {
			return nil, err
		}
	}
	w.counts.replayed.Add(uint64(len(st.Commands)))
	if head != st.Head {
		return nil, broken("the commands kept lead to %v, and the log ends at %v", head, st.Head)
	}
	return &resident{
		name: n, machine: m, version: st.Version, offset: st.Head.Offset, head: st.Head, time: st.Time, changed: st.Time, wakeAt: st.WakeAt,
		since: len(st.Commands), size: len(st.Snapshot),
	}, nil
}
