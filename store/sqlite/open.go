package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"carillon/journal"
	"carillon/store"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver "sqlite" with database/sql
)

// Files of a data folder.
const (
	fileName = "carillon.db"
	lockName = "carillon.lock"
)

const (
	readers       = 4         // connections that read
	checkedAtOpen = 256 << 20 // bytes; a larger database is not read as a whole at every start
	walLimit      = 64 << 20  // bytes the log file keeps after a checkpoint
	writerCache   = 32 << 10  // KiB of pages
	readerCache   = 4 << 10   // KiB of pages, per connection
	busyTimeout   = 10_000    // ms; only a foreign process can make us wait
)

// Open opens the journal in the folder dir, or begins one there. Two processes cannot share a folder. Its errors say
// what to do; that of a damaged database wraps journal.ErrDamaged.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	s, w, err := openIdle(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	s.work(w)
	return s, nil
}

// work begins to commit, and to fill the filter beside it.
func (s *Store) work(w *writer) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.committer.Go(w.run)
	s.helpers.Go(func() { s.loadFilter(ctx) })
	if s.carrier != nil {
		s.helpers.Go(func() { s.carrier.run(ctx) })
	}
}

// Exists tells whether a folder holds a journal.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, fileName))
	return err == nil
}

// openIdle is Open without the committer's goroutine.
func openIdle(ctx context.Context, dir string, o Options) (*Store, *writer, error) {
	o.complete()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, nil, err
	}
	s := &Store{o: o, lock: lock, wake: make(chan struct{}, 1)}
	if err := s.open(ctx, filepath.Join(dir, fileName)); err != nil {
		return nil, nil, errors.Join(advise(dir, err), s.closeAll())
	}
	w := newWriter(s)
	if err := w.connect(ctx); err != nil {
		w.disconnect()
		return nil, nil, errors.Join(advise(dir, err), s.closeAll())
	}
	return s, w, nil
}

func advise(dir string, err error) error {
	if !isDamage(err) {
		return fmt.Errorf("data folder %s: %w", dir, err)
	}
	return fmt.Errorf("data folder %s: %w: %v; restore the folder from a backup, or move it away to begin anew (clients are then told of the loss)",
		dir, journal.ErrDamaged, err)
}

// lockFolder takes the lock that ends with the process, whatever ends it.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := make([]byte, 20)
		n, _ := f.ReadAt(pid, 0)
		_ = f.Close()
		return nil, fmt.Errorf("data folder %s is in use by another process (%s): stop that one, or choose another folder: %w",
			dir, strings.TrimSpace(string(pid[:n])), err)
	}
	// The pid is for the message above and nothing else: failing to write it harms nobody.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte("pid "+strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, nil
}

// source is the URI of a database file with settings for each connection.
func source(path string, pragmas ...string) string {
	path = strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	return "file:" + path + "?_pragma=" + strings.Join(pragmas, "&_pragma=")
}

func (s *Store) open(ctx context.Context, path string) (err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	busy := fmt.Sprintf("busy_timeout(%d)", busyTimeout)
	writing := source(path, busy, "secure_delete(1)", "journal_mode(WAL)", "synchronous(FULL)",
		fmt.Sprintf("wal_autocheckpoint(%d)", walMost), fmt.Sprintf("journal_size_limit(%d)", walLimit),
		fmt.Sprintf("cache_size(-%d)", writerCache))
	if err := s.inspect(ctx, path, writing); err != nil {
		return err
	}
	if err := s.connect(ctx, writing, source(path, busy, "query_only(1)", fmt.Sprintf("cache_size(-%d)", readerCache))); err != nil {
		return err
	}
	if s.carrier, err = newCarrier(source(path, "synchronous(FULL)")); err != nil {
		return err
	}
	return s.present.note(path, s.o.Trouble)
}

// connect opens the database for its one writer and for readers, and brings the schema up to date.
func (s *Store) connect(ctx context.Context, writing, reading string) (err error) {
	if s.writing, err = sql.Open("sqlite", writing); err != nil {
		return err
	}
	s.writing.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writing); err != nil {
		return err
	}
	if s.identity, err = loadIdentity(ctx, s.writing); err != nil {
		return err
	}
	s.ids.filter.begun, s.ids.generation = s.o.Clock(), defaultGeneration
	if s.reading, err = sql.Open("sqlite", reading); err != nil {
		return err
	}
	s.reading.SetMaxOpenConns(readers)
	s.reading.SetMaxIdleConns(readers)
	if err := s.pages.prepare(ctx, s.reading); err != nil {
		return err
	}
	return s.services.prepare(ctx, s.reading)
}

// inspect reads a database that is not too large, before anything is written to it.
func (s *Store) inspect(ctx context.Context, path, from string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", from)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if info.Size() > checkedAtOpen {
		var n int
		return db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
	}
	return quickCheck(ctx, db)
}

func quickCheck(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", journal.ErrDamaged, verdict)
	}
	return nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db, store.SQLite(), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	current, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	if current > known {
		return fmt.Errorf("schema version is %d, and this program knows up to %d: use the newer program that wrote it", current, known)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migration: %w", err)
	}
	return nil
}

// closeAll closes what is open, the lock last.
func (s *Store) closeAll() error {
	var errs []error
	if s.anchor != nil {
		errs = append(errs, s.anchor.Close())
	}
	if s.reading != nil {
		s.pages.close()
		s.services.close()
		errs = append(errs, s.reading.Close())
	}
	if s.carrier != nil {
		errs = append(errs, s.carrier.db.Close())
	}
	if s.writing != nil {
		errs = append(errs, s.writing.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// loadIdentity reads the meta table.
func loadIdentity(ctx context.Context, db *sql.DB) (d store.Identity, err error) {
	var epoch int64
	if err := db.QueryRowContext(ctx, "SELECT epoch, seed, shards FROM meta").Scan(&epoch, &d.Seed, &d.Shards); err != nil {
		return d, fmt.Errorf("identity of the journal: %w", err)
	}
	d.Epoch = uint64(epoch)
	return d, nil
}
