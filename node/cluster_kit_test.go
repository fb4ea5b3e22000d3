package node_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"carillon/internal/servertest"
	"carillon/node"
)

// world is what the nodes of a test share: a Redis, and a database of a Postgres.
type world struct {
	redis    *servertest.Redis
	postgres *servertest.Postgres
	dsn      string // "": nothing lasts
	prefix   string
}

// servers are started once for the tests of a cluster; each test gets a part of them for itself.
type servers struct {
	redis    *servertest.Redis
	postgres *servertest.Postgres
	worlds   int
}

// world is a part of the servers that nobody else uses.
func (s *servers) world() *world {
	s.worlds++
	w := &world{redis: s.redis, postgres: s.postgres, prefix: fmt.Sprint("w", s.worlds)}
	if s.postgres != nil {
		w.dsn = s.postgres.Create(w.prefix)
	}
	return w
}

// options make a node one of this world: everybody is let in, and the server API is open.
func (w *world) options(name string) func(*node.Options) {
	return func(o *node.Options) {
		o.Name, o.Redis, o.Postgres = name, node.Redis{URL: w.redis.URL(), Prefix: w.prefix}, w.dsn
		o.Internal, o.ServerKeys = "127.0.0.1:0", []string{serverKey}
		if w.dsn != "" {
			o.Durable = []string{"news"}
		}
	}
}

// node runs one until the test ends.
func (w *world) node(t testing.TB, name string, changes ...func(*node.Options)) *node.Node {
	t.Helper()
	return startNode(t, w.all(name, changes))
}

func (w *world) all(name string, changes []func(*node.Options)) func(*node.Options) {
	return func(o *node.Options) {
		for _, change := range append([]func(*node.Options){w.options(name)}, changes...) {
			change(o)
		}
	}
}

// with gives a node services and roles.
func with(roles node.Roles, services ...string) func(*node.Options) {
	return func(o *node.Options) { o.Roles, o.Services = roles, services }
}

var quietly = slog.New(slog.NewTextHandler(io.Discard, nil))

// soon bounds whatever a test of a cluster waits for; nothing is asserted about it.
const soon = 30 * time.Second

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(soon); !holds(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it did not come about: %s", what)
		}
	}
}

// do says something with an id and returns its answer; what comes in between is passed over.
func (k *talker) do(id int, format string, args ...any) message {
	k.t.Helper()
	k.say(fmt.Sprintf(`{"id":%d,`+format+`}`, append([]any{id}, args...)...))
	for {
		if m := k.hear(); m["id"] == float64(id) && m["type"] != "accepted" {
			return m
		}
	}
}
