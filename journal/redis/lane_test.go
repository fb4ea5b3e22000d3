package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/internal/servertest"
	"carillon/journal"
)

// idle is a lane that nobody works off.
func idle() *lane { return newLane(&Journal{cells: 1}, 0) }

func logged(body []byte) entry {
	return entry{record: channel.Record{Channel: "a:b", Body: body}, came: time.Now(), done: func(channel.Position, error) {}}
}

// TestLaneBounds: what waits is bounded in records and in bytes, and a batch in both too.
func TestLaneBounds(t *testing.T) {
	l := idle()
	for i := range maxWaiting {
		if err := l.put(logged([]byte("1"))); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	if err := l.put(logged([]byte("1"))); !errors.Is(err, journal.ErrBusy) {
		t.Fatalf("one too many: %v", err)
	}
	if n := len(l.take()); n != maxBatch {
		t.Fatalf("a batch of %d", n)
	}
	if err := l.put(logged([]byte("1"))); err != nil {
		t.Fatalf("with room again: %v", err)
	}

	l = idle()
	big := make([]byte, batchBytes/2+1)
	puts := 0
	for ; l.put(logged(big)) == nil; puts++ {
	}
	if puts != maxBytes/len(big) {
		t.Fatalf("%d bodies of %d bytes wait", puts, len(big))
	}
	if err := idle().put(logged(big)); err != nil {
		t.Fatal(err)
	}
	if n := len(l.take()); n != 1 {
		t.Fatalf("a batch of %d bodies of %d bytes", n, len(big))
	}
	for len(l.take()) > 0 {
	}
	if left := l.j.bytes.Load(); left != 0 {
		t.Fatalf("%d bytes wait in an empty lane", left)
	}
}

// TestLanePatience: what waited too long is refused, what came later is not.
func TestLanePatience(t *testing.T) {
	l := idle()
	var old error
	late := logged([]byte("1"))
	late.came = late.came.Add(-patience - time.Second)
	late.done = func(_ channel.Position, err error) { old = err }
	if err := errors.Join(l.put(late), l.put(logged([]byte("2")))); err != nil {
		t.Fatal(err)
	}
	es := l.take()
	if !errors.Is(old, journal.ErrBusy) || len(es) != 1 || string(es[0].record.Body) != "2" {
		t.Fatalf("%v, %d left", old, len(es))
	}
}

// TestPeriod: a log's state is kept longer than the period within which its next life would begin with the same tag.
func TestPeriod(t *testing.T) {
	b, err := backbone.Open(context.Background(), backbone.Options{URL: servertest.StartRedis(t, servertest.RedisNone...).URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ms, err := newScript("return PERIOD").run(context.Background(), b.Client(), call{}).ToInt64()
	if period := time.Duration(ms) * time.Millisecond; err != nil || period <= 0 || period > forget {
		t.Fatalf("a period of %v, states are kept for %v; %v", period, forget, err)
	}
}
