package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// OpenMemory opens a journal that lives in this process's memory and ends with it, for what need not last: the same tables
// and statements, without a folder and without waiting for a disk.
func OpenMemory(ctx context.Context, o Options) (*Store, error) {
	s, w, err := openMemoryIdle(ctx, o)
	if err != nil {
		return nil, err
	}
	s.work(w)
	return s, nil
}

// openMemoryIdle is OpenMemory without the committer's goroutine.
func openMemoryIdle(ctx context.Context, o Options) (*Store, *writer, error) {
	o.complete()
	s := &Store{o: o, wake: make(chan struct{}, 1), gate: gate{closes: true}}
	// A name that no other store of this process has; connections with the same name share one database.
	at := fmt.Sprintf("file:/carillon-%s?mode=memory&cache=shared", rand.Text())
	err := s.connect(ctx, at+"&_pragma=cache_size(-"+fmt.Sprint(writerCache)+")", at+"&_pragma=query_only(1)")
	if err == nil {
		// The database ends with its last connection: this one stays.
		s.anchor, err = s.reading.Conn(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.closeAll())
	}
	w := newWriter(s)
	if err := w.connect(ctx); err != nil {
		w.disconnect()
		return nil, nil, errors.Join(err, s.closeAll())
	}
	return s, w, nil
}

// gate parts readers from the committer where SQLite does not: connections that share a database in memory lock
// whole tables, and are refused instead of made to wait. In a file they see snapshots, and the gate stands open.
type gate struct {
	closes bool
	mu     sync.RWMutex // held while a transaction is open, around calls of database/sql: that is what it is for
}

func (g *gate) read() {
	if g.closes {
		g.mu.RLock()
	}
}

func (g *gate) readEnd() {
	if g.closes {
		g.mu.RUnlock()
	}
}

func (g *gate) write() {
	if g.closes {
		g.mu.Lock()
	}
}

func (g *gate) writeEnd() {
	if g.closes {
		g.mu.Unlock()
	}
}

// view is a snapshot of the database.
type view struct {
	s   *Store
	ctx context.Context
	tx  *sql.Tx
}

// view opens a snapshot; end must be called.
func (s *Store) view(ctx context.Context) (*view, error) {
	s.gate.read()
	tx, err := s.reading.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		s.gate.readEnd()
		return nil, err
	}
	return &view{s: s, ctx: ctx, tx: tx}, nil
}

func (v *view) end() {
	_ = v.tx.Rollback()
	v.s.gate.readEnd()
}

func (v *view) row(stmt *sql.Stmt, args ...any) *sql.Row {
	return v.tx.StmtContext(v.ctx, stmt).QueryRowContext(v.ctx, args...)
}

func (v *view) each(stmt *sql.Stmt, args []any, row func(scan func(...any) error) error) error {
	return queryEach(v.ctx, v.tx.StmtContext(v.ctx, stmt), args, row)
}

func (v *view) many(m *many, args []any, row func(scan func(...any) error) error) error {
	return m.each(args, func(stmt *sql.Stmt, args []any) error { return v.each(stmt, args, row) })
}
