package local

import (
	"container/list"
	"sync"
	"time"

	"carillon/bus"
)

// lastSeen remembers when users who are gone were last connected: a bounded number of them, of which the longest gone
// are forgotten first.
type lastSeen struct {
	mu    sync.Mutex
	most  int
	users map[string]*list.Element
	order *list.List // of *farewell, longest gone first
}

type farewell struct {
	user string
	at   time.Time
}

func (l *lastSeen) init(most int) {
	l.most, l.users, l.order = most, make(map[string]*list.Element), list.New()
}

// note remembers a user who went.
func (l *lastSeen) note(user string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.users[user]; e != nil {
		f := e.Value.(*farewell)
		if at.After(f.at) {
			f.at = at
		}
		l.order.MoveToBack(e)
		return
	}
	l.users[user] = l.order.PushBack(&farewell{user: user, at: at})
	if len(l.users) > l.most {
		l.drop(l.order.Front())
	}
}

// drop forgets an entry; l.mu is held.
func (l *lastSeen) drop(e *list.Element) {
	delete(l.users, e.Value.(*farewell).user)
	l.order.Remove(e)
}

// fill answers for those who are not connected; what is older than since is not told.
func (l *lastSeen) fill(all []bus.Seen, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range all {
		if all[i].Online {
			continue
		}
		if e := l.users[all[i].User]; e != nil {
			if at := e.Value.(*farewell).at; !at.Before(since) {
				all[i].Last = at
			}
		}
	}
}

// forget drops what is older than since.
func (l *lastSeen) forget(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.order.Front(); e != nil && e.Value.(*farewell).at.Before(since); e = l.order.Front() {
		l.drop(e)
	}
}
