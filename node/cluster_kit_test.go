package node_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
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
	trust    *tls.Config
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
		o.Name, o.Redis, o.Postgres = name, node.Redis{URL: w.redis.URL(), Prefix: w.prefix, TLS: w.trust}, w.dsn
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

// tap carries TCP lines to an address that can be changed, and can hold back what comes from there.
type tap struct {
	listen net.Listener
	done   sync.WaitGroup

	mu    sync.Mutex
	to    string
	turns int // of to
	lag   time.Duration
	lines map[net.Conn]struct{}
}

func newTap(t testing.TB, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listen: l, to: to, lines: map[net.Conn]struct{}{}}
	p.done.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() { p.carry(near) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.turn("")
		p.done.Wait()
	})
	return p
}

func (p *tap) address() string { return p.listen.Addr().String() }

// url is the address of a Redis behind it.
func (p *tap) url() string { return "redis://" + p.address() }

// turn cuts all lines; those that come now lead to another address.
func (p *tap) turn(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
	p.turns++
	for c := range p.lines {
		_ = c.Close()
	}
}

// hold has what comes from now on arrive that much later.
func (p *tap) hold(lag time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lag = lag
}

func (p *tap) late() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lag
}

func (p *tap) carry(near net.Conn) {
	defer near.Close()
	p.mu.Lock()
	to, turns := p.to, p.turns
	p.mu.Unlock()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	p.mu.Lock()
	stays := turns == p.turns
	p.lines[near], p.lines[far] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.lines, near)
		delete(p.lines, far)
	}()
	if !stays {
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	})
	p.down(near, far)
	_ = near.Close()
	up.Wait()
}

// down carries what comes from afar, each part when it is due.
func (p *tap) down(near, far net.Conn) {
	type part struct {
		bytes []byte
		due   time.Time
	}
	parts := make(chan part, 1<<16)
	var writing sync.WaitGroup
	writing.Go(func() {
		for part := range parts {
			<-time.After(time.Until(part.due))
			if _, err := near.Write(part.bytes); err != nil {
				_ = far.Close()
			}
		}
	})
	buf := make([]byte, 16<<10)
	for {
		n, err := far.Read(buf)
		if n > 0 {
			parts <- part{bytes.Clone(buf[:n]), time.Now().Add(p.late())}
		}
		if err != nil {
			break
		}
	}
	_ = near.Close() // nobody waits for what is late
	close(parts)
	writing.Wait()
}
