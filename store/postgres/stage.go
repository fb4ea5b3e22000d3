package postgres

import (
	"context"
	"errors"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

// Shards is journal.Stage's.
func (s *Store) Shards() int { return s.identity.Shards }

// raiseFence waits for a Commit under way, which holds the row. Where the clock went back, nobody was away.
const raiseFence = `INSERT INTO fences (service, shard, n, served) VALUES ($1, $2, 1, ` + orClock + `)
	ON CONFLICT (service, shard) DO UPDATE SET n = fences.n + 1, served = excluded.served,
		away = CASE WHEN fences.served = 0 THEN 0 ELSE greatest(excluded.served - fences.served, 0) END
	RETURNING n, away`

// orClock is the time (ms) given as the third argument, or that of the database.
const orClock = `coalesce($3::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)`

// clockMS is an argument for orClock.
func (s *Store) clockMS() *int64 {
	if s.o.Clock == nil {
		return nil
	}
	ms := s.o.Clock().UnixMilli()
	return &ms
}

// Claim is journal.Stage's. The context is looked at once: a claim that was begun is carried out. While the database is away it
// is refused at once.
func (s *Store) Claim(ctx context.Context, service string, shard int) (journal.Fence, error) {
	if err := ctx.Err(); err != nil {
		return journal.Fence{}, err
	}
	if err := s.identity.InspectClaim(service, shard); err != nil {
		return journal.Fence{}, err
	}
	leave, err := s.enter()
	if err != nil {
		return journal.Fence{}, err
	}
	defer leave()
	f := journal.Fence{Service: service, Shard: shard}
	_, err = s.change(s.pool, func(ctx context.Context, w *work) error {
		b := w.batch()
		b.Queue(raiseFence, service, shard, s.clockMS()).QueryRow(func(r row) error {
			var away int64
			err := r.Scan(&f.N, &away)
			f.Away = time.Duration(away) * time.Millisecond
			return err
		})
		return w.commit(ctx, b)
	})
	return f, err
}

// enter begins a call that Close waits for; it is over with leave.
func (s *Store) enter() (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, journal.ErrClosed
	}
	s.committing.Add(1)
	return s.committing.Done, nil
}

// Load is journal.Stage's.
func (s *Store) Load(ctx context.Context, n channel.Name) (journal.State, error) {
	p, err := s.past(ctx, n, false)
	return p.State, err
}

// Past is journal.Archive's.
func (s *Store) Past(ctx context.Context, n channel.Name) (journal.Past, error) {
	return s.past(ctx, n, true)
}

const (
	findMachine = `SELECT head, tag, version, commanded, coalesce(wake, 0) FROM channels WHERE name = $1`

	findSnapshots = `SELECT version, "offset", tag, seal, body FROM snapshots
		WHERE channel = (SELECT id FROM channels WHERE name = $1) ORDER BY version DESC LIMIT $2`

	// Commands come after the snapshot that is loaded, or after the older one; as store.Machine's From says.
	findCommands = `SELECT k.first, k.last, k.seal, k.body FROM channels c CROSS JOIN LATERAL
			(SELECT count(*) AS count, min(version) AS oldest, max(version) AS newest FROM snapshots WHERE channel = c.id) s
		JOIN commands k ON k.channel = c.id AND
			k.last > CASE WHEN s.count = 0 OR $2 > 1 AND s.count = 1 THEN 0 WHEN $2 > 1 THEN s.oldest ELSE s.newest END
		WHERE c.name = $1 ORDER BY k.last`
)

// past reads a channel in one snapshot of the database and one round trip.
func (s *Store) past(ctx context.Context, n channel.Name, all bool) (p journal.Past, err error) {
	snapshots := 1
	if all {
		snapshots = 2
	}
	err = s.view(ctx, string(n), func(ctx context.Context, w *work) error {
		m := store.Machine{Name: n, Head: s.identity.First(n)}
		b := w.batch()
		b.Queue(findMachine, string(n)).QueryRow(func(r row) error {
			var offset, tag int64
			err := r.Scan(&offset, &tag, &m.Version, &m.Commanded, &m.Wake)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			m.Head = s.identity.Position(offset, tag)
			return err
		})
		each(b, func(scan func(...any) error) error {
			var r store.SnapshotRow
			var offset, tag int64
			if err := scan(&r.Version, &offset, &tag, &r.Seal, &r.Body); err != nil {
				return err
			}
			r.At = s.identity.Position(offset, tag)
			m.Snapshots = append([]store.SnapshotRow{r}, m.Snapshots...)
			return nil
		}, findSnapshots, string(n), snapshots)
		each(b, func(scan func(...any) error) error {
			var r store.CommandRow
			if err := scan(&r.First, &r.Last, &r.Seal, &r.Body); err != nil {
				return err
			}
			m.Commands = append(m.Commands, r)
			return nil
		}, findCommands, string(n), snapshots)
		if err := w.commit(ctx, b); err != nil {
			return err
		}
		p, err = m.Past(&s.identity, all)
		return err
	})
	return p, err
}

// each queues a query and calls f with each row of the answer. What a row is scanned into is the caller's.
func each(b *pgx.Batch, f func(scan func(...any) error) error, text string, args ...any) {
	b.Queue(text, args...).Query(func(rs rows) error {
		for rs.Next() {
			if err := f(rs.Scan); err != nil {
				return err
			}
		}
		return rs.Err()
	})
}
