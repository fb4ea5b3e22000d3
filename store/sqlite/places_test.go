package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/store"
)

// generation is smaller in tests.
const generation = 512

// idleIDs is an idle store with such generations.
func idleIDs(t *testing.T, dir string, o Options) (*Store, *writer, func()) {
	s, w, step := idle(t, dir, o)
	s.ids.generation = generation
	return s, w, step
}

// appendIDs appends records under the ids from to below to, a batch at a time.
func appendIDs(t *testing.T, s *Store, step func(), from, to int) {
	t.Helper()
	for at := from; at < to; at += maxBatch {
		var asked []*answer
		for i := at; i < min(at+maxBatch, to); i++ {
			asked = append(asked, s.ask(record("a:ids", fmt.Sprint(i), fmt.Sprint("body ", i))))
		}
		step()
		for _, a := range asked {
			if a.err != nil {
				t.Fatal(a.err)
			}
		}
	}
}

// resendSome resends about count ids below to and has each answered as it was: by an offset that is one more than its number.
func resendSome(t *testing.T, s *Store, step func(), to, count int) {
	t.Helper()
	var asked []*answer
	var ids []int
	for i := rand.IntN(to/count + 1); i < to; i += 1 + rand.IntN(2*to/count+1) {
		ids = append(ids, i)
		asked = append(asked, s.ask(record("a:ids", fmt.Sprint(i), fmt.Sprint("body ", i))))
	}
	step()
	for i, a := range asked {
		if a.err != nil || a.at.Offset != uint64(ids[i]+1) {
			t.Fatalf("id %d of %d: %+v", ids[i], to, a)
		}
	}
}

// An id is known from its commit on, wherever its place is noted: in memory, on its way into the index, in the index, after a failed
// transaction, after a restart that finds half of a generation in the index, before and after the filter is filled.
func TestIDsThroughGenerations(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	const all = 3*generation + generation/4
	t.Run("grow", func(t *testing.T) {
		s, _, step := idleIDs(t, dir, Options{})
		s.loadFilter(ctx)
		db := foreign(t, dir)
		exec(t, db, "CREATE TRIGGER planted BEFORE INSERT ON records WHEN NEW.body = CAST('bad' AS BLOB) BEGIN SELECT RAISE(ABORT, 'planted'); END")
		for at := 0; at < all; at += generation / 4 {
			appendIDs(t, s, step, at, at+generation/4)
			resendSome(t, s, step, at+generation/4, 200)
			if at == generation || at == 5*generation/2 { // half of the ids go into the index anew: not too often
				bad := s.ask(record("a:bad", "bad", "bad"))
				step()
				if !errors.Is(bad.err, journal.ErrUnconfirmed) || s.ids.known {
					t.Fatalf("a planted failure: %v, known: %v", bad.err, s.ids.known)
				}
			}
		}
		if n := count(t, db, "id_places"); n < generation || n >= all || len(s.ids.young)+len(s.ids.old) < all-n {
			t.Fatalf("%d places in the index, %d and %d in memory, of %d", n, len(s.ids.young), len(s.ids.old), all)
		}
		if got := count(t, db, "records"); got != all {
			t.Fatalf("%d records of %d ids", got, all)
		}
	})

	db := foreign(t, dir)
	s, w, step := idleIDs(t, dir, Options{})
	resendSome(t, s, step, all, 2000) // the index is asked for each
	s.loadFilter(ctx)
	if may := s.ids.filter.may(placeKey{1, 2, 3}); may {
		t.Error("the filter is not filled")
	}
	resendSome(t, s, step, all, 2000)
	for range 2 * all / keepRows {
		w.housekeep(ctx)
	}
	if n := count(t, db, "id_places"); n < all-generation {
		t.Errorf("%d places in the index of %d", n, all)
	}
	resendSome(t, s, step, all, 2000)
	if got := count(t, db, "records"); got != all {
		t.Errorf("%d records of %d ids", got, all)
	}
}

// Seen knows what was committed although the transaction after it failed, and a command that has its answer is not kept again.
func TestSeenAfterFailure(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, _, step := idleIDs(t, dir, Options{})
	n := inShards(s.Shards())[0]
	f := s.claimAll(t, []channel.Name{n}, step)[0]
	db := foreign(t, dir)
	exec(t, db, "CREATE TRIGGER planted BEFORE INSERT ON records WHEN NEW.body = CAST('bad' AS BLOB) BEGIN SELECT RAISE(ABORT, 'planted'); END")
	commit := func(c journal.Change) error {
		p := s.startCommit(t, f, c)
		step()
		<-p.over
		return p.err
	}
	first := change(n, 0, "1")
	if err := commit(first); err != nil {
		t.Fatal(err)
	}
	if err := commit(change(n, 1, "bad")); err == nil || s.ids.known {
		t.Fatalf("a planted failure: %v", err)
	}
	known, err := s.Seen(ctx, []channel.Command{first.Command, change(n, 1, "bad").Command})
	if err != nil || known[0].Reply == nil || string(known[0].Reply.Body) != "1" || known[1].Reply != nil || known[1].Err != nil {
		t.Fatalf("%+v, %v", known, err)
	}
	twice := change(n, 1, "2")
	twice.Command.ID = first.Command.ID
	if err := commit(twice); err == nil {
		t.Error("two commands were kept under one id")
	}
	if err := commit(change(n, 1, "2")); err != nil {
		t.Error(err)
	}
}

// Places of ids that are forgotten leave the index with them.
func TestPlacesAreSwept(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	s, w, step := idleIDs(t, dir, Options{Clock: func() time.Time { return now }})
	s.loadFilter(context.Background())
	db := foreign(t, dir)
	const all = generation
	appendIDs(t, s, step, 0, all)
	for range all/keepRows + 1 {
		w.housekeep(context.Background())
	}
	if n := count(t, db, "id_places"); n != all {
		t.Fatalf("%d places of %d", n, all)
	}
	now = now.Add(store.IDsKept + time.Hour)
	for range all/keepRows + 2 {
		w.housekeep(context.Background())
	}
	if ids, places := count(t, db, "ids"), count(t, db, "id_places"); ids != 0 || places != 0 {
		t.Fatalf("%d ids and %d places are left", ids, places)
	}
	again := s.ask(record("a:ids", "1", "another"))
	step()
	if again.err != nil || again.at.Offset != all+1 {
		t.Errorf("an id that is forgotten: %+v", again)
	}
}

// A filter never denies what it was given, and seldom affirms what it was not.
func TestFilter(t *testing.T) {
	key := func(i uint64) placeKey {
		return placeOf((&store.Identity{}).Key("a:x", "ann", string(binary.LittleEndian.AppendUint64(nil, i))))
	}
	now := time.Now()
	f := &filter{begun: now}
	const loaded, added = 5000, layerIDs + 5000
	if !f.may(key(1)) {
		t.Error("what is not loaded is denied")
	}
	at := 0
	err := f.load(func([]byte) (ks []placeKey, err error) {
		for ; len(ks) < 1000 && at < loaded; at++ {
			ks = append(ks, key(uint64(at)))
		}
		return ks, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := loaded; i < loaded+added; i += 1000 {
		var ps []place
		for j := i; j < i+1000; j++ {
			ps = append(ps, place{key: key(uint64(j))})
		}
		f.add(ps, now)
	}
	for i := range uint64(loaded + added) {
		if !f.may(key(i)) {
			t.Fatalf("%d is denied", i)
		}
	}
	wrong := 0
	const others = 100_000
	for i := range uint64(others) {
		if f.may(key(1<<32 + i)) {
			wrong++
		}
	}
	if wrong > others/200 {
		t.Errorf("%d of %d are affirmed wrongly", wrong, others)
	}
	if n := len(*f.layers.Load()); n != 2 {
		t.Errorf("%d layers", n)
	}
	fill := func() { // the last layer, and begin another
		layers := *f.layers.Load()
		layers[len(layers)-1].ids = layerIDs
		f.add(make([]place, 1), now.Add(store.IDsKept+2*time.Hour))
	}
	fill()
	fill()
	if n := len(*f.layers.Load()); n > 3 || f.may(key(1)) {
		t.Errorf("%d layers, and what was loaded is kept: %v", n, f.may(key(1)))
	}
	for range maxLayers {
		fill()
	}
	if !f.may(key(1 << 40)) {
		t.Error("what had no room is denied")
	}
}
