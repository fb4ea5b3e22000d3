package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"carillon/journal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	probeEvery = 250 * time.Millisecond // while the database is away
	closeWait  = time.Second            // how long a connection that broke may take to say goodbye
	keepAlive  = 5 * time.Second        // of silence before the kernel asks whether the other side is there
)

// reach is what the store knows of the way to its database. While it is away everything is refused at once: nothing waits
// for it, and nothing queues.
type reach struct {
	config *pgx.ConnConfig
	lost   chan struct{} // wakes the one who watches

	mu   sync.Mutex
	away error // why; nil: it answers
}

func (r *reach) prepare(c *pgx.ConnConfig) {
	r.config = c
	r.lost = make(chan struct{}, 1)
}

// cause is why the database is away; nil: it is not.
func (s *Store) cause() error {
	s.reach.mu.Lock()
	defer s.reach.mu.Unlock()
	return s.reach.away
}

// gone is what is answered while the database is away; nil: it is there as far as is known.
func (s *Store) gone() error {
	if cause := s.cause(); cause != nil {
		return fmt.Errorf("%w: Postgres is away: %w", journal.ErrClosed, cause)
	}
	return nil
}

// lose notes that the database does not answer. Connections that are open lead nowhere, or back in time.
func (s *Store) lose(cause error) {
	s.reach.mu.Lock()
	first := s.reach.away == nil
	if first {
		s.reach.away = cause
	}
	s.reach.mu.Unlock()
	if !first {
		return
	}
	s.leaveLines()
	select {
	case s.reach.lost <- struct{}{}:
	default:
	}
}

// leaveLines gives up all connections, and what is known of the database that they led to.
func (s *Store) leaveLines() {
	s.pool.Reset()
	s.writing.Reset()
	s.recent.clear()
}

// watch tells of a database that is away, and probes until it answers.
func (s *Store) watch() {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.reach.lost:
		case <-s.ending.Done():
			return
		}
		s.o.Trouble(fmt.Errorf("database does not answer, what needs it is refused until it does: %w", s.cause()))
		for s.probe() != nil {
			select {
			case <-tick.C:
			case <-s.ending.Done():
				return
			}
		}
		s.reach.mu.Lock()
		s.reach.away = nil
		s.reach.mu.Unlock()
		s.o.Trouble(nil)
	}
}

// probeText changes nothing and yet must be committed: a server that cannot write, or whose disk is silent, does not answer.
const probeText = "UPDATE meta SET shards = shards WHERE id = 1"

func (s *Store) probe() error {
	ctx, cancel := context.WithTimeout(s.ending, s.o.Patience)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.reach.config.Copy())
	if err != nil {
		return err
	}
	if err := conn.PgConn().Conn().SetDeadline(time.Time{}); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, probeText)
	return errors.Join(err, conn.Close(ctx))
}

// dialer opens lines on which silence is noticed. Their first deadline covers the greeting, and requests to cancel, which have
// lines of their own.
func dialer(patience time.Duration) pgconn.DialFunc {
	d := net.Dialer{Timeout: patience * 3 / 4, KeepAlive: keepAlive, Control: noticeSilence(patience)}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return line{c}, c.SetDeadline(time.Now().Add(patience))
	}
}

// line is a connection whose deadlines are near: the driver would give a server that is silent 15 s to say goodbye, and
// the place of that connection is needed.
type line struct{ net.Conn }

// SetDeadline is net.Conn's, for times up to closeWait ahead.
func (l line) SetDeadline(t time.Time) error {
	if limit := time.Now().Add(closeWait); t.After(limit) {
		t = limit
	}
	return l.Conn.SetDeadline(t)
}
