package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"carillon/app"
	"carillon/bus"
	"carillon/channel"
)

// Bounds of telling machines of presence.
const (
	maxTold    = 8192                   // users in channels of whom a machine is being told; beyond it, it is not
	toldTries  = 30                     // of one telling: a quarter of an hour, for who came back while the store was away must not stay absent
	firstTell  = 250 * time.Millisecond // before it is tried again; doubles
	mostDouble = 7                      // times: 32 s
	toldBreath = 100 * time.Millisecond // between two looks at what is to be tried again
)

// doorman tells machines who comes and goes in their channels, where their service wants to know. Of a user in a channel the
// newest counts: an older telling that did not get through is given up for it.
type doorman struct {
	desk  bus.Desk
	wants map[string]bool // by namespace
	boot  string          // begins the ids of this node's tellings
	log   *slog.Logger
	wake  chan struct{}

	mu    sync.Mutex
	count uint64
	open  map[toldKey]*telling
	again int // of open: those that wait to be tried again
}

type toldKey struct {
	channel channel.Name
	user    string
}

// telling is a command on its way.
type telling struct {
	command channel.Command
	tries   int
	next    time.Time // when it is tried again; zero: it is asked
}

// openDoor begins to tell machines of presence; nil where no service wants to know.
func (n *Node) openDoor() func(bus.Member, bool) {
	d := &doorman{
		desk: n.hints.desk, wants: make(map[string]bool), boot: rand.Text(), log: n.log, wake: make(chan struct{}, 1), open: make(map[toldKey]*telling),
	}
	for _, s := range services() {
		if s.Presence && slices.Contains(n.o.Services, s.Name) {
			d.wants[s.Name] = true
		}
	}
	if len(d.wants) == 0 {
		return nil
	}
	n.tasks.Go(func() { d.run(n.halt) })
	n.presence.doubts = &doubts{
		roster: n.hints.roster, tell: d.tell, log: n.log, wake: make(chan struct{}, 1), open: make(map[toldKey]doubt),
	}
	n.tasks.Go(func() { n.presence.doubts.run(n.halt) })
	return d.tell
}

// tell has the machine of a channel told that a user is there now, or is not. It only enqueues.
func (d *doorman) tell(m bus.Member, here bool) {
	if !d.wants[m.Channel.Namespace()] {
		return
	}
	body, err := json.Marshal(struct {
		Here bool   `json:"here"`
		User string `json:"user"`
	}{here, m.User})
	if err != nil {
		return // a user id is text
	}
	k := toldKey{m.Channel, m.User}
	d.mu.Lock()
	if d.open[k] == nil && len(d.open) >= maxTold {
		d.mu.Unlock()
		d.log.Warn("a service is not told of presence: too much is on its way", "channel", m.Channel, "user", m.User)
		return
	}
	if old := d.open[k]; old != nil && !old.next.IsZero() {
		d.again--
	}
	d.count++
	one := &telling{command: channel.Command{
		ID: d.boot + "." + strconv.FormatUint(d.count, 36), Channel: m.Channel, User: app.PresenceUser, Body: body,
	}}
	d.open[k] = one
	d.mu.Unlock()
	d.ask(k, one)
}

func (d *doorman) ask(k toldKey, one *telling) {
	if one.tries > 0 {
		one.command.Age = 1 // it is not the first time
	}
	d.desk.Ask(one.command, func(_ channel.Reply, err error) { d.asked(k, one, err) })
}

// asked ends a telling, or has it tried again.
func (d *doorman) asked(k toldKey, one *telling, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[k] != one {
		return // there is news since
	}
	one.tries++
	if err == nil || one.tries >= toldTries || errors.Is(err, bus.ErrFailed) || errors.Is(err, bus.ErrClosed) {
		if err != nil && !errors.Is(err, bus.ErrClosed) {
			d.log.Warn("a service was not told of presence", "channel", k.channel, "user", k.user, "error", err)
		}
		delete(d.open, k)
		return
	}
	one.next = time.Now().Add(firstTell << min(one.tries-1, mostDouble))
	d.again++
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run tries again what did not get through, until halt.
func (d *doorman) run(halt <-chan struct{}) {
	breath := time.NewTicker(toldBreath)
	defer breath.Stop()
	for {
		select {
		case <-halt:
			return
		case <-d.wake:
		}
		for d.retry(time.Now()) {
			select {
			case <-halt:
				return
			case <-breath.C:
			}
		}
	}
}

// retry asks what is due once more, and tells whether there is more to come.
func (d *doorman) retry(now time.Time) bool {
	due := make(map[toldKey]*telling)
	d.mu.Lock()
	for k, one := range d.open {
		if !one.next.IsZero() && !now.Before(one.next) {
			one.next = time.Time{}
			d.again--
			due[k] = one
		}
	}
	more := d.again > 0
	d.mu.Unlock()
	for k, one := range due {
		d.ask(k, one)
	}
	return more
}
