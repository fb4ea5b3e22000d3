package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"carillon/client"
	"carillon/wire"
)

type pubCommand struct {
	Channel string  `arg:"" help:"Channel to publish to."`
	Body    *string `arg:"" optional:"" help:"What to publish: JSON, or any text with --text. Without it, every line of standard input."`
	Text    bool    `help:"The body, or each line, is text, and is published as a JSON string."`
	ID      string  `name:"id" placeholder:"ID" help:"Idempotency id of BODY: published again under the same id, it is not appended twice. Default: a random one."`
	outputFlags
	clientFlags
}

// Help is shown by --help.
func (pubCommand) Help() string {
	return `Publishes BODY and prints its place in the channel. Without BODY it publishes standard input line by line, in order, with at most 128 lines under way; empty lines are skipped, and every other one is acknowledged by the server or reported as refused with its number. After a lost connection what was not acknowledged is sent again; the server appends it once.

Examples:

	carillon pub demo:lobby '{"text":"hello"}'
	zcat games.pgn.gz | carillon pub games:all --text

Environment: CARILLON_URL, CARILLON_TOKEN, CARILLON_TOKEN_FILE, NO_COLOR.`
}

// Validate is called by kong.
func (p *pubCommand) Validate() error {
	if p.ID != "" && p.Body == nil {
		return usage("Give BODY as well: lines of standard input get ids of their own.", "--id is the id of one record")
	}
	return checkChannels(p.Channel)
}

// Run is called by kong.
func (p *pubCommand) Run(ctx context.Context, c *console) error {
	if p.Body == nil {
		return p.lines(ctx, c)
	}
	body, err := p.encode([]byte(*p.Body))
	if err != nil {
		return err
	}
	s, err := p.connect(ctx, c, outagePublish)
	if err != nil {
		return err
	}
	defer s.end()
	ack, err := s.Publish(s.ctx, p.Channel, body, client.PublishOptions{ID: p.ID})
	if err != nil {
		return p.unsettled(s, err)
	}
	p.print(c, ack)
	return nil
}

// encode makes the JSON text of what a person typed, or of a line.
func (p *pubCommand) encode(raw []byte) ([]byte, error) {
	if !p.Text {
		if !json.Valid(raw) {
			return nil, usage(`Quote it as JSON, such as '"hello"' or '{"text":"hello"}', or add --text to publish it as text.`, "the body is no JSON: %s", printable(clip(string(raw), 60)))
		}
		return raw, nil
	}
	if !utf8.Valid(raw) {
		return nil, usage("Convert it first, for example with iconv -t UTF-8.", "the body is no UTF-8 text")
	}
	if len(raw) == 0 {
		return nil, usage("Give some text.", "the body is empty")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(string(raw)) // a string
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// unsettled explains why a publish has no acknowledgement; where it may have arrived all the same, that comes first.
func (p *pubCommand) unsettled(s *session, err error) error {
	unknown := errors.Is(err, client.ErrOutcomeUnknown)
	explained := s.explain(err)
	if f := asFailure(explained); unknown && f != nil {
		say := f.say + "; the record was sent and may be in the channel or not"
		return &failure{f.code, say, "Look with: carillon history " + p.Channel + ". " + f.next}
	}
	return explained
}

// acknowledged is an acknowledgement as a program gets it.
type acknowledged struct {
	Channel string `json:"channel"`
	Offset  uint64 `json:"offset"`
	At      string `json:"at"`
	Ack     string `json:"ack"`
	ID      string `json:"id"`
}

func (p *pubCommand) print(c *console, ack client.Ack) {
	if p.json(c) {
		line, _ := json.Marshal(acknowledged{p.Channel, ack.At.Offset, ack.At.String(), string(ack.Level), ack.ID}) // strings and a number
		fmt.Fprintf(c.out, "%s\n", line)
		return
	}
	fmt.Fprintf(c.out, "%s %s at %s: %s\n", c.outStyle.green("published"), p.Channel, c.outStyle.bold(fmt.Sprint(ack.At.Offset)), survives(ack.Level))
}

// survives says in words what an acknowledgement is worth.
func survives(a wire.Ack) string {
	switch a {
	case wire.AckDurable:
		return "durable"
	case wire.AckMemory:
		return "in memory, gone when the server ends"
	}
	return string(a)
}
