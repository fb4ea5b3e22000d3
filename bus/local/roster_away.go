package local

import (
	"time"

	"carillon/bus"
)

// awayQueue holds those whose last connection was lost, longest away first: the debounce is the same for all, so the
// order in which they come is the order in which they are due. It is linked through stay.prev and stay.next.
type awayQueue struct{ first, last *stay }

func (q *awayQueue) push(s *stay) {
	s.prev, s.next = q.last, nil
	if q.last == nil {
		q.first = s
	} else {
		q.last.next = s
	}
	q.last = s
}

// remove takes a stay out; one that is not in the queue stays as it is.
func (q *awayQueue) remove(s *stay) {
	switch {
	case s.prev != nil:
		s.prev.next = s.next
	case q.first == s:
		q.first = s.next
	default:
		return
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		q.last = s.prev
	}
	s.prev, s.next = nil, nil
}

// Sweep is bus.Roster's; it never fails. It looks at those who are due and at nobody else, beginning with another part
// of the channels at each call, so that none of them waits for ever.
func (r *Roster) Sweep(limit int, tell func([]bus.Member)) error {
	now := r.o.Clock()
	due := now.Add(-r.o.Debounce)
	call := r.sweeps.Add(1)
	for i := range uint64(shardCount) {
		if limit <= 0 {
			break
		}
		limit -= r.sweepShard(&r.shards[(call+i)%shardCount], call, due, limit, tell)
	}
	r.seen.forget(now.Add(-r.o.SeenFor))
	return nil
}

// sweepShard ends up to limit stays and counts them: marked first, told without a lock, and forgotten afterwards.
func (r *Roster) sweepShard(sh *rosterShard, call uint64, due time.Time, limit int, tell func([]bus.Member)) int {
	var gone []*stay
	var told []bus.Member
	sh.mu.Lock()
	for s := sh.away.first; s != nil && len(gone) < limit && !s.lost.After(due); s = sh.away.first {
		sh.away.remove(s)
		s.told = call
		gone, told = append(gone, s), append(told, s.member())
	}
	sh.mu.Unlock()
	if len(gone) == 0 {
		return 0
	}
	tell(told)
	sh.mu.Lock()
	ended := gone[:0]
	for _, s := range gone {
		if s.told == call { // else he came back while it was told
			r.end(sh, s)
			ended = append(ended, s)
		}
	}
	sh.mu.Unlock()
	for _, s := range ended {
		r.depart(s.channel, s.user, s.lost)
	}
	return len(told)
}
