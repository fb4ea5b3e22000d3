package postgres

import (
	"context"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

const (
	tick      = 5 * time.Second // between two rounds of housekeeping
	keepRows  = 1000            // rows that one look at a log, or one slice of old ids, drops at most
	keepLogs  = 256             // logs that one round of housekeeping looks at
	perCommit = 64              // rows that a commit reads of a log that holds too much, besides as many as it adds
	maxSlices = 1000            // of old ids in one round
)

const surplusText = `SELECT l.name, r."offset", r.tag, r.time, r.size
	FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS l (name, channel, after, most)
	CROSS JOIN LATERAL (SELECT "offset", tag, time, length(body) AS size FROM records
		WHERE channel = l.channel AND "offset" > l.after ORDER BY "offset" LIMIT l.most) AS r`

const dropRecords = `DELETE FROM records r USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS d (channel, after, upto)
	WHERE r.channel = d.channel AND r."offset" > d.after AND r."offset" <= d.upto`

// surplus is what may have to go of a log: its oldest records.
type surplus struct {
	log  *logWork
	from channel.Position
	rows []surplusRow
}

type surplusRow struct {
	at   channel.Position
	ms   int64
	size int64
}

// trim drops the oldest records of logs that are beyond their retention, keepRows at most; the next commit goes on. The
// newest record falls to age alone.
func (b *batchWork) trim(ctx context.Context, w *work) error {
	var over []*surplus
	for _, st := range b.logs {
		if st.id != 0 && b.isOver(st) {
			over = append(over, &surplus{log: st, from: st.oldest})
		}
	}
	if len(over) == 0 {
		return nil
	}
	added := map[*logWork][]surplusRow{}
	for i := range b.rows {
		log, r := b.rows[i].log, &b.records[b.rows[i].record]
		added[log] = append(added[log], surplusRow{r.At, r.Time.UnixMilli(), int64(len(r.Body))})
	}
	if err := b.readSurplus(ctx, w, over, added); err != nil {
		return err
	}
	var channels, after, upto []int64
	for _, o := range over {
		// What the batch itself added follows on what stands in the table, if that was read to its end.
		if last := o.end(); len(added[o.log]) > 0 && added[o.log][0].at.Offset == last.Offset+1 {
			o.rows = append(o.rows, added[o.log]...)
		}
		b.cut(o)
		if o.log.oldest != o.from {
			channels, after, upto = append(channels, o.log.id), append(after, int64(o.from.Offset)), append(upto, int64(o.log.oldest.Offset))
		}
	}
	if len(channels) > 0 {
		b.drops = [3][]int64{channels, after, upto}
	}
	return nil
}

func (o *surplus) end() channel.Position {
	if len(o.rows) == 0 {
		return o.from
	}
	return o.rows[len(o.rows)-1].at
}

// isOver tells from the row of a log alone that it holds too much. What pages do not show may wait until it is worth the
// while: an eighth of the bound.
func (b *batchWork) isOver(st *logWork) bool {
	keep := b.s.o.Policies(st.name).Retention
	count, age := st.head.Offset-st.oldest.Offset, time.Duration(b.now.UnixMilli()-st.since)*time.Millisecond
	if !st.looked {
		keep.Records += keep.Records / 8
		keep.Age += keep.Age / 8
	}
	return count > 0 && (keep.Records > 0 && count > uint64(keep.Records) || keep.Bytes > 0 && st.bytes > int64(keep.Bytes) && count > 1 ||
		keep.Age > 0 && age >= keep.Age)
}

// readSurplus reads the oldest records of logs, as many as may have to go.
func (b *batchWork) readSurplus(ctx context.Context, w *work, over []*surplus, added map[*logWork][]surplusRow) error {
	var names []string
	var ids, after, most []int64
	for _, o := range over {
		limit := keepRows
		if keep := b.s.o.Policies(o.log.name).Retention.Records; !o.log.looked {
			limit = min(max(len(added[o.log])+perCommit, int(o.log.head.Offset-o.from.Offset)-keep), keepRows)
		}
		names, ids = append(names, string(o.log.name)), append(ids, o.log.id)
		after, most = append(after, int64(o.from.Offset)), append(most, int64(limit))
	}
	of := map[string]*surplus{}
	for _, o := range over {
		of[string(o.log.name)] = o
	}
	to := w.batch()
	to.Queue(surplusText, names, ids, after, most).Query(func(rows rows) error {
		for rows.Next() {
			var name string
			var offset, tag int64
			var r surplusRow
			if err := rows.Scan(&name, &offset, &tag, &r.ms, &r.size); err != nil {
				return err
			}
			r.at = b.s.identity.Position(offset, tag)
			of[name].rows = append(of[name].rows, r)
		}
		return rows.Err()
	})
	return w.send(ctx, to)
}

// cut moves the oldest position behind what must go of the rows that were read.
func (b *batchWork) cut(o *surplus) {
	st, keep := o.log, b.s.o.Policies(o.log.name).Retention
	count := st.head.Offset - st.oldest.Offset
	for _, r := range o.rows {
		st.since = r.ms
		over := keep.Records > 0 && count > uint64(keep.Records) || keep.Bytes > 0 && st.bytes > int64(keep.Bytes) && count > 1 ||
			keep.Age > 0 && b.now.UnixMilli()-r.ms >= keep.Age.Milliseconds()
		if !over {
			break
		}
		count--
		st.bytes -= r.size
		st.oldest = r.at
	}
	st.moved = true
}

// look is what a round of housekeeping does to a log: what is too old goes.
func (b *batchWork) look(st *logWork) {
	st.looked = true
	if st.version == 0 && st.id != 0 {
		b.expire(st) // of a service's table what is too old goes with its next change, which carries it in order
	}
}

const dropIDs = `DELETE FROM ids WHERE ctid = ANY(ARRAY(SELECT ctid FROM ids WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))`

const sweepLogs = `SELECT id, name, head > oldest, rev > 0 AND version = 0 FROM channels WHERE id > $1 ORDER BY id LIMIT $2`

// housekeep gives back what nobody writes to any more: ids past their time and, a few logs a round, records past their age. A
// failure is met again in the next round.
func (s *Store) housekeep() {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	swept := int64(0)
	for {
		select {
		case <-ticks.C:
		case <-s.ending.Done():
			return
		}
		s.forget(dropIDs, store.IDsKept)
		s.forget(dropSteps, journal.TrailKept)
		swept = s.sweep(swept)
	}
}

// forget runs a statement that drops old rows, given a time (ms) and how many at most, in slices until nothing is left that
// old. What another node drops at the same moment is passed over.
func (s *Store) forget(text string, kept time.Duration) {
	for range maxSlices {
		var gone int64
		_, err := s.change(s.pool, func(ctx context.Context, w *work) error {
			now, err := s.now(ctx, w)
			if err != nil {
				return err
			}
			drop := w.batch()
			drop.Queue(text, now.Add(-kept).UnixMilli(), keepRows).Exec(func(tag commandTag) error {
				gone = tag.RowsAffected()
				return nil
			})
			return w.commit(ctx, drop)
		})
		if err != nil || gone < keepRows || s.ending.Err() != nil {
			return
		}
	}
}

// sweep has the committers look at the next few logs, from a row on, and returns the row to go on from: they alone carry
// what befalls a channel.
func (s *Store) sweep(from int64) (next int64) {
	var names []channel.Name
	seen := 0
	err := s.view(s.ending, "channels", func(ctx context.Context, w *work) error {
		names, seen, next = nil, 0, from
		b := w.batch()
		b.Queue(sweepLogs, from, keepLogs).Query(func(rows rows) error {
			for rows.Next() {
				var n string
				var kept, tabled bool
				if err := rows.Scan(&next, &n, &kept, &tabled); err != nil {
					return err
				}
				seen++
				p := s.o.Policies(channel.Name(n))
				if kept && p.Retention != (channel.Keep{}) || tabled && p.Latest.Age > 0 {
					names = append(names, channel.Name(n))
				}
			}
			return rows.Err()
		})
		return w.commit(ctx, b)
	})
	if err != nil {
		return from
	}
	answered := make(chan struct{}, keepLogs)
	waiting := 0
	for _, n := range names {
		q := request{look: true, record: channel.Record{Channel: n}, done: func(channel.Position, error) { answered <- struct{}{} }}
		if s.enqueue(q) == nil {
			waiting++
		}
	}
	for range waiting {
		<-answered
	}
	if seen < keepLogs {
		return 0
	}
	return next
}
