package worker

import (
	"slices"
	"sync"
	"time"
)

const (
	maxOutages = 64                     // of a shard that are remembered; beyond it the two that lie closest become one
	blip       = 500 * time.Millisecond // an outage that lasts longer, or a second failure, has commands refused at once
	stalled    = 800 * time.Millisecond // a commit or a read that takes longer is one
	maxHand    = 800 * time.Millisecond // a command for which the store fails is not tried again after so long
	maxWaited  = time.Minute            // the longest stay on a desk that is believed
)

// span is a time between two moments.
type span struct{ from, to time.Time }

// outages are the times in which a shard could do nothing, by the worker's clock: in order, and apart. They outlive the
// loop that met them, for as long as the worker lives.
type outages struct {
	mu    sync.Mutex
	spans []span
	since time.Time // when the one began that lasts; zero: there is none
}

// add notes an outage that is over.
func (o *outages) add(from, to time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(span{from, to})
}

// missed notes that this process did nothing for a time, whatever the shard.
func (w *Worker) missed(from, to time.Time) {
	for i := range w.outages {
		w.outages[i].add(from, to)
	}
}

// put merges a span with those it touches; mu is held.
func (o *outages) put(s span) {
	s.from, s.to = s.from.Round(0), s.to.Round(0) // by the clock that shows the time: stamps are of that one
	if !s.to.After(s.from) {
		return
	}
	i, _ := slices.BinarySearchFunc(o.spans, s, func(a, b span) int { return a.to.Compare(b.from) })
	j := i
	for ; j < len(o.spans) && !o.spans[j].from.After(s.to); j++ {
		if o.spans[j].from.Before(s.from) {
			s.from = o.spans[j].from
		}
		if o.spans[j].to.After(s.to) {
			s.to = o.spans[j].to
		}
	}
	o.spans = slices.Replace(o.spans, i, j, s)
	if len(o.spans) <= maxOutages {
		return
	}
	closest := 0
	for i := 1; i+1 < len(o.spans); i++ {
		if o.gap(i) < o.gap(closest) {
			closest = i
		}
	}
	o.spans[closest].to = o.spans[closest+1].to
	o.spans = slices.Delete(o.spans, closest+1, closest+2)
}

// gap is the time between an outage and the next.
func (o *outages) gap(i int) time.Duration { return o.spans[i+1].from.Sub(o.spans[i].to) }

// begin notes that an outage lasts since a moment; of several the earliest counts.
func (o *outages) begin(since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() || since.Before(o.since) {
		o.since = since
	}
}

// end notes that it is over.
func (o *outages) end(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		o.put(span{o.since, now})
		o.since = time.Time{}
	}
}

// lasts tells since when an outage lasts, if one does.
func (o *outages) lasts() (since time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since, !o.since.IsZero()
}

// lost is how much of the time between two moments fell into outages, or into one that the channel had for itself; in
// whole milliseconds.
func (o *outages) lost(from, to time.Time, own span) (d time.Duration) {
	if from.IsZero() || !to.After(from) {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.spans); o.since.IsZero() && own.from.IsZero() && (n == 0 || !o.spans[n-1].to.After(from)) {
		return 0
	}
	all := outages{spans: slices.Clone(o.spans)}
	if !own.from.IsZero() {
		if own.to.IsZero() {
			own.to = to
		}
		all.put(own)
	}
	if !o.since.IsZero() {
		all.put(span{o.since, to})
	}
	for i := len(all.spans) - 1; i >= 0 && all.spans[i].to.After(from); i-- {
		s := all.spans[i]
		if s.from.Before(from) {
			s.from = from
		}
		if s.to.After(to) {
			s.to = to
		}
		if s.to.After(s.from) {
			d += s.to.Sub(s.from)
		}
	}
	return min((d + time.Millisecond - 1).Truncate(time.Millisecond), to.Sub(from).Truncate(time.Millisecond))
}
