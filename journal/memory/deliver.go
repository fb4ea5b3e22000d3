package memory

import (
	"sync"
	"time"

	"carillon/channel"
	"carillon/observe"
)

const (
	// drainTurns is how often an appender goes back for the results of others before the relay takes over: its own
	// caller has a socket to read.
	drainTurns = 4
	// carryBatch is how many records are carried in one call.
	carryBatch = 256
	// spareRoom is the largest buffer of results that is kept for reuse, in results.
	spareRoom = 1024
)

// result is the outcome of one Append on its way to carry and done.
type result struct {
	record channel.Record   // to carry, if fresh
	table  []channel.Record // to carry: Latest records, and deletions of such
	fresh  bool
	at     channel.Position
	err    error
	done   func(channel.Position, error)
}

// news is how many records a result has to carry.
func (r *result) news() int {
	if r.fresh {
		return 1 + len(r.table)
	}
	return len(r.table)
}

// unasked is the done of what nobody asked for.
func unasked(channel.Position, error) {}

// waiting holds results of a log while somebody hands out earlier ones; at most maxWaiting.
type waiting struct{ results []result }

// wait queues a result behind those being handed out. The shard's mu is held.
func (j *Journal) wait(l *log, r result) {
	if l.waiting == nil {
		l.waiting, _ = j.spare.Get().(*waiting)
	}
	if l.waiting == nil {
		l.waiting = new(waiting)
	}
	l.waiting.results = append(l.waiting.results, r)
}

// announce has deletions carried that nobody asked for, in their turn. The shard's mu is held, and it is not closed.
func (j *Journal) announce(s *shard, l *log, rs []channel.Record) {
	if len(rs) == 0 {
		return
	}
	j.wait(l, result{table: rs, done: unasked})
	if !l.busy {
		l.busy = true
		j.active.Add(1)
		j.relay.push(s, l)
		s.late = true
	}
}

// help hands out what waits for the relay: who makes logs go faster than they can be let go does it himself.
func (j *Journal) help() {
	for _, one := range j.relay.take() {
		j.drain(one.s, one.l, drainTurns)
	}
}

// drain hands out what gathered while the caller handed out; the caller has made the log busy. When turns are over
// and there is still more, the relay goes on.
func (j *Journal) drain(s *shard, l *log, turns int) {
	for range turns {
		s.mu.Lock()
		w := l.waiting
		l.waiting = nil
		if w == nil {
			l.busy = false
			s.mu.Unlock()
			j.active.Done()
			return
		}
		s.mu.Unlock()
		j.deliver(w.results)
		if cap(w.results) <= spareRoom {
			clear(w.results)
			w.results = w.results[:0]
			j.spare.Put(w)
		}
	}
	j.relay.push(s, l)
}

func (j *Journal) deliverOne(r *result) {
	began := j.moment()
	if r.fresh {
		j.carry([]channel.Record{r.record})
	}
	if len(r.table) > 0 {
		j.carry(r.table)
	}
	r.done(r.at, r.err)
	j.measure(began, r.news())
}

// moment is when the handing out of results begins, if that is measured.
func (j *Journal) moment() time.Time {
	if j.commits == nil && j.batches == nil {
		return time.Time{}
	}
	return observe.Moment()
}

func (j *Journal) measure(began time.Time, fresh int) {
	if !began.IsZero() && fresh > 0 {
		j.commits.Since(began)
		j.batches.Record(fresh)
	}
}

// deliver carries and answers in batches, in order. Whoever receives a batch may keep it, so it is never reused.
func (j *Journal) deliver(rs []result) {
	for len(rs) > 0 {
		batch := rs[:min(len(rs), carryBatch)]
		rs = rs[len(batch):]
		began := j.moment()
		fresh := 0
		for i := range batch {
			fresh += batch[i].news()
		}
		if fresh > 0 {
			records := make([]channel.Record, 0, fresh)
			for i := range batch {
				if batch[i].fresh {
					records = append(records, batch[i].record)
				}
				records = append(records, batch[i].table...)
			}
			j.carry(records)
		}
		for i := range batch {
			batch[i].done(batch[i].at, batch[i].err)
		}
		j.measure(began, fresh)
	}
}

// relay is the goroutine that goes on handing out where an appender gave up. A log is in it at most once.
type relay struct {
	mu   sync.Mutex
	logs []relayed
	wake chan struct{}
}

type relayed struct {
	s *shard
	l *log
}

func (r *relay) push(s *shard, l *log) {
	r.mu.Lock()
	r.logs = append(r.logs, relayed{s, l})
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *relay) take() []relayed {
	r.mu.Lock()
	defer r.mu.Unlock()
	logs := r.logs
	r.logs = nil
	return logs
}

func (j *Journal) runRelay() {
	defer j.stopped.Done()
	for {
		select {
		case <-j.relay.wake:
		case <-j.stop:
			return
		}
		j.help()
	}
}
