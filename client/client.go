// Package client is the Go client of Carillon. It owns one connection, which it dials anew for ever, and what must survive
// its loss: publishes without their acknowledgement, and for every subscription the position up to which records were
// handed over. An acknowledged publish is in its channel once; a subscriber gets every record once and in order, or a Gap
// in the place of those that nobody has any more. Slow readers hold up nobody: see Subscription.
// Start with Dial, Client.Subscribe and Client.Publish.
package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// Position is a place in the log of a channel; see channel.Position.
type Position = channel.Position

// Record is something that happened in a channel; see channel.Record. Its Body must not be changed.
type Record = channel.Record

// Client is a connection that comes back, with all that is asked of it. All methods are safe for use by many goroutines.
// It holds three goroutines while connected, however many subscriptions it has.
type Client struct {
	url  string
	o    Options
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup // everything started here

	guest string // whom the server took a client without a token for; belongs to run

	mu       sync.Mutex
	rnd      *rand.Rand
	line     *line // nil while not connected
	lastID   uint64
	calls    map[uint64]caller // requests on this line without their reply
	controls []control         // requests other than publishes, waiting to be sent on this line
	later    []later           // what to do on this line at a later time
	asks     []*ask            // history requests without their answer
	lanes    map[channel.Name]*lane
	ready    []*lane // have something that may be sent
	seq      uint64  // of the last publish
	queue    load    // publishes that are not settled
	subs     map[channel.Name]*Subscription
	met      bool // was connected once
	first    chan struct{}
	err      error // why it ended
	done     chan struct{}
}

// New makes a client that connects in the background, and returns at once. The client must be closed.
func New(url string, o Options) *Client {
	ctx, stop := context.WithCancel(context.Background())
	o.setDefaults()
	c := &Client{
		url: url, o: o, ctx: ctx, stop: stop, rnd: o.Backoff.source(),
		calls: map[uint64]caller{}, lanes: map[channel.Name]*lane{}, subs: map[channel.Name]*Subscription{},
		first: make(chan struct{}), done: make(chan struct{}),
	}
	c.wg.Go(c.run)
	return c
}

// Dial makes a client and waits until it is connected for the first time. Like every later one, a first connection that
// fails is tried again, until ctx ends, Backoff.Attempts are used up or the server says that it is in vain.
func Dial(ctx context.Context, url string, o Options) (*Client, error) {
	var last error
	tell := o.OnState
	o.OnState = func(s State) {
		if s.Err != nil {
			last = s.Err
		}
		if tell != nil {
			tell(s)
		}
	}
	c := New(url, o)
	select {
	case <-c.first:
		return c, nil
	case <-c.done:
		err := c.Err()
		_ = c.Close()
		return nil, err
	case <-ctx.Done():
		_ = c.Close()
		if last == nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w; the last attempt failed: %w", context.Cause(ctx), last)
	}
}

// Close ends the connection and all subscriptions, and waits for the client's goroutines. A publish that is not settled
// ends with ErrClosed, and with ErrOutcomeUnknown too if it was sent. It never fails, and may be called twice.
func (c *Client) Close() error {
	c.stop()
	c.wg.Wait()
	return nil
}

// Done is closed when the client has ended: after Close, or when it gave up.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the client ended; nil while it lives. It is ErrClosed after Close, an *Error if the server said that to
// connect again is in vain.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// run connects, and connects again.
func (c *Client) run() {
	defer close(c.done)
	r := retreat{backoff: c.o.Backoff}
	for {
		c.tell(State{Phase: Connecting, Attempt: r.attempt})
		began := time.Now()
		e := c.session(r.since)
		switch {
		case c.ctx.Err() != nil:
			c.end(ErrClosed)
			return
		case e.then == wire.ReconnectNever:
			c.fail(e.err)
			return
		}
		wait, ok := r.next(e, began, c.roll)
		if !ok {
			c.fail(fmt.Errorf("gave up after %d attempts: %w", r.attempt, e.err))
			return
		}
		c.tell(State{Phase: Reconnecting, Attempt: r.attempt, Wait: wait, Err: e.err})
		if !pause(c.ctx, wait) {
			c.end(ErrClosed)
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// roll is a random number in [0, 1).
func (c *Client) roll() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.Float64()
}

// tell reports a state. No lock is held.
func (c *Client) tell(s State) {
	if c.o.OnState != nil {
		c.o.OnState(s)
	}
}

func (c *Client) fail(err error) {
	c.end(err)
	c.tell(State{Phase: Failed, Err: err})
}

// end lets everybody go who waits for something.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for _, a := range c.asks {
		a.settle(nil, err)
	}
	c.asks = nil
	for _, ln := range c.lanes {
		ln.abandon(err)
	}
	for _, s := range c.subs {
		s.end(err)
	}
}

// ended is the error of calls to a client that is over; c.mu is held.
func (c *Client) ended() error {
	if c.err == nil && c.ctx.Err() != nil {
		return ErrClosed
	}
	return c.err
}

// attach puts a fresh line to use: everything that is open is asked (again) on it.
func (c *Client) attach(l *line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = l
	for _, a := range c.asks {
		c.control(a.req, a)
	}
	for _, ln := range c.lanes {
		ln.offer()
	}
	for _, s := range c.subs {
		s.lineUp()
	}
	if !c.met {
		c.met = true
		close(c.first)
	}
}

// detach forgets a line that is gone, and what was under way on it.
func (c *Client) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = nil
	clear(c.calls)
	c.controls, c.later, c.ready = nil, nil, nil
	for _, ln := range c.lanes {
		ln.lineDown()
	}
	for _, s := range c.subs {
		s.lineDown()
	}
}

// wake makes the writer look for something to send; c.mu is held.
func (c *Client) wake() {
	if c.line != nil {
		select {
		case c.line.wake <- struct{}{}:
		default:
		}
	}
}

// channelName checks a name before anything is asked of the server.
func channelName(name string) (channel.Name, error) {
	n, err := channel.ParseName(name)
	if err != nil {
		return "", &Error{Code: wire.CodeBadChannel, Text: fmt.Sprintf("%q is no channel name.", name)}
	}
	return n, nil
}

// unknownAfter is the error of something that was sent and then given up because of err.
func unknownAfter(err error) error { return errors.Join(ErrOutcomeUnknown, err) }
