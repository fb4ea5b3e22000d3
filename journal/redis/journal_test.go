package redis_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/internal/servertest"
	"carillon/journal/journaltest"
	"carillon/journal/redis"

	"go.uber.org/goleak"
)

// A client of a Cluster closes connections that it no longer needs five seconds later, and asks after a second once more who is who, whatever became of it by then.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// reach opens the backbone of a server, for one test.
func reach(t testing.TB, url, prefix string) *backbone.Backbone {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := backbone.Open(ctx, backbone.Options{URL: url, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func begin(t testing.TB, o redis.Options) *redis.Journal {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	j, err := redis.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// at opens journals on one server; each folder has keys of its own.
func at(url string) journaltest.Open {
	return func(t testing.TB, dir string, o journaltest.Options) (journaltest.Journal, func()) {
		t.Helper()
		h := fnv.New64a()
		_, _ = h.Write([]byte(dir))
		b := reach(t, url, fmt.Sprintf("t%x", h.Sum64()))
		j := begin(t, redis.Options{Backbone: b, Clock: o.Clock, Policies: o.Policies, Carry: o.Carry})
		return j, j.Close
	}
}

func TestJournal(t *testing.T) {
	journaltest.Run(t, at(servertest.StartRedis(t, servertest.RedisNone...).URL()))
}

func TestTables(t *testing.T) {
	journaltest.TablesSuite(t, at(servertest.StartRedis(t, servertest.RedisNone...).URL()))
}

func TestCluster(t *testing.T) {
	open := at(servertest.StartRedisCluster(t, servertest.RedisNone...).URL())
	t.Run("journal", func(t *testing.T) { journaltest.Run(t, open) })
	t.Run("tables", func(t *testing.T) { journaltest.TablesSuite(t, open) })
}
