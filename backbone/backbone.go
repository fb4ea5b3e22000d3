// Package backbone is what the journal and the bus share of one Redis: reaching it, alone, under Sentinels or as a Cluster;
// the names of keys and subjects, spread evenly over the nodes of a Cluster; and the form in which a record crosses the line.
// It holds no data and knows no command of its own: who uses it speaks to the Client. Calls through it end in time, also
// when Redis is dead or frozen, and none is repeated behind the caller's back. Start with Open; keys.go has the names,
// record.go the form.
package backbone

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/redis/rueidis"
)

// Bounds of a call. A caller that wants to be sure of an answer within CallTimeout, whatever Redis does, gives his
// context that deadline: without one a call on a new connection may take both.
const (
	DialTimeout = time.Second             // for a connection and its greeting
	CallTimeout = 1500 * time.Millisecond // for the answer to a command that does not wait by itself

	again       = 200 * time.Millisecond // between attempts of Open
	ringScale   = 10                     // 1,024 commands under way on a connection, then callers wait
	bufferBytes = 64 << 10               // of a connection, each way
	idleProbe   = time.Second            // a silent connection is asked for life so often
	topology    = 5 * time.Second        // how often Sentinels or Cluster are asked who is who
	maxMoves    = 8                      // redirections of one command
)

// Options say how to reach Redis.
type Options struct {
	URL      string                 // redis://host:port, rediss:// with TLS; ?addr=host:port names further nodes, ?master_set=name Sentinels
	Username string                 // in place of the URL's
	Password func() (string, error) // asked at every connection, so that it may change; nil: the URL's
	TLS      *tls.Config            // in place of the system's trust, for rediss://
	Prefix   string                 // of every key and subject; "carillon" if empty
	Log      *slog.Logger           // nil: silent
}

// Backbone is a Redis that answered once. Use Open.
type Backbone struct {
	client    rueidis.Client
	ears      rueidis.Client
	clustered bool
	prefix    string
	node      string
}

// Open reaches Redis. While it does not answer, Open tries again until ctx ends; what it refuses (a wrong password) is
// returned at once. No error shows the URL's password.
func Open(ctx context.Context, o Options) (*Backbone, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err
	}
	option, err := o.client()
	if err != nil {
		return nil, err
	}
	client, err := dial(ctx, option, o.Log)
	if err != nil {
		return nil, err
	}
	ears, err := dial(ctx, option, o.Log)
	if err != nil {
		client.Close()
		return nil, err
	}
	var node [8]byte
	_, _ = rand.Read(node[:]) // never fails: crypto/rand ends the process instead
	return &Backbone{
		client: client, ears: ears, clustered: client.Mode() == rueidis.ClientModeCluster,
		prefix: o.Prefix, node: hex.EncodeToString(node[:]),
	}, nil
}

func (o Options) client() (rueidis.ClientOption, error) {
	option, err := rueidis.ParseURL(o.URL)
	if err != nil {
		return option, errors.New("the URL of Redis is none: write redis://HOST:PORT, or rediss://HOST:PORT with TLS") // its error shows the password
	}
	if option.TLSConfig != nil && o.TLS != nil {
		name := option.TLSConfig.ServerName
		if option.TLSConfig = o.TLS.Clone(); option.TLSConfig.ServerName == "" {
			option.TLSConfig.ServerName = name
		}
	}
	if o.Username != "" {
		option.Username = o.Username
	}
	if o.Password != nil {
		user := option.Username
		option.AuthCredentialsFn = func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
			password, err := o.Password()
			return rueidis.AuthCredentials{Username: user, Password: password}, err
		}
	}
	option.Dialer = net.Dialer{Timeout: DialTimeout, KeepAlive: idleProbe}
	option.ConnWriteTimeout = CallTimeout
	option.ReadBufferEachConn, option.WriteBufferEachConn = bufferBytes, bufferBytes
	option.RingScaleEachConn = ringScale
	option.DisableCache = true
	option.DisableRetry = true // a command whose fate is unknown is its caller's to repeat
	option.ClusterOption.ShardsRefreshInterval = topology
	option.ClusterOption.MaxMovedRedirections = maxMoves
	option.Sentinel.TLSConfig = option.TLSConfig
	option.Sentinel.Dialer = option.Dialer
	option.Sentinel.TopologyRefreshInterval = topology
	option.ClientName = "carillon"
	return option, nil
}

// dial makes the client, which connects at once.
func dial(ctx context.Context, option rueidis.ClientOption, log *slog.Logger) (rueidis.Client, error) {
	for waited := false; ; waited = true {
		client, err := rueidis.NewClient(option)
		if err == nil {
			return client, nil
		}
		if _, refused := rueidis.IsRedisErr(err); refused && !starting(err) {
			return nil, fmt.Errorf("redis refuses this node; see its user, password and rights: %w", err)
		}
		if untrusted := new(tls.CertificateVerificationError); errors.As(err, &untrusted) {
			return nil, fmt.Errorf("redis shows a certificate that is not trusted; name the file of those it goes back to in redis.ca: %w", err)
		}
		if !waited {
			log.Warn("redis does not answer; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("redis does not answer at %v; start it or correct redis.url: %w", option.InitAddress, errors.Join(ctx.Err(), err))
		case <-time.After(again):
		}
	}
}

// starting tells a server that will be of use in a moment from one that refuses us.
func starting(err error) bool {
	refusal, _ := rueidis.IsRedisErr(err)
	return refusal.IsLoading() || refusal.IsClusterDown()
}

// Client is the connection to all of Redis; commands of many goroutines share its lines. It ends with Close.
func (b *Backbone) Client() rueidis.Client { return b.client }

// Ears is a connection of the same kind for Receive alone. Redis lets little wait for a connection that subscribes, and cuts
// it beyond: large replies would do so to everybody's commands if both went by one.
func (b *Backbone) Ears() rueidis.Client { return b.ears }

// Clustered tells whether the keys lie on several nodes: then a script may touch one tag alone, and subjects need SPUBLISH.
func (b *Backbone) Clustered() bool { return b.clustered }

// Node is a random name of this process among all that use this Redis: 16 hexadecimal digits.
func (b *Backbone) Node() string { return b.node }

// Close ends the connections; calls under way get an error.
func (b *Backbone) Close() {
	b.ears.Close()
	b.client.Close()
}
