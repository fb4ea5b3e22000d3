package redis

import (
	"context"
	"sync/atomic"
	"time"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

// counters are what happened to a Feed since it began.
type counters struct {
	carried, messages, received, dropped, fleeting, bad, reconnects, troubles atomic.Uint64

	owed atomic.Bool // records were dropped, and the nodes have not been told
}

// FeedStats are counts of a Feed since its start, and what it holds now.
type FeedStats struct {
	Carried    uint64 // records that Redis took
	Messages   uint64 // in so many messages
	Received   uint64 // records delivered here
	Dropped    uint64 // records carried no further, the fleeting ones apart
	Fleeting   uint64 // fleeting records carried no further
	Bad        uint64 // messages that were not as they should be
	Reconnects uint64 // lines lost, or not to be had
	Troubles   uint64 // times that Trouble told of something
	Joined     int    // channels
	Subscribed int    // subscriptions, those included that were left a moment ago
	Lines      int    // connections that carry subscriptions
	Whole      bool   // everything joined is subscribed
}

// Stats counts. It looks at every subscription: meant for a page of metrics, not for a hot path.
func (f *Feed) Stats() FeedStats {
	c := &f.count
	s := FeedStats{
		Carried: c.carried.Load(), Messages: c.messages.Load(), Received: c.received.Load(), Dropped: c.dropped.Load(),
		Fleeting: c.fleeting.Load(), Bad: c.bad.Load(), Reconnects: c.reconnects.Load(), Troubles: c.troubles.Load(),
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, sub := range f.subs {
		if sub.joined {
			s.Joined++
		}
		if f.confirmed(sub) {
			s.Subscribed++
		}
	}
	for _, l := range f.lines {
		if l.session != nil {
			s.Lines++
		}
	}
	s.Whole = f.whole()
	return s
}

// beat is the goroutine that sends a heartbeat through Redis to every line, and tells the nodes when records were dropped.
func (f *Feed) beat() {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	var told time.Time
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
		}
		var cmds rueidis.Commands
		f.mu.RLock()
		for _, l := range f.lines {
			if l.session != nil {
				cmds = append(cmds, f.command(l.session.beat.subject, nil))
			}
		}
		f.mu.RUnlock()
		owing := time.Since(told) >= alarmEvery && f.count.owed.Swap(false)
		if owing {
			cmds = append(cmds, f.command(f.lost, nil))
		}
		if len(cmds) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(f.ctx, backbone.CallTimeout)
		answers := f.b.Client().DoMulti(ctx, cmds...)
		cancel()
		if owing {
			if told = time.Now(); answers[len(answers)-1].Error() != nil {
				told = time.Time{}
				f.count.owed.Store(true)
			}
		}
	}
}
