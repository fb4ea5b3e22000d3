package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"carillon/store"
)

const (
	defaultGeneration = 8192
	loadPage          = 4096 // places that the filter loads at a time
)

// place is a row of id_places.
type place struct {
	key placeKey
	seq int64
}

// idPlaces finds the rows of ids. Those that came last are in memory, all others in the index id_places, which a filter
// spares most questions. Who looks here first and then asks the index misses nothing that was committed before.
type idPlaces struct {
	filter     filter
	generation int // ids that get their places together

	mu    sync.RWMutex
	known bool // false after a failure, until the committer has read back what there is: readers go through the rows themselves
	young map[store.IDKey]int64
	old   map[store.IDKey]int64 // get their places now
}

// look parts ids into rows that are known and ids that only the index can tell of; through asks for the rows after the last that
// has a place as well.
func (p *idPlaces) look(keys []store.IDKey) (rows, index []any, through bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for i := range keys {
		if seq, ok := p.recent(keys[i]); ok {
			rows = append(rows, seq)
		} else if p.filter.may(placeOf(keys[i])) {
			index = append(index, keys[i][:8])
		}
	}
	return rows, index, !p.known
}

// recent is called under mu.
func (p *idPlaces) recent(k store.IDKey) (seq int64, ok bool) {
	if seq, ok = p.young[k]; !ok {
		seq, ok = p.old[k]
	}
	return seq, ok
}

// idReads read rows of ids.
type idReads struct {
	rows, index, after many
}

const idColumns = "i.key, i.hash, i.binary, i.offset, i.tag, i.code, i.reply"

func (r *idReads) prepare(ctx context.Context, on preparer) error {
	for m, text := range map[*many]string{
		&r.rows:  "SELECT " + idColumns + " FROM ids i WHERE i.seq IN (%rows%)",
		&r.index: "SELECT " + idColumns + " FROM id_places p CROSS JOIN ids i ON i.seq = p.seq WHERE p.key IN (%rows%)",
		&r.after: "SELECT " + idColumns + " FROM ids i WHERE i.seq > (SELECT placed FROM meta) AND i.key IN (%rows%)",
	} {
		var err error
		if *m, err = prepareMany(ctx, on, text, "?"); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

func (r *idReads) close() error {
	return errors.Join(r.rows.close(), r.index.close(), r.after.close())
}

// find calls found with the row of each id that there is, and perhaps with others. query runs a statement.
func (p *idPlaces) find(keys []store.IDKey, r *idReads, query func(*many, []any, func(func(...any) error) error) error,
	found func(store.IDKey, *store.Answered, int64, int64)) error {
	rows, index, through := p.look(keys)
	read := func(scan func(...any) error) error {
		var a store.Answered
		var key, hash []byte
		var offset, tag int64
		if err := scan(&key, &hash, &a.Binary, &offset, &tag, &a.Reply.Code, &a.Reply.Body); err != nil {
			return err
		}
		copy(a.Hash[:], hash)
		found(store.IDKey(key), &a, offset, tag)
		return nil
	}
	if len(rows) > 0 {
		if err := query(&r.rows, rows, read); err != nil {
			return err
		}
	}
	if len(index) > 0 {
		if err := query(&r.index, index, read); err != nil {
			return err
		}
	}
	if !through {
		return nil
	}
	all := make([]any, len(keys))
	for i := range keys {
		all[i] = keys[i][:]
	}
	return query(&r.after, all, read)
}

// idStatements are what the committer needs for ids.
type idStatements struct {
	idReads
	add, addPlaces         many
	last, unplaced         *sql.Stmt
	setPlaced              *sql.Stmt
	placeAfter, dropPlaces *sql.Stmt
	old                    aging
}

func (p *idStatements) prepare(ctx context.Context, w *writer) error {
	for stmt, text := range map[**sql.Stmt]string{
		&p.last:       "SELECT placed, (SELECT ifnull(max(seq), 0) FROM ids) FROM meta",
		&p.unplaced:   "SELECT key, seq FROM ids WHERE seq > (SELECT placed FROM meta)",
		&p.setPlaced:  "UPDATE meta SET placed = ?",
		&p.placeAfter: "SELECT key FROM id_places WHERE key > ? ORDER BY key LIMIT 1 OFFSET ?",
		&p.dropPlaces: "DELETE FROM id_places WHERE key > ? AND key <= ? AND seq < ?",
		&p.old.drop:   "DELETE FROM ids WHERE seq IN (SELECT seq FROM ids ORDER BY seq LIMIT ?) AND at < ?",
		&p.old.first:  "SELECT seq, at FROM ids ORDER BY seq LIMIT 1",
	} {
		if err := w.prepare(ctx, stmt, text); err != nil {
			return err
		}
	}
	for m, text := range map[*many][2]string{
		&p.add:       {"INSERT INTO ids (seq, key, hash, binary, offset, tag, at, code, reply) VALUES %rows%", "(?,?,?,?,?,?,?,?,?)"},
		&p.addPlaces: {"INSERT OR IGNORE INTO id_places (key, seq) VALUES %rows%", "(?,?)"},
	} {
		if err := w.prepareMany(ctx, m, text); err != nil {
			return err
		}
	}
	w.manies = append(w.manies, &p.rows, &p.index, &p.after)
	return p.idReads.prepare(ctx, w.conn)
}

// placing is the committer's side of idPlaces.
type placing struct {
	next int64   // number of the next row; 0: not known, as nothing below is
	due  []place // of idPlaces.old, sorted
	done int     // of due
	last int64   // number of the last row of idPlaces.old

	swept placeKey // where the sweep of the index goes on
}

// errTwice says that a command is to be kept under an id that has its answer.
var errTwice = errors.New("an id of a command was used before")

// recallIDs reads back which rows have no place yet, after a start or a failure.
func (w *writer) recallIDs(ctx context.Context) error {
	if w.placing.next > 0 {
		return nil
	}
	var placed, last int64
	if err := w.ids.last.QueryRowContext(ctx).Scan(&placed, &last); err != nil {
		return err
	}
	young := map[store.IDKey]int64{}
	err := queryEach(ctx, w.ids.unplaced, nil, func(scan func(...any) error) error {
		var key []byte
		var seq int64
		if err := scan(&key, &seq); err != nil {
			return err
		}
		young[store.IDKey(key)] = seq
		return nil
	})
	if err != nil {
		return err
	}
	w.placing = placing{next: max(placed, last) + 1}
	p := &w.s.ids
	p.mu.Lock()
	defer p.mu.Unlock()
	p.young, p.old, p.known = young, nil, true
	return nil
}

// forgetIDs is called when nobody knows what became of a transaction.
func (w *writer) forgetIDs() {
	w.placing, w.ids.old.oldest = placing{}, 0
	p := &w.s.ids
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = false
}

// newID notes an id whose row is to be written, and gives the row's number. Nobody but the batch knows of it before the commit.
func (b *batchWork) newID(w *writer, k store.IDKey) int64 {
	seq := w.placing.next
	w.placing.next++
	b.fresh[k] = seq
	return seq
}

// unused refuses an id of a command that has its answer already. Workers ask before they commit, so it is never met unless
// one is wrong.
func (w *writer) unused(ctx context.Context, b *batchWork) error {
	if len(b.asked) == 0 {
		return nil
	}
	twice := false
	err := w.findIDs(ctx, b.asked, func(k store.IDKey, _ *store.Answered, _, _ int64) {
		twice = twice || slices.Contains(b.asked, k)
	})
	if err == nil && twice {
		err = errTwice
	}
	return err
}

func (w *writer) findIDs(ctx context.Context, keys []store.IDKey, found func(store.IDKey, *store.Answered, int64, int64)) error {
	query := func(m *many, args []any, row func(func(...any) error) error) error { return m.query(ctx, args, row) }
	return w.s.ids.find(keys, &w.ids.idReads, query, found)
}

// placeIDs gives the next some of the ids that are due their place in the index.
func (w *writer) placeIDs(ctx context.Context, b *batchWork, some int) error {
	p := &w.placing
	ready := p.due[p.done:min(p.done+some, len(p.due))]
	if len(ready) == 0 {
		return nil
	}
	w.s.ids.filter.add(ready, b.now)
	args := make([]any, 0, 2*len(ready))
	for i := range ready {
		args = append(args, ready[i].key[:], ready[i].seq)
	}
	if err := w.ids.addPlaces.exec(ctx, args); err != nil {
		return err
	}
	if p.done+len(ready) == len(p.due) {
		if _, err := w.ids.setPlaced.ExecContext(ctx, p.last); err != nil {
			return err
		}
	}
	b.placed = len(ready)
	return nil
}

// settleIDs remembers the ids of a batch that is true.
func (w *writer) settleIDs(b *batchWork) {
	p, q := &w.s.ids, &w.placing
	q.done += b.placed
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, seq := range b.fresh {
		p.young[k] = seq
	}
	if q.done < len(q.due) {
		return
	}
	q.due, q.done, p.old = q.due[:0], 0, nil
	if len(p.young) < p.generation {
		return
	}
	p.old, p.young = p.young, make(map[store.IDKey]int64, p.generation)
	for k, seq := range p.old {
		q.due = append(q.due, place{placeOf(k), seq})
		q.last = max(q.last, seq)
	}
	slices.SortFunc(q.due, func(a, b place) int { return bytes.Compare(a.key[:], b.key[:]) })
}

// loadFilter fills the filter with what was in the index at the start. Until it has, and if it cannot, the index is asked.
func (s *Store) loadFilter(ctx context.Context) {
	err := s.ids.filter.load(func(after []byte) (ks []placeKey, err error) {
		s.gate.read()
		defer s.gate.readEnd()
		err = queryEach(ctx, s.services.places, []any{after, loadPage}, func(scan func(...any) error) error {
			var key []byte
			if err := scan(&key); err != nil {
				return err
			}
			ks = append(ks, placeKey(key))
			return nil
		})
		return ks, err
	})
	if err != nil && ctx.Err() == nil && s.o.Trouble != nil {
		s.o.Trouble(s.readError("the index of ids", err))
	}
}

// sweepPlaces drops places whose rows are gone, in the next some of the index.
func (w *writer) sweepPlaces(ctx context.Context, oldest int64, some int) error {
	var end []byte
	if err := scanOne(w.ids.placeAfter.QueryRowContext(ctx, w.placing.swept[:], some), &end); err != nil {
		return err
	}
	from := w.placing.swept
	w.placing.swept = placeKey{}
	if len(end) == len(from) {
		w.placing.swept = placeKey(end)
	} else {
		end = bytes.Repeat([]byte{0xff}, len(from))
	}
	_, err := w.ids.dropPlaces.ExecContext(ctx, from[:], end, oldest)
	return err
}

// forgetOldIDs drops ids past their time and what is left of them in the index. It looks at max rows at most.
func (w *writer) forgetOldIDs(ctx context.Context, now time.Time, max int) error {
	dropped, oldest, err := w.ids.old.forget(ctx, now.Add(-store.IDsKept), now, max)
	if err != nil || dropped == 0 {
		return err
	}
	if oldest == 0 {
		oldest = w.placing.next
	}
	return w.sweepPlaces(ctx, oldest, 4*int(dropped))
}
