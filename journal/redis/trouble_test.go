package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/internal/servertest"
	"carillon/journal"
	"carillon/journal/redis"
)

// TestRestart kills a Redis while records are published, starts it again and looks what is left. The kill ends the
// process alone: what the system had taken from it is there. With "everysec" that is all only where the disk keeps up: as
// long as it is busy with the second before, Redis holds back for two seconds what it hands to the system.
func TestRestart(t *testing.T) {
	for name, c := range map[string]struct {
		args          []string
		tier          journal.Tier
		keeps, forgot bool // nothing is lost; something surely is
	}{
		"always":   {servertest.RedisAlways, "appended:redis-always", true, false},
		"everysec": {servertest.RedisEverySec, "appended:redis-everysec", false, false},
		"none":     {servertest.RedisNone, "appended:redis-none", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := servertest.StartRedis(t, c.args...)
			b := reach(t, server.URL(), "")
			j := begin(t, redis.Options{Backbone: b, Policies: forever})
			defer j.Close()
			if j.Tier() != c.tier {
				t.Fatalf("tier %s, want %s", j.Tier(), c.tier)
			}
			p := publish(t, j, 6)
			for range 3 {
				p.more(150)
				server.Kill()
				server.Start()
			}
			p.more(150)
			p.end()
			gone, of := p.audit(j)
			t.Logf("%d acknowledged, %d of them gone and told, %d given up as unknown", of, gone, p.lost)
			if c.keeps && gone > 0 || c.forgot && gone == 0 {
				t.Errorf("%d of %d acknowledged records are gone", gone, of)
			}
			if c.forgot {
				epochs := map[uint64]bool{}
				for _, as := range p.acked {
					for _, a := range as {
						epochs[a.at.Epoch] = true
					}
				}
				if len(epochs) != 4 {
					t.Errorf("%d epochs in 4 lives", len(epochs))
				}
			}
		})
	}
}

// promptly has replicas follow their master at once.
var promptly = append([]string{"--repl-diskless-sync-delay", "0"}, servertest.RedisNone...)

// place is how far a server has come in what the master wrote, by a field of INFO. WAIT would only look at what was written
// on its own connection.
func place(r *servertest.Redis, field string) string {
	for line := range strings.Lines(r.Do("info", "replication")) {
		if at, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return at
		}
	}
	return "no " + field
}

// TestFork has a replica promoted while its master goes on: who heard the master beyond the fork is told.
func TestFork(t *testing.T) {
	master := servertest.StartRedis(t, promptly...)
	replica := servertest.StartRedis(t, promptly...)
	host, port := splitAddress(t, master.Address)
	replica.Do("replicaof", host, port)
	old := begin(t, redis.Options{Backbone: reach(t, master.URL(), "")})
	defer old.Close()
	const n = channel.Name("room:1")
	at := []channel.Position{read(t, old, n, journal.Query{}).Head}
	for i := range 10 {
		at = append(at, add(t, old, n, fmt.Sprint(i)))
	}
	deadline := time.After(30 * time.Second)
	for place(master, "master_repl_offset") != place(replica, "slave_repl_offset") {
		select {
		case <-deadline:
			t.Fatal("the replica does not follow")
		case <-time.After(5 * time.Millisecond):
		}
	}
	replica.Do("replicaof", "no", "one")
	for i := 10; i < 15; i++ {
		at = append(at, add(t, old, n, fmt.Sprint(i)))
	}
	now := begin(t, redis.Options{Backbone: reach(t, replica.URL(), "")})
	defer now.Close()
	gaps := func(want ...channel.Gap) {
		t.Helper()
		for i, offset := range []int{0, 10, 11, 13, 15} {
			if p := read(t, now, n, journal.Query{After: at[offset]}); p.Gap != want[i] {
				t.Errorf("from offset %d, head %d: gap %q, want %q", offset, p.Head.Offset, p.Gap, want[i])
			}
		}
	}
	none, ahead, diverged := channel.GapNone, channel.GapAhead, channel.GapDiverged
	gaps(none, none, ahead, ahead, ahead)
	for i := range 3 {
		add(t, now, n, fmt.Sprint("9", i))
	}
	gaps(none, none, diverged, diverged, ahead)
	for i := range 3 {
		add(t, now, n, fmt.Sprint("8", i))
	}
	gaps(none, none, diverged, diverged, diverged)
}

// TestSentinels loses the master under Sentinels while records are published, once for good and once for a while, after
// which it is a replica: what was lost with it is told.
func TestSentinels(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := servertest.StartSentinels(t, promptly...)
	j := begin(t, redis.Options{Backbone: reach(t, s.URL(), ""), Policies: forever})
	defer j.Close()
	p := publish(t, j, 6)
	p.more(300)
	first := s.Master()
	if first.Do("wait", "2", "30000") != "2" {
		t.Fatal("the replicas do not follow")
	}
	first.Freeze()
	p.more(300)
	first.Thaw()
	p.more(300)
	s.Master().Kill()
	p.more(300)
	p.end()
	gone, of := p.audit(j)
	t.Logf("%d acknowledged, %d of them gone with their master and told, %d given up as unknown", of, gone, p.lost)
}

// TestClusterNode kills one node of a Cluster while records are published to all: what it kept it still has, and
// everybody goes on.
func TestClusterNode(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	c := servertest.StartRedisCluster(t, servertest.RedisAlways...)
	j := begin(t, redis.Options{Backbone: reach(t, c.URL(), ""), Policies: forever})
	defer j.Close()
	p := publish(t, j, 12)
	p.more(300)
	c.Nodes[1].Kill()
	p.more(20)
	c.Nodes[1].Start()
	for i := range 12 {
		heals(t, j, channel.Name(fmt.Sprintf("room:%d", i)))
	}
	p.more(300)
	p.end()
	if gone, of := p.audit(j); gone > 0 {
		t.Errorf("%d of %d acknowledged records are gone", gone, of)
	}
}

// TestAway: what Redis may have got is unconfirmed, and once it is known to be away nothing waits for it.
func TestAway(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	j := begin(t, redis.Options{Backbone: reach(t, server.URL(), "")})
	defer j.Close()
	const n = channel.Name("room:1")
	add(t, j, n, `"before"`)
	server.Freeze()
	r := channel.Record{Channel: n, From: "ann", ID: "1", Body: []byte(`"during"`)}
	began := time.Now()
	if _, err := try(t, j, r); !errors.Is(err, journal.ErrUnconfirmed) {
		t.Fatalf("frozen: %v", err)
	}
	first := time.Since(began)
	began = time.Now()
	for range 100 {
		if _, err := try(t, j, r); !errors.Is(err, journal.ErrUnavailable) {
			t.Fatalf("known to be frozen: %v", err)
		}
		if _, err := j.Read(context.Background(), n, journal.Query{}); !errors.Is(err, journal.ErrUnavailable) {
			t.Fatalf("reading from a frozen Redis: %v", err)
		}
	}
	if hundred := time.Since(began); hundred > first {
		t.Errorf("the first refusal took %v, 100 more %v", first, hundred)
	}
	server.Thaw()
	heals(t, j, n)
	at, err := try(t, j, r)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, r := range all(t, j, n) {
		if string(r.Body) == `"during"` {
			count++
		}
	}
	if again, err := try(t, j, r); err != nil || again != at || count != 1 {
		t.Fatalf("the record stands %d times, at %v, then %v, %v", count, at, again, err)
	}
	server.Kill()
	if _, err := try(t, j, r); !errors.Is(err, journal.ErrUnconfirmed) && !errors.Is(err, journal.ErrUnavailable) {
		t.Fatalf("dead: %v", err)
	}
	if _, err := try(t, j, r); !errors.Is(err, journal.ErrUnavailable) {
		t.Fatalf("known to be dead: %v", err)
	}
	server.Start()
	heals(t, j, n)
}

// TestAnswered: whatever happens to Redis, everything is answered, once, and Close waits for it.
func TestAnswered(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	j := begin(t, redis.Options{Backbone: reach(t, server.URL(), "")})
	server.Freeze()
	const count = 20_000
	answers := make([]atomic.Int32, count)
	var failed atomic.Int64
	for i := range count {
		j.Append(channel.Record{Channel: channel.Name(fmt.Sprint("room:", i%7)), Body: []byte("1")}, func(_ channel.Position, err error) {
			answers[i].Add(1)
			if errors.Is(err, journal.ErrBusy) || errors.Is(err, journal.ErrUnconfirmed) || errors.Is(err, journal.ErrUnavailable) {
				failed.Add(1)
			}
		})
	}
	j.Close()
	for i := range answers {
		if n := answers[i].Load(); n != 1 {
			t.Fatalf("append %d was answered %d times", i, n)
		}
	}
	if failed.Load() != count {
		t.Errorf("%d of %d failed by a Redis that is frozen", failed.Load(), count)
	}
}

// TestRefusals: what Redis itself refuses was not appended, and has its own name.
func TestRefusals(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisNone...)
	j := begin(t, redis.Options{Backbone: reach(t, server.URL(), "")})
	defer j.Close()
	const n = channel.Name("room:1")
	before := add(t, j, n, "1")
	r := channel.Record{Channel: n, From: "ann", ID: "1", Body: []byte("2")}
	for _, c := range []struct {
		name        string
		spoil, mend []string
		want        error
	}{
		{"full", []string{"config", "set", "maxmemory", "1"}, []string{"config", "set", "maxmemory", "0"}, journal.ErrFull},
		{"a replica", []string{"replicaof", "127.0.0.1", "1"}, []string{"replicaof", "no", "one"}, journal.ErrUnavailable},
		{"too few replicas", []string{"config", "set", "min-replicas-to-write", "1"}, []string{"config", "set", "min-replicas-to-write", "0"}, journal.ErrUnavailable},
	} {
		server.Do(c.spoil...)
		if _, err := try(t, j, r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		server.Do(c.mend...)
	}
	for end := time.Now().Add(waiting); ; <-time.After(20 * time.Millisecond) {
		at, err := try(t, j, r)
		if err == nil && at != before.Next([]byte("2")) {
			t.Fatalf("goes on at %v after %v", at, before)
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestForbidden: a user who may not publish keeps records all the same.
func TestForbidden(t *testing.T) {
	server := servertest.StartRedis(t, servertest.RedisAlways...)
	server.Do("acl", "setuser", "node", "on", ">pw", "~carillon:*", "+@all", "-config", "resetchannels")
	ctx, cancel := context.WithTimeout(context.Background(), waiting)
	defer cancel()
	b, err := backbone.Open(ctx, backbone.Options{URL: server.URL(), Username: "node", Password: func() (string, error) { return "pw", nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for hint, want := range map[redis.Persistence]journal.Tier{
		"": "appended:redis-everysec", redis.KeepsAlways: "appended:redis-always", redis.KeepsEverySec: "appended:redis-everysec",
	} {
		j := begin(t, redis.Options{Backbone: b, Keeps: hint})
		if j.Tier() != want {
			t.Errorf("told %q: tier %s, want %s", hint, j.Tier(), want)
		}
		before := read(t, j, "room:1", journal.Query{}).Head
		if at := add(t, j, "room:1", "1"); at != before.Next([]byte("1")) {
			t.Errorf("appended at %v after %v", at, before)
		}
		j.Close()
	}
}
