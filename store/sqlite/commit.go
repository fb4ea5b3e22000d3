package sqlite

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"time"

	"carillon/channel"
)

// result is what one request of a batch is told after the commit.
type result struct {
	at  channel.Position
	err error
}

// batchWork is a batch while it becomes rows.
type batchWork struct {
	results []result
	records []channel.Record // those appended, in order
	rows    []any
	ids     []any
	states  map[channel.Name]logState
	order   []channel.Name // of states
}

// transact makes the records of a batch true in one transaction: dedupe, position, chain, trim, heads. The results count
// only if err is nil; certain is explained at inTransaction.
func (w *writer) transact(ctx context.Context, batch []request) (results []result, records []channel.Record, certain bool, err error) {
	b := &batchWork{results: make([]result, len(batch)), states: map[channel.Name]logState{}}
	now := w.s.o.Clock()
	certain, err = w.inTransaction(ctx, func() error {
		if err := w.place(ctx, b, batch, now); err != nil {
			return err
		}
		if err := w.addRows.exec(ctx, b.rows); err != nil {
			return err
		}
		if len(b.ids) > 0 {
			if err := w.addIDs.exec(ctx, b.ids); err != nil {
				return err
			}
			if err := w.forgetIDs(ctx, now, 2*len(batch)); err != nil {
				return err
			}
		}
		for _, n := range b.order {
			st := b.states[n]
			if err := w.trim(ctx, n, &st, now); err != nil {
				return err
			}
			b.states[n] = st
		}
		return w.moveHeads(ctx, b)
	})
	if err != nil {
		return nil, nil, certain, err
	}
	for n, st := range b.states {
		w.remember(n, st)
	}
	return b.results, b.records, true, nil
}

// place gives each record of the batch that is new its position, and everyone else the answer known already.
func (w *writer) place(ctx context.Context, b *batchWork, batch []request, now time.Time) error {
	known, err := w.known(ctx, batch)
	if err != nil {
		return err
	}
	for i := range batch {
		q := &batch[i]
		if at, settled, err := q.resend(known); settled {
			b.results[i] = result{at, err}
			continue
		}
		n := q.record.Channel
		st, touched := b.states[n]
		if !touched {
			if st, err = w.state(ctx, n); err != nil {
				return err
			}
			b.order = append(b.order, n)
		}
		r := st.append(q, now.UnixMilli())
		b.states[n] = st
		b.results[i].at = r.At
		b.records = append(b.records, r)
		b.rows = append(b.rows, st.id, int64(r.At.Offset), int64(r.At.Tag), seal(&r), r.Time.UnixMilli(), r.From, r.Binary, r.Body)
		if r.ID != "" {
			known[q.id] = first{hash: q.hash, binary: r.Binary, at: r.At}
			b.ids = append(b.ids, q.id[:], q.hash[:], r.Binary, int64(r.At.Offset), int64(r.At.Tag), now.UnixMilli())
		}
	}
	return nil
}

func (st *logState) append(q *request, nowMS int64) channel.Record {
	r := q.record
	st.lastMS = max(st.lastMS, nowMS)
	r.Prev = st.head.Tag
	r.At = st.head.NextHash(q.hash)
	r.Time = time.UnixMilli(st.lastMS).UTC()
	r.Rev, r.Key = 0, ""
	st.head = r.At
	st.bytes += int64(len(r.Body))
	return r
}

// seal binds what the tag does not: who, when, and what kind of body.
func seal(r *channel.Record) int64 {
	var room [256]byte
	b := binary.BigEndian.AppendUint64(room[:0], r.At.Tag)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixMilli()))
	if r.Binary {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = append(b, r.From...)
	sum := sha1.Sum(append(b, r.Channel...))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func (w *writer) moveHeads(ctx context.Context, b *batchWork) error {
	args := make([]any, 0, len(b.order)*w.moveTo.width)
	for _, n := range b.order {
		args = append(args, b.states[n].row(n)...)
	}
	return w.moveTo.exec(ctx, args)
}

func (st logState) row(n channel.Name) []any {
	return []any{st.id, string(n), int64(st.head.Offset), int64(st.head.Tag), int64(st.oldest.Offset), int64(st.oldest.Tag), st.bytes, st.lastMS}
}
