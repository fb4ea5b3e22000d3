package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/gateway/auth/jwks"
	"carillon/gateway/limit"
	"carillon/gateway/session"
	"carillon/gateway/transport/ws"
)

// Options say what a node is to be. The zero value of a field is its default, where it has one.
type Options struct {
	Listen     string        // address of the public listener, such as "127.0.0.1:8000"; port 0 takes a free one
	Internal   string        // address of the internal listener; "": none
	Dev        bool          // guests with all capabilities; loopback only; the first page
	Secret     []byte        // HS256 key of tokens that name no issuer of Issuers
	Issuers    []auth.Issuer // who else signs tokens
	ServerKeys []string      // keys of the server API; none: it is closed
	Data       string        // folder of what must last; "" keeps everything in memory
	Cluster
	Durable      []string         // namespaces kept in Data or Postgres and acknowledged after the commit
	Services     []string         // applications that run here, each in the namespace of its name; see the function Services
	Memory       int64            // bytes of rings; default hub.DefaultBudget
	Settings     session.Settings // the zero value: session.DefaultSettings
	Limits       Limits           // the zero value: none
	Origins      []string         // pages of other origins that may connect
	Proxies      []netip.Prefix   // proxies whose word about the address of a client counts
	Certificates *ws.Certificates // encrypts the public listener
	TLS13        bool             // speak nothing older
	MemoryBounds
	MaxSession time.Duration // of tokens under Secret; default auth.DefaultSession
	// PrivateKeySets lets key sets come from private addresses.
	PrivateKeySets bool
	DrainWindow    time.Duration // time across which clients are asked to leave; 0: all at once
	Version        string
	Log            *slog.Logger
	// Policies overrides the policy of channels; nil: by Durable.
	Policies func(channel.Name) channel.Policy

	namespaces *namespaces // those of Policies, where they come from a configuration
}

// Cluster is what a node shares with others. The zero value: this node is alone.
type Cluster struct {
	Name     string // of the node; default the host's
	Redis    Redis  // where nodes meet
	Postgres string // URL of the database of what must last, in the place of Data
	Roles    Roles  // the zero value: all
	// AllowMixed starts the node beside others that have other Services or Durable, for one deploy; see docs/cluster.md.
	AllowMixed bool
}

// Redis is how to reach what nodes share. Without a URL there is none.
type Redis struct {
	URL, Username, Password, Prefix string
	TLS                             *tls.Config // of rediss://; nil: what this machine trusts
}

// Roles are what a node does.
type Roles struct {
	Gateway bool // sockets of clients
	Worker  bool // services
	API     bool // HTTP for clients and servers
}

// MemoryBounds bound the memory journal; 0: its own defaults.
type MemoryBounds struct{ Logs, IDs int }

// Limits bound who comes in and how fast. Zero fields are no bound.
type Limits struct {
	Connections   int // of this node
	PerAddress    int // connections of one address
	Connects      limit.Pace
	Admission     limit.AdmissionBounds
	Strangers     int        // connections that have shown no good token yet
	Wrong         limit.Pace // bad credentials of one address
	Addresses     int        // whose use is remembered at a time; default maxAddresses
	Requests      limit.Pace
	Bytes         limit.Pace
	HeaderTimeout time.Duration // default 5 s
	IdleTimeout   time.Duration // default 60 s
}

// complete fills in defaults and refuses what cannot work.
func (o *Options) complete() error {
	if o.Settings == (session.Settings{}) {
		o.Settings = session.DefaultSettings()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Name == "" {
		o.Name, _ = os.Hostname()
	}
	if o.Limits.HeaderTimeout <= 0 {
		o.Limits.HeaderTimeout = headerTimeout
	}
	if o.Limits.IdleTimeout <= 0 {
		o.Limits.IdleTimeout = idleTimeout
	}
	if o.Roles == (Roles{}) {
		o.Roles = Roles{Gateway: true, Worker: true, API: true}
	}
	if err := o.checkShared(); err != nil {
		return err
	}
	if o.Policies == nil {
		o.Policies = policies(o.Durable)
	}
	if o.Redis.URL != "" {
		o.Data = "" // what one node keeps in a folder the others would not find
	}
	lasts := o.Data != "" || o.Postgres != ""
	o.Policies = withSys(withParts(withServices(o.Policies, o.Services, lasts), o.Dev), lasts)
	if o.Dev {
		for _, address := range []string{o.Listen, o.Internal} {
			if err := loopbackOnly(address); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkShared refuses what would become true on one of several nodes alone.
func (o *Options) checkShared() error {
	shared, lasts := o.Redis.URL != "", o.Data != "" || o.Postgres != ""
	switch {
	case len(o.Durable) > 0 && !lasts:
		return errors.New("durable namespaces need a folder to last in: add --data DIR, or set postgres.url")
	case shared && o.Postgres == "" && len(o.Durable)+len(o.Services) > 0:
		return errors.New("nodes that share a Redis keep durable namespaces and services in a Postgres that they share too: set postgres.url")
	case !shared && o.Roles != (Roles{Gateway: true, Worker: true, API: true}):
		return errors.New("a node that does less than everything needs others, and a Redis to meet them: set redis.url, or leave roles out")
	}
	return nil
}

// keys are those that tokens are checked with.
func (o *Options) keys(revocations *auth.Revocations, sets *jwks.Follower) (*auth.Keys, error) {
	issuers, err := o.TokenIssuers()
	if err != nil {
		return nil, err
	}
	if len(issuers) > 0 {
		keys, err := auth.New(issuers, auth.Options{Revocations: revocations, Unknown: sets.Hint})
		if err != nil {
			return nil, err
		}
		return keys, sets.Follow(keys, issuers)
	}
	if o.Dev {
		return nil, nil
	}
	return nil, errors.New("serve needs a secret for tokens: put at least 32 random bytes into a file (head -c 48 /dev/urandom | base64 > secret) and set CARILLON_SECRET_FILE to its path; or use dev on this machine alone")
}

// TokenIssuers are all whose tokens are good: those of Issuers, and the server itself if it has a Secret. It makes tokens
// with that, unless one of Issuers has a key to make them with: then Secret only checks what it made before.
func (o *Options) TokenIssuers() ([]auth.Issuer, error) {
	if len(o.Secret) == 0 {
		return o.Issuers, nil
	}
	key, err := auth.SecretKey("", o.Secret)
	if err != nil {
		return nil, err
	}
	own := auth.Issuer{Name: auth.LocalIssuer, Audience: auth.LocalIssuer, MaxSession: o.MaxSession}
	if slices.ContainsFunc(o.Issuers, func(is auth.Issuer) bool { return is.Signer.Signs() }) {
		own.Keys = []auth.Key{key}
	} else {
		own.Signer = key
	}
	return append([]auth.Issuer{own}, o.Issuers...), nil
}

func loopbackOnly(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("dev lets everybody in and so listens on loopback only, not on %q: use --listen 127.0.0.1:8000, or serve with tokens", address)
	}
	return nil
}

// leastTLS is the least version that is spoken.
func (o *Options) leastTLS() uint16 {
	if o.TLS13 {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}
