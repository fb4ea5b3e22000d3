package sqlite

import (
	"context"
	"time"

	"carillon/journal"
)

// servedEvery is how often a commit without a change notes that its shard is served: a commit that asks nothing but its
// fence must not cost a write each time.
const servedEvery = journal.PulseEvery / 2

// Alive is journal.Pulse's.
func (s *Store) Alive(ctx context.Context, fs []journal.Fence) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.await(&call{records: len(fs), do: func(ctx context.Context, w *writer, b *batchWork) error {
		for _, f := range fs {
			k := fenceKey{f.Service, f.Shard}
			st, err := w.fence(ctx, b, k)
			if err != nil {
				return err
			}
			if st != nil && st.n == f.N {
				b.serve(k, st)
			}
		}
		return nil
	}})
}

// serve notes that a shard is served now.
func (b *batchWork) serve(k fenceKey, f *fenceState) {
	f.served = b.now.UnixMilli()
	b.touched[k] = f
}

// away is how long a shard was not served.
func (f *fenceState) away(now time.Time) time.Duration {
	if f.served == 0 {
		return 0
	}
	return max(time.Duration(now.UnixMilli()-f.served)*time.Millisecond, 0)
}

// stale tells that it should be noted again that the shard is served. A clock that was set back makes it so too.
func (f *fenceState) stale(now time.Time) bool {
	since := time.Duration(now.UnixMilli()-f.served) * time.Millisecond
	return since >= servedEvery || since < 0
}
