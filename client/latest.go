package client

import (
	"cmp"
	"maps"
	"slices"

	"carillon/channel"
	"carillon/wire"
)

// identity is what a Latest record replaces.
type identity struct{ user, key string }

// values are the Latest records of a channel, as far as the server told of them, and those of which the reader does not
// know yet: the newest of each entry, however many there were. All of it is guarded by Client.mu.
type values struct {
	held    map[identity]Record
	pending map[identity]Record // a deletion has no body
	order   []identity          // of pending, the longest waiting first
	turn    bool                // the reader's last event was one of these
}

// Latest is the table of the channel: the newest Latest record of each user and key, by ascending Rev. It may be ahead of
// what Next gave: Next tells of every entry that changed, once for all changes it was too slow for; without a Body it was
// deleted. Latest records have no position, and no order against Logged ones.
func (s *Subscription) Latest() []Record {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.values.held), func(a, b Record) int { return cmp.Compare(a.Rev, b.Rev) })
}

// set takes one entry.
func (v *values) set(r Record) {
	id := identity{r.From, r.Key}
	if old, known := v.held[id]; known && old.Rev >= r.Rev {
		return
	}
	if v.held == nil {
		v.held = make(map[identity]Record)
	}
	if len(r.Body) == 0 {
		delete(v.held, id)
	} else {
		v.held[id] = r
	}
	v.tell(id, r)
}

// replace takes a whole table: what it lacks was deleted.
func (v *values) replace(n channel.Name, rs []Record) {
	old := v.held
	v.held = make(map[identity]Record, len(rs))
	for _, r := range rs {
		id := identity{r.From, r.Key}
		was, known := old[id]
		delete(old, id)
		if len(r.Body) == 0 {
			if known {
				v.tell(id, r)
			}
			continue
		}
		v.held[id] = r
		if !known || !equal(was, r) {
			v.tell(id, r)
		}
	}
	for id, was := range old {
		v.tell(id, Record{Channel: n, Class: channel.Latest, From: id.user, Key: id.key, Rev: was.Rev, Time: was.Time})
	}
}

func equal(a, b Record) bool {
	return a.Rev == b.Rev && a.Binary == b.Binary && a.Time.Equal(b.Time) && string(a.Body) == string(b.Body)
}

func (v *values) tell(id identity, r Record) {
	if v.pending == nil {
		v.pending = make(map[identity]Record)
	}
	if _, waits := v.pending[id]; !waits {
		v.order = append(v.order, id)
	}
	v.pending[id] = r
}

// pop takes what waits longest; the log and the table take turns where both have something.
func (v *values) pop(busy bool) (Event, bool) {
	if len(v.order) == 0 || busy && v.turn {
		v.turn = false
		return Event{}, false
	}
	v.turn = true
	r := v.pending[v.order[0]]
	delete(v.pending, v.order[0])
	if v.order = v.order[1:]; len(v.order) == 0 {
		v.pending, v.order = nil, nil // an idle subscription holds no buffer
	}
	return Event{Record: r}, true
}

// latest takes an entry, or a whole table, while the channel is followed.
func (s *Subscription) latest(m *wire.Message) {
	if !s.follow.subscribed() {
		return
	}
	if m.Type == wire.MsgLatest {
		s.values.replace(s.name, m.Table.Records)
	} else {
		s.values.set(m.Record)
	}
	if len(s.values.order) > 0 {
		s.signal()
	}
}
