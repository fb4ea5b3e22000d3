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
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/gateway"
	"carillon/gateway/auth"
	"carillon/gateway/auth/jwks"
	"carillon/gateway/hub"
	"carillon/gateway/limit"
	"carillon/gateway/session"
	"carillon/gateway/transport/ws"
	"carillon/wire"
)

// Node is a running node.
type Node struct {
	o        Options
	log      *slog.Logger
	keys     *auth.Keys // nil: only guests
	keySets  *jwks.Follower
	hints    hints
	truth    truth
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
	n.sys = newSys(n)
	var err error
	if n.keySets, err = jwks.New(jwks.Options{AllowPrivate: o.PrivateKeySets}); err != nil {
		return nil, err
	}
	if n.keys, err = o.keys(n.sys.revocations, n.keySets); err != nil {
		n.keySets.Close()
		return nil, err
	}
	if err := n.openParts(ctx); err != nil {
		n.keySets.Close()
		return nil, err
	}
	formats := socketFormats()
	n.hub = n.newHub(formats)
	n.gateway = n.newGateway()
	tickets := n.tickets()
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
	n.roles = &roles{gateway: n.gateway, sessions: n.sessions, node: o.Name, sys: n.sys}
	if err := n.run(ctx); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// openParts opens what carries the node: truth and hints.
func (n *Node) openParts(ctx context.Context) error {
	if err := n.openHints(ctx); err != nil {
		return err
	}
	if err := n.openTruth(ctx, n.mirrored(n.hints.feed.Carry)); err != nil {
		n.hints.close()
		return err
	}
	if err := n.agree(ctx); err != nil {
		err = errors.Join(err, n.truth.close())
		n.hints.close()
		return err
	}
	return nil
}

// run makes the parts of a node hear each other, and begins what goes on by itself.
func (n *Node) run(ctx context.Context) error {
	n.hints.listen()
	if err := n.follow(ctx); err != nil {
		return err
	}
	if err := n.work(ctx); err != nil {
		return err
	}
	n.meters.read(n)
	n.tasks.Go(func() { n.sys.tidy(n.halt) })
	n.tasks.Go(func() { n.breathe(n.halt) })
	if n.hints.shared {
		n.tasks.Go(func() { n.keepTerms(n.halt) })
	}
	if n.hints.shared && n.o.Roles.Gateway {
		n.tasks.Go(func() { n.keepPeers(n.halt) })
	}
	return nil
}

// newGateway makes the seam between truth, hints and fan-out, and where services run the way to them.
func (n *Node) newGateway() *gateway.Gateway {
	o := gateway.Options{
		Policies: n.o.Policies, Journal: n.journal, Feed: n.hints.feed, Hub: n.hub, Clock: time.Now,
		Heard: func(r *channel.Record) { n.sessions.Heard(r) }, Log: n.log,
		Granted: func(c channel.Name, user string) { n.sessions.Granted(c, user) },
	}
	if len(n.o.Services) > 0 {
		o.Desk, o.Trail = n.tripping(), n.truth.stage
	}
	if n.hints.shared {
		o.Shared = true
		o.Stale = n.stale
		o.Missed = func(c channel.Name, before channel.Position) { n.sessions.Missed(c, before) }
	}
	return gateway.New(o)
}

// stale hears that the line to the other nodes is lost, or is back and everything compared.
func (n *Node) stale(stale bool) {
	if stale {
		n.log.Error("the line to the other nodes is lost: records may be late, clients are told")
	} else {
		n.log.Info("the line to the other nodes is back, and everything is compared")
	}
	n.sessions.Stale(stale)
}

// newHub makes the fan-out. A connection that panics on one of its workers ends alone.
func (n *Node) newHub(formats []session.Format) *hub.Hub {
	return hub.New(encoders(formats), hub.Options{
		Policy: n.o.Policies, Budget: n.o.Memory, Written: n.meters.written, Tables: tableEncoders(formats),
		Panicked: func(v any, w hub.Waker) { n.sessions.Broken(v, w) },
	})
}

// follow makes the node hear what concerns all of it.
func (n *Node) follow(ctx context.Context) error {
	if err := patiently(ctx, func() error { return n.gateway.Listen(channel.All) }); err != nil {
		return err
	}
	if err := patiently(ctx, func() error { return n.hints.feed.Join(ctx, channel.Sys) }); err != nil {
		return err
	}
	if err := n.sys.start(ctx); err != nil {
		return err
	}
	n.tasks.Go(func() { n.sys.follow(n.halt) })
	return nil
}

// patiently tries for as long as a start waits for what the nodes share: a machine that is busy with starting is slow.
func patiently(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	for {
		err := try()
		if err == nil || !errors.Is(err, bus.ErrUnavailable) && !errors.Is(err, redis.ErrNotSubscribed) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(sharedPause):
		}
	}
}

// How long a start waits for what the nodes share, and between two tries.
const (
	sharedTimeout = 30 * time.Second
	sharedPause   = 100 * time.Millisecond
)

// ServeConn serves a line that is not the listener's, from its WebSocket handshake on, past the gates. It owns nc and
// returns once the line is open or refused.
func (n *Node) ServeConn(nc net.Conn) error { return n.sockets.ServeConn(nc) }

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

// Name is that of this node in lists and log lines.
func (n *Node) Name() string { return n.o.Name }

// URL is what clients connect to; "" where they cannot.
func (n *Node) URL() string {
	if n.Address() == "" || !n.o.Roles.Gateway {
		return ""
	}
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
	n.drain(ctx)
	if e := n.sockets.Shutdown(ctx); err == nil {
		err = e
	}
	if e := n.internal.shut(ctx); err == nil {
		err = e
	}
	n.stop()
	return err
}

// comeBack is when clients of a node that ends, and was the only one, shall look for it again.
const comeBack = 500 * time.Millisecond

// drain has all clients leave: across the window, to another node at once. Where there is none they all wait for this one.
func (n *Node) drain(ctx context.Context) {
	window, after := time.Duration(n.drainWindow.Load()), comeBack
	if n.hints.shared {
		n.sayPeers()
		if n.hints.others() > 0 {
			after = 0
		} else {
			window = 0
		}
	}
	n.sessions.Drain(ctx, window, after)
}

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
	if err := n.truth.close(); err != nil {
		n.log.Error("closing the store", "error", err)
	}
	n.hints.close()
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
