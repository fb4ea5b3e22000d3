package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of tickets in memory.
const (
	TicketTTL      = 30 * time.Second
	MaxTickets     = 16 << 10 // waiting at once
	MaxTicketBytes = 16 << 20 // of the tokens behind them
	ticketLength   = 26       // characters of base32 for 128 bits and more
	ticketShards   = 16
	ticketSlack    = 64 // redeemed ones that a shard's queue may hold beyond those waiting
)

// Tickets stands in for a token where a URL has to carry the credential: a ticket is random, lives TicketTTL and is
// good for one use. What it stands for is the token itself, so that Verify judges again, at the time of use, by the
// keys and revocations of then.
type Tickets interface {
	// Issue keeps a token, which the caller has verified, and returns its ticket. ErrTickets: there is no room.
	Issue(ctx context.Context, token string) (ticket string, err error)
	// Redeem returns the token and forgets it in the same step: of any number of attempts on any number of nodes one
	// succeeds. What is unknown, used or too old is refused alike, with an error that wraps ErrToken.
	Redeem(ctx context.Context, ticket string) (token string, err error)
}

// ErrTickets says that too many tickets are waiting.
var ErrTickets = errors.New("too many connect tickets are waiting; try again in some seconds")

// TicketCounts is what happened to tickets since the start.
type TicketCounts struct {
	Waiting                           int64
	Issued, Redeemed, Refused, NoRoom uint64
	Expired                           uint64 // never used
}

// MemoryTickets are the tickets of a single node. They do not survive a restart: clients ask for new ones.
type MemoryTickets struct {
	now                                        func() time.Time
	waiting, bytes                             atomic.Int64
	issued, redeemed, refused, noRoom, expired atomic.Uint64
	shards                                     [ticketShards]ticketShard
}

type ticketKey [16]byte

type ticketShard struct {
	mu    sync.Mutex
	byKey map[ticketKey]waitingTicket
	queue []ticketKey // in the order of their end; those redeemed are skipped
}

type waitingTicket struct {
	token string
	ends  time.Time
}

// NewTickets makes an empty store. A nil clock is time.Now.
func NewTickets(now func() time.Time) *MemoryTickets {
	if now == nil {
		now = time.Now
	}
	t := &MemoryTickets{now: now}
	for i := range t.shards {
		t.shards[i].byKey = map[ticketKey]waitingTicket{}
	}
	return t
}

// keyOf hashes, so that looking a ticket up takes the same time whatever part of it is right, and so that a dump of
// the store opens nothing.
func keyOf(ticket string) ticketKey {
	sum := sha256.Sum256([]byte(ticket))
	return ticketKey(sum[:])
}

// Issue implements Tickets.
func (t *MemoryTickets) Issue(_ context.Context, token string) (string, error) {
	size := int64(len(token))
	if size > MaxToken {
		return "", refuse(ReasonSize, "it is longer than 4096 bytes")
	}
	if !t.reserve(size) {
		t.Sweep()
		if !t.reserve(size) {
			t.noRoom.Add(1)
			return "", ErrTickets
		}
	}
	ticket := rand.Text()
	key, now := keyOf(ticket), t.now()
	s := &t.shards[key[0]%ticketShards]
	s.mu.Lock()
	t.trim(s, now)
	s.byKey[key] = waitingTicket{token: token, ends: now.Add(TicketTTL)}
	s.queue = append(s.queue, key)
	s.mu.Unlock()
	t.issued.Add(1)
	return ticket, nil
}

func (t *MemoryTickets) reserve(size int64) bool {
	waiting, bytes := t.waiting.Add(1), t.bytes.Add(size)
	if waiting <= MaxTickets && bytes <= MaxTicketBytes {
		return true
	}
	t.waiting.Add(-1)
	t.bytes.Add(-size)
	return false
}

// Redeem implements Tickets.
func (t *MemoryTickets) Redeem(_ context.Context, ticket string) (string, error) {
	if len(ticket) == ticketLength {
		key, now := keyOf(ticket), t.now()
		s := &t.shards[key[0]%ticketShards]
		s.mu.Lock()
		w, found := s.byKey[key]
		if found {
			delete(s.byKey, key)
			t.release(w)
		}
		s.mu.Unlock()
		if found && now.Before(w.ends) {
			t.redeemed.Add(1)
			return w.token, nil
		}
	}
	t.refused.Add(1)
	return "", refuse(ReasonTicket, "the ticket is unknown, used or older than 30 seconds")
}

// Sweep forgets tickets that nobody used in time. Issue does it for its own part of the store; a server calls it now
// and then so that an idle one gives its memory back.
func (t *MemoryTickets) Sweep() {
	now := t.now()
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		t.trim(s, now)
		s.mu.Unlock()
	}
}

// trim forgets what has ended in one shard, whose lock is held.
func (t *MemoryTickets) trim(s *ticketShard, now time.Time) {
	i := 0
	for ; i < len(s.queue); i++ {
		w, found := s.byKey[s.queue[i]]
		if found && now.Before(w.ends) {
			break
		}
		if found {
			delete(s.byKey, s.queue[i])
			t.release(w)
			t.expired.Add(1)
		}
	}
	if i > 0 {
		s.queue = s.queue[:copy(s.queue, s.queue[i:])]
	}
	if len(s.queue) > 2*len(s.byKey)+ticketSlack {
		s.queue = slices.DeleteFunc(s.queue, func(k ticketKey) bool { _, found := s.byKey[k]; return !found })
	}
}

func (t *MemoryTickets) release(w waitingTicket) {
	t.waiting.Add(-1)
	t.bytes.Add(-int64(len(w.token)))
}

// Counts reads the counters.
func (t *MemoryTickets) Counts() TicketCounts {
	return TicketCounts{
		Waiting: t.waiting.Load(), Issued: t.issued.Load(), Redeemed: t.redeemed.Load(),
		Refused: t.refused.Load(), NoRoom: t.noRoom.Load(), Expired: t.expired.Load(),
	}
}
