package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"carillon/channel"
	"carillon/journal"

	lib "modernc.org/sqlite/lib"
)

const (
	maxLogs  = 65536           // logs whose state is kept in memory, in each of two generations
	tick     = 5 * time.Second // between two rounds of housekeeping
	keepRows = 1000            // rows that one round of housekeeping drops at most
	keepLogs = 256             // logs that one round of housekeeping looks at
)

// writer is the committer: the only one who writes, on the only connection that may. It lives on one goroutine.
type writer struct {
	s    *Store
	conn *sql.Conn

	begin, commit, rollback          *sql.Stmt
	findLog, addLog, lastTag         *sql.Stmt
	forget, oldestAt                 *sql.Stmt
	surplus, drop, sweepLogs         *sql.Stmt
	findIDs, addIDs, addRows, moveTo many
	stmts                            []**sql.Stmt // those prepared, to be closed
	manies                           []*many

	logs     map[channel.Name]logState // committed states, those used lately
	older    map[channel.Name]logState
	oldestID int64 // time (ms) of the oldest id; too low is harmless
	sweptTo  int64 // id of the channel that housekeeping saw last
}

func newWriter(s *Store) *writer {
	return &writer{s: s, logs: map[channel.Name]logState{}}
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
		&w.findLog:  "SELECT id, head, tag, oldest, oldest_tag, bytes, last FROM channels WHERE name = ?",
		&w.addLog:   "INSERT INTO channels (name, head, tag, oldest, oldest_tag, bytes, last) VALUES (?, 0, ?2, 0, ?2, 0, 0)",
		&w.lastTag:  "SELECT tag FROM records WHERE channel = ? AND offset = ?",
		&w.forget:   "DELETE FROM ids WHERE seq IN (SELECT seq FROM ids ORDER BY seq LIMIT ?) AND at < ?",
		&w.oldestAt: "SELECT at FROM ids ORDER BY seq LIMIT 1",
		&w.surplus:  "SELECT offset, tag, time, length(body) FROM records WHERE channel = ? AND offset > ? ORDER BY offset LIMIT ?",
		&w.drop:     "DELETE FROM records WHERE channel = ? AND offset <= ?",
		&w.sweepLogs: `SELECT name, id, head, tag, oldest, oldest_tag, bytes, last FROM channels
			WHERE id > ? ORDER BY id LIMIT ?`,
	} {
		if *stmt, err = w.conn.PrepareContext(ctx, text); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		w.stmts = append(w.stmts, stmt)
	}
	for m, text := range map[*many][2]string{
		&w.findIDs: {"SELECT key, hash, binary, offset, tag FROM ids WHERE key IN (%rows%)", "?"},
		&w.addIDs:  {"INSERT INTO ids (key, hash, binary, offset, tag, at) VALUES %rows%", "(?,?,?,?,?,?)"},
		&w.addRows: {"INSERT INTO records (channel, offset, tag, seal, time, sender, binary, body) VALUES %rows%", "(?,?,?,?,?,?,?,?)"},
		&w.moveTo: {`INSERT INTO channels (id, name, head, tag, oldest, oldest_tag, bytes, last) VALUES %rows%
			ON CONFLICT (id) DO UPDATE SET head = excluded.head, tag = excluded.tag, oldest = excluded.oldest,
			oldest_tag = excluded.oldest_tag, bytes = excluded.bytes, last = excluded.last`, "(?,?,?,?,?,?,?,?)"},
	} {
		if *m, err = prepareMany(ctx, w.conn, text[0], text[1]); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		w.manies = append(w.manies, m)
	}
	return nil
}

// insistOnDurability refuses a connection on which a commit would not mean what TierDurable says.
func (w *writer) insistOnDurability(ctx context.Context) error {
	var mode string
	var sync int
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
	defer w.s.committer.Done()
	ctx := context.Background() // a commit is never cut short
	housekeeping := time.NewTicker(tick)
	defer housekeeping.Stop()
	for {
		batch, closed := w.s.take()
		switch {
		case len(batch) > 0:
			w.write(ctx, batch)
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
	began := time.Now()
	results, records, certain, err := w.transact(ctx, batch)
	w.s.o.Commits.Since(began)
	if err == nil {
		w.s.o.Batches.Record(len(records))
		if len(records) > 0 {
			w.s.o.Carry(records)
		}
		for i := range batch {
			batch[i].done(results[i].at, results[i].err)
		}
		return
	}
	w.s.o.Failures.Add(1)
	if parts := byChannel(batch); isDamage(err) && len(parts) > 1 {
		// A damaged page is the fault of one channel; the others go on without it.
		for _, part := range parts {
			w.write(ctx, part)
		}
		return
	}
	err = outcome(err, certain)
	failed := map[channel.Name]bool{}
	for i := range batch {
		failed[batch[i].record.Channel] = true
	}
	// Behind a failed record nothing may become true before its sender knows: that would change the order.
	for _, q := range append(batch, w.s.takeBehind(failed)...) {
		q.done(channel.Position{}, err)
	}
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
			w.logs, w.older, w.oldestID = map[channel.Name]logState{}, nil, 0
		}
	}()
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
		return true, nil
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
	id     int64
	head   channel.Position
	oldest channel.Position
	bytes  int64
	lastMS int64
}

// state finds the state of a log, in memory or in the database, and begins the log if there is none.
func (w *writer) state(ctx context.Context, n channel.Name) (logState, error) {
	if st, ok := w.logs[n]; ok {
		return st, nil
	}
	if st, ok := w.older[n]; ok {
		w.remember(n, st)
		return st, nil
	}
	var st logState
	var head, tag, oldest, oldestTag int64
	err := w.findLog.QueryRowContext(ctx, string(n)).Scan(&st.id, &head, &tag, &oldest, &oldestTag, &st.bytes, &st.lastMS)
	if errors.Is(err, sql.ErrNoRows) {
		st.head = w.s.identity.first(n)
		st.oldest = st.head
		res, err := w.addLog.ExecContext(ctx, string(n), int64(st.head.Tag))
		if err != nil {
			return st, err
		}
		st.id, err = res.LastInsertId()
		return st, err
	}
	if err != nil {
		return st, err
	}
	st.head, st.oldest = w.s.identity.position(head, tag), w.s.identity.position(oldest, oldestTag)
	return st, w.verifyHead(ctx, n, st)
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
