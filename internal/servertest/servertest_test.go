package servertest_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/internal/servertest"
)

func TestRedis(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisAlways...)
	r.Do("set", "a", "1")
	r.Kill()
	r.Start()
	if got := r.Do("get", "a"); got != "1" {
		t.Fatalf("after kill and start: %q", got)
	}
}

// TestPort: a port is the test's own although its server is down, and free for others after the test.
func TestPort(t *testing.T) {
	var mine []int
	t.Run("at once", func(t *testing.T) {
		for range 300 {
			mine = append(mine, servertest.Port(t))
		}
		slices.Sort(mine)
		if len(slices.Compact(mine)) != 300 {
			t.Fatal("a port was given twice")
		}
		c, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", mine[0]))
		if err == nil {
			_ = c.Close()
			t.Fatal("the port is not held")
		}
	})
	c, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", mine[0]))
	if err != nil {
		t.Fatalf("the port is held after its test: %v", err)
	}
	_ = c.Close()
}

func TestRedisCluster(t *testing.T) {
	c := servertest.StartRedisCluster(t, servertest.RedisNone...)
	if got := c.Nodes[2].Do("cluster", "info"); !strings.Contains(got, "cluster_slots_ok:16384") {
		t.Fatal(got)
	}
}

func TestSentinels(t *testing.T) {
	s := servertest.StartSentinels(t, servertest.RedisNone...)
	first := s.Master()
	if first == nil {
		t.Fatal("no master")
	}
	first.Kill()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if m := s.Master(); m != nil && m != first {
			return
		}
	}
	t.Fatal("no other master within a minute")
}

func TestPostgres(t *testing.T) {
	p := servertest.StartPostgres(t)
	if dsn := p.Create("one"); !strings.Contains(dsn, "/one?") {
		t.Fatal(dsn)
	}
	p.Kill()
	p.Start()
}
