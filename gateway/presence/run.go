package presence

import (
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/observe"
)

// run is the Keeper's goroutine: it alone ends stays and writes values, so that those of one channel follow each other
// in the order in which they were true.
func (k *Keeper) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var p pace
	for {
		select {
		case <-k.stop:
			return
		case <-k.wake:
			k.flush(k.due(time.Now(), true, 0, ""))
		case now := <-ticker.C:
			every, why := p.next(now, k.o.Strain)
			k.every.Store(int64(every))
			k.confirm(now)
			k.flush(k.due(now, false, every, why))
			k.sweep() // last: a roster forgets them only now, and what is read in the next tick is without them
		}
	}
}

// sweep ends the stay of those who were lost and did not come back.
func (k *Keeper) sweep() {
	err := k.o.Roster.Sweep(sweepMost, func(gone []bus.Member) {
		k.Heard(gone, false)
	})
	if err != nil {
		k.o.Log.Error("presence: who is gone was not found out", "error", err)
	}
}

// pace widens the interval while the node is short of breath.
type pace struct{ since time.Time }

func (p *pace) next(now time.Time, strain func() (bool, string)) (every time.Duration, why string) {
	short, why := strain()
	switch {
	case !short:
		p.since = time.Time{}
		return Interval, ""
	case p.since.IsZero():
		p.since = now
	case now.Sub(p.since) >= Patience:
		return VeryShort, why
	}
	return Short, why
}

// due takes those off the queue whose turn it is: at once where somebody waits for the value, otherwise an interval after
// the last. With first set, only those somebody waits for.
func (k *Keeper) due(now time.Time, first bool, every time.Duration, why string) (due []*watch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	rest := k.changed[:0]
	for _, w := range k.changed {
		age := now.Sub(w.written)
		ripe := len(w.waiting) > 0 || !first && age >= every && !now.Before(w.rests)
		if ripe && len(due) < updateMost {
			w.queued = false
			due = append(due, w)
			continue
		}
		if !first && age >= Interval && age < every && !w.held {
			w.held = true
			k.counts.Delayed.Add(1, observe.LabelDrop.Value(why))
		}
		rest = append(rest, w)
	}
	clear(k.changed[len(rest):])
	k.changed = rest
	return due
}

// flush writes values, or deletes those that nobody watches any more.
func (k *Keeper) flush(due []*watch) {
	var err error // of the roster: then it is asked no more in this flush
	for _, w := range due {
		k.mu.Lock()
		dead := k.watched[w.channel] != w // gone in an earlier flush
		unwatched := w.watchers == 0 && !w.errand
		if unwatched && !dead {
			delete(k.watched, w.channel)
		}
		stale := w.stale
		w.stale = false
		k.mu.Unlock()
		switch {
		case dead:
		case unwatched:
			k.retire(w)
		case err != nil:
			k.wrote(w, err)
		default:
			err = k.update(w, stale)
		}
	}
	if len(due) > 0 {
		k.reached(err)
	}
}

// update writes the value of a channel, unless it is the one that was written last. The error is that of the roster.
func (k *Keeper) update(w *watch, stale bool) error {
	if mine, err := k.turn(w, stale); err != nil {
		k.wrote(w, err)
		return err
	} else if !mine {
		return nil
	}
	v, version, err := k.read(w)
	if err != nil {
		k.wrote(w, err)
		return err
	}
	if !stale && k.same(w, &v, version) {
		k.mu.Lock()
		k.fold(w, 0)
		k.mu.Unlock()
		k.wrote(w, nil)
		return nil
	}
	w.value, w.version = v, version
	k.mu.Lock()
	k.fold(w, 1)
	w.written = time.Now()
	k.mu.Unlock()
	k.counts.Updates.Add(1)
	k.o.Publish(record(w.channel, v.body()), func(err error) {
		if err != nil {
			k.o.Log.Error("presence: a value was not written", "channel", string(w.channel), "error", err)
		}
		k.wrote(w, err)
	})
	return nil
}

// fold counts the changes that need no update of their own; k.mu is held.
func (k *Keeper) fold(w *watch, updates int) {
	if w.changes > updates {
		k.counts.Coalesced.Add(uint64(w.changes - updates))
	}
	w.changes, w.held = 0, false
}

// wrote lets those go on who wait for a value. One that was not written is tried again.
func (k *Keeper) wrote(w *watch, err error) {
	k.mu.Lock()
	waiting := w.waiting
	w.waiting = nil
	if err != nil && !k.closed {
		w.stale = true
		w.written = time.Now() // not before the next interval
		k.queue(w)
	}
	if err == nil {
		k.doubt(w)
	}
	k.mu.Unlock()
	for _, ready := range waiting {
		ready()
	}
}

// record is the write of a value; without a body it deletes.
func record(n channel.Name, body []byte) channel.Record {
	return channel.Record{Channel: n + "@" + Part, Class: channel.Latest, Key: Key, Body: body}
}
