package sqlite

import (
	"context"
	"time"

	"carillon/journal"
)

// call is what somebody waits for who does not append: a Claim, a Commit or a Sent. It stands in the committer's queue like
// a record and shares a transaction with what waits beside it.
type call struct {
	records, bytes int // what it adds to a batch
	// do runs inside the transaction, and once more if that failed for somebody else's fault. Its error fails the transaction.
	do func(ctx context.Context, w *writer, b *batchWork) error
	// refused, set by do, is an answer that nothing was written for.
	refused error
	err     error
	over    chan struct{}
}

func (c *call) answer(err error) {
	if err == nil {
		err = c.refused
	}
	c.err = err
	close(c.over)
}

// await queues a call and waits for the commit that holds it. It does not listen to a context: who gives up waiting for a commit
// would not know what became of it.
func (s *Store) await(c *call) error {
	c.over = make(chan struct{})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return journal.ErrClosed
	}
	// Not bounded by Waiting: there are as many calls as callers, and each waits here.
	s.enqueue(request{call: c})
	s.mu.Unlock()
	<-c.over
	return c.err
}

// Shards is journal.Stage's.
func (s *Store) Shards() int { return s.identity.Shards }

// Claim is journal.Stage's. The context is looked at once: a claim that waits for the committer is carried out.
func (s *Store) Claim(ctx context.Context, service string, shard int) (journal.Fence, error) {
	if err := ctx.Err(); err != nil {
		return journal.Fence{}, err
	}
	if err := s.identity.InspectClaim(service, shard); err != nil {
		return journal.Fence{}, err
	}
	f := journal.Fence{Service: service, Shard: shard}
	c := &call{do: func(ctx context.Context, w *writer, b *batchWork) error {
		st, away, err := w.raise(ctx, b, fenceKey{service, shard})
		f.N, f.Away = st.n, away
		return err
	}}
	return f, s.await(c)
}

// Commit is journal.Stage's. It heeds no context: fences say who may commit, and the outcome must be known.
func (s *Store) Commit(_ context.Context, f journal.Fence, cs []journal.Change) ([]journal.Result, error) {
	records, bytes := 0, 0
	for i := range cs {
		size, err := s.identity.Inspect(f, &cs[i])
		if err != nil {
			return nil, err
		}
		records += 1 + len(cs[i].Events)
		bytes += size
	}
	k := &commit{fence: f, changes: cs, sums: s.identity.SumUp(cs)}
	c := &call{records: records, bytes: bytes}
	c.do = func(ctx context.Context, w *writer, b *batchWork) (err error) {
		c.refused, err = k.do(ctx, w, b)
		return err
	}
	if err := s.await(c); err != nil {
		return nil, err
	}
	return k.results, nil
}

// fenceKey names a shard of a service.
type fenceKey struct {
	service string
	shard   int
}

// fenceState is a row of fences as of the last commit.
type fenceState struct {
	id     int64
	n      uint64
	steps  uint64
	served int64 // ms; 0: never
}

// fence finds a fence, with what this batch did to it; nil: the shard was never claimed.
func (w *writer) fence(ctx context.Context, b *batchWork, k fenceKey) (*fenceState, error) {
	if st, ok := b.fences[k]; ok {
		return st, nil
	}
	st, ok := w.fences[k]
	if !ok {
		var n, steps int64
		err := scanOne(w.service.findFence.QueryRowContext(ctx, k.service, k.shard), &st.id, &n, &steps, &st.served)
		if err != nil || st.id == 0 {
			return nil, err
		}
		st.n, st.steps = uint64(n), uint64(steps)
	}
	b.fences[k] = &st
	return &st, nil
}

// raise makes every fence of a shard void but the one it gives, and tells how long the shard was not served.
func (w *writer) raise(ctx context.Context, b *batchWork, k fenceKey) (*fenceState, time.Duration, error) {
	st, err := w.fence(ctx, b, k)
	if err != nil {
		return &fenceState{}, 0, err
	}
	if st == nil {
		st = &fenceState{}
		b.fences[k] = st
	}
	away := st.away(b.now)
	st.served = b.now.UnixMilli()
	var n int64
	if err := w.service.raiseFence.QueryRowContext(ctx, k.service, k.shard, st.served).Scan(&st.id, &n); err != nil {
		return st, 0, err
	}
	st.n = uint64(n)
	return st, away, nil
}
