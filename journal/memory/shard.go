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
	bytes  int // of bodies
	told   int // of those, to the budget
	end    log // sentinel of the ring of logs: end.older is the one used last, end.newer the longest untouched
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

// log finds or begins the log of n and marks it as used.
func (s *shard) log(n channel.Name) *log {
	l := s.logs[n]
	switch {
	case l == nil:
		if len(s.logs) >= s.max {
			s.forget()
		}
		l = newLog(n)
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

// forget drops one log: an empty one among the longest untouched, else the longest untouched. A log with results under
// way stays, or its next life could overtake them; so the bound may be passed by as many logs as are being written.
func (s *shard) forget() {
	var victim *log
	look := 0
	for l := s.end.newer; l != &s.end && look < evictLook; l = l.newer {
		look++
		if l.busy {
			continue
		}
		if l.tail == nil {
			victim = l
			break
		}
		if victim == nil {
			victim = l
		}
	}
	if victim != nil {
		if victim.tail != nil {
			victim.empty()
		}
		victim.unlink()
		delete(s.logs, victim.name)
	}
}

// settle tells the budget of all shards what has changed in this one. While that is exceeded it empties the longest
// untouched logs, as far as this shard holds more than its share; spare is the one just written, nil for none.
func (s *shard) settle(b *budget, spare *log) {
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
	b.spent.Add(int64(s.bytes - s.told))
	s.told = s.bytes
}

// budget bounds the bodies of all shards together, in bytes.
type budget struct {
	most  int64
	share int // of a shard
	spent atomic.Int64
}
