package main

import (
	"fmt"
	"time"

	"carillon/gateway/auth"
)

type tokenCommand struct {
	Create tokenCreate `cmd:"" help:"Print a token."`
	Check  tokenCheck  `cmd:"" help:"Say what a token is, and what a server with this configuration would make of it."`
}

// tokenCreate signs with the code that a server checks with.
type tokenCreate struct {
	User    string        `required:"" placeholder:"NAME" help:"Whom the token speaks for."`
	Can     []string      `default:"*" placeholder:"ACTION" help:"What it allows: subscribe, publish, history, presence, command, or * for all (default ${default}); may be given several times."`
	Channel []string      `default:"*" placeholder:"PATTERN" help:"In which channels: a name, or the beginning of one followed by * (default ${default}); may be given several times."`
	Deny    []string      `placeholder:"PATTERN" help:"Channels in which it allows nothing, whatever else it says."`
	TTL     time.Duration `name:"ttl" default:"1h" help:"How long it is good for, at most 24h (default ${default})."`
	secretFlags
}

// Help is shown by --help.
func (tokenCreate) Help() string {
	return `Prints the token and nothing else. It is signed with the secret in CARILLON_SECRET_FILE; a server with the same secret accepts it until it expires.

Examples:

	CARILLON_TOKEN=$(carillon token create --user ann) carillon sub chat:lobby
	carillon token create --user feed --can publish --channel 'scores:*' --ttl 12h > token

Environment: CARILLON_SECRET_FILE.`
}

// Run is called by kong.
func (t *tokenCreate) Run(c *console) error {
	secret, doubts, err := t.read()
	if err != nil {
		return err
	}
	for _, doubt := range doubts {
		c.note("warning: %s", doubt)
	}
	keys, err := auth.NewKeys(secret, time.Now)
	if err != nil {
		return err
	}
	caps := []auth.Capability{{Channels: t.Channel, Can: t.Can}}
	if len(t.Deny) > 0 {
		caps = append(caps, auth.Capability{Channels: t.Deny, Deny: true})
	}
	token, err := keys.Sign(t.User, caps, t.TTL)
	if err != nil {
		return usage("See: carillon token create --help", "%v", err)
	}
	fmt.Fprintln(c.out, token)
	return nil
}
