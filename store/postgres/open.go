package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"time"

	"carillon/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// DefaultPatience is how long the database may be silent.
const DefaultPatience = 2 * time.Second

// migrateWithin is how long a change of the schema may take, that of another node included.
const migrateWithin = 5 * time.Minute

// migrationLock is the key of the advisory lock under which one node at a time looks after the schema.
const migrationLock = 0x636172696c6c6f6e // "carillon"

// Open opens the journal in the database that dsn names (a postgres:// URL or key=value pairs; several hosts are tried in
// turn), or begins one there: an empty database gets its tables. Any number of nodes may open it at once. Its errors say what
// to do.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	o.complete()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("address of Postgres: %w", err)
	}
	s := &Store{o: o, clock: clock{own: o.Clock}, spread: maphash.MakeSeed(), queues: make([]queue, o.Committers)}
	for i := range s.queues {
		s.queues[i].wake = make(chan struct{}, 1)
	}
	s.lane = newLane(s)
	s.ending, s.end = context.WithCancel(context.Background())
	if err := s.open(ctx, config); err != nil {
		s.end()
		s.closePools()
		c := config.ConnConfig
		return nil, fmt.Errorf("database %s of %s:%d: %w", c.Database, c.Host, c.Port, err)
	}
	s.start()
	return s, nil
}

func (s *Store) open(ctx context.Context, config *pgxpool.Config) error {
	if err := migrate(ctx, config.ConnConfig.Copy()); err != nil {
		return err
	}
	if err := s.inspect(ctx, config.ConnConfig); err != nil {
		return err
	}
	s.temper(config)
	var err error
	writing, reading := config.Copy(), config
	writing.MaxConns = int32(s.o.Committers + 1)
	reading.MaxConns = int32(s.o.MaxConns) - writing.MaxConns
	if s.writing, err = pgxpool.NewWithConfig(ctx, writing); err != nil {
		return err
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, reading); err != nil {
		return err
	}
	s.reach.prepare(config.ConnConfig)
	return nil
}

// start begins what runs beside the callers, once everything is open.
func (s *Store) start() {
	s.working.Go(s.watch)
	s.working.Go(s.housekeep)
	for i := range s.queues {
		c := newCommitter(s, &s.queues[i])
		s.committing.Go(c.run)
	}
	s.working.Go(s.lane.run)
}

// inspect reads what the meta table says, and refuses a server on which a commit would not mean what journal.TierDurable says.
func (s *Store) inspect(ctx context.Context, c *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, c.Copy())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var epoch int64
	var fsync, commit string
	d := &s.identity
	err = conn.QueryRow(ctx, "SELECT epoch, seed, shards, current_setting('fsync'), current_setting('synchronous_commit') FROM meta").
		Scan(&epoch, &d.Seed, &d.Shards, &fsync, &commit)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return errors.New("the table meta is empty: restore the database from a backup, or begin with an empty one")
	case err != nil:
		return fmt.Errorf("identity of the journal: %w", err)
	case fsync != "on" && !s.o.Unsynced:
		return errors.New("the server runs with fsync = off and loses what it acknowledged when its machine does: set fsync = on")
	case commit == "off":
		c.RuntimeParams["synchronous_commit"] = "on" // a client may ask for more than the server's default
	}
	d.Epoch = uint64(epoch)
	return nil
}

// temper sets what every connection keeps to. What the server gives up by itself, it gives up before we give up the server: so
// a wait for the lock of another node is told from silence. A process that stops in the middle of a transaction loses it, for its
// locks hold up the others.
func (s *Store) temper(config *pgxpool.Config) {
	c, patience := config.ConnConfig, s.o.Patience
	c.ConnectTimeout = patience * 3 / 4
	c.DialFunc = dialer(patience)
	if c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite // a server that became a standby is not ours
	}
	for name, within := range map[string]time.Duration{
		"lock_timeout": patience / 2, "statement_timeout": patience * 3 / 4, "idle_in_transaction_session_timeout": patience,
	} {
		c.RuntimeParams[name] = strconv.FormatInt(within.Milliseconds(), 10)
	}
	// Every statement finds its rows by an index, whatever the server believes of tables that were small a moment ago; and
	// plans do not depend on what is asked for. What cannot do without one that is switched off looks so dear that the server
	// would compile it, for a second or two.
	for _, plan := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		c.RuntimeParams[plan] = "off"
	}
	c.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "carillon"
	}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		writeArrays(conn.TypeMap())
		return conn.PgConn().Conn().SetDeadline(time.Time{}) // that of dial, which was for the way to here
	}
	config.MaxConnIdleTime = 5 * time.Minute
	config.MaxConnLifetime = time.Hour
	config.MaxConnLifetimeJitter = 10 * time.Minute
}

// migrate brings the schema up to date, one node at a time.
func migrate(ctx context.Context, c *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, migrateWithin)
	defer cancel()
	db := stdlib.OpenDB(*c)
	defer func() { _ = db.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, db, store.Postgres(), goose.WithDisableGlobalRegistry(true),
		goose.WithSessionLocker(sessionLock{}))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migration: %w", err)
	}
	current, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	if current > known {
		return fmt.Errorf("schema version is %d, and this program knows up to %d: use the newer program that wrote it", current, known)
	}
	return nil
}

// sessionLock is goose's lock.SessionLocker that waits in the server instead of asking again and again. It ends with the
// connection.
type sessionLock struct{}

// SessionLock waits until no other node looks after the schema.
func (sessionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock))
	return err
}

// SessionUnlock lets the next node.
func (sessionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return err
}
