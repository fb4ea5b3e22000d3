package worker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channel"
)

const (
	maxTroubles = 1024 // channels whose failures are remembered; beyond it the oldest is forgotten
	maxBlamed   = 64   // commands of such a channel; beyond it all are forgotten
	healed      = 10 * time.Minute
)

// key names a command for ever: that is how a resend is known.
type key struct {
	channel  channel.Name
	user, id string
}

func keyOf(c *channel.Command) key { return key{c.Channel, c.User, c.ID} }

// Stopped is a channel that takes no commands for now.
type Stopped struct {
	Channel channel.Name
	Why     string
	Until   time.Time // zero: until Restart
}

// troubles remembers which channels failed, and on which commands: it outlives the loops.
type troubles struct {
	reload time.Duration
	any    atomic.Bool // there is one: without, nobody needs the lock

	mu  sync.Mutex
	all map[channel.Name]*trouble
}

type trouble struct {
	why    string
	stops  int
	until  time.Time
	last   time.Time
	down   span        // when it was stopped, until it took a step again; zero: all that is told
	blamed map[key]int // attempts that failed
}

// of gives the trouble of a channel, made anew where the last is long ago; mu is held.
func (ts *troubles) of(n channel.Name, now time.Time) *trouble {
	t := ts.all[n]
	if t == nil || t.stops <= maxReloads && now.Sub(t.last) > healed {
		if len(ts.all) >= maxTroubles {
			ts.forgetOldest()
		}
		t = &trouble{blamed: make(map[key]int)}
		if ts.all == nil {
			ts.all = make(map[channel.Name]*trouble)
		}
		ts.all[n] = t
		ts.any.Store(true)
	}
	t.last = now
	return t
}

func (ts *troubles) forgetOldest() {
	var oldest channel.Name
	for n, t := range ts.all {
		if o := ts.all[oldest]; o == nil || t.last.Before(o.last) {
			oldest = n
		}
	}
	delete(ts.all, oldest)
}

// halt stops a channel and tells for how long; ok is false once it waits for an operator.
func (ts *troubles) halt(n channel.Name, why string, now time.Time) (d time.Duration, ok bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.of(n, now)
	t.why, t.stops = why, t.stops+1
	if t.down.from.IsZero() {
		t.down.from = now
	}
	t.down.to = time.Time{}
	t.until = now.Add(ts.reload)
	return ts.reload, t.stops <= maxReloads
}

// blame notes that a command failed.
func (ts *troubles) blame(k key, now time.Time) {
	if k.id == "" {
		return // it will not come again as the same
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.of(k.channel, now)
	if len(t.blamed) >= maxBlamed {
		clear(t.blamed)
	}
	t.blamed[k]++
}

// attempts is how often a command failed.
func (ts *troubles) attempts(k key) int {
	if !ts.any.Load() {
		return 0
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.all[k.channel]; t != nil {
		return t.blamed[k]
	}
	return 0
}

// stopped tells whether a channel is stopped, and for how long still; 0: until Restart.
func (ts *troubles) stopped(n channel.Name, now time.Time) (time.Duration, bool) {
	if !ts.any.Load() {
		return 0, false
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.all[n]
	switch {
	case t == nil || t.stops == 0:
		return 0, false
	case t.stops > maxReloads:
		return 0, true
	}
	left := t.until.Sub(now)
	return left, left > 0
}

// own is the time in which a channel was stopped, as far as no change has told its machine of it.
func (ts *troubles) own(n channel.Name) span {
	if !ts.any.Load() {
		return span{}
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.all[n]; t != nil {
		return t.down
	}
	return span{}
}

// recovered notes that a channel that was stopped takes steps again.
func (ts *troubles) recovered(n channel.Name, now time.Time) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.all[n]; t != nil && t.down.to.IsZero() {
		t.down.to = now
	}
}

// went notes that a change of a channel was committed: its machine has been told.
func (ts *troubles) went(n channel.Name) {
	if !ts.any.Load() {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.all[n]; t != nil && !t.down.to.IsZero() {
		t.down = span{}
	}
}

// clear lets a channel begin anew. How long it was stopped is not forgotten.
func (ts *troubles) clear(n channel.Name) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.all[n]
	if t != nil && !t.down.from.IsZero() {
		*t = trouble{last: t.last, down: t.down, blamed: make(map[key]int)}
		return
	}
	delete(ts.all, n)
	ts.any.Store(len(ts.all) > 0)
}

func (ts *troubles) list(now time.Time) (all []Stopped) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for n, t := range ts.all {
		switch {
		case t.stops > maxReloads:
			all = append(all, Stopped{Channel: n, Why: t.why})
		case t.stops > 0 && t.until.After(now):
			all = append(all, Stopped{Channel: n, Why: t.why, Until: t.until})
		}
	}
	return all
}

// failure is why a service cannot go on in a channel.
type failure struct {
	why   string
	stack []byte // of a panic
}

func (f *failure) Error() string { return f.why }

func broken(format string, args ...any) *failure { return &failure{why: fmt.Sprintf(format, args...)} }
