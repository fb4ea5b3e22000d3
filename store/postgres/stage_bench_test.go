package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/internal/servertest"
	"carillon/journal"

	"github.com/jackc/pgx/v5"
)

const (
	commitBatch  = 128 // changes in a Commit
	manyChannels = 2000
)

// bench is a machine that makes the changes of one channel as a worker would: a command with an id, one event, a short reply.
type bench struct {
	name    channel.Name
	version journal.Version
	head    uint64
}

var benchCommand = []byte(`{"op":"send","text":"` + strings.Repeat("x", 60) + `"}`)

func (m *bench) step() journal.Change {
	c := journal.Change{
		Channel: m.name, Prev: m.version,
		Command: channel.Command{ID: fmt.Sprintf("c%015d", m.version), Channel: m.name, User: "ann", Time: time.Now(), Head: m.head, Body: benchCommand},
		Reply:   channel.Reply{Body: []byte(`{"n":1}`)},
		Events:  []channel.Record{{Class: channel.Logged, Body: benchBody}},
	}
	m.version++
	m.head++
	if m.version%1000 == 0 {
		c.Snapshot = make([]byte, 1000)
	}
	return c
}

// committing commits the next batch of the machines of a shard.
func committing(b *testing.B, s *Store, shard, channels int) func() {
	f, err := s.Claim(context.Background(), "bench", shard)
	if err != nil {
		b.Fatal(err)
	}
	var ms []*bench
	for i := 0; len(ms) < channels; i++ {
		if n := channel.Name(fmt.Sprintf("bench:%d", i)); n.Shard(s.Shards()) == shard {
			ms = append(ms, &bench{name: n})
		}
	}
	next := 0
	return func() {
		cs := make([]journal.Change, commitBatch)
		for i := range cs {
			cs[i] = ms[next%len(ms)].step()
			next++
		}
		if _, err := s.Commit(context.Background(), f, cs); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkCommit has owners of shards commit batch after batch, each as soon as the last one is answered.
func BenchmarkCommit(b *testing.B) {
	server := servertest.StartPostgres(b, "shared_buffers=256MB", "max_wal_size=4GB")
	for _, owners := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("owners=%d", owners), func(b *testing.B) {
			s := openStore(b, server.Create(fmt.Sprintf("owners%d_%d", owners, time.Now().UnixNano())), Options{})
			var working sync.WaitGroup
			turns := make(chan struct{})
			for shard := range owners {
				commit := committing(b, s, shard, manyChannels/owners)
				working.Go(func() {
					for range turns {
						commit()
					}
				})
			}
			b.ResetTimer()
			for b.Loop() {
				turns <- struct{}{}
			}
			close(turns)
			working.Wait()
			b.ReportMetric(float64(b.N*commitBatch)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}

// BenchmarkCommitAgainstRaw takes turns with a loop that does nothing but write the same rows in transactions of the same
// size and one round trip, so that whatever else the machine does slows both. ratio is how much of the loop's throughput is
// left.
func BenchmarkCommitAgainstRaw(b *testing.B) {
	server := servertest.StartPostgres(b, "shared_buffers=256MB", "max_wal_size=4GB")
	for name, channels := range map[string]int{"many": manyChannels, "hot": 1} {
		b.Run(name, func(b *testing.B) {
			stamp := time.Now().UnixNano()
			commit := committing(b, openStore(b, server.Create(fmt.Sprintf("ours%d", stamp)), Options{}), 0, channels)
			raw := rawCommit(b, server.Create(fmt.Sprintf("raw%d", stamp)), channels)
			for range channels/commitBatch + 10 { // channels have their rows from then on, as those of the loop
				commit()
				raw()
			}
			var ours, theirs time.Duration
			b.ResetTimer()
			for b.Loop() {
				at := time.Now()
				commit()
				ours += time.Since(at)
				at = time.Now()
				raw()
				theirs += time.Since(at)
			}
			b.ReportMetric(float64(b.N*commitBatch)/ours.Seconds(), "commands/s")
			b.ReportMetric(float64(b.N*commitBatch)/theirs.Seconds(), "raw/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
		})
	}
}

// rawCommit writes what a Commit of commitBatch changes writes, on one connection, with everything known beforehand.
func rawCommit(b *testing.B, dsn string, channels int) func() {
	ctx := context.Background()
	if err := openStore(b, dsn, Options{}).Close(); err != nil { // for its tables
		b.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(ctx) })
	if _, err := conn.Exec(ctx, `INSERT INTO fences (service, shard, n) VALUES ('raw', 0, 1)`); err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `INSERT INTO channels (name, head, tag, oldest, oldest_tag) SELECT 'raw:' || i, 0, 0, 0, 0 FROM generate_series(1, $1) i`, channels); err != nil {
		b.Fatal(err)
	}
	at, step, spare := 0, int64(0), make([]byte, 200)
	return func() {
		per := max(commitBatch/channels, 1) // changes of a channel
		var r, i, k, m columns
		for n := range commitBatch {
			id, offset := int64((at+n/per)%channels+1), int64(at+n)
			r.ints(id, offset, offset, offset, offset)
			r.blob, r.blob2, r.bools = append(r.blob, []byte("ann")), append(r.blob2, benchBody), append(r.bools, false)
			i.ints(offset, offset, offset)
			i.blob, i.blob2, i.bools = append(i.blob, fmt.Appendf(nil, "%016d", offset)), append(i.blob2, spare[:20]), append(i.bools, false)
			i.blob3, i.codes = append(i.blob3, spare[:7]), append(i.codes, 0)
			if n%per == 0 {
				k.ints(id, offset, offset, offset)
				k.blob = append(k.blob, spare[:min(200*per, len(spare))])
				m.ints(id, offset, offset, 0, 0, 1, offset, offset, 0, offset, offset, 1, 0)
			}
		}
		at += commitBatch
		t := &pgx.Batch{}
		t.Queue("BEGIN")
		t.Queue(addRecords, r.n[0], r.n[1], r.n[2], r.n[3], r.n[4], r.blob, r.bools, r.blob2)
		t.Queue(addIDs, i.blob, i.blob2, i.bools, i.n[0], i.n[1], i.n[2], i.codes, i.blob3)
		t.Queue(addCommands, k.n[0], k.n[1], k.n[2], k.n[3], k.blob)
		t.Queue(moveLogs, m.n[0], m.n[1], m.n[2], m.n[3], m.n[4], m.n[5], m.n[6], m.n[7], m.n[8], m.n[9], m.n[10], m.n[11], m.n[12])
		t.Queue(addSteps, []int64{1}, []int64{step + 1}, []int64{step + commitBatch}, 1, [][]byte{make([]byte, 30*commitBatch)})
		t.Queue(countSteps, []int64{1}, []int64{1}, []int64{step}, []int64{step + commitBatch}, []int64{1}, 1)
		step += commitBatch
		t.Queue("COMMIT")
		if err := conn.SendBatch(ctx, t).Close(); err != nil {
			b.Error(err)
		}
	}
}

// columns are the arguments of a statement.
type columns struct {
	n                  [13][]int64
	blob, blob2, blob3 [][]byte
	bools              []bool
	codes              []int32
}

func (c *columns) ints(vs ...int64) {
	for i, v := range vs {
		c.n[i] = append(c.n[i], v)
	}
}

// BenchmarkFollow asks what every gateway asks twice a second: whether anything happened on any shard.
func BenchmarkFollow(b *testing.B) {
	ctx := context.Background()
	s := openStore(b, database(b, b.TempDir()), Options{})
	for shard := range s.Shards() {
		committing(b, s, shard, 10)()
	}
	ends, err := s.Ends(ctx)
	if err != nil || len(ends) != s.Shards() {
		b.Fatal(len(ends), err)
	}
	for b.Loop() {
		if steps, err := s.Follow(ctx, ends, 1000); err != nil || len(steps) > 0 {
			b.Fatal(len(steps), err)
		}
	}
}

// BenchmarkRights asks for 100 grants at once.
func BenchmarkRights(b *testing.B) {
	ctx := context.Background()
	s := openStore(b, database(b, b.TempDir()), Options{})
	o := &owner{TB: b, s: s, name: "rights:x"}
	o.claim()
	var gs []journal.Grant
	for i := range 100 {
		id := fmt.Sprint(i)
		gs = append(gs, journal.Grant{Channel: o.name, User: id})
		if err := o.commit(id); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if as, err := s.Rights(ctx, gs); err != nil || as[99].Rights != channel.Read {
			b.Fatal(as, err)
		}
	}
}
