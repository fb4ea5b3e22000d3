package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"carillon/config"
	"carillon/node"
	"carillon/observe"
)

// server is a node with the process around it: it starts, reads its configuration again on SIGHUP, and ends.
type server struct {
	console *console
	load    func() (*config.Loaded, error)
	dev     bool
	banner  func(*server)

	loaded *config.Loaded // in force
	node   *node.Node
	log    *slog.Logger
	level  slog.LevelVar
}

// run serves until SIGTERM or SIGINT. Connections are told to come back, each at its turn, and have drain.timeout to
// leave; a second signal cuts them. To end like that is no failure.
func (s *server) run(ctx context.Context) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	var err error
	if s.loaded, err = s.load(); err != nil {
		return err
	}
	c := &s.loaded.Config
	s.level.Set(levelOf(c))
	log := observe.NewLogger(s.console.err, observe.LogFormat(c.Log.Format), &s.level)
	defer log.Close()
	s.log = log.Logger
	s.tellDoubts(nil)
	defer tuneMemory()()
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return &failure{exitInterrupted, "interrupted while starting", ""}
		}
		return err
	}
	if s.console.outTerm {
		s.banner(s)
	} else {
		s.announce()
	}
	for {
		select {
		case got := <-signals:
			if got == syscall.SIGHUP && !s.console.hungUp() {
				s.reload()
				continue
			}
			return s.end(signals)
		case broken := <-s.node.Failed():
			return errors.Join(fmt.Errorf("the listener broke: %w", broken), s.end(signals))
		}
	}
}

// start makes the node listen. In dev it makes way where the internal port is taken and nobody asked for it.
func (s *server) start(ctx context.Context) error {
	c := &s.loaded.Config
	o, err := node.FromConfig(c)
	if err != nil {
		return err
	}
	o.Dev, o.Version, o.Log = s.dev, version, s.log
	s.node, err = node.Start(ctx, o)
	if s.dev && taken(err, o.Internal) && s.loaded.Source("internal_listen").Kind == config.FromDefault {
		o.Internal = "127.0.0.1:0"
		if s.node, err = node.Start(ctx, o); err == nil {
			s.console.note("%s is taken; the internal address is %s", c.InternalListen, s.node.InternalAddress())
		}
	}
	return err
}

// taken tells whether an error is that somebody else listens on an address.
func taken(err error, address string) bool {
	var op *net.OpError
	return errors.Is(err, syscall.EADDRINUSE) && errors.As(err, &op) && op.Addr != nil && op.Addr.String() == address
}

// end drains the connections and ends the node.
func (s *server) end(signals <-chan os.Signal) error {
	drain := s.loaded.Config.Drain
	within := drain.Window + drain.Timeout
	s.log.Info("ending", "window", drain.Window.String(), "wait", within.String())
	closing, cancel := context.WithTimeout(context.Background(), within)
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case got := <-signals:
				if got == syscall.SIGHUP {
					continue // nothing of it would matter any more
				}
				s.log.Warn("cutting the connections at the second signal")
				cancel()
			case <-closing.Done():
			}
			return
		}
	})
	err := s.node.Close(closing)
	cut := closing.Err() != nil
	cancel()
	listening.Wait()
	switch {
	case err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		return err
	case cut:
		s.log.Warn("cut the connections that had not left")
	}
	s.log.Info("ended")
	return nil
}

// ready is what a server tells a program once it listens.
type ready struct {
	Event    string   `json:"event"`
	Mode     string   `json:"mode"`
	URL      string   `json:"url,omitempty"` // of a node that serves clients
	Page     string   `json:"page,omitempty"`
	Internal string   `json:"internal"`
	Data     string   `json:"data,omitempty"`
	Durable  []string `json:"durable,omitempty"`
	Version  string   `json:"version"`
}

func (s *server) announce() {
	c := &s.loaded.Config
	r := ready{
		Event: "ready", Mode: "serve", URL: s.node.URL(), Internal: s.internalURL(),
		Data: c.Data, Durable: durable(c), Version: version,
	}
	if s.dev {
		r.Mode, r.Page = "dev", s.page()
	}
	line, _ := json.Marshal(r) // strings alone
	fmt.Fprintf(s.console.out, "%s\n", line)
}

func (s *server) internalURL() string { return "http://" + s.node.InternalAddress() + "/" }

// page is the address of the first page; "" of a node that serves no clients.
func (s *server) page() string {
	if s.node.URL() == "" {
		return ""
	}
	if s.loaded.Config.TLS.Cert != "" {
		return "https://" + s.node.Address() + "/"
	}
	return "http://" + s.node.Address() + "/"
}

// rows prints the part of a banner that dev and serve have in common.
func (s *server) rows(title, page, rights string) {
	c, st := s.console, s.console.outStyle
	fmt.Fprintf(c.out, "\n  %s %s\n\n", st.bold(title), st.dim(version))
	row := func(title, text string) { fmt.Fprintf(c.out, "  %s  %s\n", st.dim(fmt.Sprintf("%-7s", title)), text) }
	if page != "" {
		row("page", st.blue(page))
	}
	if url := s.node.URL(); url != "" {
		row("clients", st.blue(url))
	}
	if others := s.loaded.Config; others.Shared() {
		row("node", fmt.Sprintf("%s (%s), beside others at %s", st.bold(s.node.Name()), strings.Join(others.Roles, ", "), printable(others.Redis.URL)))
	}
	row("inside", st.blue(s.internalURL())+"  health, metrics, server API")
	row("rights", rights)
	for i, line := range s.kept() {
		row([]string{"kept", ""}[min(i, 1)], line)
	}
}

// kept says in words what outlives the server.
func (s *server) kept() (lines []string) {
	c, st := &s.loaded.Config, s.console.outStyle
	names, where := durable(c), printable(c.Data)
	if c.Postgres.URL.IsSet() {
		where = "Postgres"
	}
	for _, ns := range names {
		lines = append(lines, fmt.Sprintf("%s in %s: %s, safe from crashes", st.bold(ns+":*"), where, bounded(c.Namespaces[ns].Retention, "every record")))
	}
	if len(lines) == 0 && c.Data != "" && where == printable(c.Data) {
		lines = append(lines, "nothing in "+printable(c.Data)+" yet: name what should be with --durable NS")
	}
	who := "all channels"
	if len(names) > 0 {
		who = "other channels"
	}
	if rest := c.Namespace("default"); !rest.Durable {
		line := fmt.Sprintf("%s in memory, %s", who, st.bold("forgotten when the server ends"))
		if c.Shared() {
			line = who + " in Redis, as safe as it is"
		}
		lines = append(lines, line, "(of each "+bounded(rest.Retention, "every record")+")")
	}
	return lines
}

// bounded puts what is kept into words.
func bounded(r config.Retention, all string) string {
	text := all
	if r.Records > 0 {
		text = "the last " + grouped(r.Records) + " records"
	}
	if r.Bytes > 0 {
		text += ", at most " + r.Bytes.String()
	}
	if r.Age > 0 {
		text += fmt.Sprintf(", for %.0f minutes", r.Age.Minutes())
	}
	return text
}

func levelOf(c *config.Config) (l slog.Level) {
	_ = l.UnmarshalText([]byte(c.Log.Level)) // one of an enumeration
	return l
}
