package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"carillon/channel"
	"carillon/journal"
)

// together commits one change of each owner in one take of a lane, and returns what each is told.
func together(l *lane, id string, owners ...*owner) (told []error) {
	var offers []*offer
	for _, o := range owners {
		cs := []journal.Change{o.change(o.version, id)}
		x := &offer{fence: o.fence, changes: cs, sums: l.s.identity.SumUp(cs), settled: make(chan struct{})}
		offers = append(offers, x)
		l.put(x)
	}
	l.commit(l.take())
	for i, x := range offers {
		<-x.settled
		err := x.err
		if err == nil {
			err = x.results[0].Err
		}
		if err == nil {
			owners[i].version++
			owners[i].acked = append(owners[i].acked, id)
		}
		told = append(told, err)
	}
	return told
}

// TestJoined: what shards commit together becomes true for each as if it were alone: who lost his shard, has a row that cannot be
// written, or remembers what is no longer so, is no concern of the others.
func TestJoined(t *testing.T) {
	dsn := database(t, t.TempDir())
	s, other := openStore(t, dsn, Options{Patience: slowMachine}), openStore(t, dsn, Options{Patience: slowMachine})
	var owners []*owner
	shards := map[int]bool{}
	for i := 0; len(owners) < 4; i++ {
		o := &owner{TB: t, s: s, name: channel.Name(fmt.Sprintf("joined:%d", i))}
		if shard := o.name.Shard(s.Shards()); !shards[shard] {
			shards[shard] = true
			o.claim()
			owners = append(owners, o)
		}
	}
	l := newLane(s)
	expect := func(what string, told []error, want ...error) {
		t.Helper()
		for i := range told {
			if !errors.Is(told[i], want[i]) {
				t.Fatalf("%s: shard %d is told %v, want %v", what, i, told[i], want[i])
			}
		}
	}
	expect("first", together(l, "first", owners...), nil, nil, nil, nil)
	if x := (&offer{fence: owners[0].fence, changes: []journal.Change{owners[0].change(1, "known")}}); !l.memory.knows(x) {
		t.Fatal("what was just written is not remembered")
	}
	expect("known", together(l, "known", owners...), nil, nil, nil, nil)

	execAt(t, dsn, `CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.body = '"bad"' AND NEW.channel = (SELECT id FROM channels WHERE name = '`+string(owners[1].name)+`') THEN RAISE EXCEPTION 'planted'; END IF;
		RETURN NEW; END $$`)
	execAt(t, dsn, "CREATE TRIGGER planted BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION planted()")
	told := together(l, "bad", owners...)
	if told[1] == nil {
		t.Fatal("a row that cannot be written was acknowledged")
	}
	told[1] = nil
	expect("beside a row that cannot be written", told, nil, nil, nil, nil)
	expect("after it", together(l, "after", owners...), nil, nil, nil, nil)

	if err := owners[0].commit("elsewhere"); err != nil { // the lane does not know of it
		t.Fatal(err)
	}
	expect("what is remembered is no longer so", together(l, "again", owners...), nil, nil, nil, nil)

	const ahead = 1 << 60 // of the revision of a table in which another node dropped entries
	execAt(t, dsn, fmt.Sprintf("UPDATE channels SET rev = %d WHERE name = '%s'", ahead, owners[3].name))
	expect("a table has changed elsewhere", together(l, "table", owners...), nil, nil, nil, nil)
	var rev int
	if err := s.pool.QueryRow(context.Background(), "SELECT rev FROM channels WHERE name = $1", string(owners[3].name)).Scan(&rev); err != nil || rev < ahead {
		t.Fatalf("the revision of a table went back to %d, %v", rev, err)
	}

	f, err := other.Claim(context.Background(), "joined", owners[2].fence.Shard)
	if err != nil {
		t.Fatal(err)
	}
	expect("one has lost his shard", together(l, "lost", owners...), nil, nil, journal.ErrFenced, nil)
	owners[2].fence = f
	expect("and has it again", together(l, "back", owners...), nil, nil, nil, nil)
	for _, o := range owners {
		o.check(other)
	}
	var steps, rows int
	if err := s.pool.QueryRow(context.Background(), "SELECT (SELECT sum(steps) FROM fences), (SELECT sum(last - first + 1) FROM steps)").Scan(&steps, &rows); err != nil || steps != rows || steps != 4*8-2+1 {
		t.Fatalf("%d steps are counted, %d kept, %v", steps, rows, err)
	}
}

// TestTurns: batches that are small go one after the other, and each queue comes in its turn; a large one waits for nobody.
func TestTurns(t *testing.T) {
	s := &Store{queues: make([]queue, 3)}
	s.o.complete()
	fill := func(i, n int) *queue {
		q := &s.queues[i]
		if q.wake == nil {
			q.wake = make(chan struct{}, 1)
		}
		for range n {
			q.waiting = append(q.waiting, request{record: channel.Record{Channel: "a:x"}})
		}
		return q
	}
	took := func(q *queue) int { batch, _ := s.take(q); return len(batch) }
	a, b, c := fill(0, 3), fill(1, 2), fill(2, smallBatch)
	if n := took(a); n != 3 {
		t.Fatalf("the first takes %d", n)
	}
	if n := took(b); n != 0 {
		t.Fatalf("%d go beside another batch", n)
	}
	if n := took(c); n != smallBatch {
		t.Fatalf("a large batch waits: %d", n)
	}
	s.done()
	s.done()
	await(t, "the turn of who waited", b.wake)
	fill(0, 1)
	if n := took(a); n != 0 {
		t.Fatal("a queue passes one that waits longer")
	}
	if n := took(b); n != 2 {
		t.Fatalf("whose turn it is takes %d", n)
	}
	s.done()
	await(t, "the turn of the next", a.wake)
	if n := took(a); n != 1 || len(s.held) != 0 {
		t.Fatalf("it takes %d, %d wait for a turn", n, len(s.held))
	}
}
