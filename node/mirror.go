package node

import (
	"slices"

	"carillon/bus/redis"
	"carillon/channel"
	"carillon/journal"
	"carillon/observe"
)

// mirrorKeys are the keys of Latest records that services of this node want copied, by namespace; nil: none.
func (n *Node) mirrorKeys() (keys map[string][]string) {
	for _, s := range services() {
		if len(s.Mirror) > 0 && slices.Contains(n.o.Services, s.Name) {
			if keys == nil {
				keys = make(map[string][]string)
			}
			keys[s.Name] = s.Mirror
		}
	}
	return keys
}

// mirrored is carry, and hands the mirror what services want copied. The node that made a record true is the one that does
// so: right after the commit, and never instead of carrying it.
func (n *Node) mirrored(carry journal.Carry) journal.Carry {
	over, keys := n.hints.redis, n.mirrorKeys()
	if over == nil || keys == nil {
		return carry
	}
	return func(rs []channel.Record) {
		carry(rs)
		for i := range rs {
			if r := &rs[i]; r.Class == channel.Latest && slices.Contains(keys[r.Channel.Namespace()], r.Key) {
				over.mirror.Put(*r)
			}
		}
	}
}

// mirror says how the copies do. Where no Redis is shared there are none.
func (m *meters) mirror(n *Node) {
	c := &redis.MirrorStats{}
	if over := n.hints.redis; over != nil {
		c = over.mirror.Counts()
	}
	for outcome, of := range map[string]*observe.Counter{"written": &c.Written, "stale": &c.Stale, "failed": &c.Failed, "dropped": &c.Dropped} {
		m.registry.Count(observe.Mirrored, of.Load, observe.LabelMirror.Value(outcome))
	}
}
