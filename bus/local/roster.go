package local

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// Defaults of a Roster.
const (
	DefaultDebounce   = 30 * time.Second    // that a user stays after his line was lost
	DefaultMaxMembers = 1 << 20             // users in channels, each counted once a channel
	DefaultMaxSeen    = 100_000             // users whose last time is known after they left
	DefaultSeenFor    = 30 * 24 * time.Hour // that it is known
)

// ErrFull: as many users are in channels as the roster has room for. The user was not entered.
var ErrFull = errors.New("the roster is full")

// RosterOptions configure a Roster; the zero value of each field is its default.
type RosterOptions struct {
	Debounce   time.Duration // DefaultDebounce
	Clock      func() time.Time
	MaxMembers int
	MaxSeen    int
	SeenFor    time.Duration
}

// Roster is the bus.Roster of a single node. Use NewRoster. It has no goroutine and needs no Close; without calls of
// Sweep nobody who was lost ever leaves. Enter and Leave touch one entry, whatever the size of the channel; a list in
// the order of users is kept beside it for channels of which one was asked for.
type Roster struct {
	o      RosterOptions
	seed   maphash.Seed
	count  atomic.Int64 // users in channels
	sweeps atomic.Uint64
	shards [shardCount]rosterShard
	seen   lastSeen
}

var _ bus.Roster = (*Roster)(nil)

type rosterShard struct {
	mu     sync.Mutex
	places map[channel.Name]*place
	away   awayQueue
}

// place is a channel with somebody in it.
type place struct {
	stays map[string]*stay
	roll  *roll // nil until a list was asked for
}

// stay is one user in one channel.
type stay struct {
	place   *place
	channel channel.Name
	user    string
	since   time.Time
	conn    uint64              // one of his connections; 0: none is left, and he is in the queue of those who are away
	others  map[uint64]struct{} // further connections; nil for nearly everybody
	lost    time.Time           // when the last one went, if conn is 0
	told    uint64              // the call of Sweep that is telling that he is gone: whoever enters now enters anew

	prev, next *stay // in awayQueue
}

// NewRoster makes an empty Roster.
func NewRoster(o RosterOptions) *Roster {
	if o.Debounce <= 0 {
		o.Debounce = DefaultDebounce
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.MaxMembers <= 0 {
		o.MaxMembers = DefaultMaxMembers
	}
	if o.MaxSeen <= 0 {
		o.MaxSeen = DefaultMaxSeen
	}
	if o.SeenFor <= 0 {
		o.SeenFor = DefaultSeenFor
	}
	r := &Roster{o: o, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].places = make(map[channel.Name]*place)
	}
	r.seen.init(o.MaxSeen)
	return r
}

func (r *Roster) shard(n channel.Name) *rosterShard {
	return &r.shards[maphash.String(r.seed, string(n))%shardCount]
}

// Count is how many users are in channels, those included who are away; a user counts once for each channel, the
// channel "" among them.
func (r *Roster) Count() int { return int(r.count.Load()) }

// Enter is bus.Roster's. The error is ErrFull; Conn is not 0.
func (r *Roster) Enter(m bus.Member) (first bool, err error) {
	sh := r.shard(m.Channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	p := sh.places[m.Channel]
	if p != nil {
		if s := p.stays[m.User]; s != nil {
			return sh.again(s, m), nil
		}
	}
	if r.count.Add(1) > int64(r.o.MaxMembers) {
		r.count.Add(-1)
		return false, ErrFull
	}
	if p == nil {
		p = &place{stays: make(map[string]*stay)}
		sh.places[m.Channel] = p
	}
	s := &stay{place: p, channel: m.Channel, user: m.User, since: m.Since, conn: m.Conn}
	p.stays[m.User] = s
	if p.roll != nil {
		p.roll.insert(s)
	}
	return true, nil
}

// again adds a connection to a stay; true if everybody was told already that it is over.
func (sh *rosterShard) again(s *stay, m bus.Member) (first bool) {
	switch {
	case s.conn == 0:
		sh.away.remove(s)
		if first = s.told != 0; first {
			s.told, s.since = 0, m.Since
		}
		s.conn, s.lost = m.Conn, time.Time{}
	case s.conn != m.Conn:
		if s.others == nil {
			s.others = make(map[uint64]struct{})
		}
		s.others[m.Conn] = struct{}{}
	}
	return first
}

// Leave is bus.Roster's; it never fails. A connection that did not enter changes nothing.
func (r *Roster) Leave(m bus.Member, sure bool) (last bool, err error) {
	now := r.o.Clock()
	sh := r.shard(m.Channel)
	sh.mu.Lock()
	s := sh.find(m.Channel, m.User)
	if s == nil || !s.drop(m.Conn) || s.conn != 0 {
		sh.mu.Unlock()
		return false, nil
	}
	if !sure {
		s.lost = now
		sh.away.push(s)
		sh.mu.Unlock()
		return false, nil
	}
	r.end(sh, s)
	sh.mu.Unlock()
	r.depart(m.Channel, m.User, now)
	return true, nil
}

// find returns the stay of a user, or nil; sh.mu is held.
func (sh *rosterShard) find(n channel.Name, user string) *stay {
	if p := sh.places[n]; p != nil {
		return p.stays[user]
	}
	return nil
}

// drop takes a connection off; false if it is none of his.
func (s *stay) drop(conn uint64) bool {
	if conn == 0 {
		return false
	}
	if s.conn != conn {
		_, had := s.others[conn]
		delete(s.others, conn)
		return had
	}
	s.conn = 0
	for other := range s.others {
		s.conn = other
		delete(s.others, other)
		break
	}
	return true
}

// end forgets a stay; sh.mu is held, and it is in no queue.
func (r *Roster) end(sh *rosterShard, s *stay) {
	p := s.place
	delete(p.stays, s.user)
	if len(p.stays) == 0 {
		delete(sh.places, s.channel)
	} else if p.roll != nil {
		p.roll.remove(s)
	}
	r.count.Add(-1)
}

// depart notes when a user was last connected, once he is no more. No lock of a shard is held.
func (r *Roster) depart(n channel.Name, user string, at time.Time) {
	if n == "" {
		r.seen.note(user, at)
	}
}

// member is how others see a stay.
func (s *stay) member() bus.Member {
	return bus.Member{Channel: s.channel, User: s.user, Conn: s.conn, Since: s.since}
}

// Members is bus.Roster's; it never fails. Conn is one of the user's connections, 0 while he is away.
func (r *Roster) Members(_ context.Context, n channel.Name, after string, limit int) ([]bus.Member, int, error) {
	sh := r.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	p := sh.places[n]
	if p == nil {
		return nil, 0, nil
	}
	if p.roll == nil {
		p.roll = newRoll(p.stays)
	}
	ms := p.roll.after(after, make([]bus.Member, 0, max(0, min(limit, len(p.stays)))), limit)
	return ms, len(p.stays), nil
}

// Where is bus.Roster's; it never fails.
func (r *Roster) Where(_ context.Context, users []string) ([]bus.Seen, error) {
	now := r.o.Clock()
	all := make([]bus.Seen, len(users))
	sh := r.shard("")
	sh.mu.Lock()
	for i, u := range users {
		all[i].User = u
		if s := sh.find("", u); s != nil {
			all[i].Online, all[i].Last = true, now
			if s.conn == 0 {
				all[i].Last = s.lost
			}
		}
	}
	sh.mu.Unlock()
	r.seen.fill(all, now.Add(-r.o.SeenFor))
	return all, nil
}
