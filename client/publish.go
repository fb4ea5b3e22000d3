package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"sync"

	"carillon/channel"
	"carillon/wire"
)

// Window is how many publishes PublishAll keeps without their acknowledgement.
const Window = 128

// Ack is what an acknowledgement says.
type Ack struct {
	Level wire.Ack // what the record survives
	At    Position // of the record; zero for a Fleeting one
	ID    string   // the idempotency id it was published under; "" for a Fleeting one
}

// Publish publishes one record and waits for its acknowledgement.
//
// A Logged record is sent again after lost connections and passing refusals until it is acknowledged, refused for good
// (*Error) or ctx ends; then the error includes ErrOutcomeUnknown if it was ever sent. Whatever happens, it is in the
// channel at most once. A Fleeting record is sent once.
//
// Records of one channel stand in it in the order in which Publish was called, however many are under way and however
// often the connection breaks. One exception: where the server refuses one for the moment (such as "busy") and takes
// others that were on their way behind it, the refused one comes after those. From that refusal on, the channel's
// publishes go out one by one until one succeeds, so nothing else overtakes it. A refusal for good holds up nobody.
func (c *Client) Publish(ctx context.Context, name string, body []byte, o PublishOptions) (Ack, error) {
	p, err := c.PublishAsync(ctx, name, body, o)
	if err != nil {
		return Ack{}, err
	}
	return p.Wait()
}

// PublishAsync is Publish without the wait: several records are under way at a time and share frames. The body is copied.
// ctx bounds the publish as a whole, not this call, which fails at once or never.
func (c *Client) PublishAsync(ctx context.Context, name string, body []byte, o PublishOptions) (*Pending, error) {
	n, err := channelName(name)
	if err != nil {
		return nil, err
	}
	r := request(wire.ReqPublish, n)
	r.Body, r.Binary, r.Class, r.Key, r.Idem, r.NoEcho = bytes.Clone(body), o.Binary, o.Class, o.Key, o.ID, o.NoEcho
	if r.Idem == "" && o.Class != channel.Fleeting {
		r.Idem = rand.Text()
	}
	if err := check(r); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	p := &Pending{c: c, req: r, done: make(chan struct{})}
	if err := c.enqueue(p); err != nil {
		return nil, err
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { p.giveUp(context.Cause(ctx)) })
		p.leash(stop)
	}
	return p, nil
}

// check judges a request as the server will: one that is malformed would take down all others of its frame.
func check(r wire.Request) error {
	r.ID = 1
	var room [1]wire.Request
	if _, err := wire.MessagePack.DecodeRequests(wire.MessagePack.AppendRequest(nil, &r), room[:0]); err != nil {
		e := wire.AsError(err)
		return &Error{Code: e.Code, Text: e.Text}
	}
	return nil
}

// PublishAll publishes bodies in their order, as PublishAsync does, with at most Window of them without their
// acknowledgement; for more it waits before it asks for the next body. acked, if not nil, is called for each in order,
// one call at a time, while bodies may be waiting for its next. The first error ends it: no further body is taken, and
// those under way are given up. It returns how many were acknowledged before that.
func (c *Client) PublishAll(ctx context.Context, name string, bodies iter.Seq[[]byte], o PublishOptions, acked func(Ack)) (n int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o.ID = ""                               // one id cannot stand for many
	window := make(chan *Pending, Window-2) // and one on either side of it
	var wg sync.WaitGroup
	wg.Go(func() {
		for p := range window {
			ack, e := p.Wait()
			switch {
			case err != nil:
			case e != nil:
				err = fmt.Errorf("record %d: %w", n+1, e)
				cancel(err)
			default:
				n++
				if acked != nil {
					acked(ack)
				}
			}
		}
	})
	var refused error
	for body := range bodies {
		var p *Pending
		if p, refused = c.PublishAsync(ctx, name, body, o); refused != nil {
			break
		}
		window <- p
	}
	close(window)
	wg.Wait()
	if err == nil && refused != nil {
		err = fmt.Errorf("record %d: %w", n+1, refused)
	}
	return n, err
}

// Pending is a publish under way.
type Pending struct {
	c    *Client
	req  wire.Request
	size int
	done chan struct{}

	// Guarded by Client.mu.
	reply   *Reply // of a command, filled in by its answer; nil: a publish
	seq     uint64
	lane    *lane
	first   stamp // when it was first sent
	settled bool
	stop    func() bool // ends the watch on its context
	ack     Ack
	err     error
}

// Done is closed when the publish is settled.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Wait waits until the publish is settled, by its answer or by the end of its context, and says how.
func (p *Pending) Wait() (Ack, error) {
	<-p.done
	return p.ack, p.err
}

// leash keeps what ends the watch on the context.
func (p *Pending) leash(stop func() bool) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.settled {
		stop()
	}
	p.stop = stop
}

// giveUp ends a publish of which the context ended.
func (p *Pending) giveUp(why error) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.settled {
		return
	}
	p.lane.forget(p)
	p.lose(why)
}

// lose settles a publish without an answer; c.mu is held.
func (p *Pending) lose(why error) {
	if p.first.set {
		why = unknownAfter(why)
	}
	p.settle(Ack{}, why)
}

// settle is called once, with c.mu held.
func (p *Pending) settle(ack Ack, err error) {
	if p.settled {
		return
	}
	p.settled, p.ack, p.err = true, ack, err
	p.c.queue.take(p)
	if p.stop != nil {
		p.stop()
	}
	close(p.done)
}
