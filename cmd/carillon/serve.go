package main

import (
	"context"
	"fmt"

	"carillon/node"
)

// serveCommand is a server for others.
type serveCommand struct {
	Listen string `default:":8000" placeholder:"HOST:PORT" help:"Where to listen (default ${default}: every address)."`
	serverFlags
	secretFlags
}

// Help is shown by --help.
func (serveCommand) Help() string {
	return `Clients connect to ws://HOST:PORT/ws with a token that was signed with the secret in CARILLON_SECRET_FILE; there is no way in without one. SIGTERM and Ctrl-C tell all clients to come back later and give them 10 seconds to leave; a second signal ends the server at once.

Examples:

	CARILLON_SECRET_FILE=secret carillon serve
	CARILLON_SECRET_FILE=secret carillon serve --listen 10.0.0.5:8000 --data /var/lib/carillon --durable chat

Environment: CARILLON_SECRET_FILE, NO_COLOR.`
}

// Validate is called by kong.
func (s *serveCommand) Validate() error { return s.check(s.Listen) }

// Run is called by kong.
func (s *serveCommand) Run(ctx context.Context, c *console) error {
	secret, doubts, err := s.read()
	if err != nil {
		return err
	}
	log := s.logger(c)
	for _, doubt := range doubts {
		log.Warn(doubt)
	}
	return s.run(ctx, c, node.Options{Listen: s.Listen, Secret: secret}, func(n *node.Node) { s.banner(c, n) })
}

func (s *serveCommand) banner(c *console, n *node.Node) {
	st := c.outStyle
	fmt.Fprintf(c.out, "\n  %s %s\n\n", st.bold("Carillon is serving."), st.dim(version))
	row := func(title, text string) { fmt.Fprintf(c.out, "  %s  %s\n", st.dim(fmt.Sprintf("%-7s", title)), text) }
	row("clients", st.blue(n.URL()))
	row("rights", "as the token says; make one with: "+invocation()+" token create --user NAME")
	for i, line := range s.kept(st) {
		row([]string{"kept", ""}[min(i, 1)], line)
	}
	fmt.Fprintf(c.out, "\n  %s\n\n", st.dim("Ctrl-C ends it."))
}
