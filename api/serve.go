package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/gateway/auth"
	"carillon/wire"
)

// Bounds of time, beside Common.Timeout.
const (
	defaultTimeout = 10 * time.Second
	writeGrace     = 20 * time.Second // for the caller to take the answer
)

// route is one thing that can be asked for.
type route struct {
	method  string
	pattern string // "{x}" stands for one segment that is not empty
	query   string // names that may stand in the query, with spaces between
	free    bool   // needs no credential
	do      func(*call) error
}

func (r route) name() string { return r.method + " " + r.pattern }

// match takes the values out of a path, as it was sent. Nothing is cleaned and nobody is sent elsewhere.
func (r route) match(path string) (values []string, ok bool) {
	for pattern := r.pattern; ; {
		var want, got string
		var more, also bool
		want, pattern, more = strings.Cut(pattern, "/")
		got, path, also = strings.Cut(path, "/")
		if more != also {
			return nil, false
		}
		if strings.HasPrefix(want, "{") {
			value, err := url.PathUnescape(got)
			if err != nil || value == "" {
				return nil, false
			}
			values = append(values, value)
		} else if want != got {
			return nil, false
		}
		if !more {
			return values, true
		}
	}
}

// service serves a table of routes.
type service struct {
	Common
	routes []route
	judge  func(*call) error // the credential of the call
	origin func(r *http.Request) bool
	cors   bool
}

// call is one request on its way.
type call struct {
	s      *service
	w      http.ResponseWriter
	r      *http.Request
	values []string // of the {…} in the route's pattern, in order
	query  query
	wrong  bool // the credential was a guess
	who    *auth.Identity
	route  string // its name
	status int
}

func newService(c Common, routes []route) *service {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Remote == nil {
		c.Remote = socketAddress
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &service{Common: c, routes: routes}
}

func socketAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// ServeHTTP answers one request, whatever it is.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), s.Timeout)
	defer cancel()
	c := &call{s: s, w: w, r: r.WithContext(ctx), route: "none"}
	secure(w.Header())
	defer func() {
		if v := recover(); v != nil {
			s.panicked(c, v)
		}
		if s.Told != nil {
			s.Told(c.route, c.status, time.Since(began))
		}
	}()
	if r.Body != nil && r.Body != http.NoBody {
		// net/http lifts it before the next request of the connection.
		_ = http.NewResponseController(w).SetReadDeadline(began.Add(s.Timeout))
	}
	found, allowed := s.find(c)
	if found != nil {
		c.route = found.name()
	}
	if err := s.serve(c, found, allowed); err != nil {
		c.fail(err)
	}
}

// secure sets what every answer has. Only what is known not to change may be kept by anybody, and says so itself.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// find looks for the route, or for the methods that the path has.
func (s *service) find(c *call) (found *route, allowed []string) {
	path, method := c.r.URL.EscapedPath(), c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range s.routes {
		values, ok := s.routes[i].match(path)
		if !ok {
			continue
		}
		if s.routes[i].method == method {
			c.values = values
			return &s.routes[i], nil
		}
		if allowed = append(allowed, s.routes[i].method); s.routes[i].method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	return nil, allowed
}

func (s *service) serve(c *call, found *route, allowed []string) error {
	if s.cors {
		if done, err := s.crossOrigin(c, allowed); done || err != nil {
			return err
		}
	}
	switch {
	case found == nil && len(allowed) == 0:
		return refuse(CodeNotFound, "There is nothing at this path; GET /api/openapi.json lists what there is.")
	case found == nil:
		slices.Sort(allowed)
		c.w.Header().Set("Allow", strings.Join(allowed, ", "))
		return refuse(CodeMethod, "This path takes %s.", strings.Join(allowed, ", "))
	}
	if !found.free {
		if err := s.admit(c); err != nil {
			return err
		}
	}
	if found.method == http.MethodPost {
		if err := c.isJSON(); err != nil {
			return err
		}
	}
	var err error
	if c.query, err = parseQuery(c.r.URL.RawQuery, strings.Fields(found.query)); err != nil {
		return err
	}
	return found.do(c)
}

// isJSON refuses what does not say that it is JSON: a form that a page of another origin sends unasked cannot say it.
func (c *call) isJSON() error {
	if c.r.ContentLength == 0 && c.r.Header.Get("Content-Type") == "" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	charset, named := params["charset"]
	if err != nil || kind != "application/json" || named && !strings.EqualFold(charset, "utf-8") {
		return refuse(CodeMediaType, "Send the body as Content-Type: application/json.")
	}
	return nil
}

// read takes the body of a request, of at most so many bytes.
func (c *call) read(most int) ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, int64(most)))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, refuse(wire.CodeTooLarge, "The request is longer than the %d bytes that are read here.", most)
	case err != nil:
		return nil, bad("The body did not arrive whole.")
	}
	return text, nil
}

// form reads a body of one object. Where none was sent, it has no fields.
func (c *call) form(most int) (*form, error) {
	text, err := c.read(most)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		text = []byte("{}")
	}
	f := newForm(text, "")
	if f.err != nil {
		return nil, f.err
	}
	return f, nil
}

func (c *call) ctx() context.Context { return c.r.Context() }

// answer sends JSON.
func (c *call) answer(body []byte) { c.send(http.StatusOK, "application/json", body) }

func (c *call) send(status int, kind string, body []byte) {
	h := c.w.Header()
	if kind != "" {
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.status = status
	rc := http.NewResponseController(c.w)
	_ = rc.SetWriteDeadline(time.Now().Add(writeGrace)) // what has no deadlines has no slow readers
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // the caller may be gone
	}
	_ = rc.Flush()
	_ = rc.SetWriteDeadline(time.Time{})
}

// fail answers with an error. Details of what has no code stay in the log.
func (c *call) fail(err error) {
	var e *wire.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e = refuse(wire.CodeUnavailable, "The answer took too long.")
	default:
		e = wire.AsError(err)
		c.s.Log.Error("request failed", "route", c.route, "error", err)
	}
	p := problemOf(e)
	h := c.w.Header()
	h.Set("Cache-Control", "no-store") // whatever the handler had begun to say
	h.Del("ETag")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if wait := p.retryHeader(); wait != "" {
		h.Set("Retry-After", wait)
	}
	c.send(p.Status, "application/problem+json", p.append(nil))
}

// panicked keeps one bad request from being more than that.
func (s *service) panicked(c *call, v any) {
	if v == http.ErrAbortHandler {
		panic(v)
	}
	s.Log.Error("panic in a handler", "route", c.route, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if s.Panicked != nil {
		s.Panicked()
	}
	if c.status == 0 {
		c.fail(&wire.Error{Code: wire.CodeInternal})
	}
}

// credential is the token or key of a request: of Authorization: Bearer, or of a header that only keys use.
func (c *call) credential(header string) (string, error) {
	given := c.r.Header.Values("Authorization")
	if header != "" {
		if keys := c.r.Header.Values(header); len(keys) > 0 {
			if len(keys)+len(given) > 1 {
				return "", refuse(wire.CodeUnauthorized, "The request carries two credentials; send one.")
			}
			return keys[0], nil
		}
	}
	switch {
	case len(given) == 0:
		return "", nil
	case len(given) > 1:
		return "", refuse(wire.CodeUnauthorized, "The request carries two credentials; send one.")
	}
	scheme, rest, _ := strings.Cut(given[0], " ")
	if rest = strings.TrimSpace(rest); !strings.EqualFold(scheme, "Bearer") || rest == "" {
		return "", refuse(wire.CodeUnauthorized, "Send the credential as Authorization: Bearer.")
	}
	return rest, nil
}

// admit judges the credential of a call, unless too many wrong ones came from its address.
func (s *service) admit(c *call) error {
	if s.Guard == nil {
		return s.judge(c)
	}
	remote := s.Remote(c.r)
	if wait := s.Guard.Guess(remote); wait > 0 {
		return &wire.Error{Code: wire.CodeRateLimited, Text: "Too many wrong credentials came from this address.", RetryAfter: wait}
	}
	err := s.judge(c)
	if !c.wrong {
		s.Guard.Forgive(remote)
	}
	return err
}
