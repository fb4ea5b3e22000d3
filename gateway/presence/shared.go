package presence

import (
	"context"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// Where several nodes share a roster, whoever changed who is in a channel writes its value, if somebody watches it on
// whichever node: the roster keeps marks of that. Two nodes may write at once, the later of them what it read earlier. So
// whoever wrote looks once more: if the channel has another version than the one that was read, it reads and writes again.
// The last writer thus leaves what is true, and whoever changes that later writes later. Nodes that watch compare versions
// now and then besides: a node may die between a change and its writing, and Redis may lose both.
const (
	verifyEvery = 10 * time.Second
	verifyMost  = 512     // channels compared in a tick
	errandMost  = 1 << 14 // channels written for other nodes at a time; others are left to those who watch
	askTimeout  = 2 * time.Second
	askAgain    = time.Second // after the roster could not be asked
)

// sharing is what a Keeper does for several nodes. Keeper.mu guards all but the last fields.
type sharing struct {
	doubtful []*watch       // written, and to be compared
	retired  []channel.Name // deleted, and perhaps watched elsewhere again
	errands  int            // watches that are errands
	verify   bool           // all are to be compared at once
	verified time.Time      // when the last round began
	round    []*watch       // what is left of it; this and the next are of the Keeper's goroutine alone
	failed   time.Time      // when the roster last could not be asked; zero: it could
}

// Verify has every watched value compared with the roster soon: for when the line to other nodes was broken.
func (k *Keeper) Verify() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shared.verify = true
}

// errand begins a watch on behalf of other nodes, or returns nil; k.mu is held.
func (k *Keeper) errand(n channel.Name) *watch {
	if k.o.Shared == nil || k.closed || k.shared.errands >= errandMost {
		return nil
	}
	w := &watch{channel: n, errand: true}
	k.watched[n] = w
	k.shared.errands++
	return w
}

// turn tells whether a value may be written now: of several nodes that would, one does so in an interval, and what it reads
// is the others' news too. Whoever waits for a value here does not wait for that.
func (k *Keeper) turn(w *watch, stale bool) (mine bool, err error) {
	k.mu.Lock()
	urgent := len(w.waiting) > 0
	k.mu.Unlock()
	if k.o.Shared == nil || urgent {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	wait, err := k.o.Shared.Turn(ctx, w.channel, Interval)
	if err != nil || wait == 0 {
		return err == nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w.rests, w.stale = time.Now().Add(wait), stale
	if !k.closed {
		k.queue(w)
	}
	return false, nil
}

// read asks who is in a channel. Of a Shared roster it makes sure before that changes from now on are told.
func (k *Keeper) read(w *watch) (v Value, version uint64, err error) {
	if k.o.Shared == nil {
		ms, count, err := k.o.Roster.Members(context.Background(), w.channel, "", Listed+1)
		return valueOf(ms, count), 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	if k.mu.Lock(); !w.marked && w.watchers > 0 {
		k.mu.Unlock()
		if _, err := k.o.Shared.Versions(ctx, []channel.Name{w.channel}, true); err != nil {
			return v, 0, err
		}
		k.mu.Lock()
		w.marked = true
	}
	k.mu.Unlock()
	ms, count, version, err := k.o.Shared.Look(ctx, w.channel, Listed+1)
	return valueOf(ms, count), version, err
}

// same tells whether a value is what was written last. Where others write too, the same content may have been replaced
// between, so it has to be of the same version.
func (k *Keeper) same(w *watch, v *Value, version uint64) bool {
	if k.o.Shared != nil {
		return version == w.version && v.equal(&w.value)
	}
	return v.equal(&w.value)
}

// doubt has a value compared that was written; k.mu is held.
func (k *Keeper) doubt(w *watch) {
	if k.o.Shared != nil && !k.closed {
		k.shared.doubtful = append(k.shared.doubtful, w)
	}
}

// retire deletes the value of a channel that nobody watches here any more, unless somebody does elsewhere.
func (k *Keeper) retire(w *watch) {
	if k.o.Shared != nil {
		if last, err := k.unwatch(w.channel); err != nil || !last {
			return
		}
	}
	k.o.Publish(record(w.channel, nil), func(err error) { // what stays behind is replaced by the next Watch
		if k.o.Shared == nil || err != nil {
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.shared.retired = append(k.shared.retired, w.channel)
	})
}

// unwatch takes the mark of a channel back; true if no other node has one.
func (k *Keeper) unwatch(n channel.Name) (last bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	last, err = k.o.Shared.Unwatch(ctx, n)
	k.reached(err)
	return last, err
}

// reached notes whether the roster could be asked. An outage is logged once.
func (k *Keeper) reached(err error) {
	switch {
	case err == nil:
		k.shared.failed = time.Time{}
		return
	case k.shared.failed.IsZero():
		k.o.Log.Error("presence: who is in a channel is not known; asking again", "error", err)
	}
	k.shared.failed = time.Now()
}

// confirm compares what was written, and now and then everything that is watched, with the roster.
func (k *Keeper) confirm(now time.Time) {
	if k.o.Shared == nil || !k.shared.failed.IsZero() && time.Since(k.shared.failed) < askAgain {
		return
	}
	k.mu.Lock()
	doubtful, retired := k.shared.doubtful, k.shared.retired
	k.shared.doubtful, k.shared.retired = nil, nil
	if k.shared.verify || now.Sub(k.shared.verified) >= verifyEvery {
		k.shared.verify, k.shared.verified = false, now
		k.shared.round = k.shared.round[:0]
		for _, w := range k.watched {
			if w.watchers > 0 {
				k.shared.round = append(k.shared.round, w)
			}
		}
	}
	k.mu.Unlock()
	for _, n := range retired {
		k.review(n)
	}
	if !k.compare(doubtful) {
		k.mu.Lock()
		k.shared.doubtful = append(k.shared.doubtful, doubtful...)
		k.mu.Unlock()
		return
	}
	some := k.shared.round[:min(verifyMost, len(k.shared.round))]
	if k.compare(some) {
		k.shared.round = k.shared.round[len(some):]
	}
}

// review looks after the value of a channel was deleted: somebody may have begun to watch elsewhere, and would miss it.
func (k *Keeper) review(n channel.Name) {
	k.mu.Lock()
	again := k.watched[n] != nil
	k.mu.Unlock()
	if again {
		return // it is written for whoever watches
	}
	switch last, err := k.unwatch(n); {
	case err != nil:
		k.mu.Lock()
		k.shared.retired = append(k.shared.retired, n)
		k.mu.Unlock()
	case !last:
		k.touch(bus.Member{Channel: n, Watched: true})
	}
}

// compare has those written again whose version is another now, and ends errands that are done. It marks those anew that
// somebody watches here.
func (k *Keeper) compare(ws []*watch) bool {
	here, there := make([]*watch, 0, len(ws)), []*watch(nil)
	k.mu.Lock()
	for _, w := range ws {
		if k.watched[w.channel] != w {
			continue
		}
		if w.watchers > 0 {
			here = append(here, w)
		} else {
			there = append(there, w)
		}
	}
	k.mu.Unlock()
	return k.compareAll(here, true) && k.compareAll(there, false)
}

func (k *Keeper) compareAll(ws []*watch, watched bool) bool {
	if len(ws) == 0 {
		return true
	}
	ns := make([]channel.Name, len(ws))
	for i, w := range ws {
		ns[i] = w.channel
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	versions, err := k.o.Shared.Versions(ctx, ns, watched)
	if k.reached(err); err != nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, w := range ws {
		switch {
		case versions[i] != w.version:
			k.queue(w)
		case w.errand && w.watchers == 0 && !w.queued && k.watched[w.channel] == w:
			if time.Since(w.written) < Interval {
				k.doubt(w) // not before it may be written again
				continue
			}
			delete(k.watched, w.channel)
			k.shared.errands--
		}
	}
	return true
}
