package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
)

// The roles of a node.
const (
	RoleGateway = "gateway" // sockets of clients
	RoleWorker  = "worker"  // runs services
	RoleAPI     = "api"     // HTTP for clients and servers
)

// Has tells whether the node has a role.
func (c *Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// Shared tells whether other nodes may stand beside this one.
func (c *Config) Shared() bool { return c.Redis.URL != "" }

// judgeCluster looks at what several nodes have to share: what becomes true on one of them must be where all find it.
func (l *loader) judgeCluster(c *Config) {
	alone, lasting := !c.Shared(), c.Postgres.URL.IsSet()
	switch {
	case len(c.Roles) == 0:
		l.refuse([]string{"roles"}, "is empty: name what this node does, of gateway, worker and api")
	case alone && !(c.Has(RoleGateway) && c.Has(RoleWorker) && c.Has(RoleAPI)):
		l.refuse([]string{"roles", "redis.url"}, "names less than all of gateway, worker and api, and other nodes have no way to do the rest: set redis.url, or leave roles out")
	}
	if alone && (c.Redis.Username != "" || c.Redis.Password.IsSet()) {
		l.refuse([]string{"redis.url", "redis.password", "redis.username"}, "is missing beside the credentials for it: set redis.url")
	}
	if !alone && !lasting {
		l.judgeUnshared(c)
	}
	if alone && lasting {
		l.doubt("postgres.url", "stands without redis.url: one node alone may run on this database, since nothing tells others what it does; set redis.url for more")
	}
	if (lasting || !alone) && c.Data != "" {
		l.doubt("data", "is not used: what lasts is kept in Postgres where postgres.url is set, and nodes that share a Redis keep nothing in a folder; leave it out")
	}
	if !alone && !lasting {
		l.doubt("postgres.url", "is not set: revocations last no longer than what Redis keeps; set it if tokens live longer")
	}
	if !alone && c.Drain.Window == 0 {
		l.doubt("drain.window", "is 0s: all clients of a node that ends come to the others at once; 20s spreads them")
	}
}

// judgeUnshared refuses what nodes that share a Redis alone would each keep for themselves.
func (l *loader) judgeUnshared(c *Config) {
	if len(c.Services) > 0 {
		l.refuse([]string{"services", "redis.url", "postgres.url"}, "needs postgres.url beside redis.url: without it every node would keep channels of its own; set postgres.url, or leave redis.url out for a node that is alone")
	}
	for _, name := range names(reflect.ValueOf(c.Namespaces)) {
		if c.Namespaces[name].Durable {
			l.refuse([]string{"namespaces." + name + ".durable", "redis.url", "postgres.url"}, "needs postgres.url beside redis.url: without it every node would keep records of its own; set postgres.url, or leave redis.url out for a node that is alone")
		}
	}
}

func checkRole(s string) error {
	switch s {
	case RoleGateway, RoleWorker, RoleAPI:
		return nil
	}
	return errors.New("is no role; those are gateway, worker and api")
}

// checkRedis asks for what rueidis takes; credentials have settings of their own, which are never shown.
func checkRedis(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Host == "" {
		return errors.New("is no address of a Redis: write redis://HOST:PORT, or rediss://HOST:PORT with TLS")
	}
	if u.User != nil || u.Query().Has("password") || u.Query().Has("username") {
		return errors.New("holds a user or a password: give them as redis.username and redis.password_file")
	}
	return nil
}

// Trust is what certificates of a rediss:// server must go back to; nil: what this machine trusts.
func (r *Redis) Trust() (*tls.Config, error) {
	if r.CA == "" {
		return nil, nil
	}
	b, err := os.ReadFile(r.CA)
	if err != nil {
		return nil, fmt.Errorf("redis.ca: %w", withoutPath(err))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("redis.ca: the file holds no certificate in PEM form")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

func checkPostgres(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return errors.New("is no address of a database: postgres://USER:PASSWORD@HOST:PORT/NAME")
	}
	return nil
}

// checkKeys keeps to what is safe in a key, in a subject and in an ACL pattern.
func checkKeys(s string) error {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return errors.New("holds something else than A-Z a-z 0-9 - _")
		}
	}
	return nil
}
