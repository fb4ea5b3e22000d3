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
			j.shards[i].sweep(now.UnixMilli(), &j.budget)
		}
	}
}

func (s *shard) sweep(nowMS int64, b *budget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := s.end.older; l != &s.end; l = l.older {
		if l.tail == nil {
			continue
		}
		// The age is that of the policy when the log was last touched: policies belong to another package.
		l.trim(channel.Keep{Age: l.age}, nowMS)
		if l.tail != nil {
			l.tail.shrink()
		}
	}
	s.settle(b, nil)
}
