package main

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"carillon/config"
	"carillon/node"
)

// devCommand is everything on the embedded default.
type devCommand struct {
	Listen string `placeholder:"HOST:PORT" help:"Where to listen for clients; loopback addresses only (default 127.0.0.1:8000)."`
	serverFlags
}

// Help is shown by --help.
func (devCommand) Help() string {
	return `Everybody on this machine may connect without a token and do everything, so it listens on loopback addresses alone, and its limits are wide. All services run, and the pages at / show them at work. With CARILLON_SECRET_FILE set, clients may also bring tokens, which are then checked.

Examples:

	carillon dev
	carillon dev --data ./data --durable games --durable news

Environment: CARILLON_CONFIG, CARILLON_SECRET_FILE and every setting (carillon config env), NO_COLOR.`
}

// devDefaults are in the place of the defaults: whoever tries things from one machine looks like a crowd from one
// address. A setting that somebody made wins.
var devDefaults = map[string]string{
	"listen":                         "127.0.0.1:8000",
	"limits.connections":             "1000000",
	"limits.connections_per_user":    "1000",
	"limits.connections_per_ip":      "1000000",
	"limits.connects_per_ip":         "1000000/s burst 10000000",
	"limits.handshakes":              "1000000/s burst 10000000",
	"limits.admission_queue":         "1000000",
	"limits.unauthenticated_share":   "1",
	"limits.messages_per_connection": "1000000/s burst 10000000",
	"limits.bytes_per_connection":    "10GiB/s burst 10GiB",
	"limits.channels_per_connection": "10000",
}

// Run is called by kong.
func (d *devCommand) Run(ctx context.Context, c *console) error {
	return (&server{console: c, load: d.settings, dev: true, banner: devBanner}).run(ctx)
}

func (d *devCommand) settings() (*config.Loaded, error) {
	defaults := maps.Clone(devDefaults)
	defaults["services"] = strings.Join(node.Services(), " ")
	return d.load(d.Listen, defaults)
}

func devBanner(s *server) {
	st, self := s.console.outStyle, invocation()
	s.rows("Carillon is ringing.", s.page(), "everybody may do everything, from this machine only")
	at := ""
	if url := s.node.URL(); url != defaultURL {
		at = " --url " + url
	}
	fmt.Fprintf(s.console.out, "\n  Try, each in a shell of its own:\n\n    %s sub demo:lobby%s\n    %s pub demo:lobby '\"hello\"'%s\n\n  %s\n\n",
		self, at, self, at, st.dim("Ctrl-C ends it."))
}
