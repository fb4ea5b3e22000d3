package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"carillon/client"
)

type callCommand struct {
	Channel string `arg:"" help:"Channel whose service is asked."`
	Body    string `arg:"" help:"The command: JSON, as the service wants it."`
	ID      string `name:"id" placeholder:"ID" help:"Idempotency id: sent again under the same id, the command is not done twice and is answered alike. Default: a random one."`
	outputFlags
	clientFlags
}

// Help is shown by --help.
func (callCommand) Help() string {
	return `Sends a command to the service that owns CHANNEL and prints its answer. After a lost connection it is sent again under the same id; the service does it once. A refusal of the service ends with exit code 3 and shows the service's own code.

Examples:

	carillon call counter:visits '{"do":"add","by":1}'
	carillon call counter:visits '{"do":"add","by":1}' --id 2026-11-22 --json

Environment: CARILLON_URL, CARILLON_TOKEN, CARILLON_TOKEN_FILE, NO_COLOR.`
}

// Validate is called by kong.
func (k *callCommand) Validate() error {
	if !json.Valid([]byte(k.Body)) {
		return usage(`Quote it as JSON, such as '{"do":"add","by":1}'.`, "the command is no JSON: %s", printable(clip(k.Body, 60)))
	}
	return checkChannels(k.Channel)
}

// Run is called by kong.
func (k *callCommand) Run(ctx context.Context, c *console) error {
	s, err := k.connect(ctx, c, outagePublish)
	if err != nil {
		return err
	}
	defer s.end()
	r, err := s.Command(s.ctx, k.Channel, []byte(k.Body), client.CommandOptions{ID: k.ID})
	if err != nil {
		return k.unsettled(s, err)
	}
	k.print(c, &r)
	if r.Refused != 0 {
		return &failure{exitRefused, fmt.Sprintf("the service refused it with its code %d", r.Refused), ""}
	}
	return nil
}

// unsettled explains why there is no answer; where the command may have been done all the same, that comes first.
func (k *callCommand) unsettled(s *session, err error) error {
	explained := s.explain(err)
	if f := asFailure(explained); f != nil && errors.Is(err, client.ErrOutcomeUnknown) {
		return &failure{f.code, f.say + "; the command was sent and may have been done or not", "Send it again under the same --id, if you gave one. " + f.next}
	}
	return explained
}

// answered is an answer as a program gets it.
type answered struct {
	Channel string          `json:"channel"`
	Offset  uint64          `json:"offset,omitempty"`
	At      string          `json:"at,omitempty"`
	Ack     string          `json:"ack"`
	ID      string          `json:"id"`
	Code    int             `json:"code,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Data64  []byte          `json:"data64,omitempty"`
}

func (k *callCommand) print(c *console, r *client.Reply) {
	if k.json(c) {
		a := answered{Channel: k.Channel, Offset: r.At.Offset, Ack: string(r.Level), ID: r.ID, Code: r.Refused}
		if !r.At.IsZero() {
			a.At = r.At.String()
		}
		if r.Binary {
			a.Data64 = r.Body
		} else {
			a.Data = r.Body
		}
		line, err := json.Marshal(a)
		if err != nil { // the server promised JSON and sent something else: show it, as what it is
			a.Data, a.Data64 = nil, r.Body
			line, _ = json.Marshal(a)
		}
		fmt.Fprintf(c.out, "%s\n", line)
		return
	}
	text := printable(string(r.Body))
	if r.Binary {
		text = grouped(len(r.Body)) + " bytes"
	}
	what := c.outStyle.green("answered")
	if r.Refused != 0 {
		what = c.outStyle.red("refused")
	}
	fmt.Fprintf(c.out, "%s %s at %s: %s\n", what, k.Channel, c.outStyle.bold(fmt.Sprint(r.At.Offset)), text)
}
