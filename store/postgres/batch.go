package postgres

import (
	"crypto/sha1"
	"time"

	"carillon/channel"
	"carillon/store"

	"github.com/jackc/pgx/v5"
)

// batchWork is a transaction while it becomes rows: what committers and services share. Locks and reads come first, then the
// changes in memory, then all rows in one batch with COMMIT.
type batchWork struct {
	s       *Store
	now     time.Time
	logs    map[channel.Name]*logWork
	doubted []channel.Name // logs whose head must be held against the last record

	remembered bool // logs are as this process wrote them last, and not locked: the write must prove it
	served     bool // the same of logs of services

	records []channel.Record // to be carried, in order
	rows    []recordRow
	ids     []idRow

	tables map[channel.Name]*store.Table // of logs whose Latest records are written
	latest map[tableKey]entryRow
	places []tableKey // of latest, in order

	drops [3][]int64 // of records: channels, and the offsets after which and up to which they go
}

// logWork is a log in a batch.
type logWork struct {
	logState
	was    logState // before the batch, if it was remembered
	name   channel.Name
	moved  bool // its row has changed
	proved bool // its last record is there
	looked bool // it is housekeeping that came by
}

// recordRow is a row of records.
type recordRow struct {
	log    *logWork
	seal   int64
	record int // in the records of the batch
}

// idRow is a row of ids; the last two are those of a command's.
type idRow struct {
	key    store.IDKey
	hash   [sha1.Size]byte
	binary bool
	at     channel.Position
	code   int
	reply  []byte
}

func (s *Store) newBatch() *batchWork {
	return &batchWork{s: s, logs: map[channel.Name]*logWork{}, tables: map[channel.Name]*store.Table{}, latest: map[tableKey]entryRow{}}
}

// log appends a Logged record to its log, at a time (ms) that does not go back.
func (b *batchWork) log(st *logWork, r *channel.Record, hash [sha1.Size]byte, ms int64) {
	st.lastMS = max(st.lastMS, ms)
	if st.head == st.oldest {
		st.since = st.lastMS
	}
	r.Prev = st.head.Tag
	r.At = st.head.NextHash(hash)
	r.Time = time.UnixMilli(st.lastMS).UTC()
	r.Rev, r.Key = 0, ""
	st.head = r.At
	st.bytes += int64(len(r.Body))
	st.moved = true
	b.rows = append(b.rows, recordRow{st, store.SealRecord(r), len(b.records)})
	b.records = append(b.records, *r)
}

const addRecords = `INSERT INTO records (channel, "offset", tag, seal, time, sender, "binary", body)
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::boolean[], $8::bytea[])`

const addIDs = `INSERT INTO ids (key, hash, "binary", "offset", tag, at, code, reply)
	SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[], $8::bytea[])`

// queue has a batch write everything the work came to. The rows of channels come first: who has them has all the rest.
func (b *batchWork) queue(to *pgx.Batch) {
	b.queueHeads(to)
	b.queueIDs(to) // before the bodies: an id that was known after all ends the transaction while it has written little
	if len(b.drops[0]) > 0 {
		to.Queue(dropRecords, b.drops[0], b.drops[1], b.drops[2])
	}
	b.queueRecords(to)
	b.queueTables(to)
}

func (b *batchWork) queueRecords(to *pgx.Batch) {
	n := len(b.rows)
	channels, offsets, tags, seals, times := make([]int64, 0, n), make([]int64, 0, n), make([]int64, 0, n), make([]int64, 0, n), make([]int64, 0, n)
	senders, binaries, bodies := make([]string, 0, n), make([]bool, 0, n), make([][]byte, 0, n)
	for i := range b.rows {
		row := &b.rows[i]
		r := &b.records[row.record]
		if r.At.Offset <= row.log.oldest.Offset {
			continue // trimmed before it was written
		}
		channels, offsets, tags = append(channels, row.log.id), append(offsets, int64(r.At.Offset)), append(tags, int64(r.At.Tag))
		seals, times = append(seals, row.seal), append(times, r.Time.UnixMilli())
		senders, binaries, bodies = append(senders, r.From), append(binaries, r.Binary), append(bodies, r.Body)
	}
	if len(channels) > 0 {
		to.Queue(addRecords, channels, offsets, tags, seals, times, senders, binaries, bodies)
	}
}

func (b *batchWork) queueIDs(to *pgx.Batch) {
	n := len(b.ids)
	if n == 0 {
		return
	}
	keys, hashes, replies, binaries := make([][]byte, n), make([][]byte, n), make([][]byte, n), make([]bool, n)
	offsets, tags, times, codes := make([]int64, n), make([]int64, n), make([]int64, n), make([]int32, n)
	for i := range b.ids {
		r := &b.ids[i]
		keys[i], hashes[i], binaries[i], replies[i] = r.key[:], r.hash[:], r.binary, r.reply
		offsets[i], tags[i], times[i], codes[i] = int64(r.at.Offset), int64(r.at.Tag), b.now.UnixMilli(), int32(r.code)
	}
	to.Queue(addIDs, keys, hashes, binaries, offsets, tags, times, codes, replies)
}

// noteIDs has the ids of commands known for a while, once they are true.
func (b *batchWork) noteIDs() {
	for i := range b.ids {
		r := &b.ids[i]
		b.s.recent.put(r.key, store.Answered{Hash: r.hash, Binary: r.binary, Reply: channel.Reply{At: r.at, Code: r.code, Body: r.reply}})
	}
}
