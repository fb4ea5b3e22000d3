package sqlite

import (
	"context"
	"time"

	"carillon/channel"
)

// trim drops the oldest records of a log that are beyond its retention, keepRows at most; the next commit goes on. The newest
// record falls to age alone.
func (w *writer) trim(ctx context.Context, n channel.Name, st *logState, now time.Time) error {
	keep := w.s.o.Policies(n).Retention
	if keep == (channel.Keep{}) {
		return nil
	}
	count := st.head.Offset - st.oldest.Offset
	cut := *st
	err := queryEach(ctx, w.surplus, []any{st.id, int64(st.oldest.Offset), keepRows}, func(scan func(...any) error) error {
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
		cut.oldest = w.s.identity.position(offset, tag)
		return nil
	})
	if err != nil || cut.oldest == st.oldest {
		return err
	}
	*st = cut
	_, err = w.drop.ExecContext(ctx, st.id, int64(st.oldest.Offset))
	return err
}

// housekeep gives back what nobody writes to any more: ids past their time and, a few logs a round, records past their
// age. A failure is met again in the next round, and by the next commit.
func (w *writer) housekeep(ctx context.Context) {
	now := w.s.o.Clock()
	_, _ = w.inTransaction(ctx, func() error {
		if err := w.forgetIDs(ctx, now, keepRows); err != nil {
			return err
		}
		return w.sweep(ctx, now)
	})
}

func (w *writer) sweep(ctx context.Context, now time.Time) error {
	states := map[channel.Name]logState{}
	seen := 0
	err := queryEach(ctx, w.sweepLogs, []any{w.sweptTo, keepLogs}, func(scan func(...any) error) error {
		var name string
		var st logState
		var head, tag, oldest, oldestTag int64
		if err := scan(&name, &st.id, &head, &tag, &oldest, &oldestTag, &st.bytes, &st.lastMS); err != nil {
			return err
		}
		seen++
		w.sweptTo = st.id
		st.head, st.oldest = w.s.identity.position(head, tag), w.s.identity.position(oldest, oldestTag)
		if st.head != st.oldest {
			states[channel.Name(name)] = st
		}
		return nil
	})
	if err != nil {
		return err
	}
	if seen < keepLogs {
		w.sweptTo = 0
	}
	for n, st := range states {
		before := st
		if err := w.trim(ctx, n, &st, now); err != nil {
			return err
		}
		if st != before {
			// Read back when it is written next.
			delete(w.logs, n)
			delete(w.older, n)
			if err := w.moveTo.exec(ctx, st.row(n)); err != nil {
				return err
			}
		}
	}
	return nil
}
