package worker

import (
	"context"
	"errors"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
)

// down tells whether the store fails now.
func (l *loop) down() bool {
	_, ok := l.out.lasts()
	return ok
}

// refusing tells whether it fails for long enough that nobody shall wait for it.
func (l *loop) refusing() bool {
	since, ok := l.out.lasts()
	return ok && (l.fails > 1 || l.w.o.Clock().Sub(since) >= blip)
}

// failed notes a failure of the store, met by what came at a moment.
func (l *loop) failed(came, now time.Time) {
	if came.IsZero() || came.After(now) {
		came = now
	}
	l.fails++
	l.out.begin(came)
}

// recovered notes that the store has taken something.
func (l *loop) recovered() {
	if l.fails > 1 {
		l.w.log.Info("the store takes commits again", "shard", l.shard.Number())
	}
	l.fails, l.pause = 0, 0
	l.out.end(l.w.o.Clock())
}

// turnAway answers a command without trying it.
func (l *loop) turnAway(it *item) {
	l.w.counts.turned.Add(1)
	if it.cmd.Age > 0 || it.attempt > 1 { // perhaps it was done before: nobody can tell
		l.answer(it, channel.Reply{}, journal.ErrUnconfirmed)
		return
	}
	l.answer(it, channel.Reply{}, bus.ErrUnavailable)
}

// turnAllAway answers what comes for a while.
func (l *loop) turnAllAway(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for ctx.Err() == nil {
		as, err := l.shard.Next(ctx, MaxBatch)
		if err != nil {
			<-ctx.Done() // also of one that was closed: there is nothing to do before
		}
		for i := range as {
			l.turnAway(&item{cmd: as[i].Command, ticket: as[i].Ticket, attempt: as[i].Attempt})
		}
		l.flush()
	}
}

// send gives what is prepared to the committer.
func (l *loop) send() {
	l.flight, l.next = l.next, &batch{}
	l.sent = time.Now()
	fault.Point("worker.applied")
	l.commits <- l.flight
}

// due is when the loop has something to look at without being told; zero: not at all.
func (l *loop) due() time.Time {
	switch {
	case !l.until.IsZero():
		return l.until
	case l.flight != nil && !l.refusing():
		return l.sent.Add(stalled)
	}
	return time.Time{}
}

// look notices a commit that takes too long: what is not in it does not wait for it.
func (l *loop) look() {
	if l.flight == nil || time.Since(l.sent) < stalled {
		return
	}
	now := l.w.o.Clock()
	if !l.down() {
		l.w.log.Warn("a commit takes long; commands are refused until it is over", "shard", l.shard.Number(), "changes", len(l.flight.changes))
	}
	l.out.begin(l.flight.came(now))
	if !l.refusing() {
		return
	}
	kept := l.waiting[:0]
	for _, it := range l.waiting {
		if it.timer || it.doubted {
			kept = append(kept, it)
			continue
		}
		l.turnAway(it)
	}
	clear(l.waiting[len(kept):])
	l.waiting = kept
}

// doubtStore has the store tried because another part of the shard could not reach it.
func (l *loop) doubtStore(now time.Time) {
	if !l.down() {
		l.out.begin(now)
	}
}

// came is when the first command of a batch was asked.
func (b *batch) came(now time.Time) time.Time {
	for _, it := range b.items {
		if it.came.Before(now) {
			now = it.came
		}
	}
	return now
}

// storeFails tells an error that is the store's from one that a change has brought about.
func storeFails(b *batch) bool {
	return len(b.changes) == 0 || errors.Is(b.err, journal.ErrUnconfirmed) || errors.Is(b.err, journal.ErrFull) ||
		errors.Is(b.err, journal.ErrBusy) || errors.Is(b.err, bus.ErrUnavailable)
}
