package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"carillon/api"
	"carillon/gateway/transport/ws"
	"carillon/observe/scrape"
	"carillon/web"
)

// Bounds of the listeners.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 60 * time.Second
	maxHeader     = 16 << 10 // bytes
	bodyTimeout   = 15 * time.Second
	answerTimeout = 30 * time.Second // for the client to take a page; upgraded connections are not bound by it
)

// socketPath is where clients connect.
const socketPath = "/ws"

// listen opens the listeners: the internal one first, so that who asks for readiness finds it.
func (n *Node) listen(ctx context.Context) error {
	if n.o.Internal != "" {
		inside, err := n.inside()
		if err != nil {
			return err
		}
		if err := n.serve(ctx, &n.internal, n.o.Internal, "--internal-listen", inside, nil); err != nil {
			return err
		}
	}
	if !n.o.Roles.Gateway && !n.o.Roles.API {
		return nil // a worker is asked through the desk alone
	}
	return n.serve(ctx, &n.public, n.o.Listen, "--listen", n.outside(), n.o.Certificates)
}

func (n *Node) serve(ctx context.Context, l *listener, address, flag string, h http.Handler, certificates *ws.Certificates) error {
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w (is another Carillon running? choose another port with %s)", address, err, flag)
	}
	l.at = tcp.Addr()
	if certificates != nil {
		secure := ws.ListenTLS(tcp, &tls.Config{GetCertificate: certificates.GetCertificate, MinVersion: n.o.leastTLS()}, ws.TLSOptions{})
		n.meters.tls.Store(secure)
		tcp = secure
	}
	l.server = &http.Server{
		Handler: n.survive(h), ReadHeaderTimeout: n.o.Limits.HeaderTimeout, IdleTimeout: n.o.Limits.IdleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	if l == &n.public { // profiles of the internal listener take as long as asked for
		l.server.ReadTimeout, l.server.WriteTimeout = bodyTimeout, answerTimeout
	}
	entrance := ws.StrictLines(tcp)
	if l == &n.public && certificates == nil && n.o.Roles.Gateway {
		entrance = ws.NewFront(tcp, socketPath, n.survive(n.gates), n.o.Limits.HeaderTimeout)
	}
	l.done.Go(func() {
		if err := l.server.Serve(entrance); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- err
		}
	})
	return nil
}

// common is what both halves of the HTTP API need.
func (n *Node) common() api.Common {
	return api.Common{
		Remote: func(r *http.Request) string { return n.gates.address(r).String() },
		Guard:  n.gates, Log: n.log, Panicked: func() { n.meters.panics.Add(1) },
	}
}

// outside is what clients see, by the roles of the node: sockets, the public API and, in dev, the first page.
func (n *Node) outside() http.Handler {
	o := api.PublicOptions{
		Reader: readable{n.roles}, Tables: readableTables{searches{n}}, Rows: searches{n}, Presence: present{n}, Gate: n.roles, Identify: n.judge.Identify, AllowOrigin: n.sockets.AllowsOrigin, Common: n.common(),
	}
	mux := http.NewServeMux()
	if n.o.Roles.Gateway {
		mux.Handle(socketPath, n.gates)
	}
	if n.o.Dev {
		o.Guest = signIn
		mux.Handle("/", web.Handler())
	}
	if n.o.Roles.API {
		mux.Handle("/api/", api.Public(o))
	}
	return mux
}

// inside is what operators and servers see: health, the server API, profiles.
func (n *Node) inside() (http.Handler, error) {
	var err error
	if n.serverKeys, err = api.NewServerKeys(n.o.ServerKeys...); err != nil {
		return nil, err
	}
	metrics, err := scrape.Handler(n.meters.registry, n.log)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	if n.o.Roles.API {
		mux.Handle("/api/", api.Server(api.ServerOptions{
			Keys: n.serverKeys, Publisher: n.roles, Announcer: n.roles, Reader: n.roles, Directory: n.roles, Rooms: n.roles, Presence: present{n},
			Tables: searches{n}, Rows: searches{n}, Issuer: n.issuer, Revoker: n.sys, Common: n.common(),
		}))
	}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", n.readyz)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // it would show what stands in flags
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux, nil
}
