package sqlite

import (
	"context"
	"fmt"

	"carillon/channel"
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
func (s *Store) Shards() int { return s.identity.shards }

// Claim is journal.Stage's. The context is looked at once: a claim that waits for the committer is carried out.
func (s *Store) Claim(ctx context.Context, service string, shard int) (journal.Fence, error) {
	if err := ctx.Err(); err != nil {
		return journal.Fence{}, err
	}
	if shard < 0 || shard >= s.Shards() || service == "" {
		return journal.Fence{}, fmt.Errorf("claim of %q: shard %d is not one of 0 to %d", service, shard, s.Shards()-1)
	}
	f := journal.Fence{Service: service, Shard: shard}
	c := &call{do: func(ctx context.Context, w *writer, b *batchWork) error {
		st, err := w.raise(ctx, b, fenceKey{service, shard})
		f.N = st.n
		return err
	}}
	return f, s.await(c)
}

// Commit is journal.Stage's. It heeds no context: fences say who may commit, and the outcome must be known.
func (s *Store) Commit(_ context.Context, f journal.Fence, cs []journal.Change) ([]journal.Result, error) {
	records, bytes := 0, 0
	for i := range cs {
		size, err := s.inspectChange(f, &cs[i])
		if err != nil {
			return nil, err
		}
		records += 1 + len(cs[i].Events)
		bytes += size
	}
	k := &commit{fence: f, changes: cs}
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

// inspectChange refuses what no machine may ask for, before it can fail others, and tells the bytes of the bodies.
func (s *Store) inspectChange(f journal.Fence, c *journal.Change) (bytes int, err error) {
	bad := func(why string) (int, error) {
		return 0, fmt.Errorf("change %d of %s: %s", c.Prev+1, c.Channel, why)
	}
	switch {
	case c.Channel.Namespace() != f.Service || c.Channel.Shard(s.Shards()) != f.Shard:
		return bad(fmt.Sprintf("the channel is not of shard %d of %q", f.Shard, f.Service))
	case c.Command.Channel != "" && c.Command.Channel != c.Channel:
		return bad("its command is for " + string(c.Command.Channel))
	case len(c.Erase) > 0 && c.Snapshot == nil:
		return bad("erasing needs a snapshot")
	}
	bytes = len(c.Command.Body) + len(c.Reply.Body) + len(c.Snapshot)
	for i := range c.Events {
		if e := &c.Events[i]; e.Class == channel.Logged && len(e.Body) == 0 {
			return 0, fmt.Errorf("change %d of %s: %w", c.Prev+1, c.Channel, journal.ErrEmpty)
		}
		bytes += len(c.Events[i].Body)
	}
	for i := range c.Sends {
		bytes += len(c.Sends[i].Body)
	}
	return bytes, nil
}

// fenceKey names a shard of a service.
type fenceKey struct {
	service string
	shard   int
}

// fenceState is a row of fences as of the last commit.
type fenceState struct {
	id    int64
	n     uint64
	steps uint64
}

// fence finds a fence, with what this batch did to it; nil: the shard was never claimed.
func (w *writer) fence(ctx context.Context, b *batchWork, k fenceKey) (*fenceState, error) {
	if st, ok := b.fences[k]; ok {
		return st, nil
	}
	st, ok := w.fences[k]
	if !ok {
		var n, steps int64
		err := scanOne(w.service.findFence.QueryRowContext(ctx, k.service, k.shard), &st.id, &n, &steps)
		if err != nil || st.id == 0 {
			return nil, err
		}
		st.n, st.steps = uint64(n), uint64(steps)
	}
	b.fences[k] = &st
	return &st, nil
}

func (w *writer) raise(ctx context.Context, b *batchWork, k fenceKey) (*fenceState, error) {
	st, err := w.fence(ctx, b, k)
	if err != nil {
		return &fenceState{}, err
	}
	if st == nil {
		st = &fenceState{}
		b.fences[k] = st
	}
	var n int64
	if err := w.service.raiseFence.QueryRowContext(ctx, k.service, k.shard).Scan(&st.id, &n); err != nil {
		return st, err
	}
	st.n = uint64(n)
	return st, nil
}
