package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"carillon/gateway/transport/ws"
)

// echoCommand serves the production parser with its limits lifted.
type echoCommand struct {
	Listen       string `default:"127.0.0.1:9001" placeholder:"HOST:PORT" help:"Where to listen (default ${default})."`
	MaxMessage   int    `default:"67108864" placeholder:"BYTES" help:"Largest message, in bytes (default 64 MiB)."`
	MaxFragments int    `default:"1048576" placeholder:"N" help:"Most frames of one message (default 1 Mi)."`
	MaxControl   int    `default:"1048576" placeholder:"N" help:"Most control frames in a second without a message between them (default 1 Mi)."`
	MaxUnread    int    `default:"268435456" placeholder:"BYTES" help:"Most bytes of echoes that a client may leave unread (default 256 MiB)."`
}

// Help is shown by --help.
func (echoCommand) Help() string {
	return `Sends every message back, on every path. It is the WebSocket implementation of the server with its limits lifted, for conformance suites that send what no client may.

Examples:

	carillon echo
	carillon echo --listen 127.0.0.1:9002 --max-message 1048576

Environment: NO_COLOR.`
}

// Validate is called by kong.
func (e *echoCommand) Validate() error {
	if _, _, err := net.SplitHostPort(e.Listen); err != nil {
		return usage("Give HOST:PORT, such as --listen 127.0.0.1:9001.", "--listen %s is no address to listen on", e.Listen)
	}
	if e.MaxMessage < 1 || e.MaxFragments < 1 || e.MaxControl < 1 || e.MaxUnread < 1 {
		return usage("See: carillon echo --help", "limits are 1 or more")
	}
	return nil
}

// Run is called by kong.
func (e *echoCommand) Run(ctx context.Context, c *console) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.Listen)
	if err != nil {
		return &failure{exitFailed, fmt.Sprintf("cannot listen on %s: %v", e.Listen, err), "Choose another port with --listen."}
	}
	sockets := ws.NewEcho(ws.Options{MaxMessage: e.MaxMessage, MaxFragments: e.MaxFragments, MaxControl: e.MaxControl}, e.MaxUnread)
	server := &http.Server{Handler: sockets, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // waited for below
	if c.outTerm {
		fmt.Fprintf(c.out, "Echo on %s. Ctrl-C ends it.\n", c.outStyle.blue("ws://"+l.Addr().String()+"/"))
	} else {
		fmt.Fprintf(c.out, "{\"event\":\"ready\",\"mode\":\"echo\",\"url\":\"ws://%s/\"}\n", l.Addr())
	}
	select {
	case <-ctx.Done():
		err = server.Close()
		<-served
	case err = <-served:
	}
	sockets.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
