// Package node puts a Carillon node together: it is the only place that knows every part. It makes the journals, the
// bus, the hub, the gateway, the sessions and the listeners, hands each what it needs, starts them in that order and
// ends them in the reverse one. It holds no rule of its own. Start with Start; options.go says what a node can be,
// listen.go what it listens to, gates.go who gets in, sys.go what nodes tell each other.
package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"carillon/api"
	"carillon/bus"
	"carillon/bus/local"
	"carillon/channel"
	"carillon/gateway"
	"carillon/gateway/auth"
	"carillon/gateway/auth/jwks"
	"carillon/gateway/hub"
	"carillon/gateway/limit"
	"carillon/gateway/session"
	"carillon/gateway/transport/ws"
	"carillon/journal"
	"carillon/journal/memory"
	"carillon/store/sqlite"
	"carillon/wire"
)

// Node is a running node.
type Node struct {
	o        Options
	log      *slog.Logger
	keys     *auth.Keys // nil: only guests
	keySets  *jwks.Follower
	memory   *memory.Journal
	store    *sqlite.Store // nil without Data
	hub      *hub.Hub
	gateway  *gateway.Gateway
	sessions *session.Server
	pressure *limit.Pressure
	presence presenceParts
	serving  serving
	gates    *gates
	judge    *judge
	issuer   *issuer
	sys      *sys
	roles    *roles
	sockets  *ws.Handler
	meters   *meters

	serverKeys *api.ServerKeys // nil: there is no internal listener

	public, internal listener
	tasks            sync.WaitGroup
	halt             chan struct{} // ends tasks
	ending
}

// ending is how far a node has come with its end, and how it goes about it.
type ending struct {
	draining    atomic.Bool
	stopped     atomic.Bool
	drainWindow atomic.Int64 // a time.Duration
	failed      chan error   // a part ended that should not
}

// Start builds a node and makes it listen.
func Start(ctx context.Context, o Options) (*Node, error) {
	n, err := New(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := n.listen(ctx); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// New builds a node that does not listen, in the order of the flow: truth, hints, fan-out, gateway, sessions, sockets.
func New(ctx context.Context, o Options) (*Node, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	m := newMeters()
	n := &Node{o: o, log: o.Log, meters: m, halt: make(chan struct{})}
	n.failed = make(chan error, 2)
	n.drainWindow.Store(int64(o.DrainWindow))
	n.sys = &sys{node: n}
	n.sys.revocations = auth.NewRevocations(time.Now, n.sys.revoked)
	var err error
	if n.keySets, err = jwks.New(jwks.Options{AllowPrivate: o.PrivateKeySets}); err != nil {
		return nil, err
	}
	if n.keys, err = o.keys(n.sys.revocations, n.keySets); err != nil {
		n.keySets.Close()
		return nil, err
	}
	feed := m.counted(local.New(bus.In{
		Records: func(rs []channel.Record) {
			n.sys.records(rs)
			n.gateway.Records(rs)
		},
		Trouble: func(down bool) { n.gateway.Trouble(down) },
	}))
	if err := n.openJournals(ctx, feed.Carry); err != nil {
		n.keySets.Close()
		return nil, err
	}
	formats := socketFormats()
	n.hub = n.newHub(formats)
	n.gateway = n.newGateway(feed)
	tickets := auth.NewTickets(nil)
	n.judge = &judge{keys: n.keys, revocations: n.sys.revocations, tickets: tickets, dev: o.Dev}
	n.issuer = &issuer{keys: n.keys, tickets: tickets}
	n.gates = newGates(n)
	n.openPresence()
	n.sessions = session.NewServer(session.Options{
		Settings: o.Settings, Backend: n.gateway, Guard: n.gateway, Ears: n.gateway, Hub: n.hub, Formats: formats,
		Judge: n.judge, Traffic: n.gates.traffic, Presence: n.presence.keeper, Pressure: n.pressure, Name: "carillon/" + o.Version, Log: o.Log,
		Panicked: n.broke,
	})
	n.sockets = ws.New(ws.Options{
		Protocols: subprotocols(), MaxMessage: o.Settings.MaxFrame, Origins: o.Origins,
		Panicked: func(v any) { n.survived(v, "a panic ended a connection") },
	}, n.gateless)
	n.roles = &roles{gateway: n.gateway, sessions: n.sessions, node: o.Name}
	if err := n.follow(ctx, feed); err != nil {
		n.stop()
		return nil, err
	}
	if err := n.work(ctx); err != nil {
		n.stop()
		return nil, err
	}
	m.read(n)
	n.tasks.Go(func() { n.sys.tidy(n.halt) })
	n.tasks.Go(func() { n.breathe(n.halt) })
	return n, nil
}

// newGateway makes the seam between truth, hints and fan-out, and where services run the way to them.
func (n *Node) newGateway(feed bus.Feed) *gateway.Gateway {
	o := gateway.Options{
		Policies: n.o.Policies, Journal: n.journal, Feed: feed, Hub: n.hub, Clock: time.Now,
		Heard: func(r *channel.Record) { n.sessions.Heard(r) }, Log: n.log,
		Granted: func(c channel.Name, user string) { n.sessions.Granted(c, user) },
	}
	if n.serving.desk != nil {
		o.Desk, o.Trail = n.serving.desk, n.serving.stage
	}
	return gateway.New(o)
}

// newHub makes the fan-out. A connection that panics on one of its workers ends alone.
func (n *Node) newHub(formats []session.Format) *hub.Hub {
	return hub.New(encoders(formats), hub.Options{
		Policy: n.o.Policies, Budget: n.o.Memory, Written: n.meters.written, Tables: tableEncoders(formats),
		Panicked: func(v any, w hub.Waker) { n.sessions.Broken(v, w) },
	})
}

// openJournals opens where records become true.
func (n *Node) openJournals(ctx context.Context, carry journal.Carry) (err error) {
	o, m := &n.o, n.meters
	if o.Data != "" {
		n.store, err = sqlite.Open(ctx, o.Data, sqlite.Options{
			Policies: o.Policies, Carry: carry, Commits: m.commits, Batches: m.batches, Failures: &m.failures,
			Trouble: n.storeTrouble, Stepped: n.stepped,
		})
		if err != nil {
			return err
		}
	}
	n.memory = memory.New(memory.Options{
		Policies: o.Policies, Carry: carry, MaxBytes: int(o.Memory), MaxLogs: o.Logs, MaxIDs: o.IDs, Commits: m.handed, Batches: m.together,
	})
	err = n.openStage(ctx, carry)
	if err != nil {
		n.memory.Close()
		if n.store != nil {
			err = errors.Join(err, n.store.Close())
		}
	}
	return err
}

// storeTrouble logs that the store is no longer where it was, or is again.
func (n *Node) storeTrouble(err error) {
	if err == nil {
		n.log.Info("the store is where it was again")
		return
	}
	n.log.Error("the store takes nothing", "error", err)
}

// follow makes the node hear what concerns all of it.
func (n *Node) follow(ctx context.Context, feed bus.Feed) error {
	if err := n.gateway.Listen(channel.All); err != nil {
		return err
	}
	if err := feed.Join(ctx, channel.Sys); err != nil {
		return err
	}
	return n.sys.start(ctx)
}

// ServeConn serves a line that is not the listener's, from its WebSocket handshake on, past the gates. It owns nc and
// returns once the line is open or refused.
func (n *Node) ServeConn(nc net.Conn) error { return n.sockets.ServeConn(nc) }

// journal is the one in which records of a channel become true.
func (n *Node) journal(name channel.Name) gateway.Journal {
	p := n.o.Policies(name)
	switch {
	case p.Service && n.serving.stage != nil:
		return n.serving.stage
	case p.Durable && n.store != nil:
		return n.store
	}
	return n.memory
}

// socketFormats lists what WebSocket connections speak.
func socketFormats() []session.Format {
	var formats []session.Format
	for _, p := range wire.Protocols() {
		formats = append(formats, session.Format{Protocol: p, Framing: ws.Framing{}})
	}
	return formats
}

func subprotocols() []string {
	var names []string
	for _, p := range wire.Protocols() {
		names = append(names, p.Name)
	}
	return names
}

// encoders are the formats as the hub uses them: one framed record.
func encoders(formats []session.Format) []hub.Encode {
	var es []hub.Encode
	for _, f := range formats {
		scratch := sync.Pool{New: func() any { return new([]byte) }}
		es = append(es, func(dst []byte, r *channel.Record) []byte {
			buf := scratch.Get().(*[]byte)
			*buf = f.Protocol.Codec.AppendRecord((*buf)[:0], r)
			dst = f.Framing.AppendMessage(dst, *buf, f.Protocol.Binary)
			scratch.Put(buf)
			return dst
		})
	}
	return es
}

// tableEncoders are the same for a whole table of Latest records.
func tableEncoders(formats []session.Format) []hub.EncodeTable {
	var es []hub.EncodeTable
	for _, f := range formats {
		es = append(es, func(dst []byte, n channel.Name, epoch uint64, rs []channel.Record) []byte {
			m := f.Protocol.Codec.AppendMessage(nil, &wire.Message{
				Type: wire.MsgLatest, Channel: n, Table: wire.Table{Epoch: wire.EpochText(epoch), Records: rs},
			})
			return f.Framing.AppendMessage(dst, m, f.Protocol.Binary)
		})
	}
	return es
}

// Address is where the node listens for clients.
func (n *Node) Address() string { return n.public.address() }

// InternalAddress is where it listens for operators and servers; "" if it does not.
func (n *Node) InternalAddress() string { return n.internal.address() }

// URL is what clients connect to.
func (n *Node) URL() string {
	if n.o.Certificates != nil {
		return "wss://" + n.Address() + "/ws"
	}
	return "ws://" + n.Address() + "/ws"
}

// Failed tells if a listener breaks.
func (n *Node) Failed() <-chan error { return n.failed }

// Stats reads the counters of the sessions and of the hub.
func (n *Node) Stats() (session.Stats, hub.Stats) { return n.sessions.Stats(), n.hub.Stats() }

// Close drains the connections and ends the node: it is no longer ready, no more connections are accepted, each client is
// told at its turn to come back, what is acknowledged is safe. A second call does nothing. It waits for everything the node started, for connections
// at most until ctx ends.
func (n *Node) Close(ctx context.Context) error {
	if n.draining.Swap(true) {
		return nil
	}
	err := n.public.shut(ctx)
	n.sessions.Drain(ctx, time.Duration(n.drainWindow.Load()), comeBack)
	if e := n.sockets.Shutdown(ctx); err == nil {
		err = e
	}
	if e := n.internal.shut(ctx); err == nil {
		err = e
	}
	n.stop()
	return err
}

// comeBack is when clients of a node that ends shall look for it, or for another, again.
const comeBack = 500 * time.Millisecond

// stop ends the parts against the flow.
func (n *Node) stop() {
	if n.stopped.Swap(true) {
		return
	}
	close(n.halt)
	n.tasks.Wait()
	n.sockets.Close()
	n.presence.keeper.Close()
	n.stopServing()
	n.gateway.Close()
	n.memory.Close()
	if s := n.serving.stage; s != nil && s != n.store {
		if err := s.Close(); err != nil {
			n.log.Error("closing the store of services", "error", err)
		}
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Error("closing the store", "error", err)
		}
	}
	n.hub.Close()
	n.sessions.Close()
	n.keySets.Close()
}

// listener is one HTTP listener; the zero listener is none.
type listener struct {
	server *http.Server
	at     net.Addr
	done   sync.WaitGroup
}

func (l *listener) address() string {
	if l.at == nil {
		return ""
	}
	return l.at.String()
}

// shut ends the listener and waits for the requests under way; upgraded connections are not its business.
func (l *listener) shut(ctx context.Context) error {
	if l.server == nil {
		return nil
	}
	err := l.server.Shutdown(ctx)
	if err != nil {
		_ = l.server.Close()
	}
	l.done.Wait()
	return err
}
