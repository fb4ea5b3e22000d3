package redis

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

// peerMissing is how long a node that says nothing counts as alive.
const peerMissing = 7 * time.Second

// PeerEvery is how often a node says that it lives.
const PeerEvery = 2 * time.Second

// Peers counts the nodes with clients that live, by a list in Redis. Only the way in which a node ends depends on it.
type Peers struct {
	b      *backbone.Backbone
	script *rueidis.Lua
	count  atomic.Int64
}

// NewPeers makes the count of a node; nothing is said yet.
func NewPeers(b *backbone.Backbone) *Peers {
	return &Peers{b: b, script: rueidis.NewLuaScript(peerScript)}
}

// peerScript notes a node (ARGV[1]) by Redis' clock, or with ARGV[2] = 0 forgets it, drops those that said nothing for
// ARGV[3] ms, and counts the rest.
const peerScript = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[2] == '1' then
	redis.call('ZADD', KEYS[1], now, ARGV[1])
else
	redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('ZCARD', KEYS[1])`

// Say tells that this node lives, or takes no clients any more, and learns how many others do. After an error what was
// known before stands.
func (p *Peers) Say(ctx context.Context, lives bool) error {
	ctx, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	flag, own := "0", int64(0)
	if lives {
		flag, own = "1", 1
	}
	n, err := p.script.Exec(ctx, p.b.Client(), []string{p.b.PartitionKey("nodes", 0)},
		[]string{p.b.Node(), flag, strconv.FormatInt(peerMissing.Milliseconds(), 10)}).AsInt64()
	if err == nil {
		p.count.Store(max(n-own, 0))
	}
	return err
}

// Others is how many other nodes lived when it was last asked.
func (p *Peers) Others() int { return int(p.count.Load()) }
