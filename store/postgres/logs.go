package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carillon/channel"
	"carillon/journal"

	"github.com/jackc/pgx/v5"
)

// logState is a row of channels.
type logState struct {
	id     int64 // 0: it has no row yet
	head   channel.Position
	oldest channel.Position
	since  int64 // ms; of the oldest record kept, or earlier
	bytes  int64
	lastMS int64
	rev    uint64

	version   uint64 // the rest is that of a service's channel; 0: it is none
	commanded int64  // ms
	shard     int64  // row in fences
	wake      int64  // ns; 0: never
}

// lockLogs locks the rows of channels in the order of their names: whoever locks several does so, and nobody waits in a
// circle. What a statement after it sees is what the holders before us wrote.
const lockLogs = `SELECT id, name, head, tag, oldest, oldest_tag, since, bytes, last, rev, version, commanded, coalesce(shard, 0),
	coalesce(wake, 0) FROM channels WHERE name = ANY($1) ORDER BY name FOR UPDATE`

// lastTags are the tags of the last records.
const lastTags = `SELECT c.name, r.tag FROM channels c JOIN records r ON r.channel = c.id AND r."offset" = c.head
	WHERE c.name = ANY($1)`

const addLogs = `INSERT INTO channels (name, head, tag, oldest, oldest_tag)
	SELECT name, 0, tag, 0, tag FROM unnest($1::text[], $2::bigint[]) AS new (name, tag) ORDER BY name
	ON CONFLICT (name) DO NOTHING RETURNING name, id`

const (
	moveLogs = `UPDATE channels c SET head = m.head, tag = m.tag, oldest = m.oldest, oldest_tag = m.oldest_tag, since = m.since,
		bytes = m.bytes, last = m.last, rev = m.rev, version = m.version, commanded = m.commanded, shard = nullif(m.shard, 0),
		wake = nullif(m.wake, 0)
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
		AS m (id, head, tag, oldest, oldest_tag, since, bytes, last, rev, version, commanded, shard, wake) WHERE c.id = m.id`

	// The same for plain channels whose rows are as this process remembers them; if one is not, the transaction ends.
	moveRemembered = `WITH moved AS (UPDATE channels c SET head = m.head, tag = m.tag, oldest = m.oldest, oldest_tag = m.oldest_tag,
		since = m.since, bytes = m.bytes, last = m.last, rev = m.rev
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
		AS m (id, head, tag, oldest, oldest_tag, since, bytes, last, rev, was_head, was_tag, was_oldest, was_rev)
		WHERE c.id = m.id AND c.head = m.was_head AND c.tag = m.was_tag AND c.oldest = m.was_oldest AND c.rev = m.was_rev AND c.version = 0
		RETURNING 1) SELECT carillon_moved((SELECT count(*) FROM moved), $14)`

	// The same for channels of services. That nobody else changed what their owner alone writes, the fence proves; records and
	// entries of the table may have grown too old elsewhere.
	moveServed = `WITH moved AS (UPDATE channels c SET head = m.head, tag = m.tag, oldest = m.oldest, oldest_tag = m.oldest_tag,
		since = m.since, bytes = m.bytes, last = m.last, rev = m.rev, version = m.version, commanded = m.commanded,
		shard = nullif(m.shard, 0), wake = nullif(m.wake, 0)
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[])
		AS m (id, head, tag, oldest, oldest_tag, since, bytes, last, rev, version, commanded, shard, wake, was_head, was_tag, was_oldest, was_version, was_rev)
		WHERE c.id = m.id AND c.head = m.was_head AND c.tag = m.was_tag AND c.oldest = m.was_oldest AND c.version = m.was_version
		AND c.rev = m.was_rev RETURNING 1) SELECT carillon_moved((SELECT count(*) FROM moved), $19)`
)

// askLogs has a batch lock the rows of channels and puts them into the work. Those of trusted have been held against their
// last record before.
func (b *batchWork) askLogs(to *pgx.Batch, names []channel.Name, trusted func(channel.Name) bool) {
	slices.Sort(names)
	names = slices.Compact(names)
	all := make([]string, len(names))
	var doubted []channel.Name
	for i, n := range names {
		all[i] = string(n)
		head := b.s.identity.First(n)
		b.logs[n] = &logWork{name: n, logState: logState{head: head, oldest: head}}
		if !trusted(n) {
			doubted = append(doubted, n)
		}
	}
	to.Queue(lockLogs, all).Query(func(rows rows) error {
		for rows.Next() {
			if err := b.scanLog(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if len(doubted) == 0 {
		return
	}
	to.Queue(lastTags, doubted).Query(func(rows rows) error {
		for rows.Next() {
			var n channel.Name
			var tag int64
			if err := rows.Scan(&n, &tag); err != nil {
				return err
			}
			if st := b.logs[n]; st != nil {
				st.proved = uint64(tag) == st.head.Tag
			}
		}
		return rows.Err()
	})
	b.doubted = doubted
}

func (b *batchWork) scanLog(rows rows) error {
	var st logState
	var n channel.Name
	var head, tag, oldest, oldestTag, rev, version int64
	err := rows.Scan(&st.id, &n, &head, &tag, &oldest, &oldestTag, &st.since, &st.bytes, &st.lastMS, &rev, &version, &st.commanded,
		&st.shard, &st.wake)
	if err != nil {
		return err
	}
	st.head, st.oldest = b.s.identity.Position(head, tag), b.s.identity.Position(oldest, oldestTag)
	st.rev, st.version = uint64(rev), uint64(version)
	b.logs[n].logState = st
	return nil
}

// verifyHeads compares heads with the last records, so that no offset is given twice after damage.
func (b *batchWork) verifyHeads() error {
	for _, n := range b.doubted {
		if st := b.logs[n]; st.head != st.oldest && !st.proved {
			return &journal.Damage{Channel: n, Offset: st.head.Offset, Why: errNoRecord.Error()}
		}
	}
	return nil
}

var errNoRecord = errors.New("the last record is missing or has another tag")

// enroll gives logs that are written for the first time their rows. A mere refusal leaves none: anybody can ask for any
// name. If another node was faster, the transaction begins anew.
func (b *batchWork) enroll(ctx context.Context, w *work, logs map[channel.Name]*logWork) error {
	if len(logs) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(logs))
	tags := make([]int64, len(names))
	for i, n := range names {
		tags[i] = int64(logs[n].head.Tag)
	}
	to := w.batch()
	to.Queue(addLogs, names, tags).Query(func(rows rows) error {
		for rows.Next() {
			var n channel.Name
			var id int64
			if err := rows.Scan(&n, &id); err != nil {
				return err
			}
			logs[n].id = id
		}
		return rows.Err()
	})
	if err := w.send(ctx, to); err != nil {
		return err
	}
	for n, st := range logs {
		if st.id == 0 {
			return fmt.Errorf("first record of %s: %w", n, errAgain)
		}
	}
	return nil
}

// queueHeads has a batch write the rows of the logs that moved, in the order of their names: that is the order of locks.
func (b *batchWork) queueHeads(to *pgx.Batch) {
	var moved []*logWork
	for _, st := range b.logs {
		if st.moved {
			moved = append(moved, st)
		}
	}
	if len(moved) == 0 {
		return
	}
	slices.SortFunc(moved, func(x, y *logWork) int { return strings.Compare(string(x.name), string(y.name)) })
	var columns [18][]int64
	most := 0
	for _, st := range moved {
		row := [len(columns)]int64{st.id, int64(st.head.Offset), int64(st.head.Tag), int64(st.oldest.Offset), int64(st.oldest.Tag),
			st.since, st.bytes, st.lastMS, int64(st.rev)}
		rest := row[9:9]
		if !b.remembered {
			rest = append(rest, int64(st.version), st.commanded, st.shard, st.wake)
		}
		switch {
		case b.remembered:
			rest = append(rest, int64(st.was.head.Offset), int64(st.was.head.Tag), int64(st.was.oldest.Offset), int64(st.was.rev))
		case b.served:
			rest = append(rest, int64(st.was.head.Offset), int64(st.was.head.Tag), int64(st.was.oldest.Offset), int64(st.was.version), int64(st.was.rev))
		}
		most = 9 + len(rest)
		for i, v := range row[:most] {
			if columns[i] == nil {
				columns[i] = make([]int64, 0, len(moved))
			}
			columns[i] = append(columns[i], v)
		}
	}
	args := make([]any, 0, most+1)
	for i := range columns[:most] {
		args = append(args, columns[i])
	}
	switch {
	case b.remembered:
		to.Queue(moveRemembered, append(args, len(moved))...)
	case b.served:
		to.Queue(moveServed, append(args, len(moved))...)
	default:
		to.Queue(moveLogs, args...)
	}
}

// recall puts what is remembered of logs into the work, in the place of locks. It tells whether all were known.
func (b *batchWork) recall(names []channel.Name, known func(channel.Name) (logState, bool)) bool {
	for _, n := range names {
		st, ok := known(n)
		if !ok {
			return false
		}
		b.logs[n] = &logWork{name: n, logState: st, was: st}
	}
	b.remembered = true
	return true
}
