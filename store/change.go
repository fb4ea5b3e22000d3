package store

import (
	"crypto/sha1"
	"fmt"

	"carillon/channel"
	"carillon/journal"
)

// Inspect refuses a change that no machine may ask for, before it can fail others, and tells the bytes of the bodies.
func (d *Identity) Inspect(f journal.Fence, c *journal.Change) (bytes int, err error) {
	bad := func(why string) (int, error) {
		return 0, fmt.Errorf("change %d of %s: %s", c.Prev+1, c.Channel, why)
	}
	switch {
	case c.Channel.Namespace() != f.Service || c.Channel.Shard(d.Shards) != f.Shard:
		return bad(fmt.Sprintf("the channel is not of shard %d of %q", f.Shard, f.Service))
	case c.Command.Channel != "" && c.Command.Channel != c.Channel:
		return bad("its command is for " + string(c.Command.Channel))
	case len(c.Erase) > 0 && c.Snapshot == nil:
		return bad("erasing needs a snapshot")
	}
	bytes = len(c.Command.Body) + len(c.Reply.Body) + len(c.Snapshot)
	for i := range c.Events {
		if e := &c.Events[i]; e.Class == channel.Logged && len(e.Body) == 0 {
			return 0, fmt.Errorf("change %d of %s: %w", c.Prev+1, c.Channel, journal.ErrEmpty)
		}
		bytes += len(c.Events[i].Body)
	}
	for i := range c.Sends {
		bytes += len(c.Sends[i].Body)
	}
	for i := range c.Rows {
		bytes += len(c.Rows[i].Body)
	}
	return bytes, nil
}

// InspectClaim refuses a shard that a service does not have.
func (d *Identity) InspectClaim(service string, shard int) error {
	if shard < 0 || shard >= d.Shards || service == "" {
		return fmt.Errorf("claim of %q: shard %d is not one of 0 to %d", service, shard, d.Shards-1)
	}
	return nil
}

// Sums are the hashes of a change. Who asks for a Commit computes them, for all others wait where it is made true.
type Sums struct {
	Key    IDKey             // of the command's id, if it has one
	Body   [sha1.Size]byte   // of that command
	Events [][sha1.Size]byte // of the bodies of Logged ones; nothing for the others
}

// SumUp computes the hashes of changes.
func (d *Identity) SumUp(cs []journal.Change) []Sums {
	all := make([]Sums, len(cs))
	for i := range cs {
		c, to := &cs[i], &all[i]
		if c.Command.ID != "" {
			to.Key, to.Body = d.Key(c.Channel, c.Command.User, c.Command.ID), channel.BodyHash(c.Command.Body)
		}
		to.Events = make([][sha1.Size]byte, len(c.Events))
		for j := range c.Events {
			if e := &c.Events[j]; e.Class == channel.Logged {
				to.Events[j] = channel.BodyHash(e.Body)
			}
		}
	}
	return all
}
