package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store/sqlite"
)

const (
	commitBatch  = 128 // changes in a Commit
	manyChannels = 10_000
)

// machine makes the changes of one channel as a worker would: a command with an id, one event, a short reply.
type machine struct {
	name    channel.Name
	version journal.Version
	head    uint64
}

var commandBody = []byte(`{"op":"send","text":"` + strings.Repeat("x", 60) + `"}`)

func (m *machine) step(i int) journal.Change {
	c := journal.Change{
		Channel: m.name, Prev: m.version,
		Command: channel.Command{ID: fmt.Sprintf("c%015d", i), Channel: m.name, User: "ann", Time: time.Now(), Head: m.head, Body: commandBody},
		Reply:   channel.Reply{Body: []byte(`{"n":1}`)},
		Events:  []channel.Record{{Class: channel.Logged, Body: body}},
	}
	m.version++
	m.head++
	if m.version%1000 == 0 {
		c.Snapshot = make([]byte, 1000)
	}
	return c
}

// shardMachines are the machines of one owner, all in his shard.
func shardMachines(s *sqlite.Store, shard, count int) (ms []*machine) {
	for i := 0; len(ms) < count; i++ {
		if n := channel.Name(fmt.Sprintf("bench:%d", i)); n.Shard(s.Shards()) == shard {
			ms = append(ms, &machine{name: n})
		}
	}
	return ms
}

// BenchmarkCommit has several owners of shards who commit batch after batch, each as soon as the last one is answered.
func BenchmarkCommit(b *testing.B) {
	for _, owners := range []int{1, 2, 8} {
		b.Run(fmt.Sprintf("owners=%d", owners), func(b *testing.B) {
			s := benchStore(b, nil)
			var working sync.WaitGroup
			turns := make(chan int)
			for shard := range owners {
				commit := committing(b, s, shard, manyChannels/owners)
				working.Go(func() {
					for turn := range turns {
						commit(turn)
					}
				})
			}
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				turns <- i
			}
			close(turns)
			working.Wait()
			b.ReportMetric(float64(b.N*commitBatch)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}

// committing commits the next batch of the machines of a shard.
func committing(b *testing.B, s *sqlite.Store, shard, channels int) func(turn int) {
	f, err := s.Claim(context.Background(), "bench", shard)
	if err != nil {
		b.Fatal(err)
	}
	ms := shardMachines(s, shard, channels)
	next := 0
	return func(turn int) {
		cs := make([]journal.Change, commitBatch)
		for i := range cs {
			cs[i] = ms[next%len(ms)].step(turn*commitBatch + i)
			next++
		}
		if _, err := s.Commit(context.Background(), f, cs); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkCommitAgainstRaw takes turns with a loop that does nothing but write the same rows in transactions of the same
// size, so that whatever else the machine does slows both. ratio is how much of the loop's throughput is left.
func BenchmarkCommitAgainstRaw(b *testing.B) {
	for name, channels := range map[string]int{"many": manyChannels, "hot": 1} {
		b.Run(name, func(b *testing.B) {
			commit := committing(b, benchStore(b, nil), 0, channels)
			raw := rawCommit(b, channels)
			turn := 0
			for ; turn*commitBatch < channels; turn++ {
				commit(turn) // channels have their rows from then on, as those of the loop
			}
			var ours, theirs spent
			b.ResetTimer()
			for ; b.Loop(); turn++ {
				ours.add(func() { commit(turn) })
				theirs.add(raw)
			}
			commands := float64(b.N * commitBatch)
			b.ReportMetric(commands/ours.wall.Seconds(), "commands/s")
			b.ReportMetric(commands/theirs.wall.Seconds(), "raw/s")
			b.ReportMetric(theirs.wall.Seconds()/ours.wall.Seconds(), "ratio")
			b.ReportMetric(ours.cpu.Seconds()/commands*1e6, "cpu-µs/command")
			b.ReportMetric(theirs.cpu.Seconds()/commands*1e6, "cpu-µs/raw")
		})
	}
}

// spent is the time that something took, and the processor time of the whole process meanwhile.
type spent struct{ wall, cpu time.Duration }

func (s *spent) add(f func()) {
	began, before := time.Now(), processorTime()
	f()
	s.wall += time.Since(began)
	s.cpu += processorTime() - before
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rawDatabase is a database with the tables of a store and nothing in them.
func rawDatabase(b *testing.B) *sql.Conn {
	dir := b.TempDir()
	s, err := sqlite.Open(context.Background(), dir, sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "carillon.db")+
		"?_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(4000)&_pragma=cache_size(-32768)")
	if err != nil {
		b.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = conn.Close(), db.Close() })
	return conn
}

// rawCommit writes the rows of one batch.
func rawCommit(b *testing.B, channels int) func() {
	ctx := context.Background()
	conn := rawDatabase(b)
	run := func(text string) func(args ...any) {
		stmt, err := conn.PrepareContext(ctx, text)
		if err != nil {
			b.Fatal(err)
		}
		return func(args ...any) {
			if _, err := stmt.ExecContext(ctx, args...); err != nil {
				b.Fatal(err)
			}
		}
	}
	rows := func(text, row, tail string, n int) func(args ...any) {
		return run(text + strings.TrimSuffix(strings.Repeat(row+",", n), ",") + tail)
	}
	const half = commitBatch / 2
	touched := min(channels, commitBatch)
	part := min(touched, half)
	begin, end := run("BEGIN IMMEDIATE"), run("COMMIT")
	records := rows("INSERT INTO records (channel, offset, tag, seal, time, sender, binary, body) VALUES ", "(?,?,?,?,?,?,?,?)", "", half)
	ids := rows("INSERT INTO ids (key, hash, binary, offset, tag, at, code, reply) VALUES ", "(?,?,?,?,?,?,?,?)", "", half)
	commands := rows("INSERT INTO commands (channel, first, last, seal, body) VALUES ", "(?,?,?,?,?)", "", part)
	steps := run("INSERT INTO steps (shard, first, last, time, body) VALUES (1, ?, ?, ?, ?)")
	move := rows("INSERT INTO channels (id, name, head, tag, oldest, oldest_tag, bytes, last, version) VALUES ", "(?,?,?,?,0,0,?,?,?)",
		` ON CONFLICT (id) DO UPDATE SET head = excluded.head, tag = excluded.tag, bytes = excluded.bytes, last = excluded.last,
		version = excluded.version`, part)
	seed := rows("INSERT INTO channels (id, name, head, tag, oldest, oldest_tag, bytes, last) VALUES ", "(?,?,0,0,0,0,0,0)", "", 1)
	begin()
	for i := range channels {
		seed(i+1, fmt.Sprintf("bench:%d", i))
	}
	end()
	packed := make([]byte, (len(commandBody)+60)*commitBatch/touched)
	stepped := make([]byte, 40*commitBatch)
	heads := make([]int, channels)
	count, at := 0, channel.Position{Epoch: 1, Tag: 1}
	return func() {
		now := time.Now().UnixMilli()
		begin()
		for range 2 {
			var r, d []any
			for range half {
				n := count % channels
				heads[n]++
				count++
				at = at.Next(body)
				hash := channel.BodyHash([]byte(at.String()))
				r = append(r, n+1, heads[n], int64(at.Tag), int64(at.Tag), now, "ann", false, body)
				d = append(d, hash[:16], hash[:], false, heads[n], int64(at.Tag), now, 0, []byte(`{"n":1}`))
			}
			records(r...)
			ids(d...)
		}
		for from := count - touched; from < count; from += part {
			var c, m []any
			for i := range part {
				n := (from + i) % channels
				c = append(c, n+1, heads[n], heads[n], int64(at.Tag), packed)
				m = append(m, n+1, fmt.Sprintf("bench:%d", n), heads[n], int64(at.Tag), 100, now, heads[n])
			}
			commands(c...)
			move(m...)
		}
		steps(count-commitBatch+1, count, now, stepped)
		end()
	}
}
