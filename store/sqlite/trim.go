package sqlite

import (
	"context"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// trim drops the oldest records of a log that are beyond its retention, trimRows at most; the next commit goes on. The newest
// record falls to age alone.
func (w *writer) trim(ctx context.Context, n channel.Name, st *logState, now time.Time) error {
	keep := w.s.o.Policies(n).Retention
	if keep == (channel.Keep{}) {
		return nil
	}
	count := st.head.Offset - st.oldest.Offset
	cut := *st
	err := queryEach(ctx, w.surplus, []any{st.id, int64(st.oldest.Offset), trimRows}, func(scan func(...any) error) error {
		var offset, tag, ms, size int64
		if err := scan(&offset, &tag, &ms, &size); err != nil {
			return err
		}
		over := keep.Records > 0 && count > uint64(max(keep.Records, 1)) ||
			keep.Bytes > 0 && cut.bytes > int64(keep.Bytes) && count > 1 ||
			keep.Age > 0 && now.UnixMilli()-ms >= keep.Age.Milliseconds()
		if !over {
			return errEnough
		}
		count--
		cut.bytes -= size
		cut.oldest = w.s.identity.Position(offset, tag)
		return nil
	})
	if err != nil || cut.oldest == st.oldest {
		return err
	}
	*st = cut
	_, err = w.drop.ExecContext(ctx, st.id, int64(st.oldest.Offset))
	return err
}

// housekeep gives back what nobody writes to any more: ids and steps past their time and, a few logs a round, records past
// their age. A failure is met again in the next round, and by the next commit.
func (w *writer) housekeep(ctx context.Context) {
	b := w.newBatch()
	_, err := w.inTransaction(ctx, func() error {
		if err := w.recallIDs(ctx); err != nil {
			return err
		}
		if err := w.placeIDs(ctx, b, keepRows); err != nil {
			return err
		}
		if err := w.forgetOldIDs(ctx, b.now, keepRows); err != nil {
			return err
		}
		if _, _, err := w.oldSteps.forget(ctx, b.now.Add(-journal.TrailKept), b.now, keepRows); err != nil {
			return err
		}
		if err := w.sweep(ctx, b); err != nil {
			return err
		}
		if err := w.writeTables(ctx, b); err != nil {
			return err
		}
		return w.moveHeads(ctx, b)
	})
	if err == nil {
		w.settle(b)
		if len(b.records) > 0 {
			w.s.o.Carry(b.records)
		}
	}
	w.sweepErased(ctx)
}

// sweep trims the next few logs that have something to trim.
func (w *writer) sweep(ctx context.Context, b *batchWork) error {
	seen := 0
	var logs, tables []channel.Name
	err := queryEach(ctx, w.sweepLogs, []any{w.sweptTo, keepLogs}, func(scan func(...any) error) error {
		var name string
		var id int64
		var kept, tabled bool
		if err := scan(&name, &id, &kept, &tabled); err != nil {
			return err
		}
		seen++
		w.sweptTo = id
		if kept {
			logs = append(logs, channel.Name(name))
		}
		if tabled {
			tables = append(tables, channel.Name(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if seen < keepLogs {
		w.sweptTo = 0
	}
	for _, n := range tables {
		if err := w.expire(ctx, b, n); err != nil && !isDamage(err) {
			return err
		}
	}
	for _, n := range logs {
		if w.s.o.Policies(n).Retention == (channel.Keep{}) {
			continue
		}
		st, err := w.log(ctx, b, n)
		if err != nil && isDamage(err) {
			continue // said when it is read or written
		}
		if err != nil {
			return err
		}
		before := st.oldest
		if err := w.trim(ctx, n, &st.logState, b.now); err != nil {
			return err
		}
		st.moved = st.moved || st.oldest != before
	}
	return nil
}
