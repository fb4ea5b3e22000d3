package postgres

import (
	"context"

	"carillon/journal"
)

// servedEvery is how often a commit without a change notes that its shard is served: a commit that asks nothing but its
// fence must not cost a write each time.
const servedEvery = journal.PulseEvery / 2

// lookFence gives the number of a fence and, if that is the one asked with, has it noted that the shard is served; not more often
// than servedEvery, unless the clock was set back.
const lookFence = `WITH now (ms) AS (SELECT ` + orClock + `),
	f AS (SELECT id, n, served FROM fences WHERE service = $1 AND shard = $2),
	noted AS (UPDATE fences u SET served = now.ms FROM f, now
		WHERE u.id = f.id AND u.n = $4 AND (now.ms - f.served >= $5 OR now.ms < f.served))
	SELECT n FROM f`

// look is a Commit without changes. It takes no lock: what was asked of a machine was so at this moment, if the fence still
// held.
func (s *Store) look(f journal.Fence) error {
	var n uint64
	_, err := s.change(s.pool, func(ctx context.Context, w *work) error {
		n = 0
		b := w.batch()
		each(b, func(scan func(...any) error) error { return scan(&n) },
			lookFence, f.Service, f.Shard, s.clockMS(), int64(f.N), servedEvery.Milliseconds())
		return w.commit(ctx, b)
	})
	if err == nil && (n != f.N || n == 0) {
		return journal.ErrFenced
	}
	return err
}

// noteAlive passes over shards in which a Commit is under way: that notes it, or soon another does.
const noteAlive = `UPDATE fences SET served = ` + orClock + ` WHERE id = ANY(ARRAY(
	SELECT f.id FROM fences f JOIN unnest($1::text[], $2::integer[], $4::bigint[]) AS a (service, shard, n)
		ON f.service = a.service AND f.shard = a.shard AND f.n = a.n FOR UPDATE OF f SKIP LOCKED))`

// Alive is journal.Pulse's.
func (s *Store) Alive(ctx context.Context, fs []journal.Fence) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	services, shards, ns := make([]string, len(fs)), make([]int32, len(fs)), make([]int64, len(fs))
	for i, f := range fs {
		services[i], shards[i], ns[i] = f.Service, int32(f.Shard), int64(f.N)
	}
	_, err = s.change(s.pool, func(ctx context.Context, w *work) error {
		b := w.batch()
		b.Queue(noteAlive, services, shards, s.clockMS(), ns)
		return w.commit(ctx, b)
	})
	return err
}
