package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"time"

	"carillon/channel"
	"carillon/internal/fault"
	"carillon/journal"
	"carillon/store"

	lib "modernc.org/sqlite/lib"
)

const (
	maxLogs  = 65536 // logs whose state is kept in memory, in each of two generations
	trimRows = 1000  // rows that a commit drops of one log at most

	// Housekeeping goes in many small rounds: everybody waits for the end of one.
	tick     = 500 * time.Millisecond // between two rounds
	keepRows = 100                    // rows that one drops, or gives a place, at most
	keepLogs = 32                     // logs that one looks at
)

// writer is the committer: the only one who writes, on the only connection that may. It lives on one goroutine.
type writer struct {
	s    *Store
	conn *sql.Conn

	begin, commit, rollback    *sql.Stmt
	findLog, findLast, lastTag *sql.Stmt
	surplus, drop, sweepLogs   *sql.Stmt
	addRows, moveTo            many
	stmts                      []**sql.Stmt // those prepared, to be closed
	manies                     []*many

	service serviceStatements
	ids     idStatements

	cache
	placing  placing
	oldSteps aging
	sweptTo  int64 // id of the channel that housekeeping saw last
	erased   bool  // the log file holds what was erased

	uncarried int // rows written since the carrier was told, about
}

// cache is what the committer remembers as of the last commit; a failed one empties it.
type cache struct {
	logs    map[channel.Name]logState // those used lately
	older   map[channel.Name]logState
	fences  map[fenceKey]fenceState
	tables  map[int64]*store.Table // by the id of the channel
	entries int                    // of tables, about
	lastLog int64                  // highest id of a channel; 0: not known
}

func newCache() cache {
	return cache{logs: map[channel.Name]logState{}, fences: map[fenceKey]fenceState{}, tables: map[int64]*store.Table{}}
}

func newWriter(s *Store) *writer {
	return &writer{s: s, cache: newCache(), erased: true} // what a kill -9 left undone is done first
}

// connect takes a fresh connection and prepares everything on it.
func (w *writer) connect(ctx context.Context) (err error) {
	if w.conn, err = w.s.writing.Conn(ctx); err != nil {
		return err
	}
	if err := w.insistOnDurability(ctx); err != nil {
		return err
	}
	for stmt, text := range map[**sql.Stmt]string{
		&w.begin:    "BEGIN IMMEDIATE",
		&w.commit:   "COMMIT",
		&w.rollback: "ROLLBACK",
		&w.findLog: `SELECT id, head, tag, oldest, oldest_tag, bytes, last, rev, version, commanded, ifnull(shard, 0), ifnull(wake, 0)
			FROM channels WHERE name = ?`,
		&w.findLast:       "SELECT ifnull(max(id), 0) FROM channels",
		&w.lastTag:        "SELECT tag FROM records WHERE channel = ? AND offset = ?",
		&w.oldSteps.drop:  "DELETE FROM steps WHERE seq IN (SELECT seq FROM steps ORDER BY seq LIMIT ?) AND time < ?",
		&w.oldSteps.first: "SELECT seq, time FROM steps ORDER BY seq LIMIT 1",
		&w.surplus:        "SELECT offset, tag, time, length(body) FROM records WHERE channel = ? AND offset > ? ORDER BY offset LIMIT ?",
		&w.drop:           "DELETE FROM records WHERE channel = ? AND offset <= ?",
		&w.sweepLogs:      "SELECT name, id, head > oldest, rev > 0 FROM channels WHERE id > ? ORDER BY id LIMIT ?",
	} {
		if err := w.prepare(ctx, stmt, text); err != nil {
			return err
		}
	}
	for m, text := range map[*many][2]string{
		&w.addRows: {"INSERT INTO records (channel, offset, tag, seal, time, sender, binary, body) VALUES %rows%", "(?,?,?,?,?,?,?,?)"},
		&w.moveTo: {`INSERT INTO channels (id, name, head, tag, oldest, oldest_tag, bytes, last, rev) VALUES %rows%
			ON CONFLICT (id) DO UPDATE SET ` + movedColumns, "(?,?,?,?,?,?,?,?,?)"},
	} {
		if err := w.prepareMany(ctx, m, text); err != nil {
			return err
		}
	}
	if err := w.ids.prepare(ctx, w); err != nil {
		return err
	}
	return w.service.prepare(ctx, w)
}

const movedColumns = `head = excluded.head, tag = excluded.tag, oldest = excluded.oldest, oldest_tag = excluded.oldest_tag,
	bytes = excluded.bytes, last = excluded.last, rev = excluded.rev`

func (w *writer) prepare(ctx context.Context, stmt **sql.Stmt, text string) (err error) {
	if *stmt, err = w.conn.PrepareContext(ctx, text); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	w.stmts = append(w.stmts, stmt)
	return nil
}

func (w *writer) prepareMany(ctx context.Context, m *many, text [2]string) (err error) {
	if *m, err = prepareMany(ctx, w.conn, text[0], text[1]); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	w.manies = append(w.manies, m)
	return nil
}

// insistOnDurability refuses a connection on which a commit would not mean what TierDurable says.
func (w *writer) insistOnDurability(ctx context.Context) error {
	var mode string
	var sync int
	if w.s.Tier() != journal.TierDurable {
		return nil
	}
	if err := w.conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if err := w.conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&sync); err != nil {
		return err
	}
	if mode != "wal" || sync != 2 {
		return fmt.Errorf("the database runs with journal_mode %s and synchronous %d, not with WAL and FULL: is its folder on a network file system?", mode, sync)
	}
	return nil
}

// disconnect drops the connection for good: what is unknown about it ends with it. SQLite keeps a connection open,
// and its files with it, until its last statement is closed.
func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	for _, stmt := range w.stmts {
		_ = (*stmt).Close()
		*stmt = nil
	}
	for _, m := range w.manies {
		_ = m.close()
	}
	w.stmts, w.manies = nil, nil
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = w.conn.Close()
	w.conn = nil
}

// run commits until the store is closed and nothing waits.
func (w *writer) run() {
	ctx := context.Background() // a commit is never cut short
	housekeeping := time.NewTicker(tick)
	defer housekeeping.Stop()
	for {
		batch, closed := w.s.take()
		switch {
		case len(batch) > 0:
			w.write(ctx, batch)
			select {
			case <-housekeeping.C: // also while there is always something to write
				w.housekeep(ctx)
			default:
			}
			continue
		case closed:
			w.disconnect()
			return
		}
		select {
		case <-w.s.wake:
		case <-housekeeping.C:
			w.housekeep(ctx)
		}
	}
}

// write makes one batch true and answers it, or fails it together with what waits behind it.
func (w *writer) write(ctx context.Context, batch []request) {
	fault.Point("store.taken")
	began := time.Now()
	b, certain, culprit, err := w.transact(ctx, batch)
	w.s.o.Commits.Since(began)
	if err == nil {
		w.announce(b, batch)
		runtime.Gosched() // who was answered goes on before the next batch: on few cores the committer would hold theirs
		w.wrote(ctx, 8+len(b.records)+2*len(b.order))
		return
	}
	w.s.o.Failures.Add(1)
	if parts := byRun(batch); culprit && certain && len(parts) > 1 && !isFull(err) {
		// What one Commit holds must not fail the others.
		w.writeParts(ctx, parts)
		return
	}
	if parts := byChannel(batch); isDamage(err) && len(parts) > 1 {
		// A damaged page is the fault of one channel; the others go on without it.
		w.writeParts(ctx, parts)
		return
	}
	err = outcome(err, certain)
	failed := map[channel.Name]bool{}
	for i := range batch {
		if batch[i].call == nil {
			failed[batch[i].record.Channel] = true
		}
	}
	// Behind a failed record nothing may become true before its sender knows: that would change the order. A Commit behind
	// a failed one finds another version there, and is refused for that.
	for _, q := range append(batch, w.s.takeBehind(failed)...) {
		q.answer(result{err: err})
	}
}

func (w *writer) writeParts(ctx context.Context, parts [][]request) {
	for _, part := range parts {
		w.write(ctx, part)
	}
}

// announce tells the world, and then those who asked.
func (w *writer) announce(b *batchWork, batch []request) {
	w.s.o.Batches.Record(len(b.records))
	if len(b.records) > 0 {
		w.s.o.Carry(b.records)
	}
	fault.Point("store.carried")
	if b.urgent {
		w.s.o.Stepped()
	}
	for i := range batch {
		batch[i].answer(b.results[i])
	}
}

func (q *request) answer(r result) {
	if q.call != nil {
		q.call.answer(r.err)
		return
	}
	q.done(r.at, r.err)
}

// byRun parts a batch into its calls, each alone, and the records between them.
func byRun(batch []request) (parts [][]request) {
	for i := range batch {
		if i == 0 || batch[i].call != nil || batch[i-1].call != nil {
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], batch[i])
	}
	return parts
}

func byChannel(batch []request) (parts [][]request) {
	index := map[channel.Name]int{}
	for _, q := range batch {
		i, ok := index[q.record.Channel]
		if !ok {
			i = len(parts)
			index[q.record.Channel] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], q)
	}
	return parts
}

// inTransaction runs f between BEGIN and COMMIT. After an error everything remembered is forgotten, and certain tells that
// nothing of f is or will become true.
func (w *writer) inTransaction(ctx context.Context, f func() error) (certain bool, err error) {
	defer func() {
		if err != nil {
			w.cache = newCache()
			w.oldSteps.oldest = 0
			w.forgetIDs()
		}
	}()
	w.s.gate.write()
	defer w.s.gate.writeEnd()
	if err := w.s.present.check(false); err != nil {
		return true, err
	}
	if w.conn == nil {
		if err := w.connect(ctx); err != nil {
			w.disconnect()
			return true, err
		}
	}
	if _, err := w.begin.ExecContext(ctx); err != nil {
		w.disconnect()
		return true, err
	}
	committing := false
	if err = f(); err == nil {
		committing = true
		_, err = w.commit.ExecContext(ctx)
	}
	if err == nil {
		return false, w.s.present.check(true)
	}
	_, undone := w.rollback.ExecContext(ctx)
	if undone != nil || committing {
		w.disconnect()
	}
	// A log that could not be written to its end for want of space holds no commit mark; after any other failure of
	// COMMIT, one may lie on the disk and be found after a crash.
	return !committing || code(err) == lib.SQLITE_FULL && isOver(undone), err
}

var errNoRecord = errors.New("the last record is missing")

// logState is the state of a log as of the last commit.
type logState struct {
	id     int64 // 0: it has no row yet
	head   channel.Position
	oldest channel.Position
	bytes  int64
	lastMS int64
	rev    uint64

	version   uint64 // the rest is that of a service's channel; 0: it is none
	commanded int64  // ms
	shard     int64  // row in fences
	wake      int64  // ns; 0: never
}

// log finds a log, with what this batch did to it.
func (w *writer) log(ctx context.Context, b *batchWork, n channel.Name) (*logWork, error) {
	if st, ok := b.logs[n]; ok {
		return st, nil
	}
	st := &logWork{name: n}
	var err error
	if st.logState, err = w.state(ctx, n); err != nil {
		return nil, err
	}
	b.logs[n] = st
	b.order = append(b.order, st)
	return st, nil
}

// state finds the state of a log, in memory or in the database. One that was never written has no id.
func (w *writer) state(ctx context.Context, n channel.Name) (logState, error) {
	if st, ok := w.logs[n]; ok {
		return st, nil
	}
	if st, ok := w.older[n]; ok {
		w.remember(n, st)
		return st, nil
	}
	var st logState
	var head, tag, oldest, oldestTag, rev, version int64
	err := w.findLog.QueryRowContext(ctx, string(n)).Scan(&st.id, &head, &tag, &oldest, &oldestTag, &st.bytes, &st.lastMS,
		&rev, &version, &st.commanded, &st.shard, &st.wake)
	if errors.Is(err, sql.ErrNoRows) {
		st.head = w.s.identity.First(n)
		st.oldest = st.head
		return st, nil
	}
	if err != nil {
		return st, err
	}
	st.head, st.oldest = w.s.identity.Position(head, tag), w.s.identity.Position(oldest, oldestTag)
	st.rev, st.version = uint64(rev), uint64(version)
	return st, w.verifyHead(ctx, n, st)
}

// enroll gives a log that is written for the first time its id; its row comes with the first move. A mere refusal leaves
// none: anybody can ask for any name.
func (w *writer) enroll(ctx context.Context, st *logWork) error {
	if st.id != 0 {
		return nil
	}
	if w.lastLog == 0 {
		if err := w.findLast.QueryRowContext(ctx).Scan(&w.lastLog); err != nil {
			return err
		}
	}
	w.lastLog++
	st.id = w.lastLog
	return nil
}

// verifyHead compares a log's head with its last record, so that no offset is given twice after damage.
func (w *writer) verifyHead(ctx context.Context, n channel.Name, st logState) error {
	if st.head == st.oldest {
		return nil
	}
	var tag int64
	err := w.lastTag.QueryRowContext(ctx, st.id, int64(st.head.Offset)).Scan(&tag)
	if errors.Is(err, sql.ErrNoRows) || err == nil && uint64(tag) != st.head.Tag {
		return &journal.Damage{Channel: n, Offset: st.head.Offset, Why: errNoRecord.Error()}
	}
	return err
}

// remember keeps a committed state, in two generations so that the bound needs no search.
func (w *writer) remember(n channel.Name, st logState) {
	if len(w.logs) >= maxLogs {
		w.older, w.logs = w.logs, map[channel.Name]logState{}
	}
	w.logs[n] = st
}
