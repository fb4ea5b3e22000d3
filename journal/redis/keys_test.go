package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/internal/servertest"
	"carillon/journal"
	"carillon/journal/redis"

	"github.com/redis/rueidis"
)

// hearer collects what is published on the subject of a channel.
type hearer struct {
	mu    sync.Mutex
	heard []channel.Record
	came  chan struct{}
}

func hear(t testing.TB, b *backbone.Backbone, n channel.Name) *hearer {
	t.Helper()
	h := &hearer{came: make(chan struct{}, 1024)}
	client, release := b.Client().Dedicate()
	confirmed := make(chan struct{}, 1)
	over := client.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) {
			rs, err := backbone.ParseRecords(m.Message, n)
			if err != nil {
				t.Error(err)
			}
			h.mu.Lock()
			h.heard = append(h.heard, rs...)
			h.mu.Unlock()
			h.came <- struct{}{}
		},
		OnSubscription: func(rueidis.PubSubSubscription) { confirmed <- struct{}{} },
	})
	t.Cleanup(func() {
		release()
		<-over
	})
	subscribe := client.B().Subscribe().Channel(b.Subject(n)).Build()
	if b.Clustered() {
		subscribe = client.B().Ssubscribe().Channel(b.Subject(n)).Build()
	}
	if err := client.Do(context.Background(), subscribe).Error(); err != nil {
		t.Fatal(err)
	}
	<-confirmed
	return h
}

// first waits for the first count records.
func (h *hearer) first(t testing.TB, count int) []channel.Record {
	t.Helper()
	for {
		h.mu.Lock()
		heard := slices.Clone(h.heard)
		h.mu.Unlock()
		if len(heard) >= count {
			return heard
		}
		select {
		case <-h.came:
		case <-time.After(waiting):
			t.Fatalf("heard %d records of %d", len(heard), count)
		}
	}
}

// TestAnnounced has two nodes write one channel: everybody hears one chain, and each id once.
func TestAnnounced(t *testing.T) {
	for name, url := range map[string]string{
		"alone":   servertest.StartRedis(t, servertest.RedisNone...).URL(),
		"cluster": servertest.StartRedisCluster(t, servertest.RedisNone...).URL(),
	} {
		t.Run(name, func(t *testing.T) {
			const n, count = channel.Name("room:1"), 200
			ba, bb := reach(t, url, ""), reach(t, url, "")
			var counted atomic.Int64
			tally := func(_ channel.Class, records int) { counted.Add(int64(records)) }
			a, b := begin(t, redis.Options{Backbone: ba, Counted: tally}), begin(t, redis.Options{Backbone: bb, Counted: tally})
			defer a.Close()
			defer b.Close()
			h := hear(t, ba, n)
			var pending [2][]<-chan outcome
			var sending sync.WaitGroup
			for k, j := range []*redis.Journal{a, b} {
				sending.Go(func() {
					for i := range count {
						pending[k] = append(pending[k], start(j, channel.Record{
							Channel: n, From: "ann", ID: fmt.Sprint(i), Origin: 7, NoEcho: true, Body: []byte(fmt.Sprint(i)),
						}))
					}
				})
			}
			sending.Wait()
			for i := range count {
				x, y := wait(t, pending[0][i]), wait(t, pending[1][i])
				if x.err != nil || x != y {
					t.Fatalf("record %d: %+v on one node, %+v on the other", i, x, y)
				}
			}
			if c := counted.Load(); c != count {
				t.Errorf("%d records were made true, and %d counted", count, c)
			}
			entry := channel.Record{Channel: n, Class: channel.Latest, From: "ann", Key: "k", Origin: 7, NoEcho: true, Body: []byte("1")}
			for _, body := range []string{"1", ""} {
				if entry.Body = []byte(body); body == "" {
					entry.Body = nil
				}
				if _, err := try(t, a, entry); err != nil {
					t.Fatal(err)
				}
			}
			heard := h.first(t, count+2)
			before := heard[0].At
			before.Offset, before.Tag = 0, heard[0].Prev
			for i, r := range heard[:count] {
				if r.At != before.Next(r.Body) || r.Prev != before.Tag || r.Origin != 7 || !r.NoEcho || r.From != "ann" || r.Channel != n {
					t.Fatalf("heard %+v after %+v as number %d", r, before, i)
				}
				before = r.At
			}
			put, gone := heard[count], heard[count+1]
			if put.Class != channel.Latest || string(put.Body) != "1" || put.Key != "k" || gone.Class != channel.Latest || len(gone.Body) > 0 || gone.Rev <= put.Rev || gone.Key != "k" {
				t.Fatalf("heard %+v and %+v", put, gone)
			}
		})
	}
}

// TestKeysEnd: every key that can go away has an expiry, and the state of a log stays longer than anything else.
func TestKeysEnd(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	policy := channel.DefaultPolicy()
	j := begin(t, redis.Options{Backbone: reach(t, server.URL(), ""), Policies: func(channel.Name) channel.Policy { return policy }})
	defer j.Close()
	for i := range 3 {
		for _, class := range []channel.Class{channel.Logged, channel.Latest} {
			r := channel.Record{Channel: "room:1", From: "ann", Class: class, Key: "k", ID: fmt.Sprint(class, i), Body: []byte("1")}
			if _, err := try(t, j, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	lives := func() map[string]string {
		kinds := map[string]string{}
		for _, key := range strings.Fields(server.Do("keys", "*")) {
			kind, _, _ := strings.Cut(strings.SplitN(key, ":", 3)[2], ":")
			kinds[kind] = server.Do("pttl", key)
		}
		return kinds
	}
	for kind, ms := range lives() {
		life, err := time.ParseDuration(ms + "ms")
		switch {
		case err != nil:
			t.Errorf("%s: %v", kind, err)
		case strings.HasPrefix(kind, "cell/") != (life < 0):
			t.Errorf("%s expires in %v", kind, life)
		case kind == "stream" && (life < policy.Retention.Age || life > 2*policy.Retention.Age):
			t.Errorf("a stream kept for %v expires in %v", policy.Retention.Age, life)
		case kind == "log" && life < policy.Retention.Age+30*24*time.Hour:
			t.Errorf("a state expires in %v", life)
		}
	}
	// Without a bound of age nothing ends, and what had an end loses it.
	policy.Retention.Age, policy.Latest.Age = 0, 0
	add(t, j, "room:1", "1")
	if _, err := try(t, j, channel.Record{Channel: "room:1", From: "ann", Class: channel.Latest, Key: "k", Body: []byte("2")}); err != nil {
		t.Fatal(err)
	}
	for kind, ms := range lives() {
		if !strings.HasPrefix(kind, "ids") && ms != "-1" {
			t.Errorf("%s expires in %s ms", kind, ms)
		}
	}
}

// TestForgotten: a stream that is gone leaves a log that says so, a state that is gone another log.
func TestForgotten(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	b := reach(t, server.URL(), "")
	j := begin(t, redis.Options{Backbone: b})
	defer j.Close()
	const n = channel.Name("room:1")
	var at channel.Position
	for range 5 {
		at = add(t, j, n, "1")
	}
	server.Do("del", b.Key("stream", n))
	if p := read(t, j, n, journal.Query{After: at}); p.Gap != channel.GapNone || p.Head != at || p.Oldest != at {
		t.Fatalf("at the head of an empty stream: %+v", p)
	}
	next := add(t, j, n, "2")
	if p := read(t, j, n, journal.Query{}); next != at.Next([]byte("2")) || len(p.Records) != 1 || p.Oldest != at {
		t.Fatalf("goes on at %v: %+v", next, p)
	}
	server.Do("del", b.PartitionKey("cell", 0))
	if p := read(t, j, n, journal.Query{After: at}); p.Gap != channel.GapEpoch || p.Head.Offset != 0 || len(p.Records) != 0 {
		t.Fatalf("in another epoch: %+v", p)
	}
	if again := add(t, j, n, "3"); again.Offset != 1 || again.Epoch == at.Epoch {
		t.Fatalf("begins anew at %+v", again)
	}
	if rs := all(t, j, n); len(rs) != 1 {
		t.Fatalf("%d records in another epoch", len(rs))
	}
}

// hand is a clock that moves when told.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) add(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// TestGenerations: an id is known for five minutes at least; who says that he sent it before all that is known is told
// that nobody knows.
func TestGenerations(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	for _, c := range []struct {
		name  string
		ids   int
		steps []time.Duration // between ids
		known []bool          // the first one, with its age, after each step
	}{
		{"steady", 0, []time.Duration{4 * time.Minute, 4 * time.Minute, 4 * time.Minute, 4 * time.Minute}, []bool{true, true, true, false}},
		{"after a rest", 0, []time.Duration{9 * time.Minute, time.Minute, 5 * time.Minute}, []bool{true, true, false}},
		{"after a long rest", 0, []time.Duration{11 * time.Minute, time.Minute, 5 * time.Minute}, []bool{true, true, false}},
		{"full", 3, []time.Duration{0, time.Second, time.Second, time.Second}, []bool{true, true, true, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &hand{now: time.Now()}
			j := begin(t, redis.Options{Backbone: reach(t, server.URL(), "g"+strings.ReplaceAll(c.name, " ", "")), Clock: h.Now, MaxIDs: c.ids, Policies: forever})
			defer j.Close()
			h.add(10 * time.Second) // beyond what an age may be too low
			first := channel.Record{Channel: "room:1", From: "ann", ID: "first", Body: []byte("1")}
			at, err := try(t, j, first)
			if err != nil {
				t.Fatal(err)
			}
			for i, step := range c.steps {
				h.add(step)
				first.Age += step
				again, err := try(t, j, first)
				if c.known[i] && (err != nil || again != at) || !c.known[i] && !errors.Is(err, journal.ErrUnknown) {
					t.Fatalf("after %v: %+v, %v, first %+v", first.Age, again, err, at)
				}
				if _, err := try(t, j, channel.Record{Channel: "room:1", From: "ann", ID: fmt.Sprint(i), Body: []byte("1")}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestClockSet: a clock that is set does not make a resend a first sending, nor take one for lost that never came.
func TestClockSet(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	for name, by := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			h := &hand{now: time.Now()}
			j := begin(t, redis.Options{Backbone: reach(t, server.URL(), name), Clock: h.Now, Policies: forever})
			defer j.Close()
			h.add(time.Minute)
			first := channel.Record{Channel: "room:1", From: "ann", ID: "first", Body: []byte("1")}
			at, err := try(t, j, first)
			if err != nil {
				t.Fatal(err)
			}
			h.add(by)
			for _, step := range []time.Duration{20 * time.Second, 2 * time.Minute} {
				h.add(step)
				first.Age += step
				if again, err := try(t, j, first); err != nil || again != at {
					t.Fatalf("resent after %v: %+v, %v, first %+v", first.Age, again, err, at)
				}
			}
			late := channel.Record{Channel: "room:1", From: "ann", ID: "late", Age: 20 * time.Second, Body: []byte("2")}
			if got, err := try(t, j, late); err != nil || got.Offset != at.Offset+1 {
				t.Fatalf("whose first sending was lost on the way: %+v, %v", got, err)
			}
		})
	}
}

// TestManyIDs: maps that are full early remember less, and never take a resend for a first sending.
func TestManyIDs(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	h := &hand{now: time.Now()}
	b := reach(t, server.URL(), "")
	j := begin(t, redis.Options{Backbone: b, Clock: h.Now, MaxIDs: 100, Policies: forever})
	defer j.Close()
	h.add(10 * time.Second)
	const count, back = 1000, 50
	record := func(i int, age time.Duration) channel.Record {
		return channel.Record{Channel: "room:1", From: "ann", ID: fmt.Sprint(i), Age: age, Body: []byte(fmt.Sprint(i))}
	}
	for i := range count {
		h.add(time.Second)
		if _, err := try(t, j, record(i, 0)); err != nil {
			t.Fatal(err)
		}
		if i < back {
			continue
		}
		at, err := try(t, j, record(i-back, back*time.Second))
		if err == nil && at.Offset != uint64(i-back+1) || err != nil && !errors.Is(err, journal.ErrUnknown) {
			t.Fatalf("resend of %d: %+v, %v", i-back, at, err)
		}
	}
	if got := len(all(t, j, "room:1")); got != count {
		t.Fatalf("%d records of %d", got, count)
	}
	for g := range 3 {
		if n := server.Do("hlen", b.PartitionKey(fmt.Sprint("ids", g), 0)); len(n) > 3 {
			t.Errorf("map %d holds %s ids", g, n)
		}
	}
}

// TestDamage spoils entries of a stream: what no longer fits its tag is never served.
func TestDamage(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	b := reach(t, server.URL(), "")
	j := begin(t, redis.Options{Backbone: b})
	defer j.Close()
	ctx := context.Background()
	for name, spoil := range map[string]func(v []byte) []byte{
		"body":   func(v []byte) []byte { v[len(v)-1] ^= 1; return v },
		"tag":    func(v []byte) []byte { v[35] ^= 1; return v },
		"offset": func(v []byte) []byte { v[29] ^= 1; return v },
		"short":  func(v []byte) []byte { return v[:70] },
		"other": func([]byte) []byte {
			return []byte("something else altogether, and long enough to be looked at in a script")
		},
		"gone": func([]byte) []byte { return nil },
	} {
		n := channel.Name("damage:" + name)
		var at []channel.Position
		for i := range 5 {
			at = append(at, add(t, j, n, fmt.Sprintf("%d%d", i, i)))
		}
		stream, c := b.Key("stream", n), b.Client()
		entries, err := c.Do(ctx, c.B().Xrange().Key(stream).Start("-").End("+").Build()).AsXRange()
		if err != nil || len(entries) != 5 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		if err := c.Do(ctx, c.B().Del().Key(stream).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		for i, e := range entries {
			v := []byte(e.FieldValues["r"])
			if i == 2 {
				v = spoil(v)
			}
			if v == nil {
				continue
			}
			if err := c.Do(ctx, c.B().Xadd().Key(stream).Id(e.ID).FieldValue().FieldValue("r", rueidis.BinaryString(v)).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
		if p := read(t, j, n, journal.Query{}); len(p.Records) != 2 || !p.More || p.Head != at[4] {
			t.Errorf("%s: %d records before the damage, more %v", name, len(p.Records), p.More)
		}
		if p := read(t, j, n, journal.Query{Back: true}); len(p.Records) != 2 || !p.More || p.Records[0].At != at[3] {
			t.Errorf("%s: %d records behind the damage, more %v", name, len(p.Records), p.More)
		}
		var damage *journal.Damage
		if p, err := j.Read(ctx, n, journal.Query{After: at[1]}); !errors.As(err, &damage) || damage.Offset != 3 {
			t.Errorf("%s: a page from the damage on: %+v, %v", name, p, err)
		}
	}
}
