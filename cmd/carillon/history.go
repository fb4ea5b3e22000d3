package main

import (
	"context"
	"fmt"

	"carillon/channel"
	"carillon/client"
	"carillon/wire"
)

type historyCommand struct {
	Channel string `arg:"" help:"Channel to read."`
	Limit   int    `default:"100" placeholder:"N" help:"Most records of a page, 1 to 1000 (default ${default})."`
	Forward bool   `help:"The oldest page instead of the newest."`
	All     bool   `help:"Everything that is kept, oldest first."`
	After   string `placeholder:"POSITION" help:"Only what comes after a position ('at' of a record); implies --forward."`
	Before  string `placeholder:"POSITION" help:"The page that ends before the record at a position."`
	outputFlags
	clientFlags
}

// Help is shown by --help.
func (historyCommand) Help() string {
	return `Prints the newest records that a channel keeps, the newest last. How many it keeps is a matter of its namespace: those named with --durable keep all.

Examples:

	carillon history demo:lobby
	carillon history games:blitz --all --json > games.jsonl

Environment: CARILLON_URL, CARILLON_TOKEN, CARILLON_TOKEN_FILE, NO_COLOR.`
}

// Validate is called by kong.
func (h *historyCommand) Validate() error {
	if h.Limit < 1 || h.Limit > wire.MaxPage {
		return usage("For more than a page there is --all.", "--limit is 1 to %d", wire.MaxPage)
	}
	if h.Before != "" && (h.After != "" || h.Forward || h.All) {
		return usage("See: carillon history --help", "--before reads backwards; --after, --forward and --all forwards")
	}
	for _, text := range []string{h.After, h.Before} {
		if err := checkPosition(text); err != nil {
			return err
		}
	}
	return checkChannels(h.Channel)
}

func checkPosition(text string) error {
	if _, err := channel.ParsePosition(text); err != nil {
		return usage("A position is what stands under 'at' in the output of sub, pub and history with --json.", "%q is no position", text)
	}
	return nil
}

func checkChannels(names ...string) error {
	for _, name := range names {
		if _, err := channel.ParseName(name); err != nil {
			return usage("Such as chat:lobby: "+channel.ErrName.Error(), "%q is no channel name", name)
		}
	}
	return nil
}

// Run is called by kong.
func (h *historyCommand) Run(ctx context.Context, c *console) error {
	s, err := h.connect(ctx, c, outagePublish)
	if err != nil {
		return err
	}
	defer s.end()
	if h.Forward || h.All || h.After != "" {
		return s.explain(h.forwards(s, c))
	}
	return s.explain(h.backwards(s, c))
}

func (h *historyCommand) forwards(s *session, c *console) error {
	after, _ := channel.ParsePosition(h.After) // checked
	q := client.HistoryQuery{At: after, Limit: h.Limit}
	if h.All {
		q.Limit = wire.MaxPage
	}
	p, err := s.History(s.ctx, h.Channel, q)
	if err != nil {
		return err
	}
	for {
		if p.Gap != nil {
			c.note("%s", gapNote(h.Channel, p.Gap))
		}
		if err := h.print(c, p.Records); err != nil {
			return err
		}
		if !p.More {
			return h.empty(c, p)
		}
		if !h.All {
			c.note("there is more: --all, or --after %s", p.Records[len(p.Records)-1].At)
			return nil
		}
		if p, err = p.Next(s.ctx); err != nil {
			return err
		}
	}
}

func (h *historyCommand) backwards(s *session, c *console) error {
	before, _ := channel.ParsePosition(h.Before) // checked
	q := client.HistoryQuery{At: before, Back: true, Limit: h.Limit}
	if h.Before != "" {
		q.Limit = min(q.Limit+1, wire.MaxPage) // the server's page has the record at that position too
	}
	p, err := s.History(s.ctx, h.Channel, q)
	if err != nil {
		return err
	}
	if p.Gap != nil {
		c.note("%s", gapNote(h.Channel, p.Gap))
	}
	rs := p.Records
	if n := len(rs); n > 0 && rs[n-1].At == before {
		rs = rs[:n-1]
	}
	if err := h.print(c, rs); err != nil {
		return err
	}
	if p.More && len(rs) > 0 {
		c.note("there is more: --all, or --before %s", rs[0].At)
		return nil
	}
	return h.empty(c, p)
}

// empty says so, where nothing at all was printed.
func (h *historyCommand) empty(c *console, p *client.Page) error {
	if len(p.Records) == 0 && h.After == "" && h.Before == "" && p.Head.Offset == 0 {
		c.note("nothing was published to %s yet, or the server forgot it", h.Channel)
	}
	return nil
}

func (h *historyCommand) print(c *console, rs []channel.Record) error {
	var text []byte
	for i := range rs {
		rs[i].Channel = channel.Name(h.Channel) // a page says it once
		if h.json(c) {
			text = appendJSON(text, &rs[i])
		} else {
			text = appendHuman(text, &rs[i], c.outStyle, false)
		}
	}
	if _, err := c.out.Write(text); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

// gapNote says what a reader lacks.
func gapNote(name string, g *client.Gap) string {
	var why string
	switch g.Reason {
	case channel.GapTrimmed:
		why = "the server keeps them no longer"
	case channel.GapTooMany, channel.GapSlow:
		why = "they came faster than they were read; history has what is kept"
	case channel.GapEpoch:
		return fmt.Sprintf("gap in %s: its log was lost and began anew", name)
	case channel.GapDiverged, channel.GapAhead:
		return fmt.Sprintf("gap in %s: the server's log has another past than that position", name)
	}
	return fmt.Sprintf("gap in %s: records %d to %d are missing: %s", name, g.From, g.To, why)
}
