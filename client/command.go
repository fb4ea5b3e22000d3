package client

import (
	"bytes"
	"context"
	"crypto/rand"

	"carillon/wire"
)

// CommandOptions say how a command is sent.
type CommandOptions struct {
	// ID makes a command idempotent: the same ID and body is done once, however often it is sent, and answered alike.
	// 1 to 64 bytes of printable ASCII. Default: 128 random bits.
	ID string
	// Binary says that the body is bytes. Otherwise it is one JSON text, which is checked before it is sent.
	Binary bool
}

// Reply is what a service answered.
type Reply struct {
	Level   wire.Ack // what the answer survives
	At      Position // head of the channel's log after the command: to subscribe from there misses nothing and repeats nothing
	ID      string   // the idempotency id it was sent under
	Refused int      // the service's own code if it refused; 0: it did not
	Binary  bool     // Body is bytes; otherwise one JSON text
	Body    []byte   // may be empty
}

// Command asks the service that owns a channel to do something, and waits for its answer. A refusal of the service is an
// answer too, see Reply.Refused.
//
// It is sent again, under the same id, after lost connections and passing refusals of the server (such as "busy" or
// "stopped"), until it is answered, refused for good (*Error) or ctx ends; then the error includes ErrOutcomeUnknown if it
// was ever sent. Whatever happens, it is done at most once. Commands and publishes of one channel keep their order, as
// described at Publish, and share its bounds.
func (c *Client) Command(ctx context.Context, name string, body []byte, o CommandOptions) (Reply, error) {
	n, err := channelName(name)
	if err != nil {
		return Reply{}, err
	}
	r := request(wire.ReqCommand, n)
	r.Body, r.Binary, r.Idem = bytes.Clone(body), o.Binary, o.ID
	if r.Idem == "" {
		r.Idem = rand.Text()
	}
	if err := check(r); err != nil {
		return Reply{}, err
	}
	if ctx.Err() != nil {
		return Reply{}, context.Cause(ctx)
	}
	p := &Pending{c: c, req: r, done: make(chan struct{}), reply: &Reply{ID: r.Idem}}
	if err := c.enqueue(p); err != nil {
		return Reply{}, err
	}
	if ctx.Done() != nil {
		p.leash(context.AfterFunc(ctx, func() { p.giveUp(context.Cause(ctx)) }))
	}
	if _, err := p.Wait(); err != nil {
		return Reply{}, err
	}
	return *p.reply, nil
}

// hear keeps what a command was answered; Client.mu is held.
func (p *Pending) hear(m *wire.Message) {
	if p.reply == nil || p.settled {
		return
	}
	p.reply.Level, p.reply.At, p.reply.Refused, p.reply.Binary, p.reply.Body = m.Ack, m.At, m.Refused, m.Binary, m.Body
}
