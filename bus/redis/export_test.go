package redis

import (
	"context"
	"time"

	"carillon/channel"
)

// Ahead sets how far a roster's clock is ahead of Redis'.
func (o RosterOptions) Ahead(by func() time.Duration) RosterOptions {
	o.ahead = by
	return o
}

// Settle waits until Redis has taken all that was to be told, and that is told.
func (r *Roster) Settle(ctx context.Context) { r.settle(ctx) }

// LookNow has a roster forget at once whom it told of, and look whose time is over.
func (r *Roster) LookNow() {
	done := make(chan struct{})
	select {
	case r.looks <- done:
		<-done
	case <-r.ctx.Done():
	}
}

// Node is the name of this roster's node.
func (r *Roster) Node() string { return r.node }

// KeyOf is where something of a channel is kept.
func (r *Roster) KeyOf(kind string, n channel.Name) string { return r.b.Key(kind, n) }

// PartitionKeyOf is where something of a partition is kept.
func (r *Roster) PartitionKeyOf(kind string, p int) string { return r.b.PartitionKey(kind, p) }

// BellOf is the subject by which the owner of a shard hears of commands.
func (d *Desk) BellOf(service string, shard int) string { return d.shardKeys(service, shard).bell }

// Hear subscribes to a subject until ctx ends.
func (d *Desk) Hear(ctx context.Context, subject string) {
	d.subscribe(ctx, subject, func(bool) {}, func(string) {})
}
