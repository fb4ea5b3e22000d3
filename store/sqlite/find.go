package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"carillon/channel"
	"carillon/journal"
)

const (
	defaultFound = 50
	maxTerms     = 4
	rareEnough   = 1000 // rows of a term that are counted to learn which one is rarest
)

// Find is journal.Finder's.
func (s *Store) Find(ctx context.Context, q journal.Search) (found journal.Found, err error) {
	if s.shut.Load() {
		return found, journal.ErrClosed
	}
	if len(q.Terms) > maxTerms || q.Limit > journal.MaxFound {
		return found, fmt.Errorf("search with %d terms for %d rows: at most %d and %d", len(q.Terms), q.Limit, maxTerms, journal.MaxFound)
	}
	if q.Limit <= 0 {
		q.Limit = defaultFound
	}
	v, err := s.view(ctx)
	if err != nil {
		return found, s.readError("rows", err)
	}
	defer v.end()
	f := &finding{v: v, q: q, terms: slices.Clone(q.Terms)}
	if q.Key != "" {
		err = f.one(&found)
	} else {
		err = f.page(&found)
	}
	if err != nil {
		return journal.Found{}, s.readError("rows", err)
	}
	return found, nil
}

// finding is one Find, in one snapshot of the database.
type finding struct {
	v     *view
	q     journal.Search
	terms []string // the rarest first
}

// one finds the row of a key.
func (f *finding) one(found *journal.Found) error {
	err := f.rows(found, "SELECT key, rank, terms, body FROM rows WHERE service = ? AND kind = ? AND key = ?", f.q.Service, f.q.Kind, f.q.Key)
	if err != nil || len(found.Rows) == 0 {
		return err
	}
	for _, t := range f.terms {
		if !slices.Contains(found.Rows[0].Terms, t) {
			found.Rows = nil
			return nil
		}
	}
	if err := f.sort(); err != nil {
		return err
	}
	return f.count(found)
}

// page finds the rows behind a place.
func (f *finding) page(found *journal.Found) error {
	if err := f.sort(); err != nil {
		return err
	}
	from, args := f.from()
	if a := f.q.After; a != nil {
		from += f.beyond(false)
		args = append(args, a.Rank, a.Rank, a.Key)
	}
	order := " ORDER BY t.rank DESC, t.key LIMIT ?"
	if f.q.Ascending {
		order = " ORDER BY t.rank, t.key DESC LIMIT ?"
	}
	text := "SELECT t.key, t.rank, t.terms, t.body FROM " + from + order
	if len(f.terms) > 0 { // a row is fetched for each that stays
		text = "SELECT r.key, r.rank, r.terms, r.body FROM (SELECT t.rank, t.key FROM " + from + order +
			") f CROSS JOIN rows r ON r.service = ? AND r.kind = ? AND r.key = f.key"
		args = append(args, f.q.Limit+1, f.q.Service, f.q.Kind)
	} else {
		args = append(args, f.q.Limit+1)
	}
	if err := f.rows(found, text, args...); err != nil || len(found.Rows) == 0 {
		return err
	}
	if len(found.Rows) > f.q.Limit {
		found.Rows, found.More = found.Rows[:f.q.Limit], true
	}
	if f.q.After == nil {
		return nil
	}
	return f.count(found)
}

// sort puts the rarest term first: it is the one that is walked.
func (f *finding) sort() error {
	if len(f.terms) < 2 {
		return nil
	}
	counts := make(map[string]int, len(f.terms))
	for _, t := range f.terms {
		var n int
		err := f.v.tx.QueryRowContext(f.v.ctx, `SELECT count(*) FROM (SELECT 1 FROM terms WHERE service = ? AND kind = ? AND term = ? LIMIT ?)`,
			f.q.Service, f.q.Kind, t, rareEnough).Scan(&n)
		if err != nil {
			return err
		}
		counts[t] = n
	}
	slices.SortStableFunc(f.terms, func(a, b string) int { return counts[a] - counts[b] })
	return nil
}

// from is where rows with all terms come from: t has rank and key, and with no term asked for all of a row.
func (f *finding) from() (text string, args []any) {
	args = []any{f.q.Service, f.q.Kind}
	if len(f.terms) == 0 {
		return "rows t WHERE t.service = ? AND t.kind = ?", args
	}
	text = "terms t WHERE t.service = ? AND t.kind = ? AND t.term = ?"
	args = append(args, f.terms[0])
	for _, term := range f.terms[1:] {
		text += ` AND EXISTS (SELECT 1 FROM terms o WHERE o.service = t.service AND o.kind = t.kind AND o.term = ?
			AND o.rank = t.rank AND o.key = t.key)`
		args = append(args, term)
	}
	return text, args
}

// beyond is the condition for what comes behind a place, or with before in front of it; its arguments are rank, rank and key.
func (f *finding) beyond(before bool) string {
	if f.q.Ascending != before {
		return " AND t.rank >= ? AND (t.rank > ? OR t.key < ?)"
	}
	return " AND t.rank <= ? AND (t.rank < ? OR t.key > ?)"
}

// count finds how many rows come before the first one found.
func (f *finding) count(found *journal.Found) error {
	from, args := f.from()
	first := &found.Rows[0]
	args = append(args, first.Rank, first.Rank, first.Key, journal.MaxCounted)
	return f.v.tx.QueryRowContext(f.v.ctx, "SELECT count(*) FROM (SELECT 1 FROM "+from+f.beyond(true)+" LIMIT ?)", args...).Scan(&found.Before)
}

func (f *finding) rows(found *journal.Found, text string, args ...any) (err error) {
	rows, err := f.v.tx.QueryContext(f.v.ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() {
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}()
	for size := 0; rows.Next(); {
		r := channel.Row{Kind: f.q.Kind}
		var terms string
		if err := rows.Scan(&r.Key, &r.Rank, &terms, &r.Body); err != nil {
			return err
		}
		if r.Terms, err = parseTerms(terms); err != nil {
			return fmt.Errorf("terms of %s %q: %w: %w", f.q.Kind, r.Key, journal.ErrDamaged, err)
		}
		if size += len(r.Body); size > journal.MaxFoundBytes && len(found.Rows) > 0 {
			found.More = true
			break
		}
		found.Rows = append(found.Rows, r)
	}
	return rows.Err()
}

// terms are kept as a JSON array.
func formatTerms(terms []string) string {
	if len(terms) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(terms) // strings always can
	return string(b)
}

func parseTerms(text string) (terms []string, err error) {
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&terms); err != nil || len(terms) == 0 {
		return nil, err
	}
	return terms, nil
}

// rowKey names a row.
type rowKey struct{ service, kind, key string }

// state notes what a change says of rows: of each, the last that the batch says counts.
func (b *batchWork) state(service string, rows []channel.Row) {
	for i := range rows {
		k := rowKey{service, rows[i].Kind, rows[i].Key}
		if _, twice := b.stated[k]; !twice {
			b.states = append(b.states, k)
		}
		b.stated[k] = &rows[i]
	}
}

// writeRows writes the rows of a batch, each once.
func (w *writer) writeRows(ctx context.Context, b *batchWork) error {
	for _, k := range b.states {
		if err := w.writeRow(ctx, k, b.stated[k]); err != nil {
			return err
		}
	}
	return nil
}

// writeRow puts a row in the place of the one there, and changes those of its terms that are others, or at another rank.
func (w *writer) writeRow(ctx context.Context, k rowKey, r *channel.Row) error {
	var id, rank int64
	var text string
	if err := scanOne(w.service.findRow.QueryRowContext(ctx, k.service, k.kind, k.key), &id, &rank, &text); err != nil {
		return err
	}
	var old []string
	if id != 0 {
		var err error
		if old, err = parseTerms(text); err != nil {
			return fmt.Errorf("terms of %s %q: %w: %w", k.kind, k.key, journal.ErrDamaged, err)
		}
	}
	var terms []string
	if r.Body != nil {
		terms = r.Terms
	}
	moved := rank != r.Rank
	if err := w.changeTerms(ctx, w.service.dropTerm, k, rank, old, terms, moved); err != nil {
		return err
	}
	if r.Body == nil {
		if id == 0 {
			return nil
		}
		_, err := w.service.dropRow.ExecContext(ctx, id)
		return err
	}
	if err := w.changeTerms(ctx, w.service.addTerm, k, r.Rank, terms, old, moved); err != nil {
		return err
	}
	_, err := w.service.addRow.ExecContext(ctx, k.service, k.kind, k.key, r.Rank, formatTerms(terms), r.Body)
	return err
}

// changeTerms runs a statement for each of terms that others lack, or for all of them.
func (w *writer) changeTerms(ctx context.Context, stmt *sql.Stmt, k rowKey, rank int64, terms, others []string, all bool) error {
	for _, t := range terms {
		if !all && slices.Contains(others, t) {
			continue
		}
		if _, err := stmt.ExecContext(ctx, k.service, k.kind, t, rank, k.key); err != nil {
			return err
		}
	}
	return nil
}
