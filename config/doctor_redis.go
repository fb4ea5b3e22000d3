package config

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// lookPatience is how long a server may take to answer what doctor asks, in all.
const lookPatience = 5 * time.Second

// RedisAccess is how to reach a Redis.
type RedisAccess struct {
	URL, Username, Password string
	Prefix                  string      // of our keys
	TLS                     *tls.Config // nil: what this machine trusts
}

// RedisFacts are what a Redis is like.
type RedisFacts struct {
	Err       error // it cannot be reached, or refuses what nodes do
	User      string
	Prefix    string
	Clustered bool
	Nodes     []RedisNode
	Denied    []string // what its ACL keeps from us, of what the nodes do
}

// RedisNode is one server of them.
type RedisNode struct {
	Address string
	Err     error
	Info    map[string]string // of INFO and CLUSTER INFO
	Config  map[string]string // of CONFIG GET; nil: not to be had
	Ahead   time.Duration     // of its clock before ours, as far as that is sure
}

// redisSettings are those that are judged.
var redisSettings = []string{"maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "client-output-buffer-limit", "min-replicas-to-write"}

// GatherRedis asks a Redis, each server of it. It writes and removes one key, and publishes one message to nobody.
func GatherRedis(ctx context.Context, a RedisAccess) RedisFacts {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	f := RedisFacts{User: or(a.Username, "default"), Prefix: or(a.Prefix, "carillon")}
	option, err := rueidis.ParseURL(a.URL)
	if err != nil {
		f.Err = errors.New("redis.url is none: write redis://HOST:PORT, or rediss://HOST:PORT with TLS") // its error may show a password
		return f
	}
	if option.TLSConfig != nil && a.TLS != nil {
		name := option.TLSConfig.ServerName
		option.TLSConfig = a.TLS.Clone()
		option.TLSConfig.ServerName = name
	}
	option.Sentinel.TLSConfig = option.TLSConfig
	if a.Username != "" {
		option.Username = a.Username
	}
	if a.Password != "" {
		option.Password = a.Password
	}
	option.Dialer = net.Dialer{Timeout: time.Second}
	option.ConnWriteTimeout = lookPatience
	option.DisableCache, option.DisableRetry = true, true
	client, err := rueidis.NewClient(option)
	if err != nil {
		f.Err = err
		return f
	}
	defer client.Close()
	f.Clustered = client.Mode() == rueidis.ClientModeCluster
	nodes := client.Nodes()
	for address, node := range nodes {
		f.Nodes = append(f.Nodes, lookAtRedis(ctx, address, node, f.Clustered))
	}
	slices.SortFunc(f.Nodes, func(a, b RedisNode) int { return strings.Compare(a.Address, b.Address) })
	f.Denied, f.Err = tryRedis(ctx, client, f)
	return f
}

func lookAtRedis(ctx context.Context, address string, c rueidis.Client, clustered bool) RedisNode {
	n := RedisNode{Address: address}
	before := time.Now()
	stamp, err := c.Do(ctx, c.B().Time().Build()).AsStrSlice()
	n.Ahead = ahead(redisTime(stamp), before, time.Now())
	if err != nil {
		n.Err = err
		return n
	}
	info, err := c.Do(ctx, c.B().Info().Build()).ToString()
	if err != nil {
		n.Err = err
		return n
	}
	n.Info = infoLines(info)
	if clustered {
		info, _ := c.Do(ctx, c.B().ClusterInfo().Build()).ToString()
		for key, value := range infoLines(info) {
			n.Info[key] = value
		}
	}
	if got, err := c.Do(ctx, c.B().ConfigGet().Parameter(redisSettings...).Build()).AsStrMap(); err == nil {
		n.Config = got
	}
	return n
}

// infoLines reads "key:value" lines.
func infoLines(s string) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(s) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			m[key] = value
		}
	}
	return m
}

func redisTime(stamp []string) (t time.Time) {
	if len(stamp) != 2 {
		return t
	}
	seconds, _ := strconv.ParseInt(stamp[0], 10, 64)
	micros, _ := strconv.ParseInt(stamp[1], 10, 64)
	return time.Unix(seconds, micros*1000)
}

// ahead is how far a clock that was read between two readings of ours is surely ahead; negative: behind.
func ahead(theirs, before, after time.Time) time.Duration {
	switch {
	case theirs.After(after):
		return theirs.Sub(after)
	case theirs.Before(before):
		return theirs.Sub(before)
	}
	return 0
}

// tryLua does what the nodes do to keys, and lists what is refused. KEYS one of ours that nothing uses.
const tryLua = `
local k, denied = KEYS[1], {}
for _, c in ipairs({{'SET', k, '1', 'NX', 'PX', '1000'}, {'GET', k}, {'PTTL', k}, {'EXISTS', k}, {'DEL', k}, {'HSET', k, 'a', '1'}, {'HGET', k, 'a'},
    {'HGETALL', k}, {'HINCRBY', k, 'a', '1'}, {'HDEL', k, 'a'}, {'DEL', k}, {'XADD', k, '*', 'a', '1'}, {'XLEN', k}, {'XRANGE', k, '-', '+'}, {'XREVRANGE', k, '+', '-'},
    {'XTRIM', k, 'MAXLEN', '1'}, {'XDEL', k, '0-1'}, {'DEL', k}, {'ZADD', k, '1', 'a'}, {'ZRANGE', k, '0', '1'}, {'ZREM', k, 'a'}, {'SADD', k, 'a'}, {'SREM', k, 'a'},
    {'PEXPIRE', k, '1'}, {'TIME'}, {ARGV[1], k, ''}, {'DEL', k}}) do
  local r = redis.pcall(unpack(c))
  if type(r) == 'table' and r.err and (string.find(r.err, 'NOPERM') or string.find(r.err, 'ACL') or string.find(r.err, 'user executing')) then
    denied[#denied + 1] = c[1]
  end
end
return denied`

// tryRedis does for a moment what the nodes will do.
func tryRedis(ctx context.Context, c rueidis.Client, f RedisFacts) (denied []string, err error) {
	publish := "PUBLISH"
	if f.Clustered {
		publish = "SPUBLISH"
	}
	key := f.Prefix + ":{doctor}:doctor"
	denied, err = c.Do(ctx, c.B().Eval().Script(tryLua).Numkeys(1).Key(key).Arg(publish).Build()).AsStrSlice()
	if isDenied(err) {
		return []string{"EVAL"}, nil
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(denied)
	denied = slices.Compact(denied)
	command, name := c.B().Subscribe().Channel(key).Build(), "SUBSCRIBE"
	if f.Clustered {
		command, name = c.B().Ssubscribe().Channel(key).Build(), "SSUBSCRIBE"
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	listening = rueidis.WithOnSubscriptionHook(listening, func(rueidis.PubSubSubscription) { stop() })
	if isDenied(c.Receive(listening, command, func(rueidis.PubSubMessage) {})) {
		denied = append(denied, name)
	}
	return denied, nil
}

func isDenied(err error) bool {
	refusal, ok := rueidis.IsRedisErr(err)
	return ok && strings.HasPrefix(refusal.Error(), "NOPERM")
}

// What a Redis needs.
const (
	leastRedis    = 7        // major version
	goodPubSub    = 32 << 20 // bytes that a line of messages may lag behind at once
	leastPubSub   = 1 << 20  // see goodPubSub
	goodSoftLimit = 8 << 20  // bytes that it may for a while
	mostSkew      = time.Second
)

// ExamineRedis judges the facts: one finding for each thing that has to be set otherwise, or one that all is well.
func ExamineRedis(f RedisFacts) (found []Finding) {
	bad := func(v Verdict, format string, args ...any) {
		found = append(found, Finding{v, "redis", fmt.Sprintf(format, args...)})
	}
	if untrusted := new(tls.CertificateVerificationError); errors.As(f.Err, &untrusted) {
		bad(Fail, "%s: name the file of those that its certificate goes back to in redis.ca", f.Err)
		return found
	}
	if f.Err != nil && len(f.Nodes) == 0 {
		bad(Fail, "%s: start it, or correct redis.url, redis.username and redis.password_file", f.Err)
		return found
	}
	for i := range f.Nodes {
		examineNode(&f.Nodes[i], bad)
	}
	if len(f.Denied) > 0 {
		bad(Fail, "its user %s may not %s: ACL SETUSER %s ~%s:* &%s:* +@all -@dangerous +info +cluster", f.User, strings.Join(f.Denied, ", "), f.User, f.Prefix, f.Prefix)
	}
	if f.Err != nil && !slices.ContainsFunc(found, func(f Finding) bool { return f.Verdict == Fail }) {
		bad(Fail, "it refuses what nodes do: %s; its log says why", f.Err)
	}
	if len(found) == 0 {
		bad(OK, "%s: keeps what it is given, and its user %s may do all that is needed", redisInShort(f), f.User)
	}
	return found
}

func redisInShort(f RedisFacts) string {
	version := ""
	for i := range f.Nodes {
		if v := f.Nodes[i].Info["redis_version"]; version == "" || v < version {
			version = v
		}
	}
	return counted(len(f.Nodes), "server") + ", version " + version
}

// examineNode judges one server. The commands it names are for redis-cli at that server; CONFIG REWRITE keeps them.
func examineNode(n *RedisNode, bad func(Verdict, string, ...any)) {
	if n.Err != nil {
		bad(Fail, "%s does not answer: %s; start it", n.Address, n.Err)
		return
	}
	if major, _, _ := strings.Cut(n.Info["redis_version"], "."); major != "" {
		if v, _ := strconv.Atoi(major); v < leastRedis {
			bad(Fail, "%s is version %s: upgrade it to Redis 7.0 or later, or Valkey", n.Address, n.Info["redis_version"])
		}
	}
	if state := n.Info["cluster_state"]; state != "" && state != "ok" {
		bad(Fail, "%s says that its Cluster is %q: redis-cli --cluster check %s, then redis-cli --cluster fix %s", n.Address, state, n.Address, n.Address)
	}
	if n.Ahead > mostSkew || n.Ahead < -mostSkew {
		bad(Warn, "%s has a clock %s off that of this machine: let both follow a time service (timedatectl set-ntp true)", n.Address, n.Ahead.Round(10*time.Millisecond))
	}
	if n.Config == nil {
		bad(Warn, "%s does not show its settings to this user: see that maxmemory-policy is noeviction, appendonly yes, appendfsync everysec or always, and the pubsub part of client-output-buffer-limit at least 32mb 8mb 60, or allow it +config|get", n.Address)
		return
	}
	examineKeeping(n, bad)
	examineBuffers(n, bad)
	examineReplicas(n, bad)
}

// examineKeeping looks at what makes a Redis forget.
func examineKeeping(n *RedisNode, bad func(Verdict, string, ...any)) {
	if policy := n.Config["maxmemory-policy"]; policy != "noeviction" {
		verdict, when := Fail, "throws logs and leases away"
		if n.Config["maxmemory"] == "0" {
			verdict, when = Warn, "would throw logs and leases away if maxmemory were set"
		}
		bad(verdict, "%s %s (maxmemory-policy %s): CONFIG SET maxmemory-policy noeviction", n.Address, when, policy)
	}
	switch {
	case n.Config["appendonly"] != "yes":
		bad(Warn, "%s forgets the logs of plain channels when its process ends (appendonly no): CONFIG SET appendonly yes, unless that is meant", n.Address)
	case n.Config["appendfsync"] == "no":
		bad(Warn, "%s leaves it to the system when records reach the disk (appendfsync no): CONFIG SET appendfsync everysec, or always", n.Address)
	}
}

func examineBuffers(n *RedisNode, bad func(Verdict, string, ...any)) {
	const cure = "CONFIG SET client-output-buffer-limit \"pubsub 32mb 8mb 60\""
	words := strings.Fields(n.Config["client-output-buffer-limit"])
	for i := 0; i+3 < len(words); i += 4 {
		hard, _ := strconv.ParseInt(words[i+1], 10, 64)
		soft, _ := strconv.ParseInt(words[i+2], 10, 64)
		switch {
		case words[i] != "pubsub":
		case hard != 0 && hard < leastPubSub:
			bad(Fail, "%s cuts a node off that lags %s behind with what it listens to, at every burst: %s", n.Address, Size(hard), cure)
		case hard != 0 && hard < goodPubSub || soft != 0 && soft < goodSoftLimit:
			bad(Warn, "%s cuts a node off that lags %s behind, or %s for a while: %s", n.Address, Size(hard), Size(soft), cure)
		}
	}
}

func examineReplicas(n *RedisNode, bad func(Verdict, string, ...any)) {
	if n.Info["role"] != "master" {
		return
	}
	replicas, _ := strconv.Atoi(n.Info["connected_slaves"])
	need, _ := strconv.Atoi(n.Config["min-replicas-to-write"])
	switch {
	case need > replicas:
		bad(Fail, "%s refuses to write: it has %s and wants %d; start them, or CONFIG SET min-replicas-to-write %d", n.Address, counted(replicas, "replica"), need, replicas)
	case replicas > 0 && need == 0:
		bad(Warn, "%s goes on taking records when it is cut off from its %s, and loses them at the fail-over: CONFIG SET min-replicas-to-write 1", n.Address, counted(replicas, "replica"))
	}
}
