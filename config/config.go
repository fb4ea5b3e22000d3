// Package config is the one tree of settings of a server: what can be set, where a value came from, and whether it may
// change while the server runs. Every key is declared once, by the tags of a field of Config; flags, environment, file,
// the reference in docs/configuration.md, the JSON Schema and the commented defaults all follow from them.
// It never starts anything, holds no state, and shows no secret: not in an error, not in a dump.
// Start with Config and Load; the words of the tags are in spec.go.
package config

import (
	"time"

	"carillon/channel"
)

// Config is what an operator can set. Load fills every field, so the zero value is never met.
type Config struct {
	Listen         string      `key:"listen" default:":8000" format:"address" fixed:"the socket is bound at the start" help:"Where clients connect: HOST:PORT, or :PORT for every address of this machine."`
	InternalListen string      `key:"internal_listen" default:"127.0.0.1:8001" format:"address" fixed:"the socket is bound at the start" help:"Where operators and servers connect: health, metrics, server API, console, profiles."`
	Node           string      `key:"node" default:"" max:"64" format:"word" fixed:"a node keeps its name while it runs" help:"Name of this node in lists and log lines; none: that of the machine. Nodes on one machine need different ones to be told apart."`
	Roles          []string    `key:"roles" default:"gateway, worker, api" format:"roles" max:"3" fixed:"sockets and services would change hands while people use them" help:"What this node does: gateway (sockets of clients), worker (runs services), api (HTTP), in any mix; less than all of them takes redis.url, where the nodes meet."`
	Data           string      `key:"data" default:"" format:"path" fixed:"what lasts would be left behind in the old folder" help:"Folder of what must outlive the server; without it everything is kept in memory and forgotten."`
	Secret         Secret      `key:"secret" min:"32" max:"1024" live:"at once" help:"Key of HS256 tokens that this server makes itself, or whoever else knows it."`
	ServerKeys     []ServerKey `key:"server_keys" max:"8" live:"at once" help:"Keys with which other servers use the server API; none: it is closed."`
	Origins        []string    `key:"origins" default:"" format:"origin" max:"256" live:"new connections" help:"Web pages that may connect and call the API, as scheme://host[:port]; none: only those of the same origin; * alone: all."`
	TrustedProxies []string    `key:"trusted_proxies" default:"" format:"cidr" max:"256" live:"new connections" help:"Networks of the proxies in front, as CIDR or single address; only they are believed about the address of a client."`

	Redis      Redis                `key:"redis" fixed:"the nodes would part while people talk across them" help:"Where several nodes meet: what they tell each other, and the logs of plain channels. Redis 7.0 or later, or Valkey; without it the node is alone."`
	Postgres   Postgres             `key:"postgres" fixed:"what lasts would be left behind in the old database" help:"Where durable namespaces and services are kept for all nodes; without it they are in the folder data, for one node."`
	Log        Log                  `key:"log" help:"Log lines, on standard error."`
	TLS        TLS                  `key:"tls" help:"Encryption of the public listener; without it a proxy in front should encrypt."`
	Auth       Auth                 `key:"auth" help:"Who is let in."`
	Heartbeat  Heartbeat            `key:"heartbeat" fixed:"clients were told when they connected, and would drop their line" help:"How silence is told from a line that is gone."`
	Timeouts   Timeouts             `key:"timeouts" help:"How long is waited for the other side."`
	Limits     Limits               `key:"limits" help:"What one client, one address and the whole node may use."`
	Drain      Drain                `key:"drain" live:"at once" help:"How connections end with the server."`
	Services   []string             `key:"services" default:"" format:"word" max:"16" fixed:"channels would change hands while people are in them" help:"Applications that run here, each in the namespace of its name, such as chat; none: every namespace is plain publish and subscribe."`
	Namespaces map[string]Namespace `key:"namespaces" max:"1024" help:"What the channels NAME:… promise; the entry default holds for all others, and for what an entry leaves out."`
}

// Redis is what nodes share of one, alone, under Sentinels or as a Cluster.
type Redis struct {
	URL      string `key:"url" default:"" format:"redis" help:"How to reach it: redis://HOST:PORT, or rediss:// with TLS; its parameter addr, which may be given several times, names further nodes of a Cluster, and master_set=NAME makes all of them Sentinels. None: this node is alone."`
	Username string `key:"username" default:"" max:"256" format:"word" help:"User of its ACL; none: its default user."`
	Password Secret `key:"password" help:"Password of that user."`
	CA       string `key:"ca" default:"" format:"path" help:"File with the certificates, PEM, that those of a rediss:// server must go back to; none: those that this machine trusts."`
	Prefix   string `key:"prefix" default:"carillon" max:"64" format:"keys" help:"What all keys and subjects begin with, so that several clusters can share a Redis."`

	AllowMixed bool `key:"allow_mixed" default:"false" fixed:"it is looked at when a node starts" help:"Whether this node starts beside others that have other services or other durable namespaces. For one deploy that adds some which nobody uses yet, and for no longer: until all nodes agree, a channel of those would be written into two journals."`
}

// Postgres is a database that the nodes share.
type Postgres struct {
	URL Secret `key:"url" format:"postgres" help:"How to reach the database, with user and password: postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=verify-full."`
}

// Log says what is logged.
type Log struct {
	Level  string `key:"level" default:"info" enum:"debug info warn error" live:"at once" help:"Least level of the lines that are written."`
	Format string `key:"format" default:"auto" enum:"auto text json" fixed:"whoever reads the log expects one form" help:"Form of the lines; auto: text on a terminal, JSON elsewhere."`
}

// TLS encrypts the public listener if Cert and Key are set.
type TLS struct {
	Cert       string `key:"cert" default:"" format:"path" live:"new connections" help:"File with the certificate and its chain, PEM; read again at every reload."`
	Key        string `key:"key" default:"" format:"path" live:"new connections" help:"File with the private key of the certificate, PEM; read again at every reload."`
	MinVersion string `key:"min_version" default:"1.2" enum:"1.2 1.3" live:"new connections" help:"Least version of TLS that is spoken."`
}

// Auth says which tokens are good.
type Auth struct {
	Issuers         []Issuer      `key:"issuers" max:"64" live:"at once" help:"Who may sign tokens; each is known by its iss claim and has keys of its own."`
	MaxLifetime     time.Duration `key:"max_lifetime" default:"24h" min:"1s" max:"24h" live:"new tokens" help:"Longest time from now to the exp claim of a token."`
	SessionLifetime time.Duration `key:"session_lifetime" default:"24h" min:"1s" max:"30d" live:"new tokens" help:"Longest time from now to the session_exp claim of a token, which ends its connection however often the token is refreshed."`
	ExpiryNotice    time.Duration `key:"expiry_notice" default:"30s" min:"1s" max:"1h" live:"at once" help:"How long before its end a token is announced as expiring, so that the client refreshes it."`
	JWKSPrivate     bool          `key:"jwks_private" default:"false" fixed:"the fetcher of keys is made with it" help:"Whether a jwks_url may lead to a private address, for a provider inside the own network."`
}

// Issuer signs tokens.
type Issuer struct {
	Issuer          string        `key:"issuer" required:"yes" max:"256" format:"word" live:"at once" help:"The iss claim, exactly."`
	Audience        string        `key:"audience" required:"yes" max:"256" format:"word" live:"at once" help:"What the aud claim must be."`
	AudienceList    bool          `key:"audience_list" default:"false" live:"at once" help:"Whether aud may also be a list of at most 8 that holds the audience."`
	Keys            []TokenKey    `key:"keys" max:"64" live:"at once" help:"Keys of this issuer; several while one replaces another."`
	JWKSURL         string        `key:"jwks_url" default:"" format:"https" live:"at once" help:"The one address from which more public keys of this issuer are fetched."`
	MaxLifetime     time.Duration `key:"max_lifetime" default:"0s" min:"0s" max:"24h" live:"new tokens" help:"As auth.max_lifetime, for this issuer; 0s: the same."`
	SessionLifetime time.Duration `key:"session_lifetime" default:"0s" min:"0s" max:"30d" live:"new tokens" help:"As auth.session_lifetime, for this issuer; 0s: the same."`
	UserPrefix      string        `key:"user_prefix" default:"" max:"64" format:"prefix" live:"new tokens" help:"What is put before every sub, so that users of different issuers are different users."`
	Default         []Capability  `key:"default" max:"64" live:"new tokens" help:"What tokens without the claim caps allow; none: nothing."`
	Ceiling         []Capability  `key:"ceiling" max:"64" live:"new tokens" help:"What no token of this issuer goes beyond, whatever it says; none: there is no such bound."`
}

// TokenKey checks the signature of tokens, with one algorithm only. One of its three texts is set.
type TokenKey struct {
	KID        string `key:"kid" default:"" max:"128" format:"word" live:"at once" help:"The kid header; without it the key is that of tokens without one."`
	Algorithm  string `key:"algorithm" required:"yes" enum:"HS256 RS256 ES256 EdDSA" live:"at once" help:"The one algorithm this key is good for."`
	Secret     Secret `key:"secret" min:"32" max:"1024" live:"at once" help:"The key of HS256."`
	PublicKey  Secret `key:"public_key" public:"yes" live:"at once" help:"The public key of RS256 (2048 to 4096 bits), ES256 (P-256) or EdDSA (Ed25519), PEM."`
	PrivateKey Secret `key:"private_key" live:"at once" help:"In place of public_key the private one, PEM: this server then makes tokens with it, rather than with secret at the top; one key at most."`
}

// Capability allows or forbids actions in channels.
type Capability struct {
	Channels []string `key:"channels" required:"yes" default:"" max:"64" live:"new tokens" help:"Names of channels, or the beginning of names followed by *."`
	Can      []string `key:"can" default:"" max:"8" format:"actions" live:"new tokens" help:"Of subscribe, publish, history, presence, command; * stands for all."`
	Deny     bool     `key:"deny" default:"false" live:"new tokens" help:"Forbids, and wins over whatever allows; without can it forbids everything."`
}

// ServerKey lets another server use the server API. The key itself comes from a file or the environment, never from
// the configuration file.
type ServerKey struct {
	Name string `key:"name" required:"yes" max:"64" format:"word" live:"at once" help:"What the log calls whoever holds the key."`
	Key  Secret `key:"key" fileonly:"yes" min:"32" max:"512" format:"word" live:"at once" help:"The key itself, in a file of its own: printable ASCII without spaces."`
}

// Heartbeat finds lines that are gone.
type Heartbeat struct {
	Interval time.Duration `key:"interval" default:"25s" min:"1s" max:"10m" help:"How often the server pings a connection."`
	Timeout  time.Duration `key:"timeout" default:"10s" min:"1s" max:"5m" help:"How long a sign of life may take after a ping; then the connection is closed."`
}

// Timeouts bound waiting.
type Timeouts struct {
	Connect   time.Duration `key:"connect" default:"10s" min:"1s" max:"1m" live:"new connections" help:"From the handshake to a connect request with a token."`
	Admission time.Duration `key:"admission" default:"5s" min:"100ms" max:"1m" live:"at once" help:"For a turn at the handshake; then the connection is answered 503 with Retry-After."`
	Request   time.Duration `key:"request" default:"10s" min:"1s" max:"10s" live:"at once" help:"Until a request without an answer is answered as unconfirmed."`
	Header    time.Duration `key:"header" default:"5s" min:"1s" max:"1m" fixed:"the listener is made with it" help:"For the header of an HTTP request."`
	Idle      time.Duration `key:"idle" default:"1m" min:"1s" max:"10m" fixed:"the listener is made with it" help:"For the next HTTP request on a line that is kept open."`
}

// Limits protect the node from its clients, and clients from each other.
type Limits struct {
	Connections           int      `key:"connections" default:"100000" min:"1" max:"10000000" unit:"connections" live:"new connections" help:"Connections of this node; what comes beyond is turned away."`
	ConnectionsPerUser    int      `key:"connections_per_user" default:"5" min:"1" max:"10000000" unit:"connections" live:"new connections" help:"Connections of one user; the next one is closed with 4005."`
	ConnectionsPerIP      int      `key:"connections_per_ip" default:"200" min:"1" max:"10000000" unit:"connections" live:"new connections" help:"Connections from one address, behind trusted proxies the client's own."`
	ConnectsPerIP         Rate     `key:"connects_per_ip" default:"10/s burst 50" min:"1/m" max:"1000000/s burst 10000000" live:"at once" help:"New connections from one address."`
	BadTokensPerIP        Rate     `key:"bad_tokens_per_ip" default:"5/s burst 50" min:"1/h" max:"1000000/s burst 10000000" live:"at once" help:"Tokens and keys from one address that turn out wrong; then it has to wait."`
	Addresses             int      `key:"addresses" default:"100000" min:"1024" max:"10000000" unit:"addresses" live:"at once" help:"Addresses whose use is remembered at a time; beyond it the longest quiet are forgotten."`
	Handshakes            Rate     `key:"handshakes" default:"1000/s burst 1000" min:"1/s" max:"1000000/s burst 10000000" live:"at once" help:"Handshakes that this node begins; more wait for their turn."`
	AdmissionQueue        int      `key:"admission_queue" default:"1000" min:"0" max:"1000000" unit:"connections" live:"at once" help:"Connections that wait for their handshake; what comes beyond is answered 503 with Retry-After."`
	UnauthenticatedShare  float64  `key:"unauthenticated_share" default:"0.2" min:"0.01" max:"1" unit:"of limits.connections" live:"at once" help:"Share of all connections that may be without a checked token at a time."`
	MessagesPerConnection Rate     `key:"messages_per_connection" default:"50/s burst 100" min:"1/m" max:"1000000/s burst 10000000" live:"at once" help:"Requests of one connection."`
	BytesPerConnection    ByteRate `key:"bytes_per_connection" default:"256KiB/s burst 1MiB" min:"1KiB/s" max:"10GiB/s burst 10GiB" live:"at once" help:"Bytes that one connection sends."`
	ChannelsPerConnection int      `key:"channels_per_connection" default:"128" min:"1" max:"100000" unit:"channels" live:"at once" help:"Subscriptions of one connection."`
	InFlight              int      `key:"in_flight" default:"128" min:"1" max:"65536" unit:"requests" live:"at once" help:"Requests of one connection without their answer; at the bound nothing more is read from it."`
	Malformed             int      `key:"malformed" default:"10" min:"1" max:"1000000" unit:"requests a minute" live:"at once" help:"Malformed requests of one connection; then it is closed with 4007."`
	Frame                 Size     `key:"frame" default:"256KiB" min:"1KiB" max:"16MiB" fixed:"clients were told when they connected" help:"Longest frame from a client; it may hold several requests."`
	Outbox                Size     `key:"outbox" default:"4MiB" min:"64KiB" max:"256MiB" live:"new connections" help:"Answers that wait for one connection to read them; then it is closed."`
	Memory                Size     `key:"memory" default:"512MiB" min:"16MiB" max:"1TiB" fixed:"the rings are laid out for it at the start" help:"Budget for the tails of all channels, ready to send; beyond it the oldest records leave memory."`
	Channels              int      `key:"channels" default:"1048576" min:"1024" max:"100000000" unit:"channels" fixed:"the maps are laid out for it at the start" help:"Logs kept in memory at a time; beyond it the empty and the longest untouched are forgotten."`
	IDs                   int      `key:"ids" default:"1048576" min:"1024" max:"100000000" unit:"ids" fixed:"the maps are laid out for it at the start" help:"Idempotency ids known in memory for 5 to 10 minutes, in each of two generations."`
}

// Drain ends connections with the server.
type Drain struct {
	Window  time.Duration `key:"window" default:"0s" min:"0s" max:"10m" help:"Time across which clients are asked to leave, each at its own turn; 0s, all at once, where there is no other node."`
	Timeout time.Duration `key:"timeout" default:"10s" min:"1s" max:"15m" help:"When the lines of clients that have not left are cut."`
}

// Namespace is what its channels promise.
type Namespace struct {
	Durable     bool          `key:"durable" default:"false" fixed:"acknowledged records would stay behind in the other journal" help:"Records are kept in the data folder and acknowledged after the commit."`
	Retention   Retention     `key:"retention" live:"at once" help:"What a log keeps; a durable namespace that says nothing keeps everything."`
	Ring        Ring          `key:"ring" live:"channels opened later" help:"The tail of a log that is held ready to send."`
	BatchWindow time.Duration `key:"batch_window" default:"0s" min:"0s" max:"1s" live:"channels opened later" help:"How long records gather before they go out together; 0s: not at all."`
	Slow        string        `key:"slow" default:"skip" enum:"skip disconnect" live:"at once" help:"What becomes of a subscriber that reads too slowly: it is told a gap, or closed with 4108."`
	MaxBody     Size          `key:"max_body" default:"64KiB" min:"16" max:"16MiB" live:"at once" help:"Longest body of a record."`
	History     bool          `key:"history" default:"true" live:"at once" help:"Whether clients may page through what is kept."`
	Presence    bool          `key:"presence" default:"false" live:"new subscriptions" help:"Whether it is kept and told in NAME@presence who is subscribed; always so where a service runs."`
	Latest      Latest        `key:"latest" live:"at once" help:"Records of class latest, of which only the newest of each key is kept."`
}

// Latest bounds the table of a channel.
type Latest struct {
	Records int           `key:"records" default:"1000" min:"1" max:"100000" unit:"keys" help:"Keys of a channel; beyond it the oldest goes."`
	Bytes   Size          `key:"bytes" default:"256KiB" min:"1KiB" max:"1MiB" help:"Bytes of bodies of a channel; beyond it the oldest goes. A subscriber gets them all in one message."`
	Age     time.Duration `key:"age" default:"24h" min:"1s" max:"36500d" help:"Age at which a key goes."`
	PerUser int           `key:"per_user" default:"16" min:"1" max:"1000" unit:"keys" help:"Keys that one user may hold in a channel."`
}

// Retention bounds a log.
type Retention struct {
	Records int           `key:"records" default:"1000" min:"0" max:"1000000000" unit:"records" help:"Newest records that are kept; 0: no bound."`
	Bytes   Size          `key:"bytes" default:"1MiB" min:"0" max:"1TiB" help:"Bytes of bodies that are kept; 0: no bound."`
	Age     time.Duration `key:"age" default:"5m" min:"0s" max:"36500d" help:"Age up to which records are kept; 0s: no bound."`
}

// Ring bounds the tail of a channel in memory.
type Ring struct {
	Records int  `key:"records" default:"1000" min:"1" max:"1000000" unit:"records" help:"Records in memory while the channel has subscribers."`
	Bytes   Size `key:"bytes" default:"1MiB" min:"1KiB" max:"1GiB" help:"Bytes of their bodies."`
}

// defaultEntry is the namespace that stands for all without an entry.
const defaultEntry = "default"

// Namespace is what holds for channels of a namespace.
func (c *Config) Namespace(name string) Namespace {
	if ns, ok := c.Namespaces[name]; ok {
		return ns
	}
	return c.Namespaces[defaultEntry]
}

// Policy is what a namespace promises to its channels, in the words of the rest of the server.
func (n Namespace) Policy() channel.Policy {
	p := channel.Policy{
		Durable:     n.Durable,
		Retention:   channel.Keep{Records: n.Retention.Records, Bytes: int(n.Retention.Bytes), Age: n.Retention.Age},
		Ring:        channel.Keep{Records: n.Ring.Records, Bytes: int(n.Ring.Bytes)},
		BatchWindow: n.BatchWindow,
		MaxBody:     int(n.MaxBody),
		NoHistory:   !n.History,
		Presence:    n.Presence,
		Latest:      channel.Keep{Records: n.Latest.Records, Bytes: int(n.Latest.Bytes), Age: n.Latest.Age},
		LatestEach:  n.Latest.PerUser,
	}
	if n.Slow == "disconnect" {
		p.Slow = channel.SlowDisconnect
	}
	return p
}
