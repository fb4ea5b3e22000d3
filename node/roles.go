package node

import (
	"context"
	"net"
	"net/netip"

	"carillon/api"
	"carillon/channel"
	"carillon/gateway"
	"carillon/gateway/session"
	"carillon/journal"
	"carillon/observe"
	"carillon/wire"
)

// roles fills the roles that the HTTP API needs, from the gateway and the sessions of this node.
type roles struct {
	gateway  *gateway.Gateway
	sessions *session.Server
	node     string
	sys      *sys
}

func (r *roles) Policy(n channel.Name) channel.Policy { return r.gateway.Policy(n) }

// Publish implements api.Publisher. What the server writes by itself is closed to callers too.
func (r *roles) Publish(rec channel.Record, done func(api.Ack, error)) {
	if _, part := rec.Channel.Part(); part != "" {
		done(api.Ack{}, &wire.Error{Code: wire.CodeForbidden, Text: "Only the server itself writes to channel " + string(rec.Channel) + "."})
		return
	}
	if rec.Class != channel.Fleeting && r.Policy(rec.Channel).Service {
		done(api.Ack{}, &wire.Error{Code: wire.CodeForbidden, Text: "Channel " + string(rec.Channel) + " is written by its service alone: send it a command, or a record of class fleeting."})
		return
	}
	r.publish(rec, done)
}

// Announce implements api.Announcer.
func (r *roles) Announce(rec channel.Record, done func(api.Ack, error)) {
	rec.Channel = channel.All
	r.publish(rec, done)
}

func (r *roles) publish(rec channel.Record, done func(api.Ack, error)) {
	rec.Came = observe.Moment()
	r.gateway.Publish(rec, func(a session.Ack, err error) { done(api.Ack{Level: a.Level, At: a.At}, err) })
}

// Read implements api.Reader.
func (r *roles) Read(ctx context.Context, n channel.Name, q journal.Query) (journal.Page, error) {
	type answer struct {
		page session.Page
		err  error
	}
	got := make(chan answer, 1)
	r.gateway.Read(n, session.Query{After: q.After, Back: q.Back, Limit: q.Limit}, func(p session.Page, err error) {
		got <- answer{p, err}
	})
	select {
	case a := <-got:
		p := a.page
		return journal.Page{Records: p.Records, Base: p.Base, Head: p.Head, More: p.More, Gap: p.Gap}, a.err
	case <-ctx.Done():
		return journal.Page{}, ctx.Err()
	}
}

// readable is the Reader of clients: what their namespace keeps from them it refuses.
type readable struct{ *roles }

// Read implements api.Reader.
func (r readable) Read(ctx context.Context, n channel.Name, q journal.Query) (journal.Page, error) {
	if r.Policy(n).NoHistory {
		return journal.Page{}, &wire.Error{Code: wire.CodeForbidden, Text: "Channel " + string(n) + " has no history for clients."}
	}
	return r.roles.Read(ctx, n, q)
}

// Admit implements api.Gate.
func (r *roles) Admit(ctx context.Context, n channel.Name, user string) error {
	if !r.Policy(n).Guarded {
		return nil
	}
	base, _ := n.Part()
	got := make(chan error, 1)
	r.gateway.Rights(base, user, func(rights channel.Rights, err error) {
		if err == nil && !rights.Has(channel.Read) {
			err = &wire.Error{Code: wire.CodeForbidden, Text: "The service of channel " + string(n) + " does not let this user in."}
		}
		got <- err
	})
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Connections implements api.Directory.
func (r *roles) Connections(_ context.Context, q api.ConnectionQuery) (cs []api.Connection, more bool, err error) {
	found := r.sessions.Connections(session.Filter{User: q.User, Channel: q.Channel, After: q.After, Limit: q.Limit + 1})
	if more = len(found) > q.Limit; more {
		found = found[:q.Limit]
	}
	for _, c := range found {
		cs = append(cs, api.Connection{
			ID: c.ID, User: c.User, Node: r.node, Remote: host(c.Remote), Transport: c.Transport,
			Since: c.Since, Active: c.Heard, Channels: c.Channels,
		})
	}
	return cs, more, nil
}

// host is an address without its port.
func host(address string) string {
	if a, err := netip.ParseAddrPort(address); err == nil {
		return a.Addr().Unmap().String()
	}
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// Disconnect implements api.Directory.
func (r *roles) Disconnect(_ context.Context, id string, why wire.Code) (api.Ended, error) {
	return ended(r.sys.end(order{Conn: id, Code: why}))
}

// DisconnectUser implements api.Directory.
func (r *roles) DisconnectUser(_ context.Context, user string, why wire.Code) (api.Ended, error) {
	return ended(r.sys.end(order{User: user, Code: why}))
}

func ended(here int, sent bool, err error) (api.Ended, error) {
	return api.Ended{Here: here, Sent: sent}, err
}

// Rooms implements api.Rooms.
func (r *roles) Rooms(_ context.Context, prefix string, after channel.Name, limit int) (rs []api.Room, more bool, err error) {
	rooms, more := r.gateway.Rooms(prefix, after, limit)
	for _, room := range rooms {
		rs = append(rs, api.Room{Channel: room.Channel, Subscribers: room.Subscribers})
	}
	return rs, more, nil
}

// Subscribers implements api.Rooms.
func (r *roles) Subscribers(_ context.Context, n channel.Name) (int, error) {
	return r.gateway.Subscribers(n), nil
}
