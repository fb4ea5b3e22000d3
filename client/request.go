package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// caller waits for the answer to a request. It is called with Client.mu held.
type caller interface{ answered(m *wire.Message) }

// nobody is the caller of requests of which the answer says nothing new.
type nobody struct{}

func (nobody) answered(*wire.Message) {}

// control is a request that is not a publish; those go first, in order.
type control struct {
	req  wire.Request
	from caller
}

// later is something to do at a time, unless the line is lost before. It runs with Client.mu held.
type later struct {
	at time.Time
	do func()
}

// control queues a request for the line; without a line it does nothing. c.mu is held.
func (c *Client) control(r wire.Request, from caller) {
	if c.line == nil {
		return
	}
	c.controls = append(c.controls, control{r, from})
	c.wake()
}

// after does something on this line after a while; c.mu is held.
func (c *Client) after(d time.Duration, do func()) {
	if c.line == nil {
		return
	}
	c.later = append(c.later, later{time.Now().Add(d), do})
	c.wake()
}

// retryWait is the pause before the n-th retry of something the server refused for the moment; c.mu is held.
func (c *Client) retryWait(n int, advised time.Duration) time.Duration {
	return max(advised, c.o.Backoff.wait(n, c.rnd.Float64()))
}

// write sends what waits, as many requests in a frame as wait by then.
func (c *Client) write(l *line) {
	var rs []wire.Request
	var frame []byte
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var wait time.Duration
		rs, wait = c.take(l, rs[:0])
		if len(rs) > 0 {
			frame = l.protocol.AppendRequests(frame[:0], rs)
			clear(rs)
			if err := l.ws.Write(context.Background(), l.frame, frame); err != nil {
				l.cannotWrite(err)
				return
			}
			continue
		}
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-l.gone:
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// take picks the requests of the next frame: the pong that is owed, then controls, then publishes. With nothing to send
// it says how long until that changes by itself; 0: it does not.
func (c *Client) take(l *line, rs []wire.Request) ([]wire.Request, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	wait := c.runLater(now)
	if l.pong {
		l.pong = false
		rs = append(rs, wire.Request{Type: wire.ReqPong})
	}
	limits := l.limits()
	room := limits.Frame
	for len(c.controls) > 0 && len(rs) < limits.Batch && len(c.calls) < limits.InFlight {
		k := c.controls[0]
		if room -= encodedSize(&k.req, l.protocol.Binary); room < 0 && len(rs) > 0 {
			break
		}
		c.controls = c.controls[1:]
		k.req.ID = c.book(k.from)
		rs = append(rs, k.req)
	}
	if !l.draining && len(c.controls) == 0 {
		rs = c.takePublishes(l, limits, rs, room, now)
	}
	return rs, wait
}

// book gives a request its id and notes who waits for the answer; c.mu is held.
func (c *Client) book(from caller) uint64 {
	c.lastID = max(c.lastID, connectID) + 1
	c.calls[c.lastID] = from
	return c.lastID
}

// runLater does what is due and says when the next is; c.mu is held.
func (c *Client) runLater(now time.Time) (wait time.Duration) {
	var due []later
	c.later = slices.DeleteFunc(c.later, func(x later) bool {
		if !x.at.After(now) {
			due = append(due, x)
			return true
		}
		if d := x.at.Sub(now); wait == 0 || d < wait {
			wait = d
		}
		return false
	})
	for _, x := range due {
		x.do()
	}
	return wait
}

// limits are those the server told, or defaults.
func (l *line) limits() wire.Limits {
	limits := l.hello.Limits
	if limits.Batch <= 0 || limits.Batch > wire.MaxBatch {
		limits.Batch = wire.MaxBatch
	}
	if limits.InFlight <= 0 {
		limits.InFlight = defaultInFlight
	}
	if limits.Body <= 0 {
		limits.Body = defaultBody
	}
	if limits.Frame <= 0 {
		limits.Frame = limits.Body + envelope
	}
	return limits
}

// read takes what the server sends, to the end of the line. It never waits for anybody else.
func (c *Client) read(l *line) {
	var ms []wire.Message
	for {
		kind, b, err := l.ws.Read(context.Background())
		if err != nil {
			l.drop(endingOf(err))
			return
		}
		l.heard()
		if kind == l.frame {
			ms, err = l.protocol.Codec.DecodeMessages(b, ms[:0])
		} else {
			err = errors.New("a frame of the other kind")
		}
		if err != nil {
			l.drop(ending{err: errors.Join(errors.New("the server broke the protocol"), err), then: wire.ReconnectBackoff})
			return
		}
		for _, s := range c.deliver(l, ms) {
			c.tell(s)
		}
		clear(ms)
		if l.stuck {
			l.drop(ending{err: fmt.Errorf("%w: a request was not answered", ErrLineLost), then: wire.ReconnectBackoff})
			return
		}
	}
}

// deliver hands messages to those they concern, and returns the states to be told.
func (c *Client) deliver(l *line, ms []wire.Message) (states []State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ms {
		m := &ms[i]
		switch m.Type {
		case wire.MsgRecord:
			s := c.subs[m.Record.Channel]
			switch {
			case s == nil:
			case m.Record.Class == channel.Latest:
				s.latest(m)
			default:
				s.record(m.Record)
			}
		case wire.MsgLatest:
			if s := c.subs[m.Channel]; s != nil {
				s.latest(m)
			}
		case wire.MsgReply, wire.MsgError:
			if m.ID == 0 {
				states = append(states, State{Phase: Warned, Err: answerError(m)})
				continue
			}
			c.answer(m)
		case wire.MsgGap:
			if s := c.subs[m.Channel]; s != nil {
				s.gapTold(m.Gap, m.At)
			}
		case wire.MsgUnsubscribed:
			if s := c.subs[m.Channel]; s != nil {
				s.expelled(answerError(m))
			}
		case wire.MsgPing:
			l.pong = true
			c.wake()
			c.overdue(l)
		case wire.MsgDrain:
			l.draining = true
			l.drainAfter(m.After)
		case wire.MsgExpiring:
			c.renew()
		case wire.MsgStale:
			states = append(states, State{Phase: stalePhase(m.Stale), Channel: string(m.Channel)})
		}
	}
	return states
}

func stalePhase(stale bool) Phase {
	if stale {
		return Stale
	}
	return Fresh
}

// answer ends a call; c.mu is held.
func (c *Client) answer(m *wire.Message) {
	from, ok := c.calls[m.ID]
	if !ok {
		return
	}
	delete(c.calls, m.ID)
	from.answered(m)
	if len(c.controls) > 0 || len(c.ready) > 0 {
		c.wake()
	}
}

// overdue has the reader end a line on which a request from before the last ping still has no answer: the server ends every request
// long before that, so the answer is lost, and what is safe to ask again is asked on the next line. c.mu is held.
func (c *Client) overdue(l *line) {
	for id := range c.calls {
		if id <= l.mark {
			l.stuck = true
			return
		}
	}
	l.mark = c.lastID
}

// renew fetches a fresh token and sends it; c.mu is held. If that fails, the server ends the line when the old one does,
// and the next connection asks for a token again.
func (c *Client) renew() {
	if c.o.Token == nil || c.ctx.Err() != nil {
		return
	}
	l := c.line
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, refreshWait)
		defer cancel()
		token, err := c.o.Token(ctx)
		if err != nil {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.line == l {
			c.control(wire.Request{Type: wire.ReqRefresh, Token: token}, nobody{})
		}
	})
}

// request is a request about a channel.
func request(t wire.RequestType, n channel.Name) wire.Request {
	return wire.Request{Type: t, Channel: n}
}
