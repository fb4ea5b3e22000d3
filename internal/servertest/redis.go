package servertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Redis is a Redis server. Address is where it listens.
type Redis struct {
	*Process
	Address string
	Folder  string
	CA      string // file of the certificates behind that of its URL; "": it speaks no TLS
	secure  string // address where it does
}

// Persistence of a Redis server: what outlives its process.
var (
	RedisNone     = []string{"--appendonly", "no", "--save", ""}
	RedisEverySec = []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", ""}
	RedisAlways   = []string{"--appendonly", "yes", "--appendfsync", "always", "--save", ""}
)

// StartRedis starts a Redis with further arguments, such as those of its persistence.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	return startRedis(t, "redis-server", args...)
}

func startRedis(t testing.TB, program string, args ...string) *Redis {
	t.Helper()
	path, port := need(t, program), Port(t)
	r := &Redis{Address: loopback(port), Folder: t.TempDir()}
	conf := filepath.Join(r.Folder, "redis.conf")
	base := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nprotected-mode no\n", port, r.Folder)
	if err := os.WriteFile(conf, []byte(base), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func() *exec.Cmd { return exec.Command(path, append([]string{conf}, args...)...) }
	r.Process = start(t, command, func(ctx context.Context) error { return answers(ctx, r.Address, "PING", "+PONG") })
	return r
}

// URL is the address as the product takes it.
func (r *Redis) URL() string {
	if r.secure != "" {
		return "rediss://" + r.secure
	}
	return "redis://" + r.Address
}

// Do runs redis-cli with arguments against this server and returns what it printed.
func (r *Redis) Do(args ...string) string {
	r.t.Helper()
	host, port, _ := net.SplitHostPort(r.Address)
	out, err := exec.Command(need(r.t, "redis-cli"), append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// RedisCluster is a Redis Cluster of three masters.
type RedisCluster struct{ Nodes []*Redis }

// URL names all nodes.
func (c *RedisCluster) URL() string {
	u := c.Nodes[0].URL()
	for i, n := range c.Nodes[1:] {
		u += map[bool]string{true: "?", false: "&"}[i == 0] + "addr=" + n.Address
	}
	return u
}

// StartRedisCluster starts three masters that share all slots.
func StartRedisCluster(t testing.TB, args ...string) *RedisCluster {
	t.Helper()
	c := new(RedisCluster)
	create := []string{"--cluster", "create"}
	for range 3 {
		all := append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000"}, args...)
		n := startRedis(t, "redis-server", all...)
		c.Nodes = append(c.Nodes, n)
		create = append(create, n.Address)
	}
	c.Nodes[0].Do(append(create, "--cluster-yes")...)
	deadline := time.Now().Add(patience)
	for _, n := range c.Nodes {
		for !strings.Contains(n.Do("cluster", "info"), "cluster_state:ok") {
			if time.Now().After(deadline) {
				t.Fatalf("the cluster does not come up:\n%s", n.Do("cluster", "info"))
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	return c
}

// Sentinels are three Sentinels that watch a master called "carillon" with two replicas.
type Sentinels struct {
	Servers  []*Redis // the master of the beginning first
	Watchers []*Redis
}

// URL names the Sentinels and the master they watch.
func (s *Sentinels) URL() string {
	u := s.Watchers[0].URL() + "?master_set=carillon"
	for _, w := range s.Watchers[1:] {
		u += "&addr=" + w.Address
	}
	return u
}

// Master is who the Sentinels say is master now.
func (s *Sentinels) Master() *Redis {
	lines := strings.Fields(s.Watchers[0].Do("sentinel", "get-master-addr-by-name", "carillon"))
	for _, r := range s.Servers {
		if len(lines) == 2 && r.Address == net.JoinHostPort(lines[0], lines[1]) {
			return r
		}
	}
	return nil
}

// StartSentinels starts a master, two replicas and three Sentinels that replace a master within about three seconds.
func StartSentinels(t testing.TB, args ...string) *Sentinels {
	t.Helper()
	s := new(Sentinels)
	for i := range 3 {
		own := args
		if i > 0 {
			host, port, _ := net.SplitHostPort(s.Servers[0].Address)
			own = append([]string{"--replicaof", host + " " + port}, args...)
		}
		s.Servers = append(s.Servers, startRedis(t, "redis-server", own...))
	}
	await(t, "the replicas", func() bool { return strings.Contains(s.Servers[0].Do("info", "replication"), "connected_slaves:2") })
	host, port, _ := net.SplitHostPort(s.Servers[0].Address)
	for range 3 {
		w := startRedis(t, "redis-sentinel")
		w.Do("sentinel", "monitor", "carillon", host, port, "2")
		w.Do("sentinel", "set", "carillon", "down-after-milliseconds", "1000")
		w.Do("sentinel", "set", "carillon", "failover-timeout", "5000")
		s.Watchers = append(s.Watchers, w)
	}
	await(t, "the Sentinels", func() bool {
		master := s.Watchers[0].Do("sentinel", "master", "carillon")
		return strings.Contains(master, "num-slaves\n2") && strings.Contains(master, "num-other-sentinels\n2")
	})
	return s
}

// await waits until something holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}
