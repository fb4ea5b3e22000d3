package postgres

import (
	"context"
	"crypto/sha1"
	"errors"
	"slices"
	"sort"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

const (
	findHeads = "SELECT name, head, tag FROM channels WHERE name = ANY($1)"
	findLog   = "SELECT id, head, tag, oldest, oldest_tag, since FROM channels WHERE name = $1"
	findPlace = `SELECT tag, time FROM records WHERE channel = $1 AND "offset" = $2`

	recordColumns = `"offset", tag, seal, time, sender, "binary", body, hash`
	// The server counts the bodies, so that no more than a page's worth of bytes and two rows crosses the line: backwards the
	// row that finds no room is needed for its tag.
	forwardText = "SELECT " + recordColumns + ` FROM (
			SELECT *, sum(length(body)) OVER (ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
			FROM (SELECT * FROM records WHERE channel = $1 AND "offset" > $2 ORDER BY "offset" LIMIT $3) AS few) AS page
		WHERE before IS NULL OR before <= $4 ORDER BY "offset"`
	backwardText = "SELECT " + recordColumns + ` FROM (
			SELECT *, sum(length(body)) OVER (ORDER BY "offset" DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
			FROM (SELECT * FROM records WHERE channel = $1 AND "offset" <= $2 ORDER BY "offset" DESC LIMIT $3) AS few) AS page
		WHERE before IS NULL OR before <= $4 ORDER BY "offset" DESC`
)

// Heads is journal.Reader's. It writes nothing: the head of a channel that was never written follows from its name.
func (s *Store) Heads(ctx context.Context, ns []channel.Name) ([]channel.Position, error) {
	names := make([]string, len(ns))
	for i, n := range ns {
		names[i] = string(n)
	}
	var found map[channel.Name]channel.Position
	err := s.glance(ctx, "heads", func(ctx context.Context, w *work) error {
		found = make(map[channel.Name]channel.Position, len(ns))
		b := w.batch()
		b.Queue(findHeads, names).Query(func(rows rows) error {
			for rows.Next() {
				var name string
				var head, tag int64
				if err := rows.Scan(&name, &head, &tag); err != nil {
					return err
				}
				found[channel.Name(name)] = s.identity.Position(head, tag)
			}
			return rows.Err()
		})
		return w.send(ctx, b)
	})
	if err != nil {
		return nil, err
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
	var page journal.Page
	err := s.view(ctx, string(n), func(ctx context.Context, w *work) error {
		r := &pageRead{s: s, w: w, ctx: ctx, name: n, query: q}
		err := r.read()
		page = r.page
		return err
	})
	if err != nil {
		return journal.Page{}, err
	}
	return page, nil
}

// pageRead is one Read, in one snapshot of the database.
type pageRead struct {
	s     *Store
	w     *work
	ctx   context.Context
	name  channel.Name
	query journal.Query

	id    int64 // of the channel; 0: never written
	page  journal.Page
	bytes int
	seals []int64  // of page.Records
	gone  [][]byte // of page.Records: the hash of a body that was erased
}

func (r *pageRead) read() error {
	if err := r.ends(); err != nil {
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

// ends finds the head and the oldest position, and hides what has yet to be trimmed.
func (r *pageRead) ends() error {
	var head, tag, oldest, oldestTag, since int64
	var now time.Time
	b := r.w.batch()
	r.s.askTime(b, &now)
	b.Queue(findLog, r.name).QueryRow(func(row row) error {
		err := row.Scan(&r.id, &head, &tag, &oldest, &oldestTag, &since)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err := r.w.send(r.ctx, b); err != nil {
		return err
	}
	p := &r.page
	if r.id == 0 {
		p.Head = r.s.identity.First(r.name)
		p.Oldest = p.Head
		return nil
	}
	p.Head, p.Oldest = r.s.identity.Position(head, tag), r.s.identity.Position(oldest, oldestTag)
	keep, from := r.s.o.Policies(r.name).Retention, p.Oldest.Offset
	if keep.Records > 0 && p.Head.Offset-from > uint64(keep.Records) {
		from = p.Head.Offset - uint64(keep.Records)
	}
	var err error
	if limit := now.Add(-keep.Age).UnixMilli(); keep.Age > 0 && since <= limit {
		if from, err = r.young(from, limit); err != nil {
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
	b := r.w.batch()
	b.Queue(findPlace, r.id, int64(offset)).QueryRow(func(row row) error { return row.Scan(&tag, &ms) })
	err := r.w.send(r.ctx, b)
	if errors.Is(err, pgx.ErrNoRows) {
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
	if _, err := r.collect(forwardText, base, r.query.Max(), r.query.Max()); err != nil {
		return err
	}
	good, why := r.verify(base, 0, len(p.Records))
	if why == "" && good == 0 {
		why = "the record is missing"
	}
	if good == 0 {
		p.Records = nil
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
	rows := min(uint64(limit)+1, end.Offset-p.Oldest.Offset)
	before, err := r.collect(backwardText, end, limit, int(rows))
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

// collect reads rows from a place on, at most so many, into the page until limit or the page's bytes are reached; the position
// of the row that found no room is before.
func (r *pageRead) collect(text string, from channel.Position, limit, most int) (before *channel.Position, err error) {
	b := r.w.batch()
	b.Queue(text, r.id, int64(from.Offset), most, journal.MaxPageBytes).Query(func(rows rows) error {
		for rows.Next() {
			rec := channel.Record{Channel: r.name}
			var offset, tag, seal, ms int64
			var sender, hash []byte
			if err := rows.Scan(&offset, &tag, &seal, &ms, &sender, &rec.Binary, &rec.Body, &hash); err != nil {
				return err
			}
			rec.At = r.s.identity.Position(offset, tag)
			rec.Time, rec.From = time.UnixMilli(ms).UTC(), string(sender)
			if len(r.page.Records) == limit || len(r.page.Records) > 0 && r.bytes+len(rec.Body) > journal.MaxPageBytes {
				before = &rec.At
				return nil
			}
			r.bytes += len(rec.Body)
			r.page.Records = append(r.page.Records, rec)
			r.seals = append(r.seals, seal)
			r.gone = append(r.gone, hash)
		}
		return rows.Err()
	})
	return before, r.w.commit(r.ctx, b)
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
