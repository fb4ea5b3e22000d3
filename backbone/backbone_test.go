package backbone_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/internal/servertest"

	"go.uber.org/goleak"
)

// A client of a Cluster closes connections that it no longer needs five seconds later, whatever became of it by then.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

func open(t testing.TB, o backbone.Options) *backbone.Backbone {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	b, err := backbone.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// set writes a key and tells how long the call took.
func set(b *backbone.Backbone, key string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), backbone.CallTimeout)
	defer cancel()
	begin := time.Now()
	err := b.Client().Do(ctx, b.Client().B().Set().Key(key).Value("1").Build()).Error()
	return time.Since(begin), err
}

// heals waits until writing works again.
func heals(t testing.TB, b *backbone.Backbone, key string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		_, err := set(b, key)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %v after a minute", err)
		}
	}
}

func TestAlone(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	r.Do("config", "set", "requirepass", "s3cret")
	password := func() (string, error) { return "s3cret", nil }
	a := open(t, backbone.Options{URL: r.URL(), Password: password})
	b := open(t, backbone.Options{URL: strings.Replace(r.URL(), "//", "//:s3cret@", 1)})
	if a.Clustered() || a.Node() == b.Node() || len(a.Node()) != 16 {
		t.Fatalf("clustered %v, nodes %q and %q", a.Clustered(), a.Node(), b.Node())
	}
	key := a.Key("test", "a:b")
	if _, err := set(a, key); err != nil {
		t.Fatal(err)
	}
	// A dead Redis is no reason to wait, a frozen one a reason to wait no longer than the bound.
	r.Kill()
	if took, err := set(a, key); err == nil || took > 4*backbone.CallTimeout {
		t.Fatalf("dead: %v after %v", err, took)
	}
	r.Start()
	heals(t, a, key)
	r.Freeze()
	for range 2 {
		if took, err := set(a, key); err == nil || took > 4*backbone.CallTimeout {
			t.Fatalf("frozen: %v after %v", err, took)
		}
	}
	r.Thaw()
	heals(t, a, key)
}

func TestRefused(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	r.Do("config", "set", "requirepass", "s3cret")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := backbone.Open(ctx, backbone.Options{URL: strings.Replace(r.URL(), "//", "//:wr0ng@", 1)}); err == nil || ctx.Err() != nil || strings.Contains(err.Error(), "wr0ng") {
		t.Fatalf("wrong password: %v", err)
	}
	for _, o := range []backbone.Options{{URL: "http://h:s3cret@x"}, {URL: "redis://u:s3cret@h:port"}, {URL: r.URL(), Prefix: "a{b}"}} {
		if _, err := backbone.Open(ctx, o); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := backbone.Open(ctx, backbone.Options{URL: servertest.StartRedisTLS(t, servertest.RedisNone...).URL()}); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "redis.ca") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	gone, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	if _, err := backbone.Open(gone, backbone.Options{URL: "redis://127.0.0.1:1"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("nobody there: %v", err)
	}
}

func TestCluster(t *testing.T) {
	c := servertest.StartRedisCluster(t, servertest.RedisNone...)
	b := open(t, backbone.Options{URL: c.URL(), Prefix: "other"})
	if !b.Clustered() {
		t.Fatal("not seen as a cluster")
	}
	for p := range backbone.Partitions {
		if _, err := set(b, b.PartitionKey("test", p)); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range c.Nodes {
		if size := n.Do("dbsize"); size != "42" && size != "43" {
			t.Errorf("node %d has %s of %d partitions", i, size, backbone.Partitions)
		}
	}
}

func TestSentinels(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := servertest.StartSentinels(t, servertest.RedisNone...)
	b := open(t, backbone.Options{URL: s.URL()})
	key := b.Key("test", "a:b")
	if _, err := set(b, key); err != nil || b.Clustered() {
		t.Fatal(err, b.Clustered())
	}
	s.Master().Kill()
	heals(t, b, key)
}
