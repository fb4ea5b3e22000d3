package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"carillon/backbone"
	"carillon/bus"
	"carillon/bus/local"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/journal"
)

// hints are what nodes tell each other, and ask: the bus. It may lose what it carries, never the truth.
type hints struct {
	feed   bus.Feed
	desk   desk
	roster roster
	shared bool       // other nodes may stand beside this one
	id     string     // of this process among them
	redis  *overRedis // nil: this node is alone

	parting sync.Once   // from the desk
	ready   atomic.Bool // there is a gateway to tell
	down    atomic.Bool // the line to the others is lost
	tell    func(down bool)
	shut    []func() // ends the parts, in this order
}

// desk takes commands to the worker that owns their channel.
type desk interface {
	bus.Desk
	// Close answers whoever waits with bus.ErrClosed.
	Close()
}

// roster knows who is where.
type roster interface {
	bus.Roster
	// Count is how many stays this node knows of.
	Count() int
}

// openHints makes the bus. It delivers nothing before something is joined, and is told of trouble from listen on.
func (n *Node) openHints(ctx context.Context) error {
	h := &n.hints
	h.tell = func(down bool) {
		n.gateway.Trouble(down)
		n.sys.trouble(down)
		if !down {
			n.presence.keeper.Verify()
		}
	}
	in := bus.In{
		Records: func(rs []channel.Record) {
			if h.ready.Load() { // nothing is joined before
				n.sys.records(rs)
				n.gateway.Records(rs)
			}
		},
		Trouble: h.trouble,
	}
	if n.o.Redis.URL != "" {
		return n.openRedis(ctx, in)
	}
	h.feed = n.meters.counted(local.New(in))
	h.desk = local.NewDesk()
	h.roster = local.NewRoster(local.RosterOptions{})
	return nil
}

// overRedis is what a node among others has of its bus.
type overRedis struct {
	backbone *backbone.Backbone
	feed     *redis.Feed
	peers    *redis.Peers
	mirror   *redis.Mirror
	agreement
}

// openRedis makes the bus over the Redis that the nodes share.
func (n *Node) openRedis(ctx context.Context, in bus.In) error {
	h, r := &n.hints, &n.o.Redis
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	o := backbone.Options{URL: r.URL, Username: r.Username, Prefix: r.Prefix, TLS: r.TLS, Log: n.log}
	if r.Password != "" {
		o.Password = func() (string, error) { return r.Password, nil }
	}
	b, err := backbone.Open(ctx, o)
	if err != nil {
		return fmt.Errorf("redis.url: %w", err)
	}
	feed := redis.NewFeed(redis.FeedOptions{Backbone: b, In: in, Log: n.log})
	h.redis = &overRedis{backbone: b, feed: feed, peers: redis.NewPeers(b), mirror: redis.NewMirror(b, n.log)}
	h.feed, h.shared, h.id = n.meters.counted(feed), true, b.Node()
	h.desk = redis.NewDesk(redis.DeskOptions{Backbone: b, Errors: answers, Log: n.log})
	whole := redis.NewRoster(redis.RosterOptions{Backbone: b, Told: n.told, Log: n.log})
	h.roster = whole
	h.shut = append(h.shut, h.redis.mirror.Close, whole.Close, feed.Close, b.Close)
	return nil
}

// answers are the errors of the store that an owner answers with and an asker on another node has to tell apart, by the
// names under which they travel. A name never gets another meaning.
var answers = map[string]error{
	"reuse": journal.ErrReuse, "unknown": journal.ErrUnknown, "unconfirmed": journal.ErrUnconfirmed, "full": journal.ErrFull,
	"journal-busy": journal.ErrBusy, "journal-unavailable": journal.ErrUnavailable, "journal-closed": journal.ErrClosed, "damaged": journal.ErrDamaged,
}

// trouble hears of the line to the other nodes, perhaps before there is anybody to tell.
func (h *hints) trouble(down bool) {
	h.down.Store(down)
	if h.ready.Load() {
		h.tell(down)
	}
}

// listen has trouble told, also that of before.
func (h *hints) listen() {
	h.ready.Store(true)
	if h.down.Load() {
		h.tell(true)
		if !h.down.Load() { // it ended in between
			h.tell(false)
		}
	}
}

// closeDesk answers whoever still waits.
func (h *hints) closeDesk() {
	if h.desk != nil {
		h.parting.Do(h.desk.Close)
	}
}

// close ends the bus.
func (h *hints) close() {
	h.closeDesk()
	for _, shut := range h.shut {
		shut()
	}
	h.shut = nil
}
