package sqlite

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// pageStatements are what reading needs.
type pageStatements struct {
	heads                      many
	log, place, forward, backw *sql.Stmt
}

const recordColumns = "offset, tag, seal, time, sender, binary, body, hash"

func (p *pageStatements) prepare(ctx context.Context, db *sql.DB) (err error) {
	if p.heads, err = prepareMany(ctx, db, "SELECT name, head, tag FROM channels WHERE name IN (%rows%)", "?"); err != nil {
		return err
	}
	for stmt, text := range map[**sql.Stmt]string{
		&p.log:     "SELECT id, head, tag, oldest, oldest_tag FROM channels WHERE name = ?",
		&p.place:   "SELECT tag, time FROM records WHERE channel = ? AND offset = ?",
		&p.forward: "SELECT " + recordColumns + " FROM records WHERE channel = ? AND offset > ? ORDER BY offset LIMIT ?",
		&p.backw: "SELECT " + recordColumns + " FROM records WHERE channel = ? AND offset <= ? AND offset > ?" +
			" ORDER BY offset DESC LIMIT ?",
	} {
		if *stmt, err = db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (p *pageStatements) close() {
	_ = p.heads.close()
	for _, stmt := range []*sql.Stmt{p.log, p.place, p.forward, p.backw} {
		if stmt != nil {
			_ = stmt.Close()
		}
	}
}

// Heads is journal.Reader's. It writes nothing: the head of a channel that was never written follows from its name.
func (s *Store) Heads(ctx context.Context, ns []channel.Name) ([]channel.Position, error) {
	if s.shut.Load() {
		return nil, journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	names := make([]any, len(ns))
	for i, n := range ns {
		names[i] = string(n)
	}
	found := make(map[channel.Name]channel.Position, len(ns))
	s.gate.read()
	defer s.gate.readEnd()
	err := s.pages.heads.query(ctx, names, func(scan func(...any) error) error {
		var name string
		var head, tag int64
		if err := scan(&name, &head, &tag); err != nil {
			return err
		}
		found[channel.Name(name)] = s.identity.Position(head, tag)
		return nil
	})
	if err != nil {
		return nil, s.readError("heads", err)
	}
	heads := make([]channel.Position, len(ns))
	for i, n := range ns {
		head, ok := found[n]
		if !ok {
			head = s.identity.First(n)
		}
		heads[i] = head
	}
	return heads, nil
}

// Read is journal.Reader's. A damaged record is answered with a journal.Damage, never served.
func (s *Store) Read(ctx context.Context, n channel.Name, q journal.Query) (journal.Page, error) {
	if s.shut.Load() {
		return journal.Page{}, journal.ErrClosed
	}
	keep := s.o.Policies(n).Retention
	now := s.o.Clock()
	v, err := s.view(ctx)
	if err != nil {
		return journal.Page{}, s.readError(string(n), err)
	}
	defer v.end()
	r := &pageRead{s: s, v: v, name: n, query: q}
	if err := r.read(keep, now); err != nil {
		return journal.Page{}, s.readError(string(n), err)
	}
	return r.page, nil
}

func (s *Store) readError(what string, err error) error {
	var damage *journal.Damage
	switch {
	case errors.As(err, &damage):
		return err
	case isDamage(err):
		return fmt.Errorf("read %s: %w: %v", what, journal.ErrDamaged, err)
	case s.shut.Load():
		return journal.ErrClosed
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// pageRead is one Read, in one snapshot of the database.
type pageRead struct {
	s     *Store
	v     *view
	name  channel.Name
	query journal.Query

	id    int64 // of the channel; 0: never written
	page  journal.Page
	bytes int
	seals []int64  // of page.Records
	gone  [][]byte // of page.Records: the hash of a body that was erased
}

func (r *pageRead) read(keep channel.Keep, now time.Time) error {
	if err := r.ends(keep, now); err != nil {
		return err
	}
	p := &r.page
	p.Base = p.Head
	var err error
	p.Gap, err = journal.Judge(r.query.After, p.Oldest, p.Head, func(offset uint64) (uint64, error) {
		at, _, err := r.place(offset)
		return at.Tag, err
	})
	if err != nil || p.Gap == channel.GapDiverged || p.Gap == channel.GapAhead || p.Gap != channel.GapNone && r.query.Back {
		return err
	}
	if r.query.Back {
		return r.backwards()
	}
	return r.forwards()
}

// ends finds the head and the oldest position, and hides what the committer has yet to trim.
func (r *pageRead) ends(keep channel.Keep, now time.Time) error {
	var head, tag, oldest, oldestTag int64
	err := r.v.row(r.s.pages.log, string(r.name)).Scan(&r.id, &head, &tag, &oldest, &oldestTag)
	if errors.Is(err, sql.ErrNoRows) {
		r.page.Head = r.s.identity.First(r.name)
		r.page.Oldest = r.page.Head
		return nil
	}
	if err != nil {
		return err
	}
	p := &r.page
	p.Head, p.Oldest = r.s.identity.Position(head, tag), r.s.identity.Position(oldest, oldestTag)
	from := p.Oldest.Offset
	if keep.Records > 0 && p.Head.Offset-from > uint64(keep.Records) {
		from = p.Head.Offset - uint64(keep.Records)
	}
	if keep.Age > 0 {
		if from, err = r.young(from, now.Add(-keep.Age).UnixMilli()); err != nil {
			return err
		}
	}
	if from == p.Head.Offset {
		p.Oldest = p.Head
	} else if from != p.Oldest.Offset {
		p.Oldest, _, err = r.place(from)
	}
	return err
}

// young finds the offset before the first record later than limit (ms), by halving: times never decrease.
func (r *pageRead) young(from uint64, limit int64) (uint64, error) {
	var failed error
	n := sort.Search(int(r.page.Head.Offset-from), func(i int) bool {
		if failed != nil {
			return true
		}
		_, ms, err := r.place(from + uint64(i) + 1)
		failed = err
		return ms > limit
	})
	return from + uint64(n), failed
}

// place is the position and the time (ms) of a record.
func (r *pageRead) place(offset uint64) (channel.Position, int64, error) {
	var tag, ms int64
	err := r.v.row(r.s.pages.place, r.id, int64(offset)).Scan(&tag, &ms)
	if errors.Is(err, sql.ErrNoRows) {
		err = r.damage(offset, "the record is missing")
	}
	return r.s.identity.Position(int64(offset), tag), ms, err
}

func (r *pageRead) damage(offset uint64, why string) error {
	return &journal.Damage{Channel: r.name, Offset: offset, Why: why}
}

func (r *pageRead) forwards() error {
	p := &r.page
	base := p.Oldest
	if p.Gap == channel.GapNone && !r.query.After.IsZero() {
		base = r.query.After
	}
	if base == p.Head {
		return nil
	}
	args := []any{r.id, int64(base.Offset), r.query.Max()}
	if _, err := r.collect(r.s.pages.forward, args, r.query.Max()); err != nil {
		return err
	}
	good, why := r.verify(base, 0, len(p.Records))
	wanted := min(uint64(r.query.Max()), p.Head.Offset-base.Offset)
	if why == "" && good == 0 && wanted > 0 {
		why = "the record is missing"
	}
	if good == 0 {
		return r.damage(base.Offset+1, why)
	}
	p.Base, p.Records = base, p.Records[:good]
	p.More = p.Records[good-1].At.Offset < p.Head.Offset
	return nil
}

func (r *pageRead) backwards() error {
	p := &r.page
	end := p.Head
	if !r.query.After.IsZero() {
		end = r.query.After
	}
	if end == p.Oldest {
		return nil
	}
	limit := r.query.Max()
	// One more row than the page holds gives the tag before its first record.
	args := []any{r.id, int64(end.Offset), int64(p.Oldest.Offset), limit + 1}
	before, err := r.collect(r.s.pages.backw, args, limit)
	if err != nil {
		return err
	}
	if len(p.Records) == 0 || p.Records[0].At != end {
		return r.damage(end.Offset, "the record is missing or has another tag")
	}
	slices.Reverse(p.Records)
	slices.Reverse(r.seals)
	slices.Reverse(r.gone)
	base := p.Oldest
	if before != nil {
		base = *before
	}
	// Of a damaged stretch only what lies after it is served.
	for from := 0; ; {
		good, why := r.verify(base, from, len(p.Records))
		if good == len(p.Records) {
			p.Base, p.Records = base, p.Records[from:]
			p.More = p.Base.Offset > p.Oldest.Offset
			return nil
		}
		base = p.Records[good].At
		if from = good + 1; from == len(p.Records) {
			return r.damage(end.Offset, why)
		}
	}
}

// collect appends the rows to the page until limit or the page's bytes are reached; the position of the row that found no room
// is before.
func (r *pageRead) collect(stmt *sql.Stmt, args []any, limit int) (before *channel.Position, err error) {
	err = r.v.each(stmt, args, func(scan func(...any) error) error {
		rec := channel.Record{Channel: r.name}
		var offset, tag, seal, ms int64
		var hash []byte
		if err := scan(&offset, &tag, &seal, &ms, &rec.From, &rec.Binary, &rec.Body, &hash); err != nil {
			return err
		}
		rec.At = r.s.identity.Position(offset, tag)
		rec.Time = time.UnixMilli(ms).UTC()
		full := len(r.page.Records) == limit || len(r.page.Records) > 0 && r.bytes+len(rec.Body) > journal.MaxPageBytes
		if full {
			before = &rec.At
			return errEnough
		}
		r.bytes += len(rec.Body)
		r.page.Records = append(r.page.Records, rec)
		r.seals = append(r.seals, seal)
		r.gone = append(r.gone, hash)
		return nil
	})
	return before, err
}

// verify follows the chain through the records from..to, fills in Prev, and returns the index of the first that is not what
// was appended, and why.
func (r *pageRead) verify(base channel.Position, from, to int) (good int, why string) {
	for i := from; i < to; i++ {
		rec := &r.page.Records[i]
		rec.Prev = base.Tag
		switch {
		case rec.At.Offset != base.Offset+1:
			return i, "the record is missing"
		case rec.At != base.NextHash(r.bodyHash(i)):
			return i, "the body or the tag was changed"
		case r.seals[i] != store.SealRecord(rec):
			return i, "time, sender or kind was changed"
		case rec.At.Offset == r.page.Head.Offset && rec.At != r.page.Head:
			return i, "the tag of the head was changed"
		}
		base = rec.At
	}
	return to, ""
}

// bodyHash is what the chain kept of a body; of an erased one its row says it.
func (r *pageRead) bodyHash(i int) (hash [sha1.Size]byte) {
	if body := r.page.Records[i].Body; len(body) > 0 || len(r.gone[i]) != sha1.Size {
		return channel.BodyHash(body)
	}
	copy(hash[:], r.gone[i])
	return hash
}
