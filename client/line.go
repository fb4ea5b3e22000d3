package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"carillon/wire"
)

// line is one connection, from `connected` to its end.
type line struct {
	ws       *websocket.Conn
	raw      net.Conn // under ws: closing it ends every read and write at once
	protocol wire.Protocol
	frame    websocket.MessageType
	hello    wire.Hello
	wake     chan struct{} // something waits to be sent
	gone     chan struct{} // closed with the line

	// Guarded by Client.mu.
	pong     bool   // owed to the server
	draining bool   // no more publishes: the server is going away
	mark     uint64 // id of the last request before the server's last ping
	stuck    bool   // an answer is overdue

	mu       sync.Mutex
	watch    *time.Timer   // ends the line when it fires
	patience time.Duration // of watch; 0: the server has no heartbeat
	until    time.Time     // the server is going away: come back then
	end      ending
	ended    bool
}

// session is the life of one line. since is when the one before it was lost.
func (c *Client) session(since time.Time) ending {
	l, e := c.open()
	if l == nil {
		return e
	}
	s := State{Phase: Connected, Server: l.hello.Server, User: l.hello.User, Conn: l.hello.Conn}
	if !since.IsZero() {
		s.Away = time.Since(since)
	}
	c.attach(l)
	c.tell(s)
	var wg sync.WaitGroup
	wg.Go(func() { c.read(l) })
	wg.Go(func() { c.write(l) })
	select {
	case <-l.gone:
	case <-c.ctx.Done():
		l.bye()
	}
	wg.Wait()
	_ = l.ws.CloseNow()
	c.detach()
	return l.end
}

// open dials and connects. Without a line it says why.
func (c *Client) open() (*line, ending) {
	ctx, cancel := context.WithTimeout(c.ctx, c.o.ConnectTimeout)
	defer cancel()
	token := c.guest
	if c.o.Token != nil {
		var err error
		if token, err = c.o.Token(ctx); err != nil {
			return nil, ending{err: fmt.Errorf("get a token: %w", err), then: wire.ReconnectBackoff}
		}
	}
	l, e := c.dial(ctx)
	if l == nil {
		return nil, e
	}
	e, ok := l.connect(ctx, wire.Request{Type: wire.ReqConnect, ID: connectID, Token: token, Name: c.o.Name})
	if !ok {
		_ = l.raw.Close()
		_ = l.ws.CloseNow()
		return nil, e
	}
	if c.o.Token == nil && strings.HasPrefix(l.hello.User, wire.GuestPrefix) {
		c.guest = l.hello.User // a publish is repeated under the name it was first sent
	}
	l.patience = l.hello.Heartbeat.Interval + l.hello.Heartbeat.Timeout
	if l.patience > 0 {
		l.watch = time.AfterFunc(l.patience, func() { l.drop(ending{err: ErrSilent, then: wire.ReconnectBackoff, met: true}) })
	}
	return l, ending{}
}

// connectID is the id of connect; every other request of a client has a higher one.
const connectID = 1

// dial opens the WebSocket.
func (c *Client) dial(ctx context.Context) (*line, ending) {
	var raw net.Conn
	var heard func()
	open, proxy := c.o.NetDial, http.ProxyFromEnvironment
	if open == nil {
		open = (&net.Dialer{}).DialContext
	} else {
		proxy = nil
	}
	tr := &http.Transport{
		Proxy: proxy, TLSClientConfig: c.o.TLS, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := open(ctx, network, address)
			if err == nil {
				raw = conn
			}
			return conn, err
		},
	}
	defer tr.CloseIdleConnections()
	ws, resp, err := websocket.Dial(ctx, c.url, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: tr}, HTTPHeader: c.o.Header, Subprotocols: []string{c.o.subprotocol()},
		OnPingReceived: func(context.Context, []byte) bool { heard(); return true },
		OnPongReceived: func(context.Context, []byte) { heard() },
	})
	if err != nil {
		return nil, refusedHandshake(resp, err)
	}
	l := &line{ws: ws, raw: raw, frame: websocket.MessageText, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	heard = l.heard
	ws.SetReadLimit(maxMessage)
	l.protocol, _ = wire.Lookup(c.o.subprotocol())
	if l.protocol.Binary {
		l.frame = websocket.MessageBinary
	}
	return l, ending{}
}

// refusedHandshake judges what an HTTP server said instead of upgrading.
func refusedHandshake(resp *http.Response, err error) ending {
	if resp == nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return ending{err: err, then: wire.ReconnectBackoff}
	}
	e := ending{err: fmt.Errorf("the server answered the handshake with %s: %w", resp.Status, err), then: wire.ReconnectBackoff}
	if resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized {
		e.err = &Error{Code: wire.CodeForbidden, Text: "The handshake was answered with " + resp.Status + "."}
		e.then = wire.ReconnectNever
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.after = time.Duration(min(seconds, maxAdvice)) * time.Second
	}
	return e
}

// maxAdvice bounds the wait that a handshake can advise, in seconds.
const maxAdvice = 600

// connect sends the first message and waits for its answer.
func (l *line) connect(ctx context.Context, r wire.Request) (ending, bool) {
	if err := l.ws.Write(ctx, l.frame, l.protocol.Codec.AppendRequest(nil, &r)); err != nil {
		return ending{err: err, then: wire.ReconnectBackoff}, false
	}
	var advised time.Duration
	for {
		_, b, err := l.ws.Read(ctx)
		if err != nil {
			e := endingOf(err)
			e.after = advised
			return e, false
		}
		ms, err := l.protocol.Codec.DecodeMessages(b, nil)
		if err != nil {
			return ending{err: fmt.Errorf("the server speaks another protocol: %w", err), then: wire.ReconnectBackoff}, false
		}
		for i := range ms {
			switch m := &ms[i]; m.Type {
			case wire.MsgConnected:
				l.hello = m.Hello
				return ending{}, true
			case wire.MsgError:
				return afterError(answerError(m)), false
			case wire.MsgDrain:
				advised = m.After
			}
		}
	}
}

// endingOf judges what a read or a write ended with.
func endingOf(err error) ending {
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return ending{err: fmt.Errorf("%w: %w", ErrLineLost, err), then: wire.ReconnectBackoff}
	}
	number := int(closed.Code)
	if code, ok := wire.CodeOf(number); ok {
		text := closed.Reason
		if text == string(code) {
			text = ""
		}
		return afterError(&Error{Code: code, Text: text, Number: number, Retry: code.Info().Retry})
	}
	return ending{err: fmt.Errorf("the server closed the connection with %d %s", number, closed.Reason), then: wire.AfterClose(number)}
}

// drop ends the line; the first cause counts. It does not block.
func (l *line) drop(e ending) {
	l.mu.Lock()
	first := !l.ended
	if first {
		l.ended = true
		l.end = e
		l.end.met = true
		if !l.until.IsZero() && e.then != wire.ReconnectNever {
			l.end.then, l.end.after = wire.ReconnectAtOnce, max(time.Until(l.until), 0)
		}
		if l.watch != nil {
			l.watch.Stop()
		}
	}
	l.mu.Unlock()
	if first {
		close(l.gone)
		_ = l.raw.Close()
	}
}

// cannotWrite ends the line, but lets the reader have its word first: what the server said before it hung up counts for more.
func (l *line) cannotWrite(err error) {
	t := time.NewTimer(closeWait)
	defer t.Stop()
	select {
	case <-l.gone:
	case <-t.C:
		l.drop(ending{err: fmt.Errorf("%w: %w", ErrLineLost, err), then: wire.ReconnectBackoff})
	}
}

// heard notes a sign of life.
func (l *line) heard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended && l.patience > 0 && l.watch != nil {
		l.watch.Reset(l.patience)
	}
}

// drainAfter notes that the server is going away: it closes the line, or the client does after that time.
func (l *line) drainAfter(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	if l.watch != nil {
		l.watch.Stop()
	}
	l.until, l.patience = time.Now().Add(d), 0 // no sign of life moves the watch any more
	l.watch = time.AfterFunc(max(d, closeWait), func() {
		l.drop(ending{err: &Error{Code: wire.CodeDrain}, then: wire.ReconnectAtOnce})
	})
}

// bye closes the line in good manners, but not for long.
func (l *line) bye() {
	t := time.AfterFunc(closeWait, func() { _ = l.raw.Close() })
	_ = l.ws.Close(websocket.StatusNormalClosure, "")
	t.Stop()
	l.drop(ending{err: ErrClosed, then: wire.ReconnectNever})
}
