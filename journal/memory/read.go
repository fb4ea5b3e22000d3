package memory

import (
	"context"

	"carillon/channel"
	"carillon/journal"
)

// Read is journal.Reader's.
func (j *Journal) Read(ctx context.Context, n channel.Name, q journal.Query) (journal.Page, error) {
	if err := ctx.Err(); err != nil {
		return journal.Page{}, err
	}
	keep := j.policies(n).Retention
	now := j.clock().UnixMilli()
	s := j.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return journal.Page{}, journal.ErrClosed
	}
	l := j.log(s, n)
	l.age = keep.Age
	l.trim(keep, now)
	j.settle(s, l)
	return l.page(q, j.epoch), nil
}

func (l *log) page(q journal.Query, epoch uint64) journal.Page {
	p := journal.Page{Oldest: l.oldest(epoch), Head: l.head(epoch)}
	p.Base = p.Head
	p.Gap, _ = journal.Judge(q.After, p.Oldest, p.Head, func(offset uint64) (uint64, error) {
		return l.before(int(offset - p.Oldest.Offset)), nil
	})
	if p.Gap == channel.GapDiverged || p.Gap == channel.GapAhead || p.Gap != channel.GapNone && q.Back {
		return p
	}
	// The page is the records from..to of those kept.
	from, to := 0, l.len()
	switch {
	case q.Back && !q.After.IsZero():
		to = int(q.After.Offset - p.Oldest.Offset)
	case !q.Back && p.Gap == channel.GapNone && !q.After.IsZero():
		from = int(q.After.Offset - p.Oldest.Offset)
	}
	if q.Back {
		from = to - l.fit(q.Max(), to-1, -1, from)
		p.More = from > 0
	} else {
		end := to
		to = from + l.fit(q.Max(), from, 1, to-1)
		p.More = to < end
	}
	if from == to {
		return p
	}
	p.Base = channel.Position{Epoch: epoch, Offset: p.Oldest.Offset + uint64(from), Tag: l.before(from)}
	p.Records = make([]channel.Record, 0, to-from)
	for i := from; i < to; i++ {
		p.Records = append(p.Records, l.record(i, epoch))
	}
	return p
}

// fit counts the records of a page that begins at index i and goes by step to last at most.
func (l *log) fit(limit, i, step, last int) int {
	count, bytes := 0, 0
	for ; count < limit && (last-i)*step >= 0; i += step {
		bytes += len(l.tail.at(i).body)
		if count > 0 && bytes > journal.MaxPageBytes {
			break
		}
		count++
	}
	return count
}
