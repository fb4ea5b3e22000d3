// Package local is the bus of a single node: what is carried is delivered here, at once, on the goroutine that carries;
// what is asked waits in memory for whoever owns the service in this process.
// It loses, repeats and reorders nothing and never has trouble. It must stay cheap for channels nobody joined, since
// every record of the node passes through it. Start with Feed, or Desk.
package local

import (
	"context"
	"hash/maphash"
	"sync"

	"carillon/bus"
	"carillon/channel"
)

// shardCount parts the set of joined channels, so that joins do not disturb those who carry. A power of two.
const shardCount = 64

// Feed is the bus.Feed of a single node. Use New. It has no goroutine and needs no Close.
type Feed struct {
	in     bus.In
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu     sync.RWMutex
	joined map[channel.Name]struct{}
}

// New makes a Feed that delivers to in.Records; in.Trouble is never called.
func New(in bus.In) *Feed {
	f := &Feed{in: in, seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].joined = make(map[channel.Name]struct{})
	}
	return f
}

func (f *Feed) shard(n channel.Name) *shard {
	return &f.shards[maphash.String(f.seed, string(n))%shardCount]
}

func (f *Feed) joined(n channel.Name) bool {
	s := f.shard(n)
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.joined[n]
	return ok
}

// Carry is bus.Feed's. Records of one channel that stand together are delivered together.
func (f *Feed) Carry(rs []channel.Record) {
	for len(rs) > 0 {
		n, end := rs[0].Channel, 1
		for end < len(rs) && rs[end].Channel == n {
			end++
		}
		if f.joined(n) {
			f.in.Records(rs[:end:end])
		}
		rs = rs[end:]
	}
}

// Join is bus.Feed's; it never fails.
func (f *Feed) Join(_ context.Context, n channel.Name) error {
	s := f.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joined[n] = struct{}{}
	return nil
}

// Leave is bus.Feed's.
func (f *Feed) Leave(n channel.Name) {
	s := f.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.joined, n)
}
