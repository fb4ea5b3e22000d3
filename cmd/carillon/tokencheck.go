package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"carillon/config"
	"carillon/gateway/auth"
	"carillon/node"
)

// tokenCheck judges with the code that a server judges with.
type tokenCheck struct {
	config.Flags
	outputFlags
}

// Help is shown by --help.
func (tokenCheck) Help() string {
	return `Reads a token from CARILLON_TOKEN, from the file that CARILLON_TOKEN_FILE names, or from standard input; never from an argument, where others on this machine could see it. It prints what the token says, with which key it would be checked, what it allows, and why it is refused if it is. The keys are those of the configuration; keys behind a jwks_url are not fetched. The signature is not printed.

Examples:

	carillon token create --user ann | carillon token check
	carillon token check --config /etc/carillon/carillon.yaml < token

Environment: CARILLON_TOKEN, CARILLON_TOKEN_FILE, CARILLON_CONFIG, CARILLON_SECRET_FILE, NO_COLOR.`
}

// Run is called by kong.
func (t *tokenCheck) Run(ctx context.Context, c *console) error {
	l, err := config.Load(t.Sources())
	if err != nil {
		return err
	}
	o, err := node.FromConfig(&l.Config)
	if err != nil {
		return err
	}
	keys, err := keysOf(o)
	if err != nil {
		return err
	}
	token, err := t.read(ctx, c)
	if err != nil {
		return err
	}
	if keys == nil {
		return t.unproven(c, token)
	}
	r := keys.Explain(token)
	t.print(c, r)
	if !r.Accepted {
		return &failure{exitRefused, "a server with this configuration refuses the token: " + r.Why, ""}
	}
	return nil
}

// unproven shows what a token says where nothing can check it.
func (t *tokenCheck) unproven(c *console, token string) error {
	r, err := auth.ReadUnverified(token, time.Now())
	if err != nil {
		return &failure{exitRefused, err.Error(), ""}
	}
	t.print(c, r)
	return &failure{exitFailed, "nothing here proves the token: there is neither a secret nor an issuer to check it with", "Set CARILLON_SECRET_FILE, or name the server's configuration with --config."}
}

func (t *tokenCheck) print(c *console, r auth.Report) {
	if !t.json(c) {
		fmt.Fprint(c.out, r)
		return
	}
	line, err := json.Marshal(r)
	if err != nil { // a claim that is no JSON after all: the rest is worth showing
		r.Claims = nil
		line, _ = json.Marshal(r)
	}
	fmt.Fprintf(c.out, "%s\n", line)
}

// read finds the token.
func (t *tokenCheck) read(ctx context.Context, c *console) (string, error) {
	given, err := credential()
	if err != nil {
		return "", err
	}
	if given != nil {
		return given(ctx)
	}
	if c.inTerm {
		c.note("paste the token, then Enter and Ctrl-D")
	}
	raw, err := io.ReadAll(io.LimitReader(c.in, 2*auth.MaxToken)) // one that is too long shall be called so
	if err != nil {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		return "", usage("Give it on standard input, or in CARILLON_TOKEN or CARILLON_TOKEN_FILE.", "there is no token")
	}
	return string(raw), nil
}
