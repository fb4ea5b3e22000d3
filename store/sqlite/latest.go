package sqlite

import (
	"context"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// maxEntries is how many entries of tables the committer keeps in memory; beyond it, it forgets all and reads them anew.
const maxEntries = 65536

// tableKey is a place in a table.
type tableKey struct {
	channel     int64
	sender, key string
}

// entryRow is what becomes of an entry in a batch. Without a body its row goes.
type entryRow struct {
	rev    uint64
	ms     int64
	binary bool
	body   []byte
}

// table finds the table of a log, with what this batch did to it.
func (w *writer) table(ctx context.Context, st *logWork) (*store.Table, error) {
	if t, ok := w.tables[st.id]; ok {
		return t, nil
	}
	t := &store.Table{}
	if st.rev > 0 {
		err := queryEach(ctx, w.service.lookTable, []any{st.id}, func(scan func(...any) error) error {
			var e store.Entry
			var rev int64
			if err := scan(&e.Sender, &e.Key, &rev, &e.MS, &e.Size); err != nil {
				return err
			}
			e.Rev = uint64(rev)
			t.Push(e)
			w.entries++
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	w.tables[st.id] = t
	w.entries++ // the table itself
	return t, nil
}

// set makes a Latest record the newest of its key and deletes what has to go for it, at the time r.Time. A deletion of
// what is not there changes nothing.
func (w *writer) set(ctx context.Context, b *batchWork, st *logWork, r channel.Record) error {
	t, err := w.table(ctx, st)
	if err != nil {
		return err
	}
	i := t.Find(r.From, r.Key)
	if i < 0 && len(r.Body) == 0 {
		return nil
	}
	if i >= 0 {
		t.Remove(i)
	} else {
		w.entries++
	}
	st.lastMS = max(st.lastMS, r.Time.UnixMilli())
	e := b.show(st, r)
	if e.Size > 0 {
		t.Push(e)
	}
	w.thin(b, st, t, r.From)
	return nil
}

// thin deletes what is beyond the bounds of a table.
func (w *writer) thin(b *batchWork, st *logWork, t *store.Table, sender string) {
	p := w.s.o.Policies(st.name)
	for i := t.Surplus(st.lastMS, sender, p); i >= 0; i = t.Surplus(st.lastMS, sender, p) {
		e := t.Entries[i]
		t.Remove(i)
		b.show(st, channel.Record{Channel: st.name, Class: channel.Latest, From: e.Sender, Key: e.Key})
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
	k := tableKey{st.id, r.From, r.Key}
	if _, twice := b.latest[k]; !twice {
		b.places = append(b.places, k)
	}
	b.latest[k] = entryRow{r.Rev, st.lastMS, r.Binary, r.Body}
	return store.Entry{Sender: r.From, Key: r.Key, Rev: r.Rev, MS: st.lastMS, Size: len(r.Body)}
}

// writeTables writes what became of the entries that a batch touched, each once.
func (w *writer) writeTables(ctx context.Context, b *batchWork) error {
	var add, drop []any
	for _, k := range b.places {
		if r := b.latest[k]; len(r.body) == 0 {
			drop = append(drop, k.channel, k.sender, k.key)
		} else {
			add = append(add, k.channel, k.sender, k.key, int64(r.rev), r.ms, r.binary, r.body)
		}
	}
	if err := w.service.dropKeys.exec(ctx, drop); err != nil {
		return err
	}
	return w.service.addLatest.exec(ctx, add)
}

// forgetTables keeps the bound of what is known of tables.
func (w *writer) forgetTables() {
	if w.entries > maxEntries {
		w.tables, w.entries = map[int64]*store.Table{}, 0
	}
}

// expire deletes what is too old in a table that nobody writes to.
func (w *writer) expire(ctx context.Context, b *batchWork, n channel.Name) error {
	st, err := w.log(ctx, b, n)
	if err != nil {
		return err
	}
	t, err := w.table(ctx, st)
	if err != nil || len(t.Entries) == 0 {
		return err
	}
	if age := w.s.o.Policies(n).Latest.Age; age > 0 && b.now.UnixMilli()-t.Entries[0].MS >= age.Milliseconds() {
		st.lastMS = max(st.lastMS, b.now.UnixMilli())
		w.thin(b, st, t, "")
	}
	return nil
}

// Latest is journal.Tables'. What is too old is left out, though its deletion may still have to be carried.
func (s *Store) Latest(ctx context.Context, n channel.Name) (journal.Table, error) {
	if s.shut.Load() {
		return journal.Table{}, journal.ErrClosed
	}
	age, nowMS := s.o.Policies(n).Latest.Age, s.o.Clock().UnixMilli()
	v, err := s.view(ctx)
	if err != nil {
		return journal.Table{}, s.readError(string(n), err)
	}
	defer v.end()
	t := journal.Table{Epoch: s.identity.Epoch}
	var id, rev int64
	if err := scanOne(v.row(s.services.table, string(n)), &id, &rev); err != nil {
		return journal.Table{}, s.readError(string(n), err)
	}
	t.Rev = uint64(rev)
	err = v.each(s.services.entries, []any{id}, func(scan func(...any) error) error {
		r := channel.Record{Channel: n, Class: channel.Latest, At: channel.Position{Epoch: t.Epoch}}
		var rev, ms int64
		if err := scan(&r.From, &r.Key, &rev, &ms, &r.Binary, &r.Body); err != nil {
			return err
		}
		r.Rev, r.Time = uint64(rev), time.UnixMilli(ms).UTC()
		if age == 0 || nowMS-ms < age.Milliseconds() {
			t.Records = append(t.Records, r)
		}
		return nil
	})
	if err != nil {
		return journal.Table{}, s.readError(string(n), err)
	}
	return t, nil
}
