package journaltest

import (
	"context"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// checkPulse: a claim tells how long nobody served the shard.
func checkPulse(t *testing.T, open Open) {
	dir := t.TempDir()
	w := enterStage(t, open, dir)
	ctx := context.Background()
	const n = channel.Name("svc:pulse")
	other := journal.Fence{Service: "svc", Shard: (n.Shard(w.s.Shards()) + 1) % w.s.Shards()}
	f := w.claim(n)
	claim := func(least, most time.Duration) {
		t.Helper()
		// Whole milliseconds count, and the clock may stand between two.
		if f = w.claim(n); f.Away < least-time.Millisecond || f.Away > most+time.Millisecond {
			t.Fatalf("away for %v, want %v to %v", f.Away, least, most)
		}
	}
	alive := func(fs ...journal.Fence) {
		t.Helper()
		if err := w.s.Alive(ctx, fs); err != nil {
			t.Fatal(err)
		}
	}
	if f.Away != 0 {
		t.Fatalf("a shard that was never served was away for %v", f.Away)
	}
	w.clock.add(3 * time.Second)
	claim(3*time.Second, 3*time.Second)
	w.clock.add(time.Minute)
	w.commit(t, f, w.step(n, 0))
	w.clock.add(7 * time.Second)
	claim(7*time.Second, 7*time.Second)
	w.clock.add(time.Minute)
	w.commit(t, f) // a look at the fence: it may be noted a little late
	w.clock.add(10 * time.Second)
	claim(10*time.Second, 10*time.Second+journal.PulseEvery)
	w.clock.add(time.Hour)
	refused := w.step(n, 1)
	refused.Reply.Code, refused.Events = 3, nil
	w.commit(t, f, refused)
	w.clock.add(10 * time.Second)
	claim(10*time.Second, 10*time.Second+journal.PulseEvery)

	w.clock.add(time.Minute)
	alive(f, other)
	w.clock.add(5 * time.Second)
	old := f
	claim(5*time.Second, 5*time.Second)
	w.clock.add(time.Minute)
	alive(old) // void: it says nothing of the shard
	alive()
	claim(time.Minute, time.Minute)
	w.clock.add(time.Minute)
	if _, err := w.s.Commit(ctx, old, []journal.Change{w.step(n, 1)}); err == nil {
		t.Fatal("committed under a void fence")
	}
	claim(time.Minute, time.Minute)

	w.clock.add(time.Minute)
	alive(f)
	w.clock.add(time.Minute)
	w.reopen(open, dir)
	if w.s.Tier() == journal.TierDurable {
		claim(time.Minute, time.Minute)
	} else if f = w.claim(n); f.Away != 0 {
		t.Fatalf("a journal that forgot was away for %v", f.Away)
	}
	w.clock.add(-time.Hour) // a clock that was set back
	claim(0, 0)
	w.end()
	if err := w.s.Alive(ctx, []journal.Fence{f}); err == nil {
		t.Fatal("a closed journal is alive")
	}
}
