package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

const (
	defaultFound = 50
	maxTerms     = 4
	rareEnough   = 1000 // rows of a term that are counted to learn which one is rarest
)

// Find is journal.Finder's.
func (s *Store) Find(ctx context.Context, q journal.Search) (found journal.Found, err error) {
	if len(q.Terms) > maxTerms || q.Limit > journal.MaxFound {
		return found, fmt.Errorf("search with %d terms for %d rows: at most %d and %d", len(q.Terms), q.Limit, maxTerms, journal.MaxFound)
	}
	if q.Limit <= 0 {
		q.Limit = defaultFound
	}
	err = s.view(ctx, "rows", func(ctx context.Context, w *work) error {
		f := &finding{w: w, q: q, terms: slices.Clone(q.Terms)}
		if err := f.sort(ctx); err != nil {
			return err
		}
		err := f.find(ctx)
		found = f.found
		return err
	})
	if err != nil {
		return journal.Found{}, err
	}
	return found, nil
}

// finding is one Find, in one snapshot of the database.
type finding struct {
	w     *work
	q     journal.Search
	terms []string // the rarest first
	size  int      // of the bodies found, in bytes
	found journal.Found
}

// sort puts the rarest term first: it is the one that is walked.
func (f *finding) sort(ctx context.Context) error {
	if len(f.terms) < 2 {
		return nil
	}
	counts := make(map[string]int, len(f.terms))
	b := f.w.batch()
	for _, t := range f.terms {
		b.Queue(`SELECT count(*) FROM (SELECT 1 FROM terms WHERE service = $1 AND kind = $2 AND term = $3 LIMIT $4) AS few`,
			f.q.Service, f.q.Kind, []byte(t), rareEnough).QueryRow(func(r row) error {
			var n int
			err := r.Scan(&n)
			counts[t] = n
			return err
		})
	}
	err := f.w.send(ctx, b)
	slices.SortStableFunc(f.terms, func(a, b string) int { return counts[a] - counts[b] })
	return err
}

// find reads the rows, and counts what comes before them.
func (f *finding) find(ctx context.Context) error {
	q := new(query)
	text := `SELECT t.key, t.rank, t.terms, t.body` + f.from(q)
	switch {
	case f.q.Key != "":
		text += " AND t.key = " + q.arg([]byte(f.q.Key))
	case f.q.After != nil:
		text += f.beyond(q, f.q.After, false)
	}
	text += f.order() + " LIMIT " + q.arg(f.q.Limit+1)
	if len(f.terms) > 0 { // a row is fetched for each that stays
		text = strings.Replace(text, "t.key, t.rank, t.terms, t.body", "t.key, t.rank", 1)
		text = "SELECT r.key, r.rank, r.terms, r.body FROM (" + text + ") AS t JOIN rows r ON r.service = " + q.arg(f.q.Service) +
			" AND r.kind = " + q.arg(f.q.Kind) + " AND r.key = t.key" + f.order()
	}
	b := f.w.batch()
	each(b, f.scan, text, q.args...)
	if err := f.w.send(ctx, b); err != nil {
		return err
	}
	rows := f.found.Rows
	if len(rows) > f.q.Limit {
		f.found.Rows, f.found.More = rows[:f.q.Limit], true
	}
	if len(rows) == 0 || f.q.Key == "" && f.q.After == nil {
		return f.w.commit(ctx, f.w.batch())
	}
	return f.count(ctx)
}

// count finds how many rows come before the first one found.
func (f *finding) count(ctx context.Context) error {
	q := new(query)
	text := "SELECT count(*) FROM (SELECT 1" + f.from(q) + f.beyond(q, &f.found.Rows[0], true)
	text += " LIMIT " + q.arg(journal.MaxCounted) + ") AS before"
	b := f.w.batch()
	b.Queue(text, q.args...).QueryRow(func(r row) error { return r.Scan(&f.found.Before) })
	return f.w.commit(ctx, b)
}

// from is where rows with all terms come from: t has rank and key, and with no term asked for all of a row.
func (f *finding) from(q *query) string {
	of := " t WHERE t.service = " + q.arg(f.q.Service) + " AND t.kind = " + q.arg(f.q.Kind)
	if len(f.terms) == 0 {
		return " FROM rows" + of
	}
	of = " FROM terms" + of + " AND t.term = " + q.arg([]byte(f.terms[0]))
	for _, term := range f.terms[1:] {
		of += ` AND EXISTS (SELECT 1 FROM terms o WHERE o.service = t.service AND o.kind = t.kind AND o.term = ` + q.arg([]byte(term)) +
			` AND o.rank = t.rank AND o.key = t.key)`
	}
	return of
}

func (f *finding) order() string {
	if f.q.Ascending {
		return " ORDER BY t.rank, t.key DESC"
	}
	return " ORDER BY t.rank DESC, t.key"
}

// beyond is the condition for what comes behind a place, or with before in front of it.
func (f *finding) beyond(q *query, r *channel.Row, before bool) string {
	rank, key := q.arg(r.Rank), q.arg([]byte(r.Key))
	if f.q.Ascending != before {
		return " AND t.rank >= " + rank + " AND (t.rank > " + rank + " OR t.key < " + key + ")"
	}
	return " AND t.rank <= " + rank + " AND (t.rank < " + rank + " OR t.key > " + key + ")"
}

func (f *finding) scan(scan func(...any) error) error {
	r := channel.Row{Kind: f.q.Kind}
	var key, terms []byte
	err := scan(&key, &r.Rank, &terms, &r.Body)
	if err != nil {
		return err
	}
	if r.Terms, err = store.UnpackTerms(terms); err != nil {
		return fmt.Errorf("terms of %s %q: %w: %w", f.q.Kind, key, journal.ErrDamaged, err)
	}
	r.Key = string(key)
	if f.size += len(r.Body); f.found.More || f.size > journal.MaxFoundBytes && len(f.found.Rows) > 0 {
		f.found.More = true // what comes behind is on the next page
		return nil
	}
	f.found.Rows = append(f.found.Rows, r)
	return nil
}

// query is a statement that grows with its arguments.
type query struct{ args []any }

// arg adds an argument and gives what stands for it.
func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}
