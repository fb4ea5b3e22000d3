package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"carillon/channel"
	"carillon/node"
)

// closeWithin is how long a server that was asked to end waits for its connections.
const closeWithin = 10 * time.Second

// serverFlags are those of dev and serve alike.
type serverFlags struct {
	Data     string   `placeholder:"DIR" help:"Folder for what must last. Without it all is kept in memory and forgotten at the end."`
	Durable  []string `placeholder:"NS" help:"Namespace to keep in --data, unlimited: NS of channels NS:...; may be given several times."`
	LogLevel string   `enum:"debug,info,warn,error" default:"info" help:"Least level of log lines on standard error: debug, info, warn, error."`
}

// check finds what is wrong with the flags alone.
func (f serverFlags) check(listen string) error {
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return usage("Give HOST:PORT, such as --listen 127.0.0.1:8000, or :8000 for every address.", "--listen %s is no address to listen on", listen)
	}
	for _, ns := range f.Durable {
		if n, err := channel.ParseName(ns); err != nil || n.Namespace() != ns {
			return usage("A namespace is what stands before the colon: games for the channel games:blitz.", "--durable %q is no namespace", ns)
		}
	}
	if len(f.Durable) > 0 && f.Data == "" {
		return usage("Add --data DIR.", "--durable needs a folder to keep records in")
	}
	return nil
}

// logger writes text to a terminal and JSON elsewhere.
func (f serverFlags) logger(c *console) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // one of the enum
	o := &slog.HandlerOptions{Level: level}
	if c.errTerm {
		return slog.New(slog.NewTextHandler(c.err, o))
	}
	return slog.New(slog.NewJSONHandler(c.err, o))
}

// ready is what a server tells a program once it listens.
type ready struct {
	Event   string   `json:"event"`
	Mode    string   `json:"mode"`
	URL     string   `json:"url"`
	Page    string   `json:"page,omitempty"`
	Data    string   `json:"data,omitempty"`
	Durable []string `json:"durable,omitempty"`
	Version string   `json:"version"`
}

// run starts a node, tells that it is ready, and ends it with ctx. Its connections are told to come back and have
// closeWithin to leave; to end like that is no failure.
func (f serverFlags) run(ctx context.Context, c *console, o node.Options, banner func(*node.Node)) error {
	log := f.logger(c)
	o.Data, o.Durable, o.Version, o.Log = f.Data, f.Durable, version, log
	n, err := node.Start(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return &failure{exitInterrupted, "interrupted while starting", ""}
		}
		return err
	}
	if c.outTerm {
		banner(n)
	} else {
		f.announce(c, n, o.Dev)
	}
	var broken error
	select {
	case <-ctx.Done():
		log.Info("ending", "wait", closeWithin.String())
	case broken = <-n.Failed():
		broken = fmt.Errorf("the listener broke: %w", broken)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	if err := n.Close(closing); errors.Is(err, context.DeadlineExceeded) {
		log.Warn("cut the connections that had not left in time")
	} else if err != nil {
		return errors.Join(broken, err)
	}
	if broken == nil {
		log.Info("ended")
	}
	return broken
}

func (f serverFlags) announce(c *console, n *node.Node, dev bool) {
	r := ready{Event: "ready", Mode: "serve", URL: n.URL(), Data: f.Data, Durable: f.Durable, Version: version}
	if dev {
		r.Mode, r.Page = "dev", "http://"+n.Address()+"/"
	}
	line, _ := json.Marshal(r) // strings alone
	fmt.Fprintf(c.out, "%s\n", line)
}

// kept says in words what outlives the server.
func (f serverFlags) kept(s style) (lines []string) {
	for _, ns := range f.Durable {
		lines = append(lines, fmt.Sprintf("%s in %s: every record, safe from crashes", s.bold(ns+":*"), printable(f.Data)))
	}
	if len(lines) == 0 && f.Data != "" {
		lines = append(lines, "nothing in "+printable(f.Data)+" yet: name what should be with --durable NS")
	}
	who := "all channels"
	if len(f.Durable) > 0 {
		who = "other channels"
	}
	k := channel.DefaultPolicy().Retention
	return append(lines,
		fmt.Sprintf("%s in memory, %s", who, s.bold("forgotten when the server ends")),
		fmt.Sprintf("(the last %s records of each, %d MiB or %.0f minutes)", grouped(k.Records), k.Bytes>>20, k.Age.Minutes()))
}
