package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"carillon/client"
	"carillon/gateway/auth"
	"carillon/wire"
)

const (
	defaultURL    = "ws://127.0.0.1:8000/ws"
	outagePublish = time.Minute // how long pub and history wait for a server that was there
)

// clientFlags are those of commands that talk to a server.
type clientFlags struct {
	URL  string        `default:"ws://127.0.0.1:8000/ws" env:"CARILLON_URL" placeholder:"URL" help:"Server to talk to (default ${default})."`
	Wait time.Duration `placeholder:"TIME" help:"How long to try again while the server cannot be reached, such as 30s. Default: not at all for the first connection; once connected sub tries for ever, others for a minute."`
}

// address completes what people leave out: the scheme and the path.
func (f *clientFlags) address() (*url.URL, error) {
	text := f.URL
	if !strings.Contains(text, "://") {
		text = "ws://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, usage("Give one such as "+defaultURL+" with --url or CARILLON_URL.", "the URL of the server is malformed")
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return nil, usage("Give one such as "+defaultURL+" with --url or CARILLON_URL.", "the URL of the server begins with %s://, and should with ws:// or wss://", u.Scheme)
	}
	if u.User != nil {
		return nil, usage("Put a token into CARILLON_TOKEN or CARILLON_TOKEN_FILE.", "the URL of the server holds a user or a password, which others on this machine can see")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u, nil
}

// credential finds the token in the environment: never in an argument, where others on this machine could see it.
func credential() (func(context.Context) (string, error), error) {
	token, file := os.Getenv("CARILLON_TOKEN"), os.Getenv("CARILLON_TOKEN_FILE")
	switch {
	case token != "" && file != "":
		return nil, usage("Unset one of them.", "both CARILLON_TOKEN and CARILLON_TOKEN_FILE are set")
	case token != "":
		return client.StaticToken(strings.TrimSpace(token)), nil
	case file == "":
		return nil, nil
	}
	read := func(context.Context) (string, error) {
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if token := strings.TrimSpace(string(raw)); token != "" && len(token) <= auth.MaxToken {
			return token, nil
		}
		return "", fmt.Errorf("%s holds no token: it is empty, or longer than %d bytes", file, auth.MaxToken)
	}
	if _, err := read(context.Background()); err != nil {
		return nil, &failure{exitFailed, "cannot read the token: " + err.Error(), "CARILLON_TOKEN_FILE names a file that holds a token and nothing else."}
	}
	return read, nil
}

// session is a client with what its command wants to know of the line. Its context ends with the command's, or with the
// reason why the server is given up.
type session struct {
	*client.Client
	console   *console
	shown     string // URL without what is nobody's business
	anonymous bool   // no token was given
	ctx       context.Context
	cancel    context.CancelCauseFunc
	outage    time.Duration // how long a server that was there may be away; 0: for ever
	first     time.Duration // how long the first connection may take; 0: one attempt

	mu      sync.Mutex
	lost    func() // see watch
	back    func(before, now client.State)
	state   client.State // of the last connection
	met     bool
	away    bool
	giveUp  *time.Timer
	ready   chan struct{}
	lastErr error
}

// connect begins a session and waits for the first connection.
func (f *clientFlags) connect(ctx context.Context, c *console, outage time.Duration) (*session, error) {
	if f.Wait < 0 {
		return nil, usage("Give a time such as 30s.", "--wait is negative")
	}
	u, err := f.address()
	if err != nil {
		return nil, err
	}
	token, err := credential()
	if err != nil {
		return nil, err
	}
	shown := *u
	shown.RawQuery, shown.Fragment = "", ""
	s := &session{console: c, shown: shown.String(), anonymous: token == nil, outage: outage, first: f.Wait, ready: make(chan struct{})}
	if f.Wait > 0 {
		s.outage = f.Wait
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.Client = client.New(u.String(), client.Options{Token: token, Name: "carillon-cli " + clip(version, 40), OnState: s.tell})
	select {
	case <-s.ready:
		return s, nil
	case <-s.Done():
		err = s.Err()
	case <-s.ctx.Done():
		err = context.Cause(s.ctx)
	}
	s.end()
	return nil, s.explain(err)
}

// watch calls lost when a line that was good is lost, and back when there is one again. Both must not block.
func (s *session) watch(lost func(), back func(before, now client.State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost, s.back = lost, back
}

func clip(text string, n int) string { return text[:min(len(text), n)] }

// end closes the line and waits for it.
func (s *session) end() {
	s.cancel(nil)
	_ = s.Close() // it never fails
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.giveUp != nil {
		s.giveUp.Stop()
	}
}

// tell follows the line; the client calls it.
func (s *session) tell(st client.State) {
	switch st.Phase {
	case client.Connected:
		if before, back := s.connected(st); before.Phase == client.Connected {
			s.console.note("connected again after %s", st.Away.Round(100*time.Millisecond))
			if back != nil {
				back(before, st)
			}
		}
	case client.Reconnecting:
		if wasGood, lost := s.missing(st.Err); wasGood {
			s.console.note("the line to %s is gone (%v); trying again", s.shown, s.cause(st.Err))
			if lost != nil {
				lost()
			}
		}
	case client.Stale:
		s.console.note("the server lost its line to the others: records may come late")
	case client.Fresh:
		s.console.note("the server has its line to the others back")
	}
}

// connected notes a connection and returns the one before it, if there was one.
func (s *session) connected(st client.State) (before client.State, back func(before, now client.State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.state = s.state, st
	s.met, s.away = true, false
	if s.giveUp != nil {
		s.giveUp.Stop()
		s.giveUp = nil
	}
	if before.Phase != client.Connected {
		close(s.ready)
	}
	return before, s.back
}

// missing notes that there is no connection, and tells whether there was one until now.
func (s *session) missing(err error) (wasGood bool, lost func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastErr = err
	wait := s.outage
	if !s.met {
		wait = s.first
	}
	switch {
	case !s.met && wait == 0:
		s.cancel(s.unreachable(err))
	case s.giveUp == nil && wait > 0:
		s.giveUp = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.cancel(s.unreachable(s.lastErr))
		})
	}
	wasGood = s.met && !s.away
	s.away = s.met
	return wasGood, s.lost
}

// user is whom the server takes us for.
func (s *session) user() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.User
}

func (s *session) unreachable(err error) *failure {
	next := "Is a server running there? Start one with: carillon dev. Another one is named with --url or CARILLON_URL."
	var refused *client.Error
	switch {
	case errors.As(err, &refused):
		next = refused.Advice()
	case s.met:
		next = "Is it still running? With --wait 10m this command would try for 10 minutes."
	case !errors.Is(err, syscall.ECONNREFUSED):
		next = "Check the address and the network; --url or CARILLON_URL names another server."
	}
	return &failure{exitUnreachable, fmt.Sprintf("cannot reach %s: %v", s.shown, s.cause(err)), next}
}

// cause is the innermost reason of a failed connection: what is around it names addresses that were said already.
func (s *session) cause(err error) error {
	var number syscall.Errno
	var refused *client.Error
	switch {
	case errors.As(err, &refused):
		return errors.New(sentence(refused))
	case errors.As(err, &number):
		return number
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.Is(err, client.ErrLineLost):
		return client.ErrLineLost
	}
	return err
}

func sentence(e *client.Error) string {
	text := e.Text
	if text == "" {
		text = e.Code.Info().Sentence
	}
	return strings.TrimSuffix(text, ".") + " (" + string(e.Code) + ")"
}

// explain turns an error of the client into one for people.
func (s *session) explain(err error) error {
	var refused *client.Error
	switch f := asFailure(err); {
	case err == nil:
		return nil
	case f != nil:
		return f
	case errors.As(err, &refused):
		next := refused.Advice()
		if refused.Code == wire.CodeUnauthorized && s.anonymous {
			next = "Set CARILLON_TOKEN, or CARILLON_TOKEN_FILE to a file with it. With the server's secret, make one with: carillon token create --user NAME"
		}
		return &failure{exitRefused, "refused: " + sentence(refused), next}
	case errors.Is(err, context.Canceled), errors.Is(err, client.ErrClosed):
		return &failure{exitInterrupted, "interrupted", ""}
	}
	return &failure{exitFailed, err.Error(), ""}
}
