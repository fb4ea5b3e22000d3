package memory

import (
	"time"

	"carillon/channel"
)

// sweepEvery is how often idle logs are looked through for records past their age.
const sweepEvery = 10 * time.Second

// sweep gives back the memory of channels that nobody touches.
func (j *Journal) sweep() {
	defer j.stopped.Done()
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-j.stop:
			return
		}
		now := j.clock()
		j.ids.tick(now)
		for i := range j.shards {
			j.sweepShard(&j.shards[i], now)
		}
	}
}

func (j *Journal) sweepShard(s *shard, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := s.end.older; l != &s.end; l = l.older {
		if l.table != nil && !s.closed {
			j.announce(s, l, l.expire(j.epoch, now, &s.bytes))
		}
		if l.tail == nil {
			continue
		}
		// The age is that of the policy when the log was last touched: policies belong to another package.
		l.trim(channel.Keep{Age: l.age}, now.UnixMilli())
		if l.tail != nil {
			l.tail.shrink()
		}
	}
	j.settle(s, nil)
}
