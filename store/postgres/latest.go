package postgres

import (
	"context"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

// tableKey is a place in a table.
type tableKey struct {
	log         *logWork
	sender, key string
}

// entryRow is what becomes of an entry in a batch. Without a body its row goes.
type entryRow struct {
	rev    uint64
	ms     int64
	binary bool
	body   []byte
}

const lookTables = `SELECT c.name, l.sender, l.key, l.rev, l.time, length(l.body) FROM channels c JOIN latest l ON l.channel = c.id
	WHERE c.name = ANY($1) ORDER BY l.rev`

// askTables has a batch read what must be known of tables that are to be written; their channels are locked before.
func (b *batchWork) askTables(to *pgx.Batch, names []channel.Name) {
	for _, n := range names {
		b.tables[n] = &store.Table{}
	}
	if len(names) == 0 {
		return
	}
	to.Queue(lookTables, names).Query(func(rows rows) error {
		for rows.Next() {
			var n channel.Name
			var sender, key []byte
			var rev int64
			var e store.Entry
			if err := rows.Scan(&n, &sender, &key, &rev, &e.MS, &e.Size); err != nil {
				return err
			}
			e.Sender, e.Key, e.Rev = string(sender), string(key), uint64(rev)
			b.tables[n].Push(e)
		}
		return rows.Err()
	})
}

// set makes a Latest record the newest of its key and deletes what has to go for it, at the time r.Time. A deletion of
// what is not there changes nothing. The table was asked for.
func (b *batchWork) set(st *logWork, r channel.Record) {
	t := b.tables[st.name]
	i := t.Find(r.From, r.Key)
	if i < 0 && len(r.Body) == 0 {
		return
	}
	if i >= 0 {
		t.Remove(i)
	}
	st.lastMS = max(st.lastMS, r.Time.UnixMilli())
	e := b.show(st, r)
	if e.Size > 0 {
		t.Push(e)
	}
	b.thin(st, t, r.From)
}

// thin deletes what is beyond the bounds of a table.
func (b *batchWork) thin(st *logWork, t *store.Table, sender string) {
	p := b.s.o.Policies(st.name)
	for i := t.Surplus(st.lastMS, sender, p); i >= 0; i = t.Surplus(st.lastMS, sender, p) {
		e := t.Entries[i]
		t.Remove(i)
		b.show(st, channel.Record{Channel: st.name, Class: channel.Latest, From: e.Sender, Key: e.Key})
	}
}

// expire deletes what is too old in a table that nobody writes to.
func (b *batchWork) expire(st *logWork) {
	t := b.tables[st.name]
	age := b.s.o.Policies(st.name).Latest.Age
	if t != nil && len(t.Entries) > 0 && age > 0 && b.now.UnixMilli()-t.Entries[0].MS >= age.Milliseconds() {
		st.lastMS = max(st.lastMS, b.now.UnixMilli())
		b.thin(st, t, "")
	}
}

// show gives a Latest record its revision, and has it carried and written.
func (b *batchWork) show(st *logWork, r channel.Record) store.Entry {
	st.rev = max(st.rev+1, uint64(b.now.UnixMicro()))
	st.moved = true
	r.Rev, r.Prev = st.rev, 0
	r.At = channel.Position{Epoch: st.head.Epoch}
	r.Time = time.UnixMilli(st.lastMS).UTC()
	b.records = append(b.records, r)
	k := tableKey{st, r.From, r.Key}
	if _, twice := b.latest[k]; !twice {
		b.places = append(b.places, k)
	}
	b.latest[k] = entryRow{r.Rev, st.lastMS, r.Binary, r.Body}
	return store.Entry{Sender: r.From, Key: r.Key, Rev: r.Rev, MS: st.lastMS, Size: len(r.Body)}
}

const addLatest = `INSERT INTO latest (channel, sender, key, rev, time, "binary", body)
	SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::boolean[], $7::bytea[])
	ON CONFLICT (channel, sender, key) DO UPDATE SET rev = excluded.rev, time = excluded.time, "binary" = excluded."binary", body = excluded.body`

const dropLatest = `DELETE FROM latest l USING unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS d (channel, sender, key)
	WHERE l.channel = d.channel AND l.sender = d.sender AND l.key = d.key`

// queueTables has a batch write what became of the entries that the work touched, each once.
func (b *batchWork) queueTables(to *pgx.Batch) {
	var add, drop struct {
		channels, revs, times []int64
		senders, keys         []string
		bodies                [][]byte
		binaries              []bool
	}
	for _, k := range b.places {
		r, into := b.latest[k], &add
		if len(r.body) == 0 {
			into = &drop
		}
		into.channels, into.revs, into.times = append(into.channels, k.log.id), append(into.revs, int64(r.rev)), append(into.times, r.ms)
		into.senders, into.keys = append(into.senders, k.sender), append(into.keys, k.key)
		into.bodies, into.binaries = append(into.bodies, r.body), append(into.binaries, r.binary)
	}
	if len(drop.channels) > 0 {
		to.Queue(dropLatest, drop.channels, drop.senders, drop.keys)
	}
	if len(add.channels) > 0 {
		to.Queue(addLatest, add.channels, add.senders, add.keys, add.revs, add.times, add.binaries, add.bodies)
	}
}

const (
	findTable   = "SELECT rev FROM channels WHERE name = $1"
	findEntries = `SELECT l.sender, l.key, l.rev, l.time, l."binary", l.body FROM channels c JOIN latest l ON l.channel = c.id
		WHERE c.name = $1 ORDER BY l.rev`
)

// Latest is journal.Tables'. What is too old is left out, though its deletion may still have to be carried.
func (s *Store) Latest(ctx context.Context, n channel.Name) (journal.Table, error) {
	var t journal.Table
	err := s.view(ctx, string(n), func(ctx context.Context, w *work) error {
		t = journal.Table{Epoch: s.identity.Epoch}
		var now time.Time
		b := w.batch()
		s.askTime(b, &now)
		b.Queue(findTable, n).Query(func(rows rows) error {
			var rev int64
			_, err := pgx.ForEachRow(rows, []any{&rev}, func() error { return nil })
			t.Rev = uint64(rev)
			return err
		})
		b.Queue(findEntries, n).Query(func(rows rows) error {
			for rows.Next() {
				r, err := scanEntry(rows, n, t.Epoch)
				if err != nil {
					return err
				}
				t.Records = append(t.Records, r)
			}
			return rows.Err()
		})
		if err := w.commit(ctx, b); err != nil {
			return err
		}
		t.Records = young(t.Records, now, s.o.Policies(n).Latest.Age)
		return nil
	})
	if err != nil {
		return journal.Table{}, err
	}
	return t, nil
}

func scanEntry(rows rows, n channel.Name, epoch uint64) (channel.Record, error) {
	r := channel.Record{Channel: n, Class: channel.Latest, At: channel.Position{Epoch: epoch}}
	var sender, key []byte
	var rev, ms int64
	err := rows.Scan(&sender, &key, &rev, &ms, &r.Binary, &r.Body)
	r.From, r.Key, r.Rev, r.Time = string(sender), string(key), uint64(rev), time.UnixMilli(ms).UTC()
	return r, err
}

// young are the entries that are not too old; 0: none is.
func young(rs []channel.Record, now time.Time, age time.Duration) []channel.Record {
	var kept []channel.Record
	for i := range rs {
		if age == 0 || now.UnixMilli()-rs[i].Time.UnixMilli() < age.Milliseconds() {
			kept = append(kept, rs[i])
		}
	}
	return kept
}
