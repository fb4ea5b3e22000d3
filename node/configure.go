package node

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"carillon/channel"
	"carillon/config"
	"carillon/gateway/auth"
	"carillon/gateway/limit"
	"carillon/gateway/session"
	"carillon/gateway/transport/ws"
	"carillon/wire"
)

// FromConfig turns settings into the options of a node. Dev, Version, Name and Log are the caller's.
func FromConfig(c *config.Config) (Options, error) {
	o := Options{
		Listen: c.Listen, Internal: c.InternalListen, Data: c.Data, Memory: int64(c.Limits.Memory),
		Settings: settings(c), Limits: limits(c), Origins: c.Origins, DrainWindow: c.Drain.Window,
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
	if o.Issuers, err = issuers(c); err != nil {
		return Options{}, err
	}
	if o.Proxies, err = proxies(c.TrustedProxies); err != nil {
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

func settings(c *config.Config) session.Settings {
	return session.Settings{
		Heartbeat: c.Heartbeat.Interval, Timeout: c.Heartbeat.Timeout,
		ConnectTimeout: c.Timeouts.Connect, RequestTimeout: c.Timeouts.Request,
		Lifetime: c.Auth.SessionLifetime, ExpiryNotice: c.Auth.ExpiryNotice,
		MaxChannels: c.Limits.ChannelsPerConnection, MaxInFlight: c.Limits.InFlight,
		MaxFrame: int(c.Limits.Frame), MaxOutbox: int(c.Limits.Outbox),
		MaxErrors: c.Limits.Malformed, MaxPerUser: c.Limits.ConnectionsPerUser,
	}
}

// admissionPatience is how long a handshake may wait for its turn.
const admissionPatience = 5 * time.Second

func limits(c *config.Config) Limits {
	l := c.Limits
	pace := func(r config.Rate) limit.Pace { return limit.Pace{PerSecond: r.PerSecond(), Burst: int(r.Burst)} }
	return Limits{
		Connections: l.Connections, PerAddress: l.ConnectionsPerIP, Connects: pace(l.ConnectsPerIP),
		Admission: limit.AdmissionBounds{
			PerSecond: l.Handshakes.PerSecond(), Burst: int(l.Handshakes.Burst), Queue: l.AdmissionQueue, Patience: admissionPatience,
		},
		Strangers: limit.PartOf(l.UnauthenticatedShare, l.Connections),
		Requests:  pace(l.MessagesPerConnection), Bytes: pace(config.Rate(l.BytesPerConnection)),
		HeaderTimeout: c.Timeouts.Header, IdleTimeout: c.Timeouts.Idle,
	}
}

func issuers(c *config.Config) ([]auth.Issuer, error) {
	var all []auth.Issuer
	for _, in := range c.Auth.Issuers {
		is := auth.Issuer{Name: in.Issuer, Audience: in.Audience, JWKS: in.JWKSURL, MaxLifetime: in.MaxLifetime}
		if is.MaxLifetime == 0 {
			is.MaxLifetime = c.Auth.MaxLifetime
		}
		for _, k := range in.Keys {
			text := k.PublicKey.Reveal()
			if k.Algorithm == string(auth.HS256) {
				text = k.Secret.Reveal()
			}
			key, err := auth.ParseKey(k.KID, auth.Alg(k.Algorithm), text)
			if err != nil {
				return nil, fmt.Errorf("auth.issuers %s, key %q: %w", in.Issuer, k.KID, err)
			}
			is.Keys = append(is.Keys, key)
		}
		all = append(all, is)
	}
	return all, nil
}

func proxies(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range list {
		if !strings.Contains(text, "/") {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("trusted_proxies: %w", err)
			}
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("trusted_proxies: %w", err)
		}
		all = append(all, prefix)
	}
	return all, nil
}

// namespaces are the policies of a configuration, exchanged as a whole when it is read again.
type namespaces struct {
	byName atomic.Pointer[map[string]channel.Policy]
}

// anyNamespace is the entry that holds for namespaces without one of their own.
const anyNamespace = "default"

func (ns *namespaces) use(c *config.Config) *namespaces {
	m := map[string]channel.Policy{anyNamespace: policyOf(c.Namespace(anyNamespace))}
	for name := range c.Namespaces {
		m[name] = policyOf(c.Namespace(name))
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

func policyOf(n config.Namespace) channel.Policy {
	p := n.Policy()
	p.NoHistory = !n.History
	return p
}

// Reconfigure takes up settings read again, as far as they may change while the node runs; what may not change the
// caller has refused before (config.Diff). After an error the node goes on as it was.
func (n *Node) Reconfigure(c *config.Config) error {
	next, err := FromConfig(c)
	if err != nil {
		return err
	}
	if n.keys != nil {
		all, err := next.issuers()
		if err != nil {
			return err
		}
		if err := n.keys.Update(all); err != nil {
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
	n.traffic.Requests.Set(next.Limits.Requests)
	n.traffic.Bytes.Set(next.Limits.Bytes)
	n.sockets.SetOrigins(next.Origins)
	if n.o.namespaces != nil {
		n.o.namespaces.use(c)
	}
	n.sessions.End(wire.CodeRevoked, func(who *auth.Identity, conn string) bool { return !n.judge.Stands(who, conn) })
	return nil
}
