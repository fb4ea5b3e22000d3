package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/wire"
)

type subCommand struct {
	Channels []string `arg:"" name:"channel" help:"Channels to follow."`
	Rewind   int      `placeholder:"N" help:"Begin N records back, at most 1000, as far as the server has them."`
	After    string   `placeholder:"POSITION" help:"Begin after a position: 'at' of a record of that one channel."`
	Count    int      `placeholder:"N" help:"End after N records. Default: go on until Ctrl-C."`
	outputFlags
	clientFlags
}

// Help is shown by --help.
func (subCommand) Help() string {
	return `Prints every record once and in order, over lost connections and restarts of the server; what is missing for good is said on standard error. Ctrl-C ends it.

Examples:

	carillon sub demo:lobby --rewind 10
	carillon sub scores:nba scores:nfl --json | jq .data

Environment: CARILLON_URL, CARILLON_TOKEN, CARILLON_TOKEN_FILE, NO_COLOR.`
}

// Validate is called by kong.
func (s *subCommand) Validate() error {
	switch {
	case s.Rewind < 0 || s.Rewind > wire.MaxPage:
		return usage("For more there is: carillon history CHANNEL --all", "--rewind is 0 to %d", wire.MaxPage)
	case s.Count < 0:
		return usage("See: carillon sub --help", "--count is negative")
	case s.After != "" && len(s.Channels) > 1:
		return usage("Follow each channel with a command of its own.", "--after is a position in one channel, and %d are named", len(s.Channels))
	}
	if err := checkPosition(s.After); err != nil {
		return err
	}
	return checkChannels(s.Channels...)
}

// Run is called by kong.
func (s *subCommand) Run(ctx context.Context, c *console) error {
	line, err := s.connect(ctx, c, 0)
	if err != nil {
		return err
	}
	defer line.end()
	p := &printer{console: c, json: s.json(c), named: len(s.Channels) > 1, left: s.Count, line: line}
	after, _ := channel.ParsePosition(s.After) // checked
	began := time.Now()
	var subs []*client.Subscription
	for _, name := range s.Channels {
		sub, err := line.Subscribe(line.ctx, name, client.SubscribeOptions{After: after, Rewind: s.Rewind})
		if errors.Is(err, client.ErrSubscribed) {
			return usage("Name it once.", "%s is named twice", name)
		}
		if err != nil {
			return s.ended(ctx, line.explain(err))
		}
		subs = append(subs, sub)
	}
	user := line.user()
	if !p.json {
		user = shortened(user)
	}
	c.note("listening to %s as %s", strings.Join(s.Channels, ", "), user)
	var all sync.WaitGroup
	for _, sub := range subs {
		all.Go(func() { p.follow(sub) })
	}
	all.Wait()
	c.note("%s in %s%s", plural(p.printed, "record"), time.Since(began).Round(100*time.Millisecond), p.gapSummary())
	if err := context.Cause(line.ctx); !errors.Is(err, errEnough) {
		return s.ended(ctx, line.explain(err))
	}
	return nil
}

// ended takes Ctrl-C as the usual end it is here.
func (s *subCommand) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// errEnough ends a session that did what it was asked for.
var errEnough = errors.New("all that was asked for")

// printer prints the events of all subscriptions, one at a time.
type printer struct {
	console *console
	line    *session
	json    bool
	named   bool

	mu      sync.Mutex
	left    int // records until the end; 0: no end
	printed int
	gaps    int
	over    bool
	text    []byte
}

// follow prints what comes until the subscription or the session ends.
func (p *printer) follow(sub *client.Subscription) {
	for {
		e, err := sub.Next(p.line.ctx)
		if err == nil {
			err = p.print(sub.Channel(), &e)
		}
		if err != nil {
			p.line.cancel(err) // the first reason counts; one channel that ends ends all
			return
		}
	}
}

func (p *printer) print(name string, e *client.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
		return errEnough
	case e.Gap != nil:
		p.gaps++
		p.console.note("%s", gapNote(name, e.Gap))
		return nil
	case p.json:
		p.text = appendJSON(p.text[:0], &e.Record)
	default:
		p.text = appendHuman(p.text[:0], &e.Record, p.console.outStyle, p.named)
	}
	if _, err := p.console.out.Write(p.text); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	p.printed++
	if p.over = p.printed == p.left; p.over {
		return errEnough
	}
	return nil
}

func (p *printer) gapSummary() string {
	if p.gaps == 0 {
		return ""
	}
	return ", " + plural(p.gaps, "gap")
}
