package main

import (
	"context"
	"fmt"

	"carillon/config"
)

// serveCommand is a server for others.
type serveCommand struct {
	Listen string `placeholder:"HOST:PORT" help:"Where to listen for clients (default :8000, every address)."`
	serverFlags
}

// Help is shown by --help.
func (serveCommand) Help() string {
	return `Clients connect to ws://HOST:PORT/ws with a token: signed with the secret in CARILLON_SECRET_FILE, or by an issuer of the configuration; there is no way in without one. SIGHUP reads the configuration again, and no connection ends. SIGTERM and Ctrl-C tell all clients to come back later and give them drain.timeout, 10 seconds, to leave; a second signal cuts them.

Examples:

	CARILLON_SECRET_FILE=secret carillon serve
	CARILLON_SECRET_FILE=secret carillon serve --listen 10.0.0.5:8000 --data /var/lib/carillon --durable chat
	carillon serve --config /etc/carillon/carillon.yaml
	CARILLON_REDIS_URL=redis://r:6379 CARILLON_POSTGRES_URL_FILE=pg carillon serve --config c.yaml --roles gateway,api

Environment: CARILLON_CONFIG, CARILLON_SECRET_FILE and every setting (carillon config env), NO_COLOR.`
}

// Run is called by kong.
func (s *serveCommand) Run(ctx context.Context, c *console) error {
	return (&server{console: c, load: s.settings, banner: serveBanner}).run(ctx)
}

func (s *serveCommand) settings() (*config.Loaded, error) {
	l, err := s.load(s.Listen, nil)
	if err != nil {
		return nil, err
	}
	return l, needTokens(&l.Config)
}

func serveBanner(s *server) {
	s.rows("Carillon is serving.", "", "as the token says; make one with: "+invocation()+" token create --user NAME")
	fmt.Fprintf(s.console.out, "\n  %s\n\n", s.console.outStyle.dim("Ctrl-C ends it."))
}
