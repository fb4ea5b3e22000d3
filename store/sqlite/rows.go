package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// chunks are the numbers of rows for which a statement of many rows is prepared. Many rows a statement cost about
// half of one row a statement.
var chunks = [...]int{64, 8, 1}

// many is a statement over any number of rows, prepared for each of the chunks.
type many struct {
	width int // arguments a row
	stmts [len(chunks)]*sql.Stmt
}

// prepareMany prepares a statement in whose text %rows% stands for as many copies of row, parted by commas, as a chunk has.
func prepareMany(ctx context.Context, on preparer, text, row string) (m many, err error) {
	m.width = strings.Count(row, "?")
	for i, n := range chunks {
		rows := strings.TrimSuffix(strings.Repeat(row+",", n), ",")
		if m.stmts[i], err = on.PrepareContext(ctx, strings.Replace(text, "%rows%", rows, 1)); err != nil {
			return m, errors.Join(err, m.close())
		}
	}
	return m, nil
}

type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// each calls f with statements and their arguments until all arguments are used.
func (m *many) each(args []any, f func(*sql.Stmt, []any) error) error {
	for i, n := range chunks {
		for len(args) >= n*m.width {
			if err := f(m.stmts[i], args[:n*m.width]); err != nil {
				return err
			}
			args = args[n*m.width:]
		}
	}
	return nil
}

func (m *many) exec(ctx context.Context, args []any) error {
	return m.each(args, func(stmt *sql.Stmt, args []any) error {
		_, err := stmt.ExecContext(ctx, args...)
		return err
	})
}

func (m *many) query(ctx context.Context, args []any, row func(scan func(...any) error) error) error {
	return m.each(args, func(stmt *sql.Stmt, args []any) error {
		return queryEach(ctx, stmt, args, row)
	})
}

func (m *many) close() error {
	var errs []error
	for _, stmt := range m.stmts {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(errs...)
}

// errEnough ends queryEach before the last row.
var errEnough = errors.New("enough rows")

func queryEach(ctx context.Context, stmt *sql.Stmt, args []any, row func(scan func(...any) error) error) (err error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() {
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}()
	for rows.Next() {
		if err := row(rows.Scan); err == errEnough {
			return nil
		} else if err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanOne scans a row into dest, or leaves dest as it is if there is none.
func scanOne(r *sql.Row, dest ...any) error {
	if err := r.Scan(dest...); !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return nil
}
