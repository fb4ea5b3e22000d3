package memory

import (
	"sync"
	"sync/atomic"

	"carillon/channel"
)

// evictLook is how many of the longest untouched logs are looked at to find an empty one to forget.
const evictLook = 32

// shard is a part of the logs, in order of use.
type shard struct {
	mu     sync.Mutex
	closed bool
	logs   map[channel.Name]*log
	max    int
	bytes  int    // of bodies, and of the names in tables
	told   int    // of those, to the budget
	rev    uint64 // no Latest record of a forgotten log had a higher one
	late   bool   // deletions were announced that the next appender helps to hand out
	end    log    // sentinel of the ring of logs: end.older is the one used last, end.newer the longest untouched
}

func (s *shard) init(max int) {
	s.logs = make(map[channel.Name]*log)
	s.max = max
	s.end.older, s.end.newer = &s.end, &s.end
}

func (s *shard) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}

// log finds or begins the log of n and marks it as used. The shard's mu is held.
func (j *Journal) log(s *shard, n channel.Name) *log {
	l := s.logs[n]
	switch {
	case l == nil:
		if len(s.logs) >= s.max {
			j.forget(s)
		}
		l = newLog(n, s.rev)
		s.logs[l.name] = l
	case s.end.older == l:
		return l
	default:
		l.unlink()
	}
	l.older, l.newer = s.end.older, &s.end
	l.older.newer, s.end.older = l, l
	return l
}

func (l *log) unlink() {
	l.older.newer, l.newer.older = l.newer, l.older
}

// forget makes room for one log: it drops empty ones among the longest untouched, else the longest untouched. A log with
// results under way stays, or its next life could overtake them; so does one with a table, which is emptied first, so that
// everybody hears of it. So the bound may be passed by as many logs as are being written.
func (j *Journal) forget(s *shard) {
	var victim *log
	look := 0
	for l := s.end.newer; l != &s.end && look < evictLook; l = l.newer {
		look++
		switch {
		case l.busy:
		case l.tail == nil && l.table == nil:
			s.drop(l)
			if len(s.logs) < s.max {
				return
			}
		case victim == nil:
			victim = l
		}
	}
	switch {
	case victim == nil || s.closed:
	case victim.table != nil:
		j.announce(s, victim, victim.clear(j.epoch, &s.bytes))
	default:
		victim.empty()
		s.drop(victim)
	}
}

// drop forgets an empty log; its links stay.
func (s *shard) drop(l *log) {
	l.unlink()
	s.rev = max(s.rev, l.rev)
	delete(s.logs, l.name)
}

// settle tells the budget of all shards what has changed in this one. While that is exceeded it empties the longest
// untouched logs, as far as this shard holds more than its share, and then tables; spare is the one just written, nil for
// none. The shard's mu is held.
func (j *Journal) settle(s *shard, spare *log) {
	b := &j.budget
	all := b.spent.Add(int64(s.bytes - s.told))
	s.told = s.bytes
	if all <= b.most {
		return
	}
	for l := s.end.newer; s.bytes > b.share && l != &s.end; l = l.newer {
		if l.tail != nil && l != spare {
			l.empty()
		}
	}
	for l := s.end.newer; s.bytes > b.share && l != &s.end && !s.closed; l = l.newer {
		if l.table != nil && l != spare {
			j.announce(s, l, l.clear(j.epoch, &s.bytes))
		}
	}
	b.spent.Add(int64(s.bytes - s.told))
	s.told = s.bytes
}

// budget bounds what all shards hold together, in bytes.
type budget struct {
	most  int64
	share int // of a shard
	spent atomic.Int64
}
