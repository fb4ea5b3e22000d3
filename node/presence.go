package node

import (
	"context"

	"carillon/api"
	"carillon/bus"
	"carillon/channel"
	"carillon/gateway/limit"
	"carillon/gateway/presence"
	"carillon/gateway/session"
	"carillon/observe"
	"carillon/wire"
)

// presenceParts keeps who is there and tells of it.
type presenceParts struct {
	keeper *presence.Keeper
	doubts *doubts // nil: no service wants to know
}

// openPresence begins to keep presence, and to judge whether the node is short of breath, which it waits for. Its values
// become true in the memory of the node, like anything plain.
func (n *Node) openPresence() {
	n.pressure = limit.NewPressure(limit.DefaultPressureBounds())
	shared, _ := n.hints.roster.(bus.Shared)
	n.presence.keeper = presence.New(presence.Options{
		Roster: n.hints.roster, Shared: shared, Log: n.log, Told: n.openDoor(),
		Publish: func(r channel.Record, done func(error)) {
			n.gateway.Publish(r, func(_ session.Ack, err error) { done(err) })
		},
		Strain: func() (bool, string) {
			return n.pressure.Level() >= limit.Shedding, n.pressure.Cause().String()
		},
	})
}

// told hears of the roster of all nodes who came and who left surely, perhaps before there is anybody to tell.
func (n *Node) told(ms []bus.Member, here bool) {
	if n.hints.ready.Load() {
		n.presence.keeper.Heard(ms, here)
	}
}

// devPresence is the namespace that keeps presence in dev without a word in a configuration.
const devPresence = "chat"

// withParts lays down what holds in the parts of channels that the server writes: they are plain and last no longer than
// the node, and whoever may be kept out of a channel may be kept out of its parts.
func withParts(plain func(channel.Name) channel.Policy, dev bool) func(channel.Name) channel.Policy {
	return func(n channel.Name) channel.Policy {
		base, part := n.Part()
		if part != presence.Part || base == "" {
			p := plain(n)
			p.Presence = p.Presence || dev && n.Namespace() == devPresence
			return p
		}
		p := channel.DefaultPolicy()
		p.Guarded = plain(base).Guarded
		p.Latest = channel.Keep{Records: 1, Bytes: presence.MaxBody} // as old as it may be: it is written anew when it changes
		return p
	}
}

func (m *meters) presence(n *Node) {
	r, k := m.registry, n.presence.keeper
	c := k.Counts()
	r.Gauge(observe.PresenceMembers, func() float64 { return float64(n.hints.roster.Count()) })
	r.Counters(observe.PresenceEvents, c.Events)
	r.Count(observe.PresenceUpdates, c.Updates.Load)
	r.Count(observe.PresenceCoalesced, c.Coalesced.Load)
	r.Counters(observe.PresenceDelayed, c.Delayed)
	r.Gauge(observe.PresenceInterval, func() float64 { return k.Every().Seconds() })
	r.Count(observe.PresenceRefused, c.Refused.Load)
}

// present tells the HTTP API who is there; it implements api.Presence.
type present struct{ *Node }

// Members implements api.Presence.
func (p present) Members(ctx context.Context, q api.MemberQuery) (ms []api.Member, count int, more bool, err error) {
	if !p.gateway.Policy(q.Channel).Presence {
		return nil, 0, false, &wire.Error{Code: wire.CodeUnsupported, Text: "Presence is not kept in the namespace of channel " + string(q.Channel) + "; its setting presence turns it on."}
	}
	page, err := p.presence.keeper.Members(ctx, q.Channel, q.After, q.Limit)
	for _, m := range page.Members {
		ms = append(ms, api.Member{User: m.User, Since: m.Since})
	}
	return ms, page.Count, page.More, err
}

// Where implements api.Presence.
func (p present) Where(ctx context.Context, users []string) (all []api.Seen, err error) {
	seen, err := p.presence.keeper.Where(ctx, users)
	for _, s := range seen {
		one := api.Seen{User: s.User, Online: s.Online}
		if !s.Online {
			one.Last = s.Last
		}
		all = append(all, one)
	}
	return all, err
}
