// Package node puts a Carillon node together: it is the only place that knows every part. It makes the journals, the
// bus, the hub, the gateway, the sessions and the listeners, hands each what it needs, starts them in that order and
// ends them in the reverse one. It holds no rule of its own. Start with Start; policies are in policy.go.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"carillon/bus"
	"carillon/bus/local"
	"carillon/channel"
	"carillon/gateway"
	"carillon/gateway/auth"
	"carillon/gateway/hub"
	"carillon/gateway/session"
	"carillon/gateway/transport"
	"carillon/gateway/transport/ws"
	"carillon/journal/memory"
	"carillon/store/sqlite"
	"carillon/web"
	"carillon/wire"
)

// Options say what a node is to be.
type Options struct {
	Listen   string           // address of the public listener, such as "127.0.0.1:8000"; port 0 takes a free one
	Dev      bool             // guests with all capabilities; loopback only; the first page
	Secret   []byte           // HS256 key of tokens, at least auth.MinSecret bytes; needed unless Dev
	Data     string           // folder of what must last; "" keeps everything in memory
	Durable  []string         // namespaces kept in Data and acknowledged after the commit
	Settings session.Settings // the zero value: session.DefaultSettings
	Version  string
	Log      *slog.Logger
	// Policies overrides the policy of channels; nil: by Durable.
	Policies func(channel.Name) channel.Policy
}

// Node is a running node.
type Node struct {
	o        Options
	log      *slog.Logger
	memory   *memory.Journal
	store    *sqlite.Store // nil without Data
	hub      *hub.Hub
	gateway  *gateway.Gateway
	sessions *session.Server
	sockets  *ws.Handler
	server   *http.Server
	address  net.Addr
	serving  sync.WaitGroup
	failed   chan error
}

// Bounds of the public listener.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 60 * time.Second
	maxHeader     = 16 << 10 // bytes
)

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
	keys, err := check(&o)
	if err != nil {
		return nil, err
	}
	n := &Node{o: o, log: o.Log, failed: make(chan error, 1)}
	feed := local.New(bus.In{
		Records: func(rs []channel.Record) { n.gateway.Records(rs) },
		Trouble: func(down bool) { n.gateway.Trouble(down) },
	})
	n.memory = memory.New(memory.Options{Policies: o.Policies, Carry: feed.Carry})
	if o.Data != "" {
		n.store, err = sqlite.Open(ctx, o.Data, sqlite.Options{Policies: o.Policies, Carry: feed.Carry})
		if err != nil {
			n.memory.Close()
			return nil, err
		}
	}
	formats := socketFormats()
	n.hub = hub.New(encoders(formats), hub.Options{Policy: o.Policies})
	n.gateway = gateway.New(gateway.Options{
		Policies: o.Policies, Journal: n.journal, Feed: feed, Hub: n.hub, Clock: time.Now,
	})
	n.sessions = session.NewServer(session.Options{
		Settings: o.Settings, Backend: n.gateway, Hub: n.hub, Identify: identify(keys, o.Dev),
		Formats: formats, Name: "carillon/" + o.Version, Log: o.Log,
	})
	n.sockets = ws.New(ws.Options{Protocols: subprotocols(), MaxMessage: o.Settings.MaxFrame}, func(c transport.Conn) transport.Inbox { return n.sessions.Accept(c, nil) })
	return n, nil
}

// ServeConn serves a line that is not the listener's, from its WebSocket handshake on. It owns nc and returns once the
// line is open or refused.
func (n *Node) ServeConn(nc net.Conn) error { return n.sockets.ServeConn(nc) }

// check fills in defaults and refuses what cannot work.
func check(o *Options) (*auth.Keys, error) {
	if o.Settings == (session.Settings{}) {
		o.Settings = session.DefaultSettings()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if len(o.Durable) > 0 && o.Data == "" {
		return nil, errors.New("durable namespaces need a folder to last in: add --data DIR")
	}
	if o.Policies == nil {
		o.Policies = policies(o.Durable)
	}
	if o.Dev {
		if err := loopbackOnly(o.Listen); err != nil {
			return nil, err
		}
		if len(o.Secret) == 0 {
			return nil, nil
		}
	}
	if len(o.Secret) == 0 {
		return nil, errors.New("serve needs a secret for tokens: put at least 32 random bytes into a file (head -c 48 /dev/urandom | base64 > secret) and set CARILLON_SECRET_FILE to its path; or use dev on this machine alone")
	}
	return auth.NewKeys(o.Secret, time.Now)
}

func loopbackOnly(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("dev lets everybody in and so listens on loopback only, not on %q: use --listen 127.0.0.1:8000, or serve with tokens", address)
	}
	return nil
}

// journal is the one in which records of a channel become true.
func (n *Node) journal(name channel.Name) gateway.Journal {
	if n.store != nil && n.o.Policies(name).Durable {
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

func (n *Node) listen(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", n.o.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w (is another Carillon running? choose another port with --listen)", n.o.Listen, err)
	}
	n.address = l.Addr()
	mux := http.NewServeMux()
	mux.Handle("/ws", n.sockets)
	if n.o.Dev {
		mux.Handle("/", web.Handler())
	}
	n.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	n.serving.Go(func() {
		if err := n.server.Serve(ws.StrictLines(l)); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- err
		}
	})
	return nil
}

// Address is where the node listens.
func (n *Node) Address() string { return n.address.String() }

// URL is what clients connect to.
func (n *Node) URL() string { return "ws://" + n.Address() + "/ws" }

// Failed tells once if the listener breaks.
func (n *Node) Failed() <-chan error { return n.failed }

// Stats reads the counters of the sessions and of the hub.
func (n *Node) Stats() (session.Stats, hub.Stats) { return n.sessions.Stats(), n.hub.Stats() }

// Close drains the connections and ends the node: no more are accepted, each client is told to come back, what is
// acknowledged is safe. It waits for everything the node started, connections at most until ctx ends.
func (n *Node) Close(ctx context.Context) error {
	var err error
	if n.server != nil {
		err = n.server.Shutdown(ctx)
		n.serving.Wait()
	}
	n.sessions.Drain(ctx, 0, time.Second)
	if e := n.sockets.Shutdown(ctx); err == nil {
		err = e
	}
	n.stop()
	return err
}

// stop ends the parts against the flow.
func (n *Node) stop() {
	n.gateway.Close()
	n.memory.Close()
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Error("closing the store", "error", err)
		}
	}
	n.hub.Close()
	n.sessions.Close()
}
