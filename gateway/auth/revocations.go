package auth

import (
	"cmp"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// MaxRevocations is how many a server decides; MaxRevocations and a quarter is how many a node holds, so that those
// which several servers decided at once all find room.
const (
	MaxRevocations    = 100_000
	roomForRevocation = MaxRevocations + MaxRevocations/4
)

// ErrRevocations says that there is no room for another revocation. A node for which Apply returned it no longer knows
// all of them and must not be called ready; taking a key away ends everything at once.
var ErrRevocations = errors.New("too many revocations are in force")

type revocationKind uint8

const (
	ofUser revocationKind = iota
	ofToken
	ofConn
)

type revocationKey struct {
	kind         revocationKind
	name, issuer string
}

type revocationSpan struct{ at, until time.Time }

// Revocations are those in force on a node. Applying the same ones in any order, any number of times, gives the same
// state: of each user, token and connection the latest At and the latest Until count.
type Revocations struct {
	now   func() time.Time
	notes func(Revocation)
	n     atomic.Int64 // len(spans): nothing else is touched while it is 0

	mu    sync.RWMutex
	spans map[revocationKey]revocationSpan
	sweep time.Time // not before then
}

// NewRevocations makes an empty set. notify, which may be nil, hears of each revocation that changed something, after
// it is in force, so that live connections can be ended: those that Revocation.Covers. A nil clock is time.Now.
func NewRevocations(now func() time.Time, notify func(Revocation)) *Revocations {
	if now == nil {
		now = time.Now
	}
	return &Revocations{now: now, notes: notify, spans: map[revocationKey]revocationSpan{}}
}

// OfUser decides to revoke all tokens of a user issued until now; keep is Keys.Longest. Like its siblings it changes
// nothing: append the record to @sys, and every node that reads it calls Apply.
func (rs *Revocations) OfUser(user string, keep time.Duration) (Revocation, error) {
	return rs.decide(Revocation{User: user}, keep)
}

// OfToken decides to revoke one token of an issuer.
func (rs *Revocations) OfToken(issuer, id string, keep time.Duration) (Revocation, error) {
	return rs.decide(Revocation{Issuer: issuer, Token: id}, keep)
}

// OfConn decides to revoke one connection.
func (rs *Revocations) OfConn(conn string, keep time.Duration) (Revocation, error) {
	return rs.decide(Revocation{Conn: conn}, keep)
}

func (rs *Revocations) decide(r Revocation, keep time.Duration) (Revocation, error) {
	if rs.n.Load() >= MaxRevocations {
		rs.Forget()
		if rs.n.Load() >= MaxRevocations {
			return Revocation{}, ErrRevocations
		}
	}
	r.At = time.UnixMilli(rs.now().UnixMilli())
	r.Until = r.At.Add(min(keep, maxKept)).Truncate(time.Millisecond)
	return r, r.check()
}

// sweepEvery bounds how often Apply looks for revocations that are over.
const sweepEvery = time.Minute

// Apply puts a revocation in force and tells whether that changed anything. One that is over changes nothing.
func (rs *Revocations) Apply(r Revocation) (changed bool, err error) {
	if err := r.check(); err != nil {
		return false, err
	}
	now := rs.now()
	if !now.Before(r.Until) {
		return false, nil
	}
	if changed, err = rs.put(r, now); changed && rs.notes != nil {
		rs.notes(r)
	}
	return changed, err
}

func (rs *Revocations) put(r Revocation, now time.Time) (changed bool, err error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !now.Before(rs.sweep) {
		rs.forget(now)
	}
	key := r.key()
	span, known := rs.spans[key]
	if !known && len(rs.spans) >= roomForRevocation {
		if rs.forget(now); len(rs.spans) >= roomForRevocation {
			return false, ErrRevocations
		}
	}
	before := span
	if r.At.After(span.at) {
		span.at = r.At
	}
	if r.Until.After(span.until) {
		span.until = r.Until
	}
	rs.spans[key] = span
	rs.n.Store(int64(len(rs.spans)))
	return span != before, nil
}

// Forget drops what is over. Apply does it by itself once a minute; a server calls it now and then when idle.
func (rs *Revocations) Forget() {
	now := rs.now()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.forget(now)
}

func (rs *Revocations) forget(now time.Time) {
	for key, span := range rs.spans {
		if !now.Before(span.until) {
			delete(rs.spans, key)
		}
	}
	rs.n.Store(int64(len(rs.spans)))
	rs.sweep = now.Add(sweepEvery)
}

// Len is how many are kept.
func (rs *Revocations) Len() int { return int(rs.n.Load()) }

// Revoked tells whether an identity, or its connection where conn is not empty, was revoked. It allocates nothing, and
// while nothing is revoked it is one atomic read.
func (rs *Revocations) Revoked(id *Identity, conn string) bool {
	if rs.n.Load() == 0 {
		return false
	}
	if conn != "" && rs.covers(revocationKey{kind: ofConn, name: conn}, time.Time{}) {
		return true
	}
	if id.TokenID != "" && rs.covers(revocationKey{kind: ofToken, name: id.TokenID, issuer: id.Issuer}, time.Time{}) {
		return true
	}
	if rs.covers(revocationKey{kind: ofUser, name: id.User}, id.Issued) {
		return true
	}
	return id.permit != nil && rs.permitRevoked(id.permit)
}

func (rs *Revocations) permitRevoked(p *Permit) bool {
	if rs.n.Load() == 0 {
		return false
	}
	return p.TokenID != "" && rs.covers(revocationKey{kind: ofToken, name: p.TokenID, issuer: p.Issuer}, time.Time{}) ||
		rs.covers(revocationKey{kind: ofUser, name: p.User}, p.Issued)
}

// covers tells whether something issued at a time is covered by what is kept under a key.
func (rs *Revocations) covers(key revocationKey, issued time.Time) bool {
	rs.mu.RLock()
	span, found := rs.spans[key]
	rs.mu.RUnlock()
	return found && !issued.After(span.at) && rs.now().Before(span.until)
}

// All gives what is in force, in an order that depends on nothing else.
func (rs *Revocations) All() iter.Seq[Revocation] {
	now := rs.now()
	rs.mu.RLock()
	all := make([]Revocation, 0, len(rs.spans))
	for key, span := range rs.spans {
		if !now.Before(span.until) {
			continue
		}
		r := Revocation{At: span.at, Until: span.until, Issuer: key.issuer}
		switch key.kind {
		case ofUser:
			r.User = key.name
		case ofToken:
			r.Token = key.name
		case ofConn:
			r.Conn = key.name
		}
		all = append(all, r)
	}
	rs.mu.RUnlock()
	slices.SortFunc(all, func(a, b Revocation) int {
		ka, kb := a.key(), b.key()
		return cmp.Or(cmp.Compare(ka.kind, kb.kind), strings.Compare(ka.issuer, kb.issuer), strings.Compare(ka.name, kb.name))
	})
	return slices.Values(all)
}
