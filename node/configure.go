package node

import (
	"cmp"
	"fmt"
	"sync/atomic"

	"carillon/api"
	"carillon/channel"
	"carillon/config"
	"carillon/gateway/auth"
	"carillon/gateway/limit"
	"carillon/gateway/session"
	"carillon/gateway/transport/ws"
	"carillon/wire"
)

// FromConfig turns settings into the options of a node. Dev, Version and Log are the caller's.
func FromConfig(c *config.Config) (Options, error) {
	o := Options{
		Listen: c.Listen, Internal: c.InternalListen, Data: c.Data, Memory: int64(c.Limits.Memory),
		Settings: settings(c), Limits: limits(c), Origins: c.Origins, Proxies: c.Networks(), DrainWindow: c.Drain.Window,
		MemoryBounds: MemoryBounds{Logs: c.Limits.Channels, IDs: c.Limits.IDs}, PrivateKeySets: c.Auth.JWKSPrivate, TLS13: c.TLS.MinVersion == "1.3",
		MaxSession: c.Auth.SessionLifetime, Services: c.Services,
		namespaces: new(namespaces),
	}
	o.Policies = o.namespaces.use(c).policy
	if c.Secret.IsSet() {
		o.Secret = c.Secret.Reveal()
	}
	for _, k := range c.ServerKeys {
		o.ServerKeys = append(o.ServerKeys, string(k.Key.Reveal()))
	}
	var err error
	if o.Cluster, err = cluster(c); err != nil {
		return Options{}, err
	}
	if o.Issuers, err = issuers(c); err != nil {
		return Options{}, err
	}
	if c.TLS.Cert != "" {
		o.Certificates = new(ws.Certificates)
		if err := o.Certificates.Load(c.TLS.Cert, c.TLS.Key); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

func cluster(c *config.Config) (Cluster, error) {
	trust, err := c.Redis.Trust()
	return Cluster{
		Name: c.Node, Postgres: string(c.Postgres.URL.Reveal()), AllowMixed: c.Redis.AllowMixed,
		Roles: Roles{Gateway: c.Has(config.RoleGateway), Worker: c.Has(config.RoleWorker), API: c.Has(config.RoleAPI)},
		Redis: Redis{
			URL: c.Redis.URL, Username: c.Redis.Username, Password: string(c.Redis.Password.Reveal()), Prefix: c.Redis.Prefix, TLS: trust,
		},
	}, err
}

func settings(c *config.Config) session.Settings {
	return session.Settings{
		Heartbeat: c.Heartbeat.Interval, Timeout: c.Heartbeat.Timeout,
		ConnectTimeout: c.Timeouts.Connect, RequestTimeout: c.Timeouts.Request,
		ExpiryNotice: c.Auth.ExpiryNotice,
		MaxChannels:  c.Limits.ChannelsPerConnection, MaxInFlight: c.Limits.InFlight,
		MaxFrame: int(c.Limits.Frame), MaxOutbox: int(c.Limits.Outbox),
		MaxErrors: c.Limits.Malformed, MaxPerUser: c.Limits.ConnectionsPerUser,
	}
}

func limits(c *config.Config) Limits {
	l := c.Limits
	pace := func(r config.Rate) limit.Pace { return limit.Pace{PerSecond: r.PerSecond(), Burst: int(r.Burst)} }
	return Limits{
		Connections: l.Connections, PerAddress: l.ConnectionsPerIP, Connects: pace(l.ConnectsPerIP),
		Admission: limit.AdmissionBounds{
			PerSecond: l.Handshakes.PerSecond(), Burst: int(l.Handshakes.Burst), Queue: l.AdmissionQueue, Patience: c.Timeouts.Admission,
		},
		Strangers: limit.PartOf(l.UnauthenticatedShare, l.Connections),
		Requests:  pace(l.MessagesPerConnection), Bytes: pace(config.Rate(l.BytesPerConnection)),
		Wrong: pace(l.BadTokensPerIP), Addresses: l.Addresses,
		HeaderTimeout: c.Timeouts.Header, IdleTimeout: c.Timeouts.Idle,
	}
}

func issuers(c *config.Config) ([]auth.Issuer, error) {
	var all []auth.Issuer
	for _, in := range c.Auth.Issuers {
		is := auth.Issuer{
			Name: in.Issuer, Audience: in.Audience, AudienceList: in.AudienceList, JWKS: in.JWKSURL, UserPrefix: in.UserPrefix,
			MaxLifetime: cmp.Or(in.MaxLifetime, c.Auth.MaxLifetime), MaxSession: cmp.Or(in.SessionLifetime, c.Auth.SessionLifetime),
			Default: capabilities(in.Default), Ceiling: capabilities(in.Ceiling),
		}
		for _, k := range in.Keys {
			if err := addKey(&is, k); err != nil {
				return nil, fmt.Errorf("auth.issuers %s, key %q: %w", in.Issuer, k.KID, err)
			}
		}
		all = append(all, is)
	}
	return all, nil
}

// addKey adds a key that checks tokens, or that makes them too.
func addKey(is *auth.Issuer, k config.TokenKey) error {
	text := k.PublicKey
	switch {
	case k.Secret.IsSet():
		text = k.Secret
	case k.PrivateKey.IsSet():
		text = k.PrivateKey
	}
	key, err := auth.ParseKey(k.KID, auth.Alg(k.Algorithm), text.Reveal())
	switch {
	case err != nil:
		return err
	case k.PrivateKey.IsSet():
		is.Signer = key
	default:
		is.Keys = append(is.Keys, key)
	}
	return nil
}

func capabilities(list []config.Capability) (all []auth.Capability) {
	for _, c := range list {
		all = append(all, auth.Capability{Channels: c.Channels, Can: c.Can, Deny: c.Deny})
	}
	return all
}

// namespaces are the policies of a configuration, exchanged as a whole when it is read again.
type namespaces struct {
	byName atomic.Pointer[map[string]channel.Policy]
}

// anyNamespace is the entry that holds for namespaces without one of their own.
const anyNamespace = "default"

func (ns *namespaces) use(c *config.Config) *namespaces {
	m := map[string]channel.Policy{anyNamespace: c.Namespace(anyNamespace).Policy()}
	for name := range c.Namespaces {
		m[name] = c.Namespace(name).Policy()
	}
	ns.byName.Store(&m)
	return ns
}

func (ns *namespaces) policy(n channel.Name) channel.Policy {
	m := *ns.byName.Load()
	if p, ok := m[n.Namespace()]; ok {
		return p
	}
	return m[anyNamespace]
}

// Reconfigure takes up settings read again, as far as they may change while the node runs; what may not change the
// caller has refused before (config.Diff). All of it is tried first: after an error the node goes on as it was.
func (n *Node) Reconfigure(c *config.Config) error {
	next, err := FromConfig(c)
	if err != nil {
		return err
	}
	all, err := n.try(&next)
	if err != nil {
		return err
	}
	if n.keys != nil {
		if err := n.keys.Update(all); err != nil {
			return err
		}
		if err := n.keySets.Follow(n.keys, all); err != nil {
			return err
		}
	}
	if n.serverKeys != nil {
		if err := n.serverKeys.Replace(next.ServerKeys...); err != nil {
			return err
		}
	}
	if n.o.Certificates != nil {
		if err := n.o.Certificates.Load(c.TLS.Cert, c.TLS.Key); err != nil {
			return err
		}
	}
	n.sessions.Configure(next.Settings)
	n.gates.configure(next)
	n.sockets.SetOrigins(next.Origins)
	n.drainWindow.Store(int64(next.DrainWindow))
	if n.o.namespaces != nil {
		n.o.namespaces.use(c)
	}
	n.sessions.End(wire.CodeRevoked, func(who *auth.Identity, conn string) bool { return !n.judge.Stands(who, conn) })
	return nil
}

// try makes of the next options what could be refused, and throws it away; it returns their issuers.
func (n *Node) try(next *Options) ([]auth.Issuer, error) {
	all, err := next.TokenIssuers()
	if err != nil {
		return nil, err
	}
	if _, err := auth.New(all, auth.Options{}); err != nil {
		return nil, err
	}
	for _, is := range all {
		if is.JWKS == "" {
			continue
		}
		if err := n.keySets.Check(is.JWKS); err != nil {
			return nil, err
		}
	}
	_, err = api.NewServerKeys(next.ServerKeys...)
	return all, err
}
