package node

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"carillon/app"
	"carillon/backbone"
	"carillon/bus"
	"carillon/bus/local"
	"carillon/channel"
)

const (
	maxDoubts = 8192                  // users in channels after whom machines ask; beyond it they ask again later
	doubtLast = local.DefaultDebounce // between two looks at who is missed: he may be on his way back
)

// doubts answers machines that ask whether somebody is where they believe him, see app.PresenceChannel. The roster knows:
// who is there is told at once, who is not there when it is looked again half a minute later is told to be gone.
type doubts struct {
	roster bus.Roster
	tell   func(m bus.Member, here bool)
	log    *slog.Logger
	wake   chan struct{}

	mu   sync.Mutex
	open map[toldKey]doubt
}

// doubt is what a machine believes.
type doubt struct {
	here  bool
	again bool      // it was looked once
	next  time.Time // when it is looked
}

// asking is the desk as the workers of services see it: what machines say of presence goes no further than this node.
type asking struct {
	bus.Desk
	doubts *doubts
}

// Ask implements bus.Desk.
func (a asking) Ask(c channel.Command, done func(channel.Reply, error)) {
	if c.Channel != app.PresenceChannel {
		a.Desk.Ask(c, done)
		return
	}
	done(channel.Reply{ID: c.ID}, a.doubts.ask(&c))
}

// ask notes what a machine believes. What cannot be read is passed over.
func (d *doubts) ask(c *channel.Command) error {
	var b struct {
		Channel channel.Name
		Here    *bool
		User    string
	}
	from, sent := app.SentBy(*c)
	if json.Unmarshal(c.Body, &b) != nil || b.Here == nil || b.User == "" || !sent || b.Channel.Namespace() != from.Namespace() {
		d.log.Warn("a machine asks of presence what cannot be answered", "from", c.User)
		return nil
	}
	k := toldKey{b.Channel, b.User}
	d.mu.Lock()
	defer d.mu.Unlock()
	old, known := d.open[k]
	switch {
	case known && old.here == *b.Here:
		return nil
	case !known && len(d.open) >= maxDoubts:
		return bus.ErrBusy
	}
	d.open[k] = doubt{here: *b.Here, next: time.Now()}
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return nil
}

// run looks, until halt.
func (d *doubts) run(halt <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-halt:
			return
		case <-d.wake:
		case <-timer.C:
		}
		due, next := d.due(time.Now())
		for k, one := range due {
			select {
			case <-halt:
				return
			default:
				d.look(ctx, k, one)
			}
		}
		if len(due) > 0 { // looking may have left something to be looked at again
			_, next = d.due(time.Now())
		}
		if !next.IsZero() {
			timer.Reset(max(time.Until(next), 0))
		}
	}
}

// due gives the doubts whose time has come, and when that of the next one does; zero: there is none.
func (d *doubts) due(now time.Time) (due map[toldKey]doubt, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, one := range d.open {
		switch {
		case now.Before(one.next):
			if next.IsZero() || one.next.Before(next) {
				next = one.next
			}
		case due == nil:
			due = map[toldKey]doubt{k: one}
		default:
			due[k] = one
		}
	}
	return due, next
}

// look settles a doubt, or has it looked at once more.
func (d *doubts) look(ctx context.Context, k toldKey, one doubt) {
	ctx, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	here, err := isIn(ctx, d.roster, k)
	d.mu.Lock()
	if now, known := d.open[k]; !known || now != one {
		d.mu.Unlock()
		return // the machine believes something else since
	}
	wait := err == nil && one.here && !here && !one.again
	if wait {
		d.open[k] = doubt{here: one.here, again: true, next: time.Now().Add(doubtLast)}
	} else {
		delete(d.open, k)
	}
	d.mu.Unlock()
	switch {
	case err != nil: // the machine asks again
		d.log.Debug("nobody can say who is there", "channel", k.channel, "error", err)
	case !wait && here != one.here:
		d.tell(bus.Member{Channel: k.channel, User: k.user}, here)
	}
}

// isIn tells whether a user is in a channel: he is the next one after the text before his id.
func isIn(ctx context.Context, r bus.Roster, k toldKey) (bool, error) {
	last := len(k.user) - 1
	before := k.user[:last] + string([]byte{k.user[last] - 1, 0xff})
	ms, _, err := r.Members(ctx, k.channel, before, 1)
	return len(ms) == 1 && ms[0].User == k.user, err
}
