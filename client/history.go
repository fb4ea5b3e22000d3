package client

import (
	"context"

	"carillon/channel"
	"carillon/wire"
)

// HistoryQuery asks for a page of a log. Forwards: the records after At, from the oldest kept where it is zero.
// Back: the records up to and including At, up to the newest where it is zero.
type HistoryQuery struct {
	At    Position
	Back  bool
	Limit int // records, at most 1,000. Default 100; the server sends fewer if they are large
}

// Page is a page of a log, in its order.
type Page struct {
	Channel string
	Records []Record
	More    bool     // there are further records in the direction asked for
	Head    Position // of the log when the page was read: to subscribe from there continues it
	Gap     *Gap     // not nil: the log does not continue HistoryQuery.At, and why

	at, before Position
	limit      int
	c          *Client
}

// History reads a page. It is asked again after lost connections and passing refusals, until ctx ends.
func (c *Client) History(ctx context.Context, name string, q HistoryQuery) (*Page, error) {
	n, err := channelName(name)
	if err != nil {
		return nil, err
	}
	a := &ask{c: c, req: request(wire.ReqHistory, n), done: make(chan struct{})}
	a.req.At, a.req.Back, a.req.Limit = q.At, q.Back, q.Limit
	if q.Limit <= 0 {
		a.req.Limit = wire.PageLimit
	}
	a.req.Limit = min(a.req.Limit, wire.MaxPage)
	if err := a.wait(ctx); err != nil {
		return nil, err
	}
	m := &a.answer
	p := &Page{
		Channel: name, Records: m.Page.Records, More: m.Page.More, Head: m.Page.Head,
		at: m.At, before: m.Page.Before, limit: a.req.Limit, c: c,
	}
	if m.Gap.Reason != channel.GapNone {
		p.Gap = &Gap{From: m.Gap.From, To: m.Gap.To, Reason: m.Gap.Reason, At: m.Page.Before}
	}
	return p, nil
}

// Next reads the page after this one. At the newest record that page is empty; later it may not be.
func (p *Page) Next(ctx context.Context) (*Page, error) {
	return p.c.History(ctx, p.Channel, HistoryQuery{At: p.at, Limit: p.limit})
}

// Prev reads the page before this one. Before the oldest record kept that page is empty.
func (p *Page) Prev(ctx context.Context) (*Page, error) {
	if p.before.IsZero() {
		return &Page{Channel: p.Channel, Head: p.Head, at: p.before, limit: p.limit, c: p.c}, nil
	}
	return p.c.History(ctx, p.Channel, HistoryQuery{At: p.before, Back: true, Limit: p.limit})
}

// ask is a request that changes nothing: it is sent until it is answered.
type ask struct {
	c    *Client
	req  wire.Request
	done chan struct{}

	// Guarded by Client.mu.
	tries   int
	settled bool
	answer  wire.Message
	err     error
}

func (a *ask) wait(ctx context.Context) error {
	c := a.c
	c.mu.Lock()
	if err := c.ended(); err != nil {
		c.mu.Unlock()
		return err
	}
	c.asks = append(c.asks, a)
	c.control(a.req, a)
	c.mu.Unlock()
	select {
	case <-a.done:
	case <-ctx.Done():
		c.mu.Lock()
		a.finish(nil, context.Cause(ctx))
		c.mu.Unlock()
	}
	return a.err
}

func (a *ask) answered(m *wire.Message) {
	switch {
	case a.settled:
	case m.Type == wire.MsgReply:
		a.finish(m, nil)
	case m.Retry:
		a.tries++
		a.c.after(a.c.retryWait(a.tries, m.RetryAfter), func() {
			if !a.settled {
				a.c.control(a.req, a)
			}
		})
	default:
		a.finish(nil, answerError(m))
	}
}

// finish settles the ask and forgets it.
func (a *ask) finish(m *wire.Message, err error) {
	for i, x := range a.c.asks {
		if x == a {
			a.c.asks = append(a.c.asks[:i], a.c.asks[i+1:]...)
			break
		}
	}
	a.settle(m, err)
}

func (a *ask) settle(m *wire.Message, err error) {
	if a.settled {
		return
	}
	a.settled, a.err = true, err
	if m != nil {
		a.answer = *m
	}
	close(a.done)
}
