package postgres

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

// rowKey names a row of a service.
type rowKey struct{ kind, key string }

// states are the rows that a Commit states: of each, the last that it says counts.
type states struct {
	service string
	stated  map[rowKey]*channel.Row
	found   map[rowKey]foundRow
}

// foundRow is what stands there: its terms must go with it.
type foundRow struct {
	rank  int64
	terms []string
}

func newStates(service string) *states {
	return &states{service: service, stated: map[rowKey]*channel.Row{}, found: map[rowKey]foundRow{}}
}

// lockRows locks in the order of the keys, for rows of one key may come from several shards.
const lockRows = `SELECT r.kind, r.key, r.rank, r.terms FROM unnest($2::text[], $3::bytea[]) AS u (kind, key)
	JOIN rows r ON r.service = $1 AND r.kind = u.kind AND r.key = u.key ORDER BY r.kind, r.key FOR UPDATE OF r`

// ask has a batch lock and read the rows that changes of the service may state.
func (s *states) ask(to *pgx.Batch, offers []*offer) {
	keys := map[rowKey]bool{}
	for _, o := range offers {
		if o.fence.Service != s.service {
			continue
		}
		for i := range o.changes {
			for _, r := range o.changes[i].Rows {
				keys[rowKey{r.Kind, r.Key}] = true
			}
		}
	}
	if len(keys) == 0 {
		return
	}
	kinds, names := columnsOf(maps.Keys(keys))
	each(to, func(scan func(...any) error) error {
		var k rowKey
		var key, terms []byte
		var f foundRow
		err := scan(&k.kind, &key, &f.rank, &terms)
		if err != nil {
			return err
		}
		if f.terms, err = store.UnpackTerms(terms); err != nil {
			return fmt.Errorf("terms of %s %q: %w: %w", k.kind, key, journal.ErrDamaged, err)
		}
		k.key = string(key)
		s.found[k] = f
		return nil
	}, lockRows, s.service, kinds, names)
}

func columnsOf(keys func(func(rowKey) bool)) (kinds, names []string) {
	for k := range keys {
		kinds, names = append(kinds, k.kind), append(names, k.key)
	}
	return kinds, names
}

func (s *states) add(rows []channel.Row) {
	for i := range rows {
		s.stated[rowKey{rows[i].Kind, rows[i].Key}] = &rows[i]
	}
}

const (
	addRows = `INSERT INTO rows (service, kind, key, rank, terms, body)
		SELECT $1::text, u.* FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[]) AS u`

	setRows = `UPDATE rows r SET rank = u.rank, terms = u.terms, body = u.body
		FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[]) AS u (kind, key, rank, terms, body)
		WHERE r.service = $1 AND r.kind = u.kind AND r.key = u.key`

	dropRows = `DELETE FROM rows r USING unnest($2::text[], $3::bytea[]) AS u (kind, key)
		WHERE r.service = $1 AND r.kind = u.kind AND r.key = u.key`

	addTerms = `INSERT INTO terms (service, kind, key, rank, term)
		SELECT $1::text, u.* FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::bytea[]) AS u`

	dropTerms = `DELETE FROM terms t USING unnest($2::text[], $3::bytea[], $4::bigint[], $5::bytea[]) AS u (kind, key, rank, term)
		WHERE t.service = $1 AND t.kind = u.kind AND t.term = u.term AND t.rank = u.rank AND t.key = u.key`
)

// rowColumns are rows of rows or terms.
type rowColumns struct {
	kinds, keys   []string
	ranks         []int64
	terms, bodies [][]byte
}

// queue has a batch put the rows in the place of those there. A row that another shard adds at the same moment makes the
// transaction begin anew.
func (s *states) queue(to *pgx.Batch) {
	var add, set, drop, newTerms, oldTerms rowColumns
	order := func(a, b rowKey) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key)) }
	for _, k := range slices.SortedFunc(maps.Keys(s.stated), order) {
		r, old := s.stated[k], s.found[k]
		_, there := s.found[k]
		var terms []string
		if r.Body != nil {
			terms = slices.Compact(slices.Sorted(slices.Values(r.Terms)))
		}
		moved := old.rank != r.Rank
		for _, t := range old.terms {
			if moved || !slices.Contains(terms, t) {
				oldTerms.add(k, old.rank, []byte(t), nil)
			}
		}
		for _, t := range terms {
			if moved || !slices.Contains(old.terms, t) {
				newTerms.add(k, r.Rank, []byte(t), nil)
			}
		}
		switch {
		case r.Body != nil && there:
			set.add(k, r.Rank, store.PackTerms(terms), r.Body)
		case r.Body != nil:
			add.add(k, r.Rank, store.PackTerms(terms), r.Body)
		case there:
			drop.add(k, 0, nil, nil)
		}
	}
	if len(oldTerms.keys) > 0 {
		to.Queue(dropTerms, s.service, oldTerms.kinds, oldTerms.keys, oldTerms.ranks, oldTerms.terms)
	}
	if len(newTerms.keys) > 0 {
		to.Queue(addTerms, s.service, newTerms.kinds, newTerms.keys, newTerms.ranks, newTerms.terms)
	}
	for text, c := range map[string]*rowColumns{addRows: &add, setRows: &set} {
		if len(c.keys) > 0 {
			to.Queue(text, s.service, c.kinds, c.keys, c.ranks, c.terms, c.bodies)
		}
	}
	if len(drop.keys) > 0 {
		to.Queue(dropRows, s.service, drop.kinds, drop.keys)
	}
}

func (c *rowColumns) add(k rowKey, rank int64, terms, body []byte) {
	c.kinds, c.keys, c.ranks = append(c.kinds, k.kind), append(c.keys, k.key), append(c.ranks, rank)
	c.terms, c.bodies = append(c.terms, terms), append(c.bodies, body)
}
