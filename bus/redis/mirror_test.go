package redis

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/internal/servertest"
)

// copies is a mirror and the Redis behind it.
type copies struct {
	*testing.T
	r *servertest.Redis
	*Mirror
}

func copying(t *testing.T, r *servertest.Redis, url string) *copies {
	t.Helper()
	b, err := backbone.Open(context.Background(), backbone.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	m := NewMirror(b, slog.New(slog.DiscardHandler))
	t.Cleanup(m.Close)
	return &copies{t, r, m}
}

func (c *copies) put(rev uint64, body string) {
	c.Put(channel.Record{Channel: "chess:game:a", Class: channel.Latest, Key: "summary", Rev: rev, Body: []byte(body)})
}

func (c *copies) holds(want string) bool {
	return c.r.Do("GET", "carillon:latest:{chess:game:a}:summary") == want
}

func (c *copies) until(what string, is func() bool) {
	c.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("it did not come about: %s", what)
		}
	}
}

// A copy is what its record is, for two hours. An older record never takes its place, of whichever mirror; a deletion deletes.
func TestMirror(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	one, other := copying(t, r, r.URL()), copying(t, r, r.URL())
	const rev = 1_790_000_000_000_001 // µs since 1970
	one.put(rev, `{"ply":1}`)
	one.until("a copy", func() bool { return one.holds(`{"ply":1}`) })
	if left, _ := strconv.Atoi(r.Do("PTTL", "carillon:latest:{chess:game:a}:summary")); left <= 7100_000 || left > 7200_000 {
		t.Errorf("it lasts %d ms more", left)
	}
	other.put(rev+2, `{"ply":3}`)
	other.until("a newer copy", func() bool { return other.holds(`{"ply":3}`) })
	one.put(rev+1, `{"ply":2}`)
	one.until("the older one is judged", func() bool { return one.count.Stale.Load() == 1 })
	if !one.holds(`{"ply":3}`) {
		t.Errorf("an older record took the place of a newer one: %s", r.Do("GET", "carillon:latest:{chess:game:a}:summary"))
	}
	one.put(rev+3, "")
	one.until("a deletion", func() bool { return r.Do("EXISTS", "carillon:latest:{chess:game:a}:summary") == "0" })
	other.put(rev+2, `{"ply":3}`)
	other.until("what was before the deletion is judged", func() bool { return other.count.Stale.Load() == 1 })
	if r.Do("EXISTS", "carillon:latest:{chess:game:a}:summary") != "0" {
		t.Error("what was deleted is there again")
	}
}

// While Redis is away the newest of each key waits, within bounds; when it is back it is written, and nobody waited.
func TestMirrorWhileRedisIsAway(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	m := copying(t, r, r.URL())
	r.Kill()
	m.put(1, `{"ply":1}`)
	m.until("an attempt failed", func() bool { return m.count.Failed.Load() > 0 })
	began := time.Now()
	for rev := uint64(2); rev <= 500; rev++ {
		m.put(rev, fmt.Sprintf(`{"ply":%d}`, rev))
	}
	for i := range 2 * maxMirrored {
		m.Put(channel.Record{Channel: channel.Name(fmt.Sprint("chess:game:x", i)), Class: channel.Latest, Key: "summary", Rev: 1, Body: []byte("{}")})
	}
	took := time.Since(began)
	m.mu.Lock()
	waiting, bytes := len(m.waiting), m.bytes
	m.mu.Unlock()
	if waiting > maxMirrored || bytes > maxMirroredBytes || m.count.Dropped.Load() < maxMirrored-mirrorBatch {
		t.Errorf("%d records with %d bytes wait, %d are dropped", waiting, bytes, m.count.Dropped.Load())
	}
	r.Start()
	m.until("the newest is written", func() bool { return m.holds(`{"ply":500}`) })
	m.until("all are written", func() bool { return m.count.Written.Load() >= maxMirrored })
	t.Logf("%d records were taken in hand in %s", 2*maxMirrored+499, took)
}

// On a Cluster copies of many channels are spread, and each is found by its key.
func TestMirrorCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: starts a Cluster")
	}
	c := servertest.StartRedisCluster(t)
	m := copying(t, nil, c.URL())
	const all = 50
	for i := range all {
		m.Put(channel.Record{Channel: channel.Name(fmt.Sprint("chess:game:", i)), Class: channel.Latest, Key: "summary", Rev: 1, Body: []byte(`{}`)})
	}
	m.until("all are written", func() bool { return m.count.Written.Load() == all })
	for i := range all {
		key := m.b.EntryKey("latest", channel.Name(fmt.Sprint("chess:game:", i)), "summary")
		body, err := m.b.Client().Do(context.Background(), m.b.Client().B().Get().Key(key).Build()).ToString()
		if body != "{}" || err != nil {
			t.Fatalf("%s holds %q, %v", key, body, err)
		}
	}
}
