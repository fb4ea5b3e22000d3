package main

import (
	"context"
	"fmt"
	"net"

	"carillon/node"
)

// devCommand is everything on the embedded default.
type devCommand struct {
	Listen string `default:"127.0.0.1:8000" placeholder:"HOST:PORT" help:"Where to listen; loopback addresses only (default ${default})."`
	serverFlags
	secretFlags
}

// Help is shown by --help.
func (devCommand) Help() string {
	return `Everybody on this machine may connect without a token and do everything, so it listens on loopback addresses alone. A page at / shows the live traffic of a channel. With CARILLON_SECRET_FILE set, clients may also bring tokens, which are then checked.

Examples:

	carillon dev
	carillon dev --data ./data --durable games --durable chat

Environment: CARILLON_SECRET_FILE, NO_COLOR.`
}

// Validate is called by kong.
func (d *devCommand) Validate() error { return d.check(d.Listen) }

// Run is called by kong.
func (d *devCommand) Run(ctx context.Context, c *console) error {
	o := node.Options{Listen: d.Listen, Dev: true}
	if d.SecretFile != "" {
		secret, doubts, err := d.read()
		if err != nil {
			return err
		}
		o.Secret = secret
		for _, doubt := range doubts {
			c.note("warning: %s", doubt)
		}
	}
	return d.run(ctx, c, o, func(n *node.Node) { d.banner(c, n) })
}

func (d *devCommand) banner(c *console, n *node.Node) {
	s, self := c.outStyle, invocation()
	fmt.Fprintf(c.out, "\n  %s %s\n\n", s.bold("Carillon is ringing."), s.dim(version))
	row := func(title, text string) { fmt.Fprintf(c.out, "  %s  %s\n", s.dim(fmt.Sprintf("%-7s", title)), text) }
	row("page", s.blue("http://"+n.Address()+"/"))
	row("clients", s.blue(n.URL()))
	row("rights", "everybody may do everything, from this machine only")
	for i, line := range d.kept(s) {
		row([]string{"kept", ""}[min(i, 1)], line)
	}
	at := ""
	if _, port, _ := net.SplitHostPort(n.Address()); n.URL() != defaultURL {
		at = " --url ws://" + net.JoinHostPort(urlHost(n), port) + "/ws"
	}
	fmt.Fprintf(c.out, "\n  Try, each in a shell of its own:\n\n    %s sub demo:lobby%s\n    %s pub demo:lobby '\"hello\"'%s\n\n  %s\n\n",
		self, at, self, at, s.dim("Ctrl-C ends it."))
}

func urlHost(n *node.Node) string {
	host, _, _ := net.SplitHostPort(n.Address())
	return host
}
